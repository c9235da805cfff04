"""What pruning did to each group, as plain functions of arrays, and as scorers.

Samples count by position: pandas inputs are never aligned by their index. `J` is the mean loss of
a net, `θ*` the dense net, `θ̄` the pruned one, and `D_a` the samples of group `a`; several columns
of sensitive features intersect.

The scorers go into ``scoring=`` of `sklearn.model_selection.cross_validate`, `GridSearchCV` and
the like, alone or in a dict. They ask for ``sensitive_features``, which scikit-learn hands on with
``sklearn.set_config(enable_metadata_routing=True)`` and
``cross_validate(..., params={"sensitive_features": s})`` or
``search.fit(X, y, sensitive_features=s)``.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sklearn
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import MetadataRequest

from sk_prunefair._groups import as_group_frame
from sk_prunefair._validation import as_labels, as_losses, as_vector, check_same_length

__all__ = [
    "accuracy_drop",
    "accuracy_gap",
    "accuracy_gap_floor",
    "accuracy_gap_scorer",
    "excessive_risk",
    "fairness_violation",
    "fairness_violation_scorer",
    "group_mean_accuracy",
    "group_mean_accuracy_scorer",
    "worst_group_accuracy",
    "worst_group_accuracy_scorer",
]


def excessive_risk(
    losses_dense: npt.ArrayLike, losses_pruned: npt.ArrayLike, *, sensitive_features: Any
) -> pd.Series:
    """Loss that each group pays for the pruning (eq. 2 of the paper).

    ``R(a) = J(θ̄; D_a) − J(θ*; D_a)``. Negative where pruning helped a group.

    Parameters
    ----------
    losses_dense, losses_pruned : array-like of shape (n_samples,)
        Per-sample losses of the dense and of the pruned net, in the unit of the criterion (nats
        for cross entropy).
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample.

    Returns
    -------
    pandas.Series of dtype float64
        Named ``excessive_risk`` and indexed by group as `fairlearn.metrics.MetricFrame` does; a
        MultiIndex for several columns, of the combinations that occur.

    Raises
    ------
    ValueError
        Where an argument is empty, of another length, not finite, or lacks groups.

    Examples
    --------
    >>> excessive_risk([0.5, 0.5, 1.0], [0.5, 1.0, 3.0], sensitive_features=["f", "f", "m"])
    sensitive_feature
    f    0.25
    m    2.00
    Name: excessive_risk, dtype: float64
    """
    dense = as_losses(losses_dense, "losses_dense")
    pruned = as_losses(losses_pruned, "losses_pruned")
    check_same_length(pruned, "losses_pruned", dense, "losses_dense")
    risks = _by_group(_mean_increase, dense, pruned, sensitive_features)
    return risks.rename("excessive_risk")


def fairness_violation(
    losses_dense: npt.ArrayLike, losses_pruned: npt.ArrayLike, *, sensitive_features: Any
) -> float:
    """Largest difference between the excessive risks of two groups (eq. 3 of the paper).

    ``ξ = max |R(a) − R(a')|`` over all pairs of groups; 0 for a single group. ξ also grows when
    pruning *repairs* a group that the dense net had failed: read it beside `accuracy_gap`.

    Parameters
    ----------
    losses_dense, losses_pruned : array-like of shape (n_samples,)
        Per-sample losses of the dense and of the pruned net.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample.

    Returns
    -------
    float
        At least 0, in the unit of the losses.

    Raises
    ------
    ValueError
        As `excessive_risk`.

    Examples
    --------
    >>> fairness_violation([0.5, 0.5, 1.0], [0.5, 1.0, 3.0], sensitive_features=["f", "f", "m"])
    1.75
    """
    risks = excessive_risk(losses_dense, losses_pruned, sensitive_features=sensitive_features)
    return float(risks.max() - risks.min())


def accuracy_gap(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: Any) -> float:
    """Largest minus smallest group accuracy.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predicted labels.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample.

    Returns
    -------
    float
        In [0, 1]; 0 for a single group. See `accuracy_gap_floor` for what chance alone makes.

    Raises
    ------
    ValueError
        Where an argument is empty, of another length, lacks values, or holds no class labels.

    Examples
    --------
    >>> accuracy_gap([0, 1, 1, 0], [0, 1, 1, 1], sensitive_features=["f", "f", "m", "m"])
    0.5
    """
    accuracies = _group_accuracies(y_true, y_pred, sensitive_features)
    return float(accuracies.max() - accuracies.min())


def worst_group_accuracy(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: Any
) -> float:
    """Smallest group accuracy.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predicted labels.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As `accuracy_gap`.

    Examples
    --------
    >>> worst_group_accuracy([0, 1, 1, 0], [0, 1, 1, 1], sensitive_features=["f", "f", "m", "m"])
    0.5
    """
    return float(_group_accuracies(y_true, y_pred, sensitive_features).min())


def group_mean_accuracy(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: Any
) -> float:
    """Mean of the group accuracies, every group counting the same.

    On data where one group is frequent, the overall accuracy is mostly that group's; this is not.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predicted labels.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As `accuracy_gap`.

    Examples
    --------
    >>> group_mean_accuracy([0, 1, 1, 0], [0, 1, 1, 1], sensitive_features=["f", "f", "f", "m"])
    0.5
    """
    return float(_group_accuracies(y_true, y_pred, sensitive_features).mean())


def accuracy_drop(
    y_true: npt.ArrayLike,
    y_pred_dense: npt.ArrayLike,
    y_pred_pruned: npt.ArrayLike,
    *,
    sensitive_features: Any,
) -> pd.Series:
    """Accuracy that each group lost by the pruning: dense minus pruned.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    y_pred_dense, y_pred_pruned : array-like of shape (n_samples,)
        Labels predicted by the dense and by the pruned net.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample.

    Returns
    -------
    pandas.Series of dtype float64
        Values in [−1, 1], negative where a group gained. Named ``accuracy_drop`` and indexed by
        group, as `excessive_risk` is.

    Raises
    ------
    ValueError
        As `accuracy_gap`.

    Examples
    --------
    >>> accuracy_drop([0, 1, 1], [0, 1, 1], [0, 0, 1], sensitive_features=["f", "f", "m"])
    sensitive_feature
    f    0.5
    m    0.0
    Name: accuracy_drop, dtype: float64
    """
    dense = _group_accuracies(y_true, y_pred_dense, sensitive_features, "y_pred_dense")
    pruned = _group_accuracies(y_true, y_pred_pruned, sensitive_features, "y_pred_pruned")
    return (dense - pruned).rename("accuracy_drop")


def accuracy_gap_floor(
    accuracy: float,
    counts: npt.ArrayLike,
    *,
    n_draws: int = 10_000,
    random_state: int | np.random.RandomState | None = 0,
) -> float:
    """Accuracy gap to expect from sampling alone, were all groups served equally well.

    ``E[max_a K_a / n_a − min_a K_a / n_a]`` with independent ``K_a ~ Binomial(n_a, accuracy)``,
    by simulation. A measured gap near this floor is no evidence of a difference between groups:
    small groups make large gaps.

    Parameters
    ----------
    accuracy : float
        The true accuracy of every group, in [0, 1].
    counts : array-like of shape (n_groups,)
        Samples n_a of each group, whole numbers of at least 1.
    n_draws : int, default=10_000
        Simulated data sets. The standard error of the result is at most ``0.5 / sqrt(n_draws)``.
    random_state : int, RandomState or None, default=0
        The same number gives the same floor.

    Returns
    -------
    float
        In [0, 1]; 0 for a single group.

    Raises
    ------
    ValueError
        Where an argument is out of its range.

    Examples
    --------
    >>> round(accuracy_gap_floor(0.8, [1000, 1000]), 2)
    0.01
    >>> round(accuracy_gap_floor(0.8, [1000, 1000, 10]), 2)
    0.11
    """
    if not (isinstance(accuracy, Real) and 0 <= accuracy <= 1):
        raise ValueError(f"accuracy must be a number in [0, 1], got {accuracy!r}")
    if not isinstance(n_draws, Integral) or n_draws < 1:
        raise ValueError(f"n_draws must be an integer >= 1, got {n_draws!r}")
    sizes = as_vector(counts, "counts", np.float64)
    if not (np.all(sizes >= 1) and np.all(sizes == np.floor(sizes)) and np.all(sizes < 2**53)):
        raise ValueError(f"counts must be whole numbers >= 1, got {sizes.tolist()}")
    draws = check_random_state(random_state).binomial(
        sizes.astype(np.int64), accuracy, size=(n_draws, len(sizes))
    )
    return float(np.ptp(draws / sizes, axis=1).mean())


class _FairnessViolationScorer:
    """Negative fairness violation ξ between the dense and the pruned net of one estimator.

    Works with `FairPrunedClassifier`, or a Pipeline that ends in one: both nets are needed, so
    predictions alone do not do.
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
        """Tell scikit-learn that scoring takes the sensitive features."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sensitive_features", alias=True)
        return request

    def __repr__(self) -> str:
        return "fairness_violation_scorer"


def _group_scorer(metric: Callable[..., float], greater_is_better: bool = True) -> Any:
    # Requests can only be set while routing is on; the user's own setting is not touched.
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


def _group_accuracies(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sensitive_features: Any, name: str = "y_pred"
) -> pd.Series:
    labels = as_labels(y_true, "y_true")
    predictions = as_labels(y_pred, name)
    check_same_length(predictions, name, labels, "y_true")
    return _by_group(accuracy_score, labels, predictions, sensitive_features)


def _by_group(
    metric: Callable[..., float],
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    sensitive_features: Any,
) -> pd.Series:
    """Return ``metric(first, second)`` of every group that has samples."""
    groups = as_group_frame(sensitive_features, len(first))
    # MetricFrame keeps all columns in one frame, where a group called "y_true" would replace the
    # labels: groups go by numbers until the metric is computed.
    numbered = groups.set_axis([f"group_{column}" for column in range(groups.shape[1])], axis=1)
    frame = MetricFrame(metrics=metric, y_true=first, y_pred=second, sensitive_features=numbered)
    return frame.by_group.dropna().rename_axis(index=list(groups.columns))


def _mean_increase(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    return float(np.mean(after - before))
