"""A multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral

import torch
from torch import nn

from sk_prunefair.modules._sizes import check_sizes


class MLP(nn.Module):
    """Fully connected net that flattens all axes after the first.

    Use with ``criterion=torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    n_features : int
        Number of values per sample, after flattening.
    n_classes : int
        At least 2.
    hidden : sequence of int, default=(128, 64)
        Width of each hidden layer; an empty sequence gives a linear model.
    activation : callable, default=torch.nn.ReLU
        Function that returns the module after each hidden layer.

    Raises
    ------
    ValueError
        If a size is not an integer in its range.

    Examples
    --------
    >>> MLP(n_features=12, n_classes=3)(torch.zeros(5, 3, 2, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden: Sequence[int] = (128, 64),
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        check_sizes(n_features=n_features, n_classes=n_classes)
        if isinstance(hidden, Integral):
            raise ValueError(f"hidden must be a sequence of integers >= 1, got {hidden!r}")
        self.layers = nn.Sequential()
        for n_inputs, width in zip([n_features, *hidden], hidden, strict=False):
            check_sizes(hidden=width)
            self.layers.extend([nn.Linear(n_inputs, width), activation()])
        self.layers.append(nn.Linear([n_features, *hidden][-1], n_classes))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_samples, n_classes)."""
        return self.layers(X.flatten(1))
