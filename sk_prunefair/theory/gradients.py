"""Group gradients g_a = ∇θ J(θ; D_a)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from sk_prunefair.runs import RunGradients
from sk_prunefair.theory.grouped import CHUNK_BYTES, GroupedNet

# Fewer groups are faster one by one, as one run is computed twice as a check; so are those
# of a net with convolutions, whose products for few rows cost as much as a pass.
LEAST_GROUPS = 4
CONVOLUTION_ROWS = 8


def group_gradient_norms(
    module: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    criterion: Any = None,
    batch_size: int | None = None,
) -> pd.Series:
    r"""Return the norm of each group's gradient, :math:`\|\nabla_\theta J(\theta; D_a)\|`.

    Proposition 1 of Tran, Fioretto, Kim and Naidu states that small groups have large gradients at
    the minimum of the overall loss; by Theorem 1 pruning can do more harm where the gradient is
    large.

    The data is sorted by group and processed once, forward and backward. Groups that are small,
    relative to ``batch_size``, are processed together if that is faster: each layer's inputs
    and the derivatives by its outputs determine the gradient of any rows. The cost of many groups
    relative to a pass without groups is in ``benchmarks/speed/theory.md``. Memory: the activations
    of one chunk of ``batch_size`` samples, and the gradients of one group, or of as many as fit in
    an eighth of its bound.

    Parameters
    ----------
    module : torch.nn.Module
        A net that returns one score per class; evaluated with batch norm frozen, not changed.
        Parameters that do not require a gradient are left out.
    X : array-like of shape (n_samples, ...)
        Features.
    y : array-like of shape (n_samples,), integer dtype
        Labels from 0 to n_classes - 1.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    criterion : torch.nn.Module, class of one, or callable, default=None
        Loss of ``(scores, y)``; None takes cross entropy on logits.
    batch_size : int, default=None
        Samples per chunk; None chooses by the size of the net's activations.

    Returns
    -------
    pandas.Series
        ``gradient_norm`` by group.

    Raises
    ------
    ValueError
        If an argument is malformed, or the net has no parameter that requires a gradient.

    Examples
    --------
    A linear net without bias at zero predicts one half for both classes, so that each sample's
    gradient is ±x/2 for either score.

    >>> import torch
    >>> net = torch.nn.Linear(1, 2, bias=False)
    >>> _ = torch.nn.init.zeros_(net.weight)
    >>> group_gradient_norms(net, [[2.0], [4.0]], [0, 0], ["a", "b"]).round(3).to_dict()
    {'a': 1.414, 'b': 2.828}
    """
    return gradient_norms(GroupedNet(module, X, y, sensitive_features, criterion, batch_size))


def gradient_norms(net: GroupedNet) -> pd.Series:
    """Return the result of `group_gradient_norms`."""
    norms = torch.zeros(len(net.groups), dtype=torch.float64)
    for codes, parts in _gradient_parts(net):
        lengths = torch.stack([part.flatten(1).norm(dim=1) for part in parts])
        norms[list(codes)] = lengths.norm(dim=0).double().cpu()
    return pd.Series(norms.numpy(), index=net.groups, name="gradient_norm")


def group_gradients(net: GroupedNet) -> torch.Tensor:
    """Return the gradients of all groups, shape (n_groups, n_parameters)."""
    like = next(iter(net.parameters.values()))
    out = like.new_zeros(len(net.groups), net.n_parameters)
    for codes, parts in _gradient_parts(net):
        out[list(codes)] = torch.cat([part.flatten(1) for part in parts], dim=1)
    return out


def _gradient_parts(net: GroupedNet) -> Iterator[tuple[Sequence[int], list[torch.Tensor]]]:
    """Yield the gradients of all groups, some groups at a time, in any order.

    Yields
    ------
    codes : sequence of int
        Some groups.
    parts : list of torch.Tensor of shape (n_some, ...)
        The parts of their gradients, in order.
    """
    together = RunGradients(net.module, net.parameters, net.losses)
    # Their gradients may take at most an eighth of the memory of the activations.
    most = max(1, CHUNK_BYTES // (32 * net.n_parameters))
    alone: list[int] = []
    for codes in _fitting(net.sizes, net.batch_size, most):
        found = None
        if _is_faster_together(together, net.sizes[codes]):
            X, y = net.rows_of(slice(net.starts[codes[0]], net.starts[codes[-1] + 1]))
            sizes = net.sizes[codes].tolist()
            found = together(X, y, sizes, _shares(sizes, net))
        if found is None:
            alone += codes
        else:
            yield codes, list(found.values())
    # Convolutions are set up anew for each number of rows: groups of equal size are adjacent.
    for code in sorted(alone, key=net.sizes.__getitem__):
        yield [code], [net.gradient(net.rows(code))[None]]


def _is_faster_together(together: RunGradients, sizes: npt.NDArray[np.int64]) -> bool:
    """Return whether one pass over these groups is faster than one pass for each."""
    is_small = not together.has_convolutions or sizes.mean() <= CONVOLUTION_ROWS
    return together.is_possible and len(sizes) >= LEAST_GROUPS and is_small


def _shares(sizes: list[int], net: GroupedNet) -> torch.Tensor:
    """Return the weight of each row in the mean of its group."""
    counts = torch.tensor(sizes)
    like = next(iter(net.parameters.values()))
    return (1 / counts.to(torch.float64)).repeat_interleave(counts).to(like)


def _fitting(sizes: npt.NDArray[np.int64], most_rows: int, most_groups: int) -> Iterator[range]:
    """Split the groups into ranges within limits on rows and groups, or of a single group."""
    first = total = 0
    for code, size in enumerate(sizes.tolist()):
        if code > first and (total + size > most_rows or code - first == most_groups):
            yield range(first, code)
            first, total = code, 0
        total += size
    yield range(first, len(sizes))
