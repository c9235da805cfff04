"""What pruning saved: parameters, bytes, multiply-accumulates, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sk_prunefair.autodiff import plain_attention
from sk_prunefair.nested import float_dtype, run, tensors_of, to
from sk_prunefair.pruning.masks import sparsity


def compression_summary(
    dense: nn.Module,
    pruned: nn.Module,
    masks: Mapping[str, torch.Tensor],
    example: Any,
    latency: bool = False,
) -> pd.Series:
    """Count what a net holds and does, before and after pruning.

    Parameters
    ----------
    dense, pruned : torch.nn.Module
        The net before and after.
    masks : mapping of str to torch.Tensor
        Boolean masks by parameter name, of the shapes of the dense net; empty where nothing was
        pruned.
    example : torch.Tensor of shape (1, ...), or dict of such
        One sample, on the device of the nets; of a dict they get ``module(**example)``.
    latency : bool, default=False
        Whether to measure how long the nets take for that sample.

    Returns
    -------
    pandas.Series
        ``parameters``, ``nonzero`` (numbers, of the pruned net); ``sparsity`` (share of the
        prunable weights that is removed); ``bytes_dense`` (parameters and buffers);
        ``bytes_stored`` (the same with each masked tensor as one bit per weight plus the kept
        values); ``macs_dense`` and ``macs_pruned`` (multiply-accumulates of one forward pass; those
        of a removed weight do not count, which takes sparse kernels to become time); where asked
        for, ``latency_dense`` and ``latency_pruned`` (seconds, as `measure_latency` has them).

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
    # Of a net that has fewer channels, the masks tell what is gone; what is there is all dense.
    is_smaller = any(pruned.get_parameter(name).shape != mask.shape for name, mask in masks.items())
    worn = {} if is_smaller else masks
    macs_dense, _ = count_macs(dense, {}, example)
    _, macs_pruned = count_macs(pruned, worn, example)
    seconds = {}
    if latency:
        of_dense, of_pruned = measure_latency(dense, pruned, example)
        seconds = {"latency_dense": of_dense, "latency_pruned": of_pruned}
    return pd.Series(
        {
            "parameters": sum(p.numel() for p in pruned.parameters()),
            "nonzero": sum(int(p.count_nonzero()) for p in pruned.parameters()),
            "sparsity": sparsity(masks),
            "bytes_dense": sum(map(_bytes, _tensors(dense))),
            "bytes_stored": _bytes_stored(pruned, worn),
            "macs_dense": macs_dense,
            "macs_pruned": macs_pruned,
        }
        | seconds,
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
    module: nn.Module, masks: Mapping[str, torch.Tensor], example: Any
) -> tuple[float, float]:
    """Count the multiply-accumulates of one forward pass, of all and of the kept weights.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    masks : mapping of str to torch.Tensor
        Boolean masks by parameter name.
    example : torch.Tensor of shape (1, ...), or dict of such
        One sample.

    Returns
    -------
    macs : float
        Of the dense net, as `torch.utils.flop_counter` counts them (halved: it counts both the
        multiplication and the addition), those of attention among them.
    macs_kept : float
        The same without those of removed weights.
    """
    module = getattr(module, "_orig_mod", module)  # the counter's hooks do not see compiled nets
    was_training = module.training
    module.eval()
    placed = to(example, floats=float_dtype(module))
    with plain_attention(), FlopCounterMode(display=False) as counter:
        run(module, placed)
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


@torch.no_grad()
def measure_latency(
    dense: nn.Module, pruned: nn.Module, example: Any, n_rounds: int = 30
) -> tuple[float, float]:
    """Measure how long two nets take for the same input, turn by turn.

    Parameters
    ----------
    dense, pruned : torch.nn.Module
        The nets, run in evaluation mode with the number of threads that torch is set to.
    example : torch.Tensor of shape (batch_size, ...), or dict of such
        The input, on the device of the nets.
    n_rounds : int, default=30
        Passes of each net; three more come first.

    Returns
    -------
    dense, pruned : float
        Medians, in seconds. Zeros in a weight save no time with dense kernels: expect a difference
        where channels were removed.

    Examples
    --------
    >>> net = nn.Linear(8, 2)
    >>> all(seconds > 0 for seconds in measure_latency(net, net, torch.zeros(1, 8)))
    True
    """
    nets = (dense, pruned)
    modes = [net.training for net in nets]
    seconds: tuple[list[float], list[float]] = ([], [])
    for net in nets:
        net.eval()
    example = to(example, floats=float_dtype(dense))
    is_cuda = any(tensor.is_cuda for tensor in tensors_of(example))
    for _ in range(3 + n_rounds):
        for net, taken in zip(nets, seconds, strict=True):
            start = time.perf_counter()
            run(net, example)
            if is_cuda:
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - start)
    for net, training in zip(nets, modes, strict=True):
        net.train(training)
    before, after = (statistics.median(taken[3:]) for taken in seconds)
    return before, after
