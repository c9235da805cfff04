"""Losses and accuracies by group, and the differences between groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

from sk_prunefair.checks import as_labels, as_losses, check_same_length
from sk_prunefair.data.groups import as_group_frame


def excessive_risk(
    losses_dense: npt.ArrayLike, losses_pruned: npt.ArrayLike, *, sensitive_features: Any
) -> pd.Series:
    """Increase of the loss of each group by pruning (eq. 2 of the paper).

    ``R(a) = J(θ̄; D_a) − J(θ*; D_a)``. Negative if pruning lowered a group's loss.

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
        Named ``excessive_risk`` and indexed by group, as in `fairlearn.metrics.MetricFrame`; a
        MultiIndex of the occurring combinations for several columns.

    Raises
    ------
    ValueError
        If an argument is empty, of another length, not finite, or lacks groups.

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
    pruning *lowers* the loss of a group that the dense net predicted badly: read it beside
    `accuracy_gap`.

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
        In [0, 1]; 0 for a single group. See `accuracy_gap_floor` for the gap expected by chance.

    Raises
    ------
    ValueError
        If an argument is empty, of another length, lacks values, or holds no class labels.

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
    """Mean of the group accuracies, with the same weight for every group.

    Unlike the overall accuracy, it is not dominated by frequent groups.

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
    """Accuracy that each group lost by pruning: dense minus pruned.

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


def _group_accuracies(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sensitive_features: Any, name: str = "y_pred"
) -> pd.Series:
    labels = as_labels(y_true, "y_true")
    predictions = as_labels(y_pred, name)
    check_same_length(predictions, name, labels, "y_true")
    # Not all versions of scikit-learn raise an error here; every prediction would be wrong.
    if len({isinstance(values[0], str) for values in (labels, predictions)}) > 1:
        raise ValueError(f"y_true and {name} must hold labels of one kind, got a mix of types")
    return _by_group(accuracy_score, labels, predictions, sensitive_features)


def _by_group(
    metric: Callable[..., float],
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    sensitive_features: Any,
) -> pd.Series:
    """Return ``metric(first, second)`` for every group with samples."""
    groups = as_group_frame(sensitive_features, len(first))
    # MetricFrame keeps all columns in one frame, where a group called "y_true" would replace the
    # labels: groups are numbered until the metric is computed.
    numbered = groups.set_axis([f"group_{column}" for column in range(groups.shape[1])], axis=1)
    frame = MetricFrame(metrics=metric, y_true=first, y_pred=second, sensitive_features=numbered)
    return frame.by_group.dropna().rename_axis(index=list(groups.columns))


def _mean_increase(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    return float(np.mean(after - before))
