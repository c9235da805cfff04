"""PruningData: the data for criteria."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from sk_prunefair.bound import BoundNet, Infer
from sk_prunefair.losses import class_scores
from sk_prunefair.nested import run, take

LabelledBatch = tuple[Any, torch.Tensor, torch.Tensor]


class PruningData:
    """Labelled samples with their groups, batch by batch, and the loss for scores.

    `FairPrunedClassifier` makes one from the data of `fit` or `prune`; by hand it is made from
    any iterable that can be iterated more than once, such as a
    `torch.utils.data.DataLoader`.

    Parameters
    ----------
    batches : iterable of (X, y, group)
        Tensors of shapes (batch_size, ...), (batch_size,) int64 and (batch_size,) int64, on the
        device of the net. X may be a dict of tensors, which are passed to the net by name. Groups
        are numbered from 0.
    sample_losses : callable, default=None
        Function of the net's output and labels that returns losses of shape (batch_size,); None
        takes cross entropy of logits.
    initial : torch.nn.Module, default=None
        The net at initialisation, for criteria that use it.
    infer : callable, default=run
        Function of a module and X that returns the module's output, such as a classifier's
        ``infer``; by default ``module(X)``, or ``module(**X)`` for a dict.

    Raises
    ------
    ValueError
        If `batches` can be iterated only once.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> rows = TensorDataset(
    ...     torch.ones(4, 2), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 0, 1])
    ... )
    >>> data = PruningData(DataLoader(rows, batch_size=3))
    >>> data.group_sizes
    tensor([3, 1])
    """

    def __init__(
        self,
        batches: Iterable[Any],
        sample_losses: Callable[[Any, torch.Tensor], torch.Tensor] | None = None,
        *,
        initial: nn.Module | None = None,
        infer: Infer = run,
    ) -> None:
        if isinstance(batches, Iterator):
            raise ValueError(
                f"batches must be a list, a DataLoader or the like, got {type(batches).__name__}, "
                "which can be iterated only once"
            )
        self._batches = batches
        self.sample_losses = sample_losses or _cross_entropy
        self.initial = initial
        self.infer = infer

    def batches(self) -> Iterator[LabelledBatch]:
        """Yield ``(X, y, group)``, from the first batch on."""
        yield from self._batches

    @property
    def example(self) -> Any:
        """One sample, shape (1, ...)."""
        return take(next(self.batches())[0], slice(0, 1))

    @property
    def group_sizes(self) -> torch.Tensor:
        """Number of samples of each group, shape (n_groups,), dtype int64, on the CPU."""
        return torch.cat([group.cpu() for _, _, group in self.batches()]).bincount()

    def losses(self, module: nn.Module, X: Any, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of each sample, shape (n_samples,), part of the graph.

        Parameters
        ----------
        module : torch.nn.Module
            The net, run in its current mode.
        X : torch.Tensor of shape (n_samples, ...), or dict of such
            Features.
        y : torch.Tensor of shape (n_samples,), dtype int64
            Labels.
        """
        return self.sample_losses(self.infer(module, X), y)

    def bound(self, module: nn.Module) -> nn.Module:
        """Return the net with its ``infer`` as one module, with the names of its own tensors."""
        return BoundNet(module, self.infer)


def _cross_entropy(output: Any, y: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(class_scores(output), y, reduction="none")
