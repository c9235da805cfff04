"""What a criterion of an acceptance file may limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["group", "mean", "pairs", "gap", "practice", "summary", "labels"]


@dataclass(frozen=True)
class Metric:
    """A metric that a criterion may name.

    Parameters
    ----------
    kind : str
        How it is computed: of each ``group`` by a test, as a ``mean`` of each group, of ``pairs``
        of groups by a test, as a ``gap`` between groups, by `practice_frame` or `practice_summary`,
        of the ``labels`` that are given.
    description : str
        What it is.
    source : str, default=""
        What it is called where it is computed.
    is_proven : bool, default=False
        Whether there is a test of `sk_prunefair.promise` for it: then a limit is proven, else it is
        compared with the figure that was observed.
    is_least : bool, default=False
        Whether the limit is the least that the metric may be, not the most.
    takes_label : bool, default=False
        Whether it is of one label, where the criterion names one.
    needs_losses : bool, default=False
        Whether it needs the losses of both models.
    """

    kind: Kind
    description: str
    source: str = ""
    is_proven: bool = False
    is_least: bool = False
    takes_label: bool = False
    needs_losses: bool = False

    @property
    def is_between(self) -> bool:
        """Whether it compares groups, so that it takes two at least."""
        return self.kind in ("pairs", "gap", "summary")


def _proven(
    description: str, source: str, *, takes_label: bool = False, needs_losses: bool = False
) -> Metric:
    return Metric(
        "group",
        description,
        source,
        is_proven=True,
        takes_label=takes_label,
        needs_losses=needs_losses,
    )


def _practice(description: str, source: str, *, is_least: bool = False) -> Metric:
    return Metric("practice", description, source, is_least=is_least, takes_label=True)


#: What a criterion may limit, by name; the ``description`` of each says what it is.
METRICS: dict[str, Metric] = {
    "accuracy_drop": _proven("accuracy that a group loses", "accuracy"),
    "recall_drop": _proven(
        "recall of a class that a group loses; with no label named, of each that it has",
        "recall",
        takes_label=True,
    ),
    "balanced_accuracy_drop": _proven(
        "mean recall over its classes that a group loses", "balanced_accuracy"
    ),
    "excessive_risk": _proven(
        "R(a), the mean loss that a group pays; for the test losses are clipped to loss_bound",
        "loss",
        needs_losses=True,
    ),
    "share_changed": _proven("share of a group's rows whose answer changed", "share_changed"),
    "accuracy_drop_difference": Metric(
        "pairs",
        "accuracy that a group loses beyond what another does",
        "accuracy",
        is_proven=True,
    ),
    "fairness_violation": Metric(
        "pairs",
        "ξ, the largest difference between what two groups pay in loss; for the test losses are "
        "clipped to loss_bound",
        "loss",
        is_proven=True,
        needs_losses=True,
    ),
    "accuracy_gap": Metric("gap", "largest minus smallest accuracy of the compressed model"),
    "accuracy_gap_change": Metric("gap", "by how much that gap is larger than the dense model's"),
    "accuracy": Metric("mean", "accuracy of the compressed model in a group", is_least=True),
    "selection_rate_change": _practice(
        "change of the share of positive answers, up or down", "selection_rate"
    ),
    "true_positive_rate": _practice("of the compressed model", "true_positive_rate", is_least=True),
    "false_positive_rate": _practice("of the compressed model", "false_positive_rate"),
    "precision": _practice("of the compressed model", "precision", is_least=True),
    "auc": _practice("area under the ROC curve of the compressed model", "auc", is_least=True),
    "calibration_error": _practice("of the compressed model", "calibration_error"),
    "brier_score": _practice("of the compressed model", "brier_score"),
    "impact_ratio": Metric(
        "summary",
        "smallest by largest selection rate of the compressed model",
        "impact_ratio",
        is_least=True,
        takes_label=True,
    ),
    "demographic_parity_difference": Metric(
        "summary",
        "largest minus smallest selection rate of the compressed model",
        "demographic_parity_difference",
        takes_label=True,
    ),
    "equalized_odds_difference": Metric(
        "summary",
        "the larger difference of true and of false positive rates of the compressed model",
        "equalized_odds_difference",
        takes_label=True,
    ),
    "labels_lost": Metric(
        "labels", "labels that the dense model gives and the compressed one never; the limit is 0"
    ),
}
"""Metrics by name. "Drop" is of the dense model minus the compressed one, on the same rows."""
