"""Costs of a net before and after pruning: parameters, bytes, multiply-accumulates, latency."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sk_prunefair.autodiff import plain_attention
from sk_prunefair.latency import call_of, evaluating, take_turns
from sk_prunefair.nested import float_dtype, run, tensors_of, to
from sk_prunefair.pruning.masks import sparsity


def compression_summary(
    dense: nn.Module,
    pruned: nn.Module,
    masks: Mapping[str, torch.Tensor],
    example: Any,
    latency: bool = False,
) -> pd.Series:
    """Count parameters, bytes and multiply-accumulates before and after pruning.

    Parameters
    ----------
    dense, pruned : torch.nn.Module
        The net before and after.
    masks : mapping of str to torch.Tensor
        Boolean masks by parameter name, of the shapes of the dense net; empty where nothing was
        pruned.
    example : torch.Tensor of shape (1, ...), or dict of such
        One sample, on the device of the nets; a dict is passed as ``module(**example)``.
    latency : bool, default=False
        Whether to measure how long the nets take for the sample.

    Returns
    -------
    pandas.Series
        ``parameters``, ``nonzero`` (numbers, of the pruned net); ``sparsity`` (share of the
        prunable weights that is removed); ``bytes_dense`` (parameters and buffers);
        ``bytes_stored`` (the same with each masked tensor as one bit per weight plus the kept
        values); ``macs_dense`` and ``macs_pruned`` (multiply-accumulates of one forward pass; those
        of removed weights are not counted, which saves time only with sparse kernels); on
        request, ``latency_dense`` and ``latency_pruned`` (seconds, as `measure_latency` returns
        them).

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
    # In a net with fewer channels, masks count removed weights; the remaining tensors are dense.
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
    """Count the multiply-accumulates of one forward pass, for all weights and for the kept ones.

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
        For the dense net, as `torch.utils.flop_counter` counts them (halved, as it counts both the
        multiplication and the addition), including attention.
    macs_kept : float
        The same without those of removed weights.
    """
    module = getattr(module, "_orig_mod", module)  # the counter does not count inside compiled nets
    was_training = module.training
    module.eval()
    placed = to(example, floats=float_dtype(module))
    counter = _Counter(
        {name.removeprefix("_orig_mod."): mask for name, mask in masks.items()}, module
    )
    try:
        with plain_attention(), _plain_layers(), counter:
            run(module, placed)
    finally:
        module.train(was_training)
    return counter.total / 2, counter.kept / 2


class _Counter(TorchDispatchMode):
    """Count the operations within the context by torch's formulas, and those of kept weights.

    `torch.utils.flop_counter.FlopCounterMode` counts by module; but the weights of one module
    may need different numbers of operations, as in a recurrent layer or attention, two modules may
    share a weight, and a module may use the weight of another. So weights are identified by their
    memory.
    """

    def __init__(self, masks: Mapping[str, torch.Tensor], module: nn.Module) -> None:
        super().__init__()
        self.total = self.kept = 0.0
        self.masked: list[tuple[torch.Tensor, torch.Tensor]] = []
        for name, mask in masks.items():
            weight = module.get_parameter(name).detach()
            # With the memory layout of the weight, so that a view of it is the same view of its
            # mask.
            laid_out = torch.empty_like(weight, dtype=torch.bool).copy_(mask)
            self.masked.append((weight, laid_out))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = _FORMULAS.get(getattr(func, "_overloadpacket", None))
        if formula is not None:
            operations = formula(*args, **kwargs, out_val=out)
            self.total += operations
            self.kept += operations * math.prod(map(self._share, tensors_of(args)))
        return out

    def _share(self, tensor: torch.Tensor) -> float:
        """Return the share of a tensor that its mask keeps; 1 for a tensor without one."""
        for weight, mask in self.masked:
            if tensor.untyped_storage().data_ptr() != weight.untyped_storage().data_ptr():
                continue
            start = tensor.storage_offset() - weight.storage_offset()
            if 0 <= start < weight.numel():  # the weights of a layer may share their memory
                return mask.as_strided(tensor.size(), tensor.stride(), start).double().mean().item()
        return 1.0


def _bilinear(left: Any, weight: Any, right: Any, *args: Any, **kwargs: Any) -> int:
    """Return the operations of `torch.nn.Bilinear`, which torch's table lacks."""
    return 2 * left.shape[0] * weight.numel()


_FORMULAS: dict[Any, Callable[..., float]] = {
    **flop_registry,
    torch.ops.aten._trilinear: _bilinear,
}


@contextlib.contextmanager
def _plain_layers() -> Iterator[None]:
    """Run attention, encoder and recurrent layers as matrix products, which are counted.

    Otherwise each of them runs its own kernel, for which there are no formulas.
    """
    backends: list[Any] = [torch.backends.mkldnn, torch.backends.cudnn]
    are_enabled = [backend.enabled for backend in backends]
    is_fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for backend in backends:
            backend.enabled = False
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)
        for backend, is_enabled in zip(backends, are_enabled, strict=True):
            backend.enabled = is_enabled


@torch.no_grad()
def measure_latency(
    dense: nn.Module, pruned: nn.Module, example: Any, n_rounds: int = 30
) -> tuple[float, float]:
    """Measure how long two nets take for the same input, alternately.

    Parameters
    ----------
    dense, pruned : torch.nn.Module
        The nets, run in evaluation mode with torch's current number of threads.
    example : torch.Tensor of shape (batch_size, ...), or dict of such
        The input, on the device of the nets.
    n_rounds : int, default=30
        Passes of each net, after three for warming up.

    Returns
    -------
    dense, pruned : float
        Medians, in seconds. Zero weights save no time with dense kernels: expect a difference only
        if channels were removed. `sk_prunefair.latency.compare_latency` measures more models,
        with batch sizes and threads.

    Examples
    --------
    >>> net = nn.Linear(8, 2)
    >>> all(seconds > 0 for seconds in measure_latency(net, net, torch.zeros(1, 8)))
    True
    """
    runs = {"dense": call_of(dense, example), "pruned": call_of(pruned, example)}
    with evaluating((dense, pruned)):
        taken = take_turns(runs, n_rounds)
    return statistics.median(taken["dense"]), statistics.median(taken["pruned"])
