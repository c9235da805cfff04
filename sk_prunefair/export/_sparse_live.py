"""Dense layers without the rows and columns of their weights that are all zero."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from sk_prunefair.pruning._resize import resize


class _Live(nn.Module):
    """A layer that computes a smaller layer on the nonzero rows and columns.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_outputs, n_inputs, ...)
        Dense.
    bias : torch.Tensor of shape (n_outputs,) or None
        None means zeros.
    small : torch.nn.Module
        A layer of the same type without values, which gets the remaining ones.
    dim : int
        Dimension of the channels, in inputs and outputs.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, small: Any, dim: int
    ) -> None:
        super().__init__()
        weight, self.dim = weight.detach(), dim
        is_live = (weight != 0).flatten(2).any(dim=2) if weight.ndim > 2 else weight != 0
        self.n_outputs, self.n_inputs = is_live.shape
        self.register_buffer("rows", is_live.any(dim=1).nonzero()[:, 0])
        self.register_buffer("columns", is_live.any(dim=0).nonzero()[:, 0])
        bias = weight.new_zeros(len(weight)) if bias is None else bias.detach().clone()
        self.bias = nn.Parameter(bias, requires_grad=False)
        small.weight = nn.Parameter(weight[self.rows][:, self.columns], requires_grad=False)
        small.bias = nn.Parameter(bias[self.rows], requires_grad=False)
        resize("small", small)
        self.small = small.eval()

    @property
    def weight(self) -> torch.Tensor:
        """The remaining weight."""
        weight: torch.Tensor = self.small.weight
        return weight

    @torch.no_grad()
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the output for X, whose channels are in dimension ``dim``."""
        if len(self.columns) < self.n_inputs:
            X = X.index_select(self.dim, self.columns)
        output: torch.Tensor = self.small(X)
        if len(self.rows) == self.n_outputs:
            return output
        shape = list(output.shape)
        shape[self.dim] = self.n_outputs
        bias = self.bias.view(-1, *[1] * (-1 - self.dim))
        return bias.expand(shape).contiguous().index_copy_(self.dim, self.rows, output)


class LiveLinear(_Live):
    """A dense linear layer without the rows and columns of its weight that are all zero.

    A row of zeros gives its bias for any input; the input of a column of zeros has no
    effect, as long as it is finite.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_outputs, n_inputs)
        Dense.
    bias : torch.Tensor of shape (n_outputs,) or None
        None means zeros.

    Examples
    --------
    >>> layer = LiveLinear(torch.tensor([[0.0, 2.0], [0.0, 0.0]]), torch.tensor([1.0, 3.0]))
    >>> layer.small.weight.shape
    torch.Size([1, 1])
    >>> layer(torch.tensor([[5.0, 7.0]]))
    tensor([[15.,  3.]])
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        n_outputs, n_inputs = weight.shape
        small = nn.Linear(n_inputs, n_outputs, dtype=weight.dtype, device="meta")
        super().__init__(weight, bias, small, dim=-1)


class LiveConv2d(_Live):
    """A convolution without the filters, and the input channels, that are all zero.

    A filter of zeros gives its bias at each pixel.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        Dense, of one group.

    Examples
    --------
    >>> conv, X = nn.Conv2d(2, 4, 3), torch.ones(1, 2, 5, 5)
    >>> _ = conv.weight.data[:3].zero_()
    >>> live = LiveConv2d(conv)
    >>> live.small.weight.shape, torch.allclose(live(X), conv(X), atol=1e-5)
    (torch.Size([1, 2, 3, 3]), True)
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        meta: dict[int, Any] = {id(p): nn.Parameter(p.to("meta")) for p in conv.parameters()}
        super().__init__(conv.weight, conv.bias, copy.deepcopy(conv, meta), dim=-3)
