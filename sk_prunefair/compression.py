"""What pruning saved: parameters, bytes, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sk_prunefair.pruning.masks import sparsity


def compression_summary(
    dense: nn.Module,
    pruned: nn.Module,
    masks: Mapping[str, torch.Tensor],
    example: torch.Tensor,
) -> pd.Series:
    """Count what a net holds and does, before and after pruning.

    Parameters
    ----------
    dense, pruned : torch.nn.Module
        The net before and after.
    masks : mapping of str to torch.Tensor
        Boolean masks by parameter name; empty where nothing was pruned.
    example : torch.Tensor of shape (1, ...)
        One sample, on the device of the nets.

    Returns
    -------
    pandas.Series
        ``parameters``, ``nonzero`` (numbers, of the pruned net); ``sparsity`` (share of the
        prunable weights that is removed); ``bytes_dense`` (parameters and buffers);
        ``bytes_stored`` (the same with each masked tensor as one bit per weight plus the kept
        values); ``macs_dense`` and ``macs_pruned`` (multiply-accumulates of one forward pass; those
        of a removed weight do not count, which takes sparse kernels to become time).

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(8, 2, bias=False)
    >>> mask = torch.zeros(2, 8, dtype=torch.bool)
    >>> mask[:, :2] = True
    >>> summary = compression_summary(net, net, {"weight": mask}, torch.zeros(1, 8))
    >>> summary[["bytes_dense", "bytes_stored", "macs_dense", "macs_pruned"]].to_list()
    [64.0, 18.0, 16.0, 4.0]
    """
    macs_dense, macs_pruned = count_macs(pruned, masks, example)
    return pd.Series(
        {
            "parameters": sum(p.numel() for p in pruned.parameters()),
            "nonzero": sum(int(p.count_nonzero()) for p in pruned.parameters()),
            "sparsity": sparsity(masks),
            "bytes_dense": sum(map(_bytes, _tensors(dense))),
            "bytes_stored": _bytes_stored(pruned, masks),
            "macs_dense": macs_dense,
            "macs_pruned": macs_pruned,
        },
        name="compression",
        dtype=float,
    )


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _bytes_stored(module: nn.Module, masks: Mapping[str, torch.Tensor]) -> int:
    total = sum(map(_bytes, _tensors(module)))
    for name, mask in masks.items():
        weight = module.get_parameter(name)
        kept = int(mask.sum()) * weight.element_size()
        total += min(kept + -(-mask.numel() // 8) - _bytes(weight), 0)
    return total


@torch.no_grad()
def count_macs(
    module: nn.Module, masks: Mapping[str, torch.Tensor], example: torch.Tensor
) -> tuple[float, float]:
    """Count the multiply-accumulates of one forward pass, of all and of the kept weights.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    masks : mapping of str to torch.Tensor
        Boolean masks by parameter name.
    example : torch.Tensor of shape (1, ...)
        One sample.

    Returns
    -------
    macs : float
        Of the dense net, as `torch.utils.flop_counter` counts them (halved: it counts both the
        multiplication and the addition).
    macs_kept : float
        The same without those of removed weights.
    """
    module = getattr(module, "_orig_mod", module)  # the counter's hooks do not see compiled nets
    was_training = module.training
    module.eval()
    with FlopCounterMode(display=False) as counter:
        module(example)
    module.train(was_training)
    # The counter knows submodules as "Class.layers.0", the net itself as "Global".
    flops = {
        name.partition(".")[2]: sum(counts.values())
        for name, counts in counter.get_flop_counts().items()
    }
    total = counter.get_total_flops()
    removed = 0.0
    for name, mask in masks.items():
        owner = name.removeprefix("_orig_mod.").rpartition(".")[0]
        of_owner = flops.get(owner, 0) if owner else total
        removed += of_owner * (1 - mask.double().mean().item())
    return total / 2, (total - removed) / 2
