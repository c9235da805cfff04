"""Metrics that a criterion of an acceptance file may limit."""

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
        How it is computed: by a test for each ``group``, as a ``mean`` of each group, by a test for
        ``pairs`` of groups, as a ``gap`` between groups, by `practice_frame` or `practice_summary`,
        from the predicted ``labels``.
    description : str
        Description in one sentence.
    source : str, default=""
        Its name in the function that computes it.
    is_proven : bool, default=False
        Whether `sk_prunefair.promise` has a test for it: then a limit is proven unless the file
        states otherwise.
    has_bound : bool, default=False
        Whether a confidence bound can prove a limit. It does if the file sets a confidence; else
        the limit is compared with the observed value.
    is_least : bool, default=False
        Whether the limit is a lower bound on the metric, not an upper one.
    takes_label : bool, default=False
        Whether it is computed for one label, if the criterion names one.
    needs_losses : bool, default=False
        Whether it needs the losses of both models.
    """

    kind: Kind
    description: str
    source: str = ""
    is_proven: bool = False
    has_bound: bool = False
    is_least: bool = False
    takes_label: bool = False
    needs_losses: bool = False

    @property
    def can_be_proven(self) -> bool:
        """Whether a limit can be proven."""
        return self.is_proven or self.has_bound

    @property
    def is_between(self) -> bool:
        """Whether it compares groups and so needs at least two."""
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


def _practice(
    description: str,
    source: str,
    *,
    is_least: bool = False,
    has_bound: bool = True,
    takes_label: bool = True,
) -> Metric:
    return Metric(
        "practice",
        description,
        source,
        has_bound=has_bound,
        is_least=is_least,
        takes_label=takes_label,
    )


def _summary(description: str, source: str, *, is_least: bool = False) -> Metric:
    return Metric(
        "summary", description, source, has_bound=True, is_least=is_least, takes_label=True
    )


#: What a criterion may limit, by name; the ``description`` of each says what it is.
METRICS: dict[str, Metric] = {
    "accuracy_drop": _proven("accuracy that a group loses", "accuracy"),
    "recall_drop": _proven(
        "recall of a class that a group loses; without a label, of each of its classes",
        "recall",
        takes_label=True,
    ),
    "balanced_accuracy_drop": _proven(
        "mean recall over the group's classes that it loses", "balanced_accuracy"
    ),
    "excessive_risk": _proven(
        "R(a), the increase of a group's mean loss; for the test losses are clipped to loss_bound",
        "loss",
        needs_losses=True,
    ),
    "share_changed": _proven("share of a group's rows whose prediction changed", "share_changed"),
    "accuracy_drop_difference": Metric(
        "pairs",
        "accuracy that a group loses, minus that of another group",
        "accuracy",
        is_proven=True,
    ),
    "fairness_violation": Metric(
        "pairs",
        "ξ, the largest difference between two groups' excessive risks; for the test losses are "
        "clipped to loss_bound",
        "loss",
        is_proven=True,
        needs_losses=True,
    ),
    "accuracy_gap": Metric(
        "gap", "largest minus smallest accuracy of the compressed model", has_bound=True
    ),
    "accuracy_gap_change": Metric(
        "gap",
        "the compressed model's accuracy gap minus the dense model's; its bound is that of the "
        "largest difference between the drops of two groups, which is never smaller",
        has_bound=True,
    ),
    "accuracy": Metric(
        "mean", "accuracy of the compressed model in a group", has_bound=True, is_least=True
    ),
    "selection_rate_change": _practice(
        "absolute change of the share of positive predictions", "selection_rate"
    ),
    "true_positive_rate": _practice("of the compressed model", "true_positive_rate", is_least=True),
    "false_positive_rate": _practice("of the compressed model", "false_positive_rate"),
    "precision": _practice(
        "of the compressed model, of the rows that it gives the label", "precision", is_least=True
    ),
    "auc": _practice(
        "area under the ROC curve of the compressed model", "auc", is_least=True, has_bound=False
    ),
    "calibration_error": _practice("of the compressed model", "calibration_error", has_bound=False),
    "brier_score": _practice("of the compressed model", "brier_score", takes_label=False),
    "impact_ratio": _summary(
        "smallest divided by largest selection rate of the compressed model",
        "impact_ratio",
        is_least=True,
    ),
    "demographic_parity_difference": _summary(
        "largest minus smallest selection rate of the compressed model",
        "demographic_parity_difference",
    ),
    "equalized_odds_difference": _summary(
        "the larger of the differences of true and false positive rates of the compressed model",
        "equalized_odds_difference",
    ),
    "labels_lost": Metric("labels", "labels that only the dense model predicts; the limit is 0"),
}
"""Metrics by name. Drops are dense minus compressed, on the same rows."""
