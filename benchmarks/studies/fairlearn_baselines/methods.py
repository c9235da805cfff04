"""What a user of fairlearn would prune, and what a user of this library would: one interface.

Each method fits on a split, is pruned to a rate, and then gives labels and probabilities. It says
whether it needs to know the groups of those it predicts for, and how many bytes its nets take.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.preprocessing import CorrelationRemover
from fairlearn.reductions import (
    BoundedGroupLoss,
    EqualizedOdds,
    ErrorRateParity,
    ExponentiatedGradient,
    ZeroOneLoss,
)
from torch import nn

from benchmarks.lib.tasks import Split, Task
from benchmarks.lib.training import Given, named
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.pruning import MagnitudePruner

MAX_ITER = 6  # nets that ExponentiatedGradient trains, at most twice as many


class Plain:
    """One net, by this library; with a constraint or another criterion it is one of ours."""

    needs_group = False
    net_class: type[FairPrunedClassifier] = FairPrunedClassifier

    def __init__(self, task: Task, seed: int, constraint: Given = None, pruner: Any = None) -> None:
        self.task, self.seed, self.constraint = task, seed, constraint
        # A layer that dies would decide for all methods alike.
        self.pruner = pruner or MagnitudePruner(min_kept=0.01)

    def make(self, **params: Any) -> FairPrunedClassifier:
        """Return the unfitted net that every method begins with."""
        shared = self.task.params | {"classes": [0, 1], "random_state": self.seed}
        if "module" in params:  # given as a net, it has its sizes
            shared = {name: value for name, value in shared.items() if "module__" not in name}
        given = {"callbacks": named(self.constraint), "pruner": self.pruner}
        return self.net_class(**(shared | given | params))

    def fit(self, train: Split) -> None:
        """Train what there is to train."""
        self.train = train
        groups = {"sensitive_features": train.group}
        self.nets = [self.make().fit(self.inputs(train), train.y, **groups)]
        self.shares = np.ones(1)

    def prune(self, rate: float, epochs: int) -> None:
        """Prune every net, each from its own dense one, and fine-tune it on the training rows."""
        given = {"sensitive_features": self.train.group, "finetune_epochs": epochs}
        for net in self.nets:
            net.prune(rate, self.inputs(self.train), self.train.y, **given)

    def probabilities(self, split: Split) -> np.ndarray:
        """Return the probability of label 1, by the nets' shares in the mixture."""
        return self.shares @ [net.predict_proba(self.inputs(split))[:, 1] for net in self.nets]

    def labels(self, split: Split) -> np.ndarray:
        """Return a label for each row."""
        return (self.probabilities(split) > 0.5).astype(int)

    def inputs(self, split: Split) -> np.ndarray:
        """Return what the nets take."""
        return split.X

    def n_bytes(self, split: Split) -> float:
        """Return what the nets take to store, masks as bits."""
        few = split.take(np.arange(10))
        given = (self.inputs(few), few.y)
        reports = [net.fairness_report(*given, sensitive_features=few.group) for net in self.nets]
        return float(sum(report.compression["bytes_stored"] for report in reports))


class Remembering(FairPrunedClassifier):
    """Keeps what its last fit was given."""

    def fit(self, X: Any, y: Any = None, **given: Any) -> FairPrunedClassifier:
        """Train, and keep the rows."""
        self.given_ = {"X": X, "y": y} | given
        return super().fit(X, y, **given)


class Reduction(Plain):
    """`ExponentiatedGradient`: a mixture of nets, trained on reweighted rows.

    Each net is fine-tuned on the labels and weights that the reduction trained it on: on the rows
    as they are it would unlearn them.
    """

    net_class = Remembering

    def __init__(
        self,
        task: Task,
        seed: int,
        constraint: Callable[[float], Any],
        max_iter: int = MAX_ITER,
    ) -> None:
        super().__init__(task, seed)
        self.moment, self.max_iter = constraint, max_iter

    def fit(self, train: Split) -> None:
        """Train one net after another; keep those that are in the mixture."""
        template = self.make()
        error = 0.0
        if self.moment is bounded_loss:
            plain = self.make().fit(train.X, train.y)
            error = float((plain.predict(train.X) != train.y).mean())
        self.reduction = ExponentiatedGradient(
            template, constraints=self.moment(error), max_iter=self.max_iter
        )
        with warnings.catch_warnings():
            # fairlearn 0.15 with pandas 3.
            warnings.simplefilter("ignore")
            self.reduction.fit(train.X, train.y, sensitive_features=train.group)
        weights = self.reduction.weights_
        used = weights.index[weights > 0]
        self.nets = [self.reduction.predictors_[index] for index in used]
        self.shares = weights[used].to_numpy()

    def prune(self, rate: float, epochs: int) -> None:
        """Prune every net of the mixture."""
        for net in self.nets:
            net.prune(rate, **net.given_, finetune_epochs=epochs)

    def labels(self, split: Split) -> np.ndarray:
        """Return the label of a net drawn for each row, as the reduction predicts."""
        return np.asarray(self.reduction.predict(split.X, random_state=self.seed)).astype(int)


