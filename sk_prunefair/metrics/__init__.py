"""Effects of pruning on groups as functions of arrays, and as scorers.

Samples are matched by position: pandas inputs are not aligned by their index. `J` is the mean loss
of a net, `θ*` the dense net, `θ̄` the pruned one, and `D_a` the samples of group `a`; several
columns of sensitive features intersect.

The scorers go into ``scoring=`` of `sklearn.model_selection.cross_validate`, `GridSearchCV` and
the like, alone or in a dict. They request ``sensitive_features``, which scikit-learn routes with
``sklearn.set_config(enable_metadata_routing=True)`` and
``cross_validate(..., params={"sensitive_features": s})`` or
``search.fit(X, y, sensitive_features=s)``.
"""

from sk_prunefair.metrics._classes import (
    class_errors,
    combined_error_variance,
    symmetric_distance_error,
)
from sk_prunefair.metrics._floor import accuracy_gap_floor
from sk_prunefair.metrics._groups import (
    accuracy_drop,
    accuracy_gap,
    excessive_risk,
    fairness_violation,
    group_mean_accuracy,
    worst_group_accuracy,
)
from sk_prunefair.metrics._scorers import (
    accuracy_gap_scorer,
    fairness_violation_scorer,
    group_mean_accuracy_scorer,
    worst_group_accuracy_scorer,
)
from sk_prunefair.metrics.practice import practice_frame, practice_summary

__all__ = [
    "accuracy_drop",
    "accuracy_gap",
    "accuracy_gap_floor",
    "accuracy_gap_scorer",
    "class_errors",
    "combined_error_variance",
    "excessive_risk",
    "fairness_violation",
    "fairness_violation_scorer",
    "group_mean_accuracy",
    "group_mean_accuracy_scorer",
    "practice_frame",
    "practice_summary",
    "symmetric_distance_error",
    "worst_group_accuracy",
    "worst_group_accuracy_scorer",
]
