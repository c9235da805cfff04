"""Gradients by a layer's weights, from its inputs and the derivatives by its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn import grad

Tensor = torch.Tensor


class Runs(NamedTuple):
    """Runs of consecutive rows.

    Attributes
    ----------
    lengths : list of int
        Number of rows of each run.
    codes : torch.Tensor of shape (n_rows,), dtype int64
        The run of each row, from 0.
    """

    lengths: list[int]
    codes: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: Any = None) -> Runs:
        """Return runs of these lengths."""
        codes = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
        return cls(list(lengths), codes.to(device))

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of each run's rows, shape (n_runs, ...)."""
        out = values.new_zeros(len(self.lengths), *values.shape[1:])
        return out.index_add_(0, self.codes, values)

    def split(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield the rows of each run."""
        yield from zip(*(tensor.split(self.lengths) for tensor in tensors), strict=True)


Product = Callable[[Any, Tensor, Tensor, Runs], "dict[str, Tensor | None]"]
"""Function of a layer, its input, the derivatives by its output, and the runs that returns the
gradients of each run by its weights, by name, shape (n_runs, ...)."""


def is_known(layer: nn.Module) -> bool:
    """Return whether `gradients` supports a layer.

    It depends on the type and the options. A layer with a replaced ``forward`` is not supported.

    Examples
    --------
    >>> is_known(nn.Linear(1, 1)), is_known(nn.LSTM(1, 1))
    (True, False)
    """
    if type(layer) not in PRODUCTS or "forward" in vars(layer):
        return False
    if is_convolution(layer):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.Embedding):
        return layer.max_norm is None and not (layer.scale_grad_by_freq or layer.sparse)
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return layer.running_mean is not None and not layer.training
    return True


def is_convolution(layer: nn.Module) -> bool:
    """Return whether a layer is a convolution that is not transposed."""
    return type(layer) in _CONVS


def n_dims(layer: nn.Module) -> int:
    """Return the least number of dimensions of a layer's outputs, including that of the rows.

    With fewer, torch treats the whole input as one sample.
    """
    if type(layer) in _CONVS:
        return _CONVS[type(layer)][1] + 2
    return len(layer.normalized_shape) + 1 if isinstance(layer, nn.LayerNorm) else 2


def gradients(
    layer: nn.Module, given: Tensor, delta: Tensor, runs: Runs
) -> dict[str, Tensor | None]:
    """Return the gradients by a layer's weights, for each run of rows.

    Parameters
    ----------
    layer : torch.nn.Module
        A layer for which `is_known` is true.
    given : torch.Tensor of shape (n_rows, ...)
        Input of the layer.
    delta : torch.Tensor of shape (n_rows, ...)
        Derivatives of a scalar by the layer's output.
    runs : Runs
        Runs of the rows.

    Returns
    -------
    dict of str to torch.Tensor
        By name of the weight, shape (n_runs, ...).

    Examples
    --------
    >>> runs = Runs.of([1, 2])
    >>> given, delta = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.ones(3, 1)
    >>> gradients(nn.Linear(2, 1), given, delta, runs)
    {'weight': tensor([[[ 1.,  2.]],
    <BLANKLINE>
            [[ 8., 10.]]]), 'bias': tensor([[1.],
            [2.]])}
    """
    return PRODUCTS[type(layer)](layer, given, delta, runs)


def _linear(layer: Any, given: Tensor, delta: Tensor, runs: Runs) -> dict[str, Tensor | None]:
    n_each = delta[0, ..., 0].numel()
    # Linear layers on tokens: each row of the data has several rows here.
    lengths = [length * n_each for length in runs.lengths]
    parts = zip(
        delta.reshape(-1, delta.shape[-1]).t().split(lengths, dim=1),
        given.reshape(-1, given.shape[-1]).split(lengths),
        strict=True,
    )
    weight = delta.new_empty(len(lengths), *layer.weight.shape)
    for out, (left, right) in zip(weight, parts, strict=True):
        torch.mm(left, right, out=out)
    return {"weight": weight, "bias": runs.sums(_summed(delta, delta.shape[-1]))}


def _conv(layer: Any, given: Tensor, delta: Tensor, runs: Runs) -> dict[str, Tensor | None]:
    gradient, _ = _CONVS[type(layer)]
    options = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return {
        "weight": torch.stack(
            [gradient(x, layer.weight.shape, d, *options) for x, d in runs.split(given, delta)]
        ),
        "bias": None if layer.bias is None else runs.sums(delta.flatten(2).sum(2)),
    }


def _embedding(layer: Any, given: Tensor, delta: Tensor, runs: Runs) -> dict[str, Tensor | None]:
    if layer.padding_idx is not None:
        delta = delta * (given != layer.padding_idx).unsqueeze(-1)
    # Each run has its own table.
    places = given.reshape(len(given), -1) + runs.codes[:, None] * len(layer.weight)
    weight = delta.new_zeros(len(runs.lengths) * len(layer.weight), delta.shape[-1])
    weight.index_add_(0, places.flatten(), delta.reshape(-1, delta.shape[-1]))
    return {"weight": weight.view(-1, *layer.weight.shape)}


def _batch_norm(layer: Any, given: Tensor, delta: Tensor, runs: Runs) -> dict[str, Tensor | None]:
    shape = (-1, *[1] * (given.ndim - 2))
    centred = given - layer.running_mean.view(shape)
    by_channel = _of_channels(centred, delta, runs)
    return {
        **by_channel,
        "weight": by_channel["weight"] * torch.rsqrt(layer.running_var + layer.eps),
    }


def _group_norm(layer: Any, given: Tensor, delta: Tensor, runs: Runs) -> dict[str, Tensor | None]:
    normed = F.group_norm(given, layer.num_groups, eps=layer.eps)
    return {**_of_channels(normed, delta, runs)}


def _of_channels(normed: Tensor, delta: Tensor, runs: Runs) -> dict[str, Tensor]:
    shape = (*delta.shape[:2], -1)
    delta = delta.reshape(shape)
    return {
        "weight": runs.sums((normed.reshape(shape) * delta).sum(2)),
        "bias": runs.sums(delta.sum(2)),
    }


def _layer_norm(layer: Any, given: Tensor, delta: Tensor, runs: Runs) -> dict[str, Tensor | None]:
    normed = F.layer_norm(given, layer.normalized_shape, eps=layer.eps)
    size = layer.weight.numel()
    return {
        "weight": runs.sums(_summed(normed * delta, size)),
        "bias": runs.sums(_summed(delta, size)),
    }


def _summed(values: Tensor, size: int) -> Tensor:
    """Return the sums over all dimensions between the first and the last few."""
    values = values.reshape(len(values), -1, size)
    return values[:, 0] if values.shape[1] == 1 else values.sum(1)


_CONVS: dict[type, tuple[Any, int]] = {
    nn.Conv1d: (grad.conv1d_weight, 1),
    nn.Conv2d: (grad.conv2d_weight, 2),
    nn.Conv3d: (grad.conv3d_weight, 3),
}
PRODUCTS: dict[type, Product] = {
    nn.Linear: _linear,
    **dict.fromkeys(_CONVS, _conv),
    nn.Embedding: _embedding,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
}
"""Functions that compute the gradients, by type of layer."""
