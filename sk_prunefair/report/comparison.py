"""Two classifiers on the same samples, by group: the measurements of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame

from sk_prunefair.latency.reading import check_table
from sk_prunefair.metrics._classes import class_errors_of_codes
from sk_prunefair.metrics._order import HARMS, most_harmed_first
from sk_prunefair.names import PRUNING, check_names
from sk_prunefair.outcome import Outcome
from sk_prunefair.report.cells import Cells
from sk_prunefair.report.frames import (
    changes,
    check_distinct,
    expected_gap,
    group_columns,
    group_means,
    largest_difference,
    net_frame,
    net_values,
)
from sk_prunefair.report.kinds import Kinds
from sk_prunefair.report.labels import as_labels_of_one_kind
from sk_prunefair.report.mean_frame import Bootstrap, MeanFrame
from sk_prunefair.report.predictions import aligned_scores
from sk_prunefair.report.progress import bootstrap_bar
from sk_prunefair.report.rows import both_losses, labels_of, samples_of
from sk_prunefair.report.text import label_findings, layer_findings


class GroupComparison:
    """Results of two classifiers by group, and their change.

    `sk_prunefair.FairnessReport` is a subclass and documents parameters and attributes.
    """

    def __init__(
        self,
        y_true: npt.ArrayLike,
        *,
        dense_pred: npt.ArrayLike,
        pruned_pred: npt.ArrayLike,
        dense_losses: npt.ArrayLike | None = None,
        pruned_losses: npt.ArrayLike | None = None,
        dense_scores: npt.ArrayLike | None = None,
        pruned_scores: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        sensitive_features: Any,
        control_features: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        names: Sequence[str] = PRUNING,
        compression: pd.Series | None = None,
        latency: pd.DataFrame | None = None,
        diagnostics: pd.DataFrame | None = None,
        empty_layers: Sequence[str] = (),
        n_boot: int | None = None,
        ci_quantiles: list[float] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 1,
        kinds: Kinds | None = None,
    ) -> None:
        self.kinds = kinds
        if metrics is not None:
            self.need_samples("metrics need")
        self.names = check_names(names)
        self.compression = compression
        check_table(latency)
        self.latency = latency
        self.diagnostics = diagnostics
        self.empty_layers = tuple(empty_layers)
        answers = {"dense_pred": dense_pred, "pruned_pred": pruned_pred}
        truth, *predicted = as_labels_of_one_kind(y_true, answers)
        losses = both_losses(truth, dense_losses, pruned_losses)
        self.labels = labels_of(truth, predicted, classes)
        codes = [np.searchsorted(self.labels, each) for each in predicted]
        scores = [
            aligned_scores(values, name, self.labels, classes, truth)
            for name, values in (("dense_scores", dense_scores), ("pruned_scores", pruned_scores))
        ]
        truth_codes = np.searchsorted(self.labels, truth)
        dense, pruned = (
            Outcome(losses[i], codes[i], truth_codes, scores[i]) for i in range(len(codes))
        )
        self.outcomes = dense, pruned
        self._bootstrap = Bootstrap.checked(n_boot, ci_quantiles, random_state)
        self.sensitive_features = groups = group_columns(sensitive_features, len(truth))
        self.control_features = controls = None
        if control_features is not None:
            controls = group_columns(control_features, len(truth), "control_features")
            check_distinct(groups, controls)
            self.control_features = controls
        self.cells = cells = Cells(groups, controls, None if kinds is None else kinds.counts)
        self._means = group_means(cells, dense, pruned)
        self._asked: tuple[MetricFrame, MetricFrame] | None = None
        if metrics is not None:
            # Raises errors of the user's metrics early.
            options: dict[str, Any] = {
                "y_true": truth,
                "sensitive_features": groups,
                "control_features": controls,
                "n_boot": n_boot,
                "ci_quantiles": ci_quantiles,
                "random_state": random_state,
            }
            with bootstrap_bar(cells, n_boot, verbose) as tick:
                of_dense, of_pruned = (
                    net_frame(answer, outcome.losses, metrics, options, outcome.scores, tick)
                    for answer, outcome in zip(predicted, self.outcomes, strict=True)
                )
            self._asked = of_dense, of_pruned

    @cached_property
    def samples(self) -> pd.DataFrame:
        """The known columns of each sample, or kind of sample."""
        return samples_of(self.labels, *self.outcomes, self.cells)

    @property
    def n_boot(self) -> int | None:
        """Number of bootstrap draws; None if there are no intervals."""
        return self._bootstrap.n_boot

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.cells.counts.sum())

    def need_samples(self, what: str) -> None:
        """Raise ValueError if only sums are known; `what` is the beginning of the message."""
        if self.kinds is not None:
            told = "single samples, of which a report from parts has only sums"
            raise ValueError(f"{what} {told}: pass all rows at once")

    @property
    def is_loss_unchanged(self) -> bool:
        """Whether each sample has the same loss with both nets, as far as losses are known."""
        dense, pruned = self.outcomes
        if self.kinds is not None and self.kinds.squares.get("risk", np.zeros(1)).any():
            return False
        return self.has_losses and np.array_equal(dense.known_losses, pruned.known_losses)

    @property
    def overall_accuracy(self) -> tuple[float, float]:
        """Accuracy of each net over all samples."""
        dense, pruned = (self.cells.sums(each.is_right).sum() for each in self.outcomes)
        return dense / self.n_samples, pruned / self.n_samples

    @cached_property
    def dense(self) -> MetricFrame:
        """Accuracy, loss, count and the user's metrics of the dense net."""
        return self._net_frame(0)

    @cached_property
    def pruned(self) -> MetricFrame:
        """Accuracy, loss, count and the user's metrics of the pruned net."""
        return self._net_frame(1)

    @cached_property
    def change(self) -> MetricFrame:
        """Means over samples of the excessive risk and the accuracy drop."""
        values = changes(*self.outcomes)
        squares = self._squares({"excessive_risk": "risk"})
        return MeanFrame(self.cells, values, self._bootstrap, squares=squares)

    def _net_frame(self, place: int) -> MetricFrame:
        if self._asked is not None:
            return self._asked[place]
        values = net_values(self.outcomes[place])
        squares = self._squares({"loss": ("loss_dense", "loss_pruned")[place]})
        return MeanFrame(self.cells, values, self._bootstrap, with_count=True, squares=squares)

    def _squares(self, names: Mapping[str, str]) -> dict[str, npt.NDArray[np.float64]]:
        known = {} if self.kinds is None else self.kinds.squares
        return {name: known[kept] for name, kept in names.items() if kept in known}

    @property
    def has_losses(self) -> bool:
        """Whether the loss of each sample is known, not only its predicted label."""
        return self.outcomes[0].losses is not None

    compressed = property(lambda self: self.pruned, doc="``pruned``, where nothing was pruned.")

    @property
    def findings(self) -> list[str]:
        """Findings beyond averages: one label for all, lost labels, layers without weights."""
        return [
            *self.label_findings,
            *layer_findings(self.empty_layers, self.compression),
        ]

    @property
    def label_findings(self) -> list[str]:
        """The findings on labels; with any of them, nothing is accepted."""
        return label_findings(*self.outcomes, self.labels, self.names)

    @property
    def class_errors(self) -> pd.DataFrame:
        """Error rates of each class before and after, with summaries of their unequal change."""
        dense, pruned = self.outcomes
        weights = self.cells.weights
        return class_errors_of_codes(dense.truth, dense.labels, pruned.labels, self.labels, weights)

    @property
    def excessive_risk(self) -> pd.Series | None:
        """R(a) by group, None without losses."""
        if not self.has_losses:
            return None
        return self._means["excessive_risk"].copy()

    @property
    def fairness_violation(self) -> float | None:
        """ξ, the largest minus the smallest excessive risk; None without losses."""
        if not self.has_losses:
            return None
        return largest_difference(self._means["excessive_risk"], self.cells)

    @property
    def accuracy_gap(self) -> pd.Series:
        """Largest minus smallest group accuracy of each net."""
        gaps = [largest_difference(each, self.cells) for each in self._accuracies]
        return pd.Series(gaps, index=list(self.names), name="accuracy_gap")

    @property
    def accuracy_gap_floor(self) -> pd.Series:
        """Gap expected from sampling alone; the largest over the levels of control features."""
        floors = [expected_gap(each, self.cells) for each in self._accuracies]
        return pd.Series(floors, index=list(self.names), name="accuracy_gap_floor")

    @property
    def accuracy_drop(self) -> pd.Series:
        """Accuracy lost by each group."""
        return self._means["accuracy_drop"].copy()

    @property
    def _accuracies(self) -> tuple[pd.Series, pd.Series]:
        return self._means["accuracy_dense"], self._means["accuracy_pruned"]

    @property
    def by_group(self) -> pd.DataFrame:
        """`to_frame` with the suffixes ``_dense`` and ``_pruned``, for any names."""
        return self._frame(*PRUNING)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group, the most harmed first: by accuracy lost, then by loss.

        Returns
        -------
        pandas.DataFrame
            ``count``, then accuracy, loss and the user's metrics of both nets with their names as
            suffixes, ``_dense`` and ``_pruned`` by default, ``changed`` (the share of changed
            predictions, an upper bound on the loss of accuracy), ``accuracy_drop``,
            ``excessive_risk``. With bootstrap, the last two have columns for their quantiles, such
            as ``excessive_risk_q0.05``. Losses and risk are missing if only labels are known.
        """
        return self._frame(*self.names)

    def _frame(self, before: str, after: str) -> pd.DataFrame:
        means = self._means
        columns = {"count": means["count"]}
        for name in ("accuracy", "loss") if self.has_losses else ("accuracy",):
            columns[f"{name}_{before}"] = means[f"{name}_dense"]
            columns[f"{name}_{after}"] = means[f"{name}_pruned"]
        for name, of_models in self.user_metrics().items():
            columns |= {f"{name}_{before}": of_models[0], f"{name}_{after}": of_models[1]}
        columns["changed"] = means["changed"]
        for name in HARMS:
            if name in means:
                columns[name] = means[name]
                columns |= self._quantiles(name)
        frame = pd.DataFrame(columns, index=means.index)
        return most_harmed_first(frame.astype({"count": int}))

    def user_metrics(self) -> dict[str, list[pd.Series]]:
        """Return the user's metrics of both nets, by group, in the order of groups."""
        if self._asked is None:
            return {}
        # Without combinations of columns that have no samples.
        frames = [frame.by_group.dropna(subset="count") for frame in self._asked]
        return {
            name: [frame[name].set_axis(self._means.index) for frame in frames]
            for name in frames[0].columns.drop(["accuracy", "loss", "count"], errors="ignore")
        }

    def _quantiles(self, name: str) -> dict[str, pd.Series]:
        if not self._bootstrap.n_boot:
            return {}
        quantiles = zip(self.change.ci_quantiles, self.change.by_group_ci, strict=True)
        return {
            f"{name}_q{quantile:g}": frame[name].reindex(self._means.index)
            for quantile, frame in quantiles
        }