def equalized_odds(error: float) -> Any:
    """Return the constraint that both error rates are equal."""
    return EqualizedOdds()


def error_rate_parity(error: float) -> Any:
    """Return the constraint that error rates are equal."""
    return ErrorRateParity()


def bounded_loss(error: float) -> Any:
    """Return the constraint that no group's error is above the plain net's on all rows."""
    return BoundedGroupLoss(ZeroOneLoss(), upper_bound=error)


class Thresholds(Plain):
    """`ThresholdOptimizer` on a pruned net: thresholds by group, fitted on the training rows."""

    needs_group = True

    def prune(self, rate: float, epochs: int) -> None:
        """Prune the net, then find its thresholds."""
        super().prune(rate, epochs)
        self._find()

    def fit(self, train: Split) -> None:
        """Train the net and find its thresholds."""
        super().fit(train)
        self._find()

    def _find(self) -> None:
        self.optimizer = ThresholdOptimizer(
            estimator=self.nets[0],
            constraints="equalized_odds",
            prefit=True,
            predict_method="predict_proba",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.optimizer.fit(
                self.train.X, self.train.y, sensitive_features=self.train.group.astype(str)
            )

    def labels(self, split: Split) -> np.ndarray:
        """Return labels by the group's threshold, drawn between two where it is mixed."""
        groups = {"sensitive_features": split.group.astype(str)}
        return np.asarray(self.optimizer.predict(split.X, random_state=self.seed, **groups))


class TwoScores(nn.Module):
    """A net of one sigmoid output as one with a score for each class."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_samples, 2)."""
        one = self.net(X).reshape(-1, 1)
        return torch.cat([-one, one], dim=1) / 2


class Diverged(Exception):
    """The training of a method ended in numbers that are none."""


class Adversarial(Plain):
    """`AdversarialFairnessClassifier`, its net of the same layers as the plain one.

    It takes rows of numbers, of which the net makes images again.
    """

    def fit(self, train: Split) -> None:
        """Train against an adversary that guesses the group."""
        self.train = train
        plain = self.make()
        torch.manual_seed(self.seed)
        adversary = AdversarialFairnessClassifier(
            backend="torch",
            predictor_model=nn.Sequential(
                nn.Unflatten(1, train.X.shape[1:]), self._one_score(train), nn.Sigmoid()
            ),
            adversary_model=[8, "relu"],
            constraints="equalized_odds",
            epochs=plain.max_epochs,
            batch_size=plain.batch_size,
            learning_rate=plain.lr,
            shuffle=True,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                groups = {"sensitive_features": train.group.astype(str)}
                adversary.fit(self.inputs(train), train.y, **groups)
            except RuntimeError as error:  # its loss refuses NaN
                raise Diverged from error
        # The sigmoid is what it ends in; a classifier here ends in scores.
        found = adversary.backendEngine_.predictor_model[:-1]
        net = self.make(module=TwoScores(found)).initialize()
        self.nets, self.shares = [net], np.ones(1)

    def inputs(self, split: Split) -> np.ndarray:
        """Return a row of numbers for each row."""
        return split.X.reshape(len(split.X), -1)

    def _one_score(self, train: Split) -> nn.Module:
        """Return the task's net with one score in the place of two."""
        module, width = self.task.params["module"], self.task.params.get("module__width")
        if width is None:
            model = module(n_features=train.X.shape[1], n_classes=2)
            model.layers[-1] = nn.Linear(model.layers[-1].in_features, 1)
        else:
            model = module(n_classes=2, in_channels=train.X.shape[1], width=width)
            model.classifier = nn.Linear(model.classifier.in_features, 1)
        return model


class Decorrelated(Plain):
    """`CorrelationRemover` on the features, then a plain net."""

    needs_group = True

    def fit(self, train: Split) -> None:
        """Remove what correlates with the groups, then train."""
        self.n_groups = int(train.group.max()) + 1
        n_features = train.X[0].size
        groups = list(range(n_features, n_features + self.n_groups))
        self.remover = CorrelationRemover(sensitive_feature_ids=groups)
        self.remover.fit(self._with_groups(train))
        super().fit(train)

    def inputs(self, split: Split) -> np.ndarray:
        """Return the features without what correlates with the groups."""
        rest = self.remover.transform(self._with_groups(split)).astype(np.float32)
        return rest.reshape(split.X.shape)

    def _with_groups(self, split: Split) -> np.ndarray:
        rows = split.X.reshape(len(split.X), -1)
        return np.concatenate([rows, np.eye(self.n_groups)[split.group]], axis=1)
