"""What pruning did to the errors of each class: Blakeney's variance and distance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import as_labels, check_same_length

_RATES = ["fpr", "fnr"]


def class_errors(
    y_true: npt.ArrayLike, dense_pred: npt.ArrayLike, pruned_pred: npt.ArrayLike
) -> pd.DataFrame:
    """Rates of false positives and false negatives of each class, before and after pruning.

    Parameters
    ----------
    y_true, dense_pred, pruned_pred : array-like of shape (n_samples,)
        Labels, and what the dense and the pruned net give.

    Returns
    -------
    pandas.DataFrame
        By class, for each that occurs among `y_true`: ``fpr_dense``, ``fnr_dense``,
        ``fpr_pruned``, ``fnr_pruned``, and the relative changes ``fpr_change`` and ``fnr_change``.
        A rate of zero is taken for half a sample where it divides.

    Raises
    ------
    ValueError
        If an argument is malformed, their lengths differ, or there is only one class.

    Examples
    --------
    >>> frame = class_errors([0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 0, 1])
    >>> frame[["fnr_dense", "fnr_pruned", "fnr_change"]]
       fnr_dense  fnr_pruned  fnr_change
    0        0.5         0.5         0.0
    1        0.0         0.5         2.0
    """
    truth = as_labels(y_true, "y_true")
    preds = {"dense": as_labels(dense_pred, "dense_pred")}
    preds["pruned"] = as_labels(pruned_pred, "pruned_pred")
    for name, values in preds.items():
        check_same_length(values, f"{name}_pred", truth, "y_true")
    classes = pd.Index(sorted(set(truth.tolist())))
    if len(classes) < 2:
        raise ValueError(f"y_true must hold at least two classes, got {classes.tolist()}")
    is_of = np.array([truth == each for each in classes])
    sizes = {"fpr": (~is_of).sum(axis=1), "fnr": is_of.sum(axis=1)}
    frame = pd.DataFrame(index=classes)
    for name, values in preds.items():
        is_given = np.array([values == each for each in classes])
        frame[f"fpr_{name}"] = (is_given & ~is_of).sum(axis=1) / sizes["fpr"]
        frame[f"fnr_{name}"] = (~is_given & is_of).sum(axis=1) / sizes["fnr"]
    for rate in _RATES:
        dense = frame[f"{rate}_dense"]
        divisor = np.maximum(dense, 0.5 / sizes[rate])
        frame[f"{rate}_change"] = (frame[f"{rate}_pruned"] - dense) / divisor
    return frame


def combined_error_variance(
    y_true: npt.ArrayLike, dense_pred: npt.ArrayLike, pruned_pred: npt.ArrayLike
) -> float:
    """CEV: how unequally the classes' errors change, the variance of their relative changes.

    The mean over the classes of the squared distance of (change of FPR, change of FNR) from the
    mean over classes (Blakeney, Huish, Yan and Zong, *Simon says: evaluating and mitigating bias
    in pruned neural networks with knowledge distillation*, 2021). 0 where all change alike.

    Parameters
    ----------
    y_true, dense_pred, pruned_pred : array-like of shape (n_samples,)
        As for `class_errors`.

    Returns
    -------
    float

    Examples
    --------
    >>> combined_error_variance([0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 0, 1])
    2.0
    """
    changes = _changes(y_true, dense_pred, pruned_pred)
    return float(((changes - changes.mean(axis=0)) ** 2).sum(axis=1).mean())


def symmetric_distance_error(
    y_true: npt.ArrayLike, dense_pred: npt.ArrayLike, pruned_pred: npt.ArrayLike
) -> float:
    """SDE: how far the classes' errors change more one way than the other.

    The mean over the classes of the distance of (change of FPR, change of FNR) from the line where
    both are equal: a class off that line is given too often, or too seldom (Blakeney et al., 2021).

    Parameters
    ----------
    y_true, dense_pred, pruned_pred : array-like of shape (n_samples,)
        As for `class_errors`.

    Returns
    -------
    float

    Examples
    --------
    >>> round(symmetric_distance_error([0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 0, 1]), 3)
    1.414
    """
    changes = _changes(y_true, dense_pred, pruned_pred)
    return float(np.abs(changes[:, 0] - changes[:, 1]).mean() / np.sqrt(2))


def _changes(
    y_true: npt.ArrayLike, dense_pred: npt.ArrayLike, pruned_pred: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    frame = class_errors(y_true, dense_pred, pruned_pred)
    return frame[[f"{rate}_change" for rate in _RATES]].to_numpy(dtype=float)
