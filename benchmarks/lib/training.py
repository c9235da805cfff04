"""One dense training, one pruning with fine-tuning, one scorer: the same for every study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.lib.tasks import Split, Task
from sk_prunefair import (
    Distillation,
    EqualLossConstraint,
    FairnessReport,
    FairPrunedClassifier,
)
from sk_prunefair.constraints import Constraint
from sk_prunefair.metrics import accuracy_gap_floor
from sk_prunefair.modules import MLP
from sk_prunefair.pruning import MagnitudePruner

FINETUNE_EPOCHS = 3
# Magnitudes of these small nets leave their output layers empty from 0.9 on, whatever the method.
PRUNERS = {task: MagnitudePruner(min_kept=0.01) for task in ("digits", "compas", "adult")}
Given = Constraint | list[Constraint] | None


def recipe(**params: Any) -> list[Constraint]:
    """Return what is recommended: equal losses, with parameters that differ, and distillation."""
    return [EqualLossConstraint(**params), Distillation()]


def dense_net(
    task: Task, splits: tuple[Split, ...], seed: int, given: Given = None, **params: Any
) -> FairPrunedClassifier:
    """Return a net trained on the first of the splits, with its groups.

    Parameters
    ----------
    task : Task
        The net and its training.
    splits : tuple of Split
        Rows of the training first, test rows last: these say which classes there are.
    seed : int
        Of the weights and of the order of the rows.
    given : Constraint, list of Constraint or None, default=None
        What the net is trained and fine-tuned with.
    **params
        Parameters of the classifier that differ from the task's.
    """
    train, test = splits[0], splits[-1]
    clf = FairPrunedClassifier(
        **(task.params | params),
        classes=sorted(set(test.y.tolist())),
        callbacks=named(given),
        random_state=seed,
    )
    return clf.fit(train.X, train.y, sensitive_features=train.group)


def of_one_epoch(module: type[nn.Module] = MLP, **params: Any) -> FairPrunedClassifier:
    """Return a classifier for timings, not fitted: one epoch, all rows, nothing printed."""
    shared = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1, "train_split": None}
    return FairPrunedClassifier(module, **shared | {"verbose": 0, "random_state": 0} | params)


def named(given: Given) -> list[tuple[str, Constraint]] | None:
    """Return constraints as callbacks: one is called "constraint"."""
    if isinstance(given, list):
        return [(type(each).__name__, each) for each in given]
    return None if given is None else [("constraint", given)]


def bare_loop(
    module: nn.Module,
    X: torch.Tensor | dict[str, torch.Tensor],
    y: torch.Tensor,
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    epochs: int = 1,
) -> Callable[[], None]:
    """Return a function that trains by hand, without groups, checks, callbacks or a history.

    Rows may be on another device than the module; they are sent batch by batch.
    """
    device = next(module.parameters()).device

    def send(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return values[rows].to(device, non_blocking=True)

    def train() -> None:
        module.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(y)).to(y.device).split(batch_size):
                if isinstance(X, dict):
                    scores = module(**{name: send(values, rows) for name, values in X.items()})
                else:
                    scores = module(send(X, rows))
                # Nets of transformers return their scores by name.
                scores = scores["logits"] if isinstance(scores, dict) else scores
                optimizer.zero_grad()
                nn.functional.cross_entropy(scores, send(y, rows)).backward()
                optimizer.step()

    return train


def prune(
    clf: FairPrunedClassifier, rate: float, train: Split, epochs: int = FINETUNE_EPOCHS
) -> None:
    """Prune the dense net to a rate, and fine-tune it for some epochs."""
    clf.prune(rate, train.X, train.y, sensitive_features=train.group, finetune_epochs=epochs)


def scores(clf: FairPrunedClassifier, split: Split) -> dict[str, float]:
    """Return what the tables show of one net on one split."""
    report = clf.fairness_report(split.X, split.y, sensitive_features=split.group)
    by_group = report.pruned.by_group
    return {
        "accuracy": report.pruned.overall["accuracy"],
        "balanced": by_group["accuracy"].mean(),
        "worst": by_group["accuracy"].min(),
        "best": by_group["accuracy"].max(),
        "gap": report.accuracy_gap["pruned"],
        "floor": floor(report),
        "xi": report.fairness_violation,
    }


def floor(report: FairnessReport) -> float:
    """Return the accuracy gap that equally good groups of these sizes would show."""
    counts = report.pruned.by_group["count"].to_numpy()
    return accuracy_gap_floor(report.pruned.overall["accuracy"], counts, n_draws=2000)
