"""The report: what pruning did to each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame

from sk_prunefair.audit import audit_page
from sk_prunefair.checks import as_losses, check_same_length
from sk_prunefair.metrics import (
    class_errors,
    combined_error_variance,
    symmetric_distance_error,
)
from sk_prunefair.metrics._order import most_harmed_first
from sk_prunefair.outcome import Outcome
from sk_prunefair.plotting import GroupRiskDisplay
from sk_prunefair.promise import Verdict, judge_samples, label_findings
from sk_prunefair.report.frames import (
    expected_gap,
    group_columns,
    largest_difference,
    mean_values,
    net_frame,
    one_column,
)
from sk_prunefair.report.labels import as_labels_of_one_kind
from sk_prunefair.report.text import layer_findings, report_html, report_text


class FairnessReport:
    """The dense and the pruned net over the same data, side by side, by group.

    `FairPrunedClassifier.fairness_report` makes one; from predictions and losses of any two nets
    it can be made by hand.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    dense_pred, pruned_pred : array-like of shape (n_samples,)
        Predicted labels of the two nets, of the kind that `y_true` has: strings beside strings,
        numbers beside numbers, and no probabilities beside integers.
    dense_losses, pruned_losses : array-like of shape (n_samples,)
        Per-sample losses of the two nets.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    control_features : array-like, default=None
        Groups are compared within each level of these.
    metrics : dict of str to callable, default=None
        More metrics ``f(y_true, y_pred)``; a `fairlearn.metrics.MetricFrame` is made of them.
    compression : pandas.Series, default=None
        What pruning saved.
    diagnostics : pandas.DataFrame, default=None
        Why groups are hurt, by group, as `sk_prunefair.theory.group_diagnostics` has it.
    empty_layers : sequence of str, default=()
        Parameters of which pruning left nothing.
    n_boot, ci_quantiles, random_state : default=None
        Bootstrap intervals, as in `fairlearn.metrics.MetricFrame`. The change between the nets is
        resampled in pairs: both nets see the same samples. A draw of 16,000 samples takes fairlearn
        some half a second.

    Attributes
    ----------
    dense, pruned : fairlearn.metrics.MetricFrame
        ``accuracy``, ``loss``, ``count`` and the user's metrics of each net.
    change : fairlearn.metrics.MetricFrame
        ``excessive_risk`` and ``accuracy_drop``, from sample to sample.
    excessive_risk : pandas.Series
        R(a), the loss a group pays for the pruning, by group (eq. 2 of the paper).
    fairness_violation : float
        ξ, the largest minus the smallest excessive risk (eq. 3). With control features, the
        largest over their levels.
    accuracy_gap : pandas.Series
        Largest minus smallest group accuracy: ``dense``, ``pruned``. With control features, the
        largest over their levels.
    accuracy_gap_floor : pandas.Series
        The gap that sampling alone would show, were all groups served equally well:
        `sk_prunefair.metrics.accuracy_gap_floor` of each net.
    accuracy_drop : pandas.Series
        Accuracy lost by each group, dense minus pruned.
    findings : list of str
        What no average shows: that the pruned net gives every sample one label, or no longer gives
        one that the dense net gave, and layers without weights. Empty where there is nothing.
    outcomes : tuple of Outcome
        Dense and pruned, encoded by ``labels``.
    compression : pandas.Series or None
        As given.
    diagnostics : pandas.DataFrame or None
        As given.
    class_errors : pandas.DataFrame
        False positive and false negative rates of each class, as by
        `sk_prunefair.metrics.class_errors`; its ``attrs`` hold CEV and SDE of Blakeney et al.
    samples : pandas.DataFrame
        By sample: ``y_true``, ``is_right_dense``, ``is_right_pruned``, ``loss_dense``,
        ``loss_pruned``, ``group`` and ``level`` (of the control features, else None).

    Examples
    --------
    >>> report = FairnessReport(
    ...     [0, 1, 0, 1],
    ...     dense_pred=[0, 1, 0, 1],
    ...     pruned_pred=[0, 1, 1, 1],
    ...     dense_losses=[0.1, 0.1, 0.2, 0.2],
    ...     pruned_losses=[0.2, 0.2, 0.9, 0.3],
    ...     sensitive_features=["a", "a", "b", "b"],
    ... )
    >>> report.excessive_risk.round(3).to_dict()
    {'a': 0.1, 'b': 0.4}
    >>> round(report.fairness_violation, 3)
    0.3
    """

    def __init__(
        self,
        y_true: npt.ArrayLike,
        *,
        dense_pred: npt.ArrayLike,
        pruned_pred: npt.ArrayLike,
        dense_losses: npt.ArrayLike,
        pruned_losses: npt.ArrayLike,
        sensitive_features: Any,
        control_features: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        compression: pd.Series | None = None,
        diagnostics: pd.DataFrame | None = None,
        empty_layers: Sequence[str] = (),
        n_boot: int | None = None,
        ci_quantiles: list[float] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        y_true, dense_pred, pruned_pred = as_labels_of_one_kind(
            y_true, {"dense_pred": dense_pred, "pruned_pred": pruned_pred}
        )
        dense_losses = as_losses(dense_losses, "dense_losses")
        pruned_losses = as_losses(pruned_losses, "pruned_losses")
        for values, name in (
            (dense_losses, "dense_losses"),
            (pruned_losses, "pruned_losses"),
        ):
            check_same_length(values, name, y_true, "y_true")
        options: dict[str, Any] = {
            "y_true": y_true,
            "n_boot": n_boot,
            "ci_quantiles": ci_quantiles,
            "random_state": random_state,
        }
        groups = group_columns(sensitive_features, len(y_true))
        options["sensitive_features"], level = groups, None
        if control_features is not None:
            controls = group_columns(control_features, len(y_true), "control_features")
            options["control_features"], level = controls, one_column(controls)
        self.dense = net_frame(dense_pred, dense_losses, metrics, options)
        self.pruned = net_frame(pruned_pred, pruned_losses, metrics, options)
        self.samples = pd.DataFrame(
            {
                "y_true": y_true,
                "is_right_dense": (dense_pred == y_true).astype(float),
                "is_right_pruned": (pruned_pred == y_true).astype(float),
                "loss_dense": dense_losses,
                "loss_pruned": pruned_losses,
                "group": one_column(groups),
                "level": level,
            }
        )
        dropped = self.samples["is_right_dense"] - self.samples["is_right_pruned"]
        self.change = MetricFrame(
            metrics={"excessive_risk": mean_values, "accuracy_drop": mean_values},
            y_pred=pruned_pred,
            sample_params={
                "excessive_risk": {"values": pruned_losses - dense_losses},
                "accuracy_drop": {"values": dropped.to_numpy()},
            },
            **options,
        )
        self.compression = compression
        self.diagnostics = diagnostics
        self.empty_layers = tuple(empty_layers)
        labels = np.unique(np.concatenate([y_true, dense_pred, pruned_pred]))
        truth, dense, pruned = (
            np.searchsorted(labels, each) for each in (y_true, dense_pred, pruned_pred)
        )
        self.labels = labels
        self._labels_given = y_true, dense_pred, pruned_pred
        self.outcomes = (
            Outcome(dense_losses, dense, truth),
            Outcome(pruned_losses, pruned, truth),
        )

    @property
    def class_errors(self) -> pd.DataFrame:
        """Error rates of each class before and after, and how unequally they changed."""
        given = self._labels_given
        frame = class_errors(*given)
        frame.attrs["combined_error_variance"] = combined_error_variance(*given)
        frame.attrs["symmetric_distance_error"] = symmetric_distance_error(*given)
        return frame

    @property
    def findings(self) -> list[str]:
        """What no average shows: one label for all, labels lost, layers without weights."""
        return [
            *label_findings(*self.outcomes, self.labels),
            *layer_findings(self.empty_layers, self.compression),
        ]

    @property
    def excessive_risk(self) -> pd.Series:
        """R(a) by group."""
        return self.change.by_group["excessive_risk"].dropna()

    @property
    def fairness_violation(self) -> float:
        """ξ, the largest minus the smallest excessive risk."""
        return largest_difference(self.change, "excessive_risk")

    @property
    def accuracy_gap(self) -> pd.Series:
        """Largest minus smallest group accuracy of each net."""
        gaps = {
            "dense": largest_difference(self.dense, "accuracy"),
            "pruned": largest_difference(self.pruned, "accuracy"),
        }
        return pd.Series(gaps, name="accuracy_gap")

    @property
    def accuracy_gap_floor(self) -> pd.Series:
        """Gap to expect from sampling alone; the largest over the levels of control features."""
        floors = {"dense": expected_gap(self.dense), "pruned": expected_gap(self.pruned)}
        return pd.Series(floors, name="accuracy_gap_floor")

    @property
    def accuracy_drop(self) -> pd.Series:
        """Accuracy lost by each group."""
        return self.change.by_group["accuracy_drop"].dropna()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group, the most harmed first: by accuracy lost, then by loss.

        Returns
        -------
        pandas.DataFrame
            ``count``, then accuracy, loss and the user's metrics of both nets with the suffixes
            ``_dense`` and ``_pruned``, ``accuracy_drop``, ``excessive_risk``. With bootstrap,
            ``excessive_risk`` and ``accuracy_drop`` have columns for their quantiles, such as
            ``excessive_risk_q0.05``.
        """
        dense, pruned = self.dense.by_group, self.pruned.by_group
        names = [name for name in dense.columns if name != "count"]
        columns = {"count": dense["count"]}
        for name in names:
            columns |= {f"{name}_dense": dense[name], f"{name}_pruned": pruned[name]}
        for name in ("accuracy_drop", "excessive_risk"):
            columns[name] = self.change.by_group[name]
            columns |= self._quantiles(name)
        frame = pd.DataFrame(columns).dropna(subset="excessive_risk")
        return most_harmed_first(frame.astype({"count": int}))

    def to_html(self, path: str | PathLike[str] | None = None, **options: Any) -> str:
        """Return the report as one HTML page for readers without Python, and write it to a file.

        Takes the options of `sk_prunefair.audit.audit_page`: ``title``, ``curve``, ``facts``,
        ``min_count`` and ``pictures``, which need matplotlib, the extra ``plot``.
        """
        return audit_page(self, path, **options)

    def plot(self, **options: Any) -> GroupRiskDisplay:
        """Draw each group's risk by `sk_prunefair.plotting.GroupRiskDisplay.from_frame`."""
        return GroupRiskDisplay.from_frame(self.to_frame(), **options)

    def promise(self, max_accuracy_drop: float = 0.02, **options: Any) -> Verdict:
        """Judge whether no group loses more; takes the options of `sk_prunefair.promise.judge`."""
        options["max_accuracy_drop"] = max_accuracy_drop
        return judge_samples(self.samples["group"], *self.outcomes, self.labels, **options)

    def _quantiles(self, name: str) -> dict[str, pd.Series]:
        if not self.change.n_boot:
            return {}
        quantiles = zip(self.change.ci_quantiles, self.change.by_group_ci, strict=True)
        return {f"{name}_q{quantile:g}": frame[name] for quantile, frame in quantiles}

    def __str__(self) -> str:
        return report_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return report_html(self)
