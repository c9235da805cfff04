"""The data that criteria may look at."""

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
    """Labelled samples with their groups, batch by batch, and the loss that they are scored with.

    `FairPrunedClassifier` makes one of what `fit` or `prune` is given; by hand it is made of
    anything that can be gone through more than once, such as a
    `torch.utils.data.DataLoader`.

    Parameters
    ----------
    batches : iterable of (X, y, group)
        Tensors of shapes (batch_size, ...), (batch_size,) int64 and (batch_size,) int64, on the
        device of the net. X may be a dict of tensors, then it goes to the net by name. Groups count
        from 0.
    sample_losses : callable, default=None
        From the net's output and labels to losses of shape (batch_size,); None takes cross entropy
        of logits.
    initial : torch.nn.Module, default=None
        The net at initialisation, for criteria that look at that.
    infer : callable, default=run
        From a module and X to the module's output, such as a classifier's own way; by default
        ``module(X)``, or ``module(**X)`` of a dict.

    Raises
    ------
    ValueError
        If `batches` can be gone through only once.

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
                "which can be gone through only once"
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
            The net; run in the mode it is in.
        X : torch.Tensor of shape (n_samples, ...), or dict of such
            Features.
        y : torch.Tensor of shape (n_samples,), dtype int64
            Labels.
        """
        return self.sample_losses(self.infer(module, X), y)

    def bound(self, module: nn.Module) -> nn.Module:
        """Return the net as it is run here, one module with the names of its own tensors."""
        return BoundNet(module, self.infer)


def _cross_entropy(output: Any, y: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(class_scores(output), y, reduction="none")
