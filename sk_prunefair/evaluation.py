"""Evaluate nets sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from skorch.utils import to_device
from torch import nn

from sk_prunefair.losses import class_scores, first_output
from sk_prunefair.nested import concatenate, take
from sk_prunefair.nested import to as placed
from sk_prunefair.outcome import Outcome
from sk_prunefair.outputs import check_scores, probabilities

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet


@dataclass
class Evaluation:
    """Results of one pass over labelled data: the outcomes of each net, and the inputs.

    Parameters
    ----------
    outcomes : list of Outcome
        One for each net.
    example : torch.Tensor, dict, tuple or list
        The first sample, shape (1, ...), on the device of the net.
    X : list
        The inputs of each batch, if they are kept.
    said : list or None
        The groups in the items of a data set, if they were read with the items.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    example: Any = None
    X: list[Any] = field(default_factory=list)
    said: list[Any] | None = None

    @property
    def inputs(self) -> Any:
        """All inputs, as one batch."""
        return concatenate(self.X)


def evaluate(
    net: CoreNet, data: GroupDataset, *modules: nn.Module, keep_inputs: bool = False
) -> Evaluation:
    """Run nets over labelled data, all of them on each batch.

    Each item is read once, so that random augmentation is the same for all nets.

    Parameters
    ----------
    net : CoreNet
        Classifier whose ``infer`` and criterion are used.
    data : GroupDataset
        Data with encoded labels, or with labels in its items.
    *modules : torch.nn.Module
        Nets, such as the dense and the pruned one.
    keep_inputs : bool, default=False
        Whether to keep the inputs.
    """
    [seen] = evaluate_in_parts(net, data, *modules, keep_inputs=keep_inputs)
    return seen


def evaluate_in_parts(
    net: CoreNet,
    data: GroupDataset,
    *modules: nn.Module,
    keep_inputs: bool = False,
    rows: float = math.inf,
) -> Iterator[Evaluation]:
    """Yield the results of `evaluate` for a number of rows at a time, rounded up to whole batches.

    Parameters
    ----------
    net, data, *modules, keep_inputs
        As for `evaluate`.
    rows : float, default=inf
        Number of rows after which the next part begins.
    """
    net.check_training_readiness()
    net.enforce()
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield from _run(net, data, modules, keep_inputs, rows)
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)


@torch.no_grad()
def _run(
    net: CoreNet,
    data: GroupDataset,
    modules: tuple[nn.Module, ...],
    keep_inputs: bool,
    rows: float,
) -> Iterator[Evaluation]:
    views = [net.with_module(module) for module in modules]
    part = _Part(len(modules))
    for batch in net.get_iterator(data, training=False):
        X, y = batch
        if part.seen.example is None:
            part.seen.example = placed(take(X, slice(0, 1)), net.device)
        if keep_inputs:
            part.seen.X.append(X)
        part.truth.append(y)
        part.said.extend(getattr(batch, "columns", {}).get("said") or [])
        for view, found in zip(views, part.found, strict=True):
            found.append(_outcome(view, X, y))
        if part.n_rows >= rows:
            yield part.finished()
            part = _Part(len(modules))
    if part.truth:
        yield part.finished()


class _Part:
    """Batches of one part, not concatenated yet."""

    def __init__(self, n_modules: int) -> None:
        self.seen = Evaluation()
        self.found: list[list[_Batch]] = [[] for _ in range(n_modules)]
        self.truth: list[torch.Tensor] = []
        self.said: list[Any] = []

    @property
    def n_rows(self) -> int:
        return sum(map(len, self.truth))

    def finished(self) -> Evaluation:
        labels = torch.cat(self.truth).numpy().astype(np.int64)
        self.seen.said = self.said or None
        self.seen.outcomes = [_joined(parts, labels) for parts in self.found]
        return self.seen


class _Batch(NamedTuple):
    losses: torch.Tensor
    codes: torch.Tensor
    scores: torch.Tensor | None


def _outcome(net: CoreNet, X: Any, y: torch.Tensor) -> _Batch:
    output = first_output(net.infer(X))
    check_scores(net, output, len(y))
    losses = net.sample_losses(output, y)
    codes = class_scores(output).argmax(1)
    return _Batch(to_device(losses, "cpu"), to_device(codes, "cpu"), probabilities(net, output))


def _joined(parts: list[_Batch], truth: npt.NDArray[np.int64]) -> Outcome:
    scores = [part.scores for part in parts if part.scores is not None]
    return Outcome(
        torch.cat([part.losses for part in parts]).double().numpy(),
        torch.cat([part.codes for part in parts]).numpy(),
        truth,
        torch.cat(scores).numpy() if len(scores) == len(parts) else None,
    )
