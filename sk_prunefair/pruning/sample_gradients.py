"""Gradients of single samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sk_prunefair.autodiff import EachSample
from sk_prunefair.nested import map_tensors
from sk_prunefair.pruning.data import PruningData

Tensors = dict[str, torch.Tensor]


class SampleGradients:
    """The gradient of each sample's loss by some weights of a net.

    Parameters
    ----------
    module : torch.nn.Module
        Net in evaluation mode.
    data : PruningData
        Data with the functions that run the net and compute its losses.
    weights : dict of str to torch.Tensor
        By parameter name, without gradient.

    Examples
    --------
    >>> net = nn.Linear(1, 2, bias=False)
    >>> net.weight.data.zero_()
    tensor([[0.],
            [0.]])
    >>> X, y = torch.tensor([[1.0], [2.0]]), torch.tensor([0, 0])
    >>> found, losses = SampleGradients(net, PruningData([]), {"weight": net.weight.detach()})(X, y)
    >>> found["weight"].flatten(1)
    tensor([[-0.5000,  0.5000],
            [-1.0000,  1.0000]])
    """

    def __init__(self, module: nn.Module, data: PruningData, weights: Tensors) -> None:
        self.net = data.bound(module)
        self.data = data
        self.weights = weights
        self.of_each = EachSample(torch.func.grad_and_value(self._loss))

    def __call__(self, X: Any, y: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        """Return the gradients, shape (n_samples, ...) by name, and the losses.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, ...), or dict of such
            Features.
        y : torch.Tensor of shape (n_samples,), dtype int64
            Labels.
        """
        return self.of_each(self.weights, X, y)

    def _loss(self, weights: Tensors, x: Any, label: torch.Tensor) -> torch.Tensor:
        one = map_tensors(lambda tensor: tensor[None], x)
        output = torch.func.functional_call(self.net, weights, (one,))
        return self.data.sample_losses(output, label[None])[0]
