"""The average of a net's weights over an epoch, for iterates around a saddle point."""

from __future__ import annotations

import torch
from torch import nn

# Exponent of the weights of later steps: of t steps, the k-th weighs about k to this power.
POWER = 8


class WeightAverage:
    """A running average of a module's weights and buffers, with more weight on later ones.

    This is polynomial-decay averaging (Shamir and Zhang, *Stochastic gradient descent for
    non-smooth optimization*, ICML 2013): of t steps, nearly all of the average comes from the last
    third, and t need not be known in advance.

    Parameters
    ----------
    module : torch.nn.Module
        Module whose floating-point parameters and buffers are averaged, on any device.

    Examples
    --------
    >>> net = nn.Linear(1, 1, bias=False)
    >>> average = WeightAverage(net)
    >>> for value in (1.0, 2.0, 4.0):
    ...     _ = nn.init.constant_(net.weight, value)
    ...     average.update()
    >>> average.load()
    >>> round(net.weight.item(), 3)
    3.618
    """

    def __init__(self, module: nn.Module) -> None:
        tensors = [*module.parameters(), *module.buffers()]
        self.tensors = [tensor for tensor in tensors if tensor.is_floating_point()]
        self.means: list[torch.Tensor] = []
        self.n_steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the average."""
        self.n_steps += 1
        if self.n_steps == 1:
            self.means = [tensor.detach().clone() for tensor in self.tensors]
        else:
            weight = (POWER + 1) / (POWER + self.n_steps)
            torch._foreach_lerp_(self.means, self.tensors, weight)

    @torch.no_grad()
    def load(self) -> None:
        """Replace the weights by the average; without any update, keep them."""
        for tensor, mean in zip(self.tensors, self.means, strict=False):
            tensor.copy_(mean)
