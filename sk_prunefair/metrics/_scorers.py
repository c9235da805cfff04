"""The metrics as scorers, for scikit-learn's model selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sklearn
from sklearn.metrics import make_scorer
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest

from sk_prunefair.metrics._groups import accuracy_gap, group_mean_accuracy, worst_group_accuracy


class _FairnessViolationScorer:
    """Negative fairness violation ξ between the dense and the pruned net of one estimator.

    It needs a `FairPrunedClassifier`, or a Pipeline that ends in one: it uses both nets, so
    predictions alone are not enough.
    """

    def __call__(self, estimator: Any, X: Any, y: Any, sensitive_features: Any) -> float:
        """Return −ξ over X, y; higher is better."""
        while isinstance(estimator, Pipeline):
            if len(estimator) > 1:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        if not hasattr(estimator, "fairness_report"):
            raise ValueError(
                "fairness_violation_scorer needs an estimator with a fairness_report method, got "
                f"{type(estimator).__name__}"
            )
        report = estimator.fairness_report(X, y, sensitive_features=sensitive_features)
        return -float(report.fairness_violation)

    def get_metadata_routing(self) -> MetadataRequest:
        """Request the sensitive features for scoring."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sensitive_features", alias=True)
        return request

    def __repr__(self) -> str:
        return "fairness_violation_scorer"


def _group_scorer(metric: Callable[..., float], greater_is_better: bool = True) -> Any:
    # Requests can be set only while routing is enabled; the user's setting is not changed.
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(metric, greater_is_better=greater_is_better)
        return scorer.set_score_request(sensitive_features=True)


#: Negative `accuracy_gap`.
accuracy_gap_scorer = _group_scorer(accuracy_gap, greater_is_better=False)
#: `worst_group_accuracy`.
worst_group_accuracy_scorer = _group_scorer(worst_group_accuracy)
#: `group_mean_accuracy`.
group_mean_accuracy_scorer = _group_scorer(group_mean_accuracy)
#: Negative fairness violation ξ between the dense and the pruned net of a `FairPrunedClassifier`.
fairness_violation_scorer = _FairnessViolationScorer()
