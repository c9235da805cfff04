"""Effects of pruning on the errors of each class: Blakeney's variance and distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import as_labels, check_same_length

_RATES = ["fpr", "fnr"]
_CHANGES = [f"{rate}_change" for rate in _RATES]


def class_errors(
    y_true: npt.ArrayLike, dense_pred: npt.ArrayLike, pruned_pred: npt.ArrayLike
) -> pd.DataFrame:
    """Compute the false positive and false negative rates of each class before and after pruning.

    Parameters
    ----------
    y_true, dense_pred, pruned_pred : array-like of shape (n_samples,)
        Labels, and predictions of the dense and the pruned net.

    Returns
    -------
    pandas.DataFrame
        By class, for each class in `y_true`: ``fpr_dense``, ``fnr_dense``,
        ``fpr_pruned``, ``fnr_pruned``, and the relative changes ``fpr_change`` and ``fnr_change``.
        As a divisor, a rate of zero is replaced by that of half a sample.

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
    codes, known = pd.factorize(np.concatenate([truth, *preds.values()]))
    of_truth, of_dense, of_pruned = np.split(codes, 3)
    frame = class_errors_of_codes(of_truth, of_dense, of_pruned, known)
    return frame.loc[classes].set_axis(classes)


def class_errors_of_codes(
    truth: npt.NDArray[np.int64],
    dense: npt.NDArray[np.int64],
    pruned: npt.NDArray[np.int64],
    labels: npt.NDArray[Any],
    weights: npt.NDArray[Any] | None = None,
) -> pd.DataFrame:
    """Return the rates of `class_errors` for codes, for the labels that occur in the truth.

    Parameters
    ----------
    truth, dense, pruned : ndarray of shape (n_samples,), dtype int64
        Positions among the labels.
    labels : ndarray of shape (n_labels,)
        The labels of the codes.
    weights : ndarray of shape (n_samples,), default=None
        Number of samples that each row represents; None means one.

    Returns
    -------
    pandas.DataFrame
        As from `class_errors`, with ``attrs`` ``combined_error_variance`` and
        ``symmetric_distance_error``.
    """

    def counted(codes: npt.NDArray[np.int64], which: Any = slice(None)) -> npt.NDArray[Any]:
        of = None if weights is None else weights[which]
        return np.bincount(codes[which], of, len(labels))[is_known]

    is_known = np.bincount(truth, minlength=len(labels)) > 0
    n_of = counted(truth)
    sizes = {"fpr": n_of.sum() - n_of, "fnr": n_of}
    frame = pd.DataFrame(index=pd.Index(labels[is_known]))
    for name, codes in (("dense", dense), ("pruned", pruned)):
        n_right = counted(truth, codes == truth)
        frame[f"fpr_{name}"] = (counted(codes) - n_right) / sizes["fpr"]
        frame[f"fnr_{name}"] = (n_of - n_right) / sizes["fnr"]
    for rate in _RATES:
        before = frame[f"{rate}_dense"]
        divisor = np.maximum(before, 0.5 / sizes[rate])
        frame[f"{rate}_change"] = (frame[f"{rate}_pruned"] - before) / divisor
    changes = frame[_CHANGES].to_numpy(dtype=float)
    frame.attrs["combined_error_variance"] = float(
        ((changes - changes.mean(axis=0)) ** 2).sum(axis=1).mean()
    )
    frame.attrs["symmetric_distance_error"] = float(
        np.abs(changes[:, 0] - changes[:, 1]).mean() / np.sqrt(2)
    )
    return frame


def combined_error_variance(
    y_true: npt.ArrayLike, dense_pred: npt.ArrayLike, pruned_pred: npt.ArrayLike
) -> float:
    """CEV: variance over the classes of the relative changes of their error rates.

    It is the mean over the classes of the squared distance of (change of FPR, change of FNR) from
    the mean over classes (Blakeney, Huish, Yan and Zong, *Simon says: evaluating and mitigating
    bias in pruned neural networks with knowledge distillation*, 2021). It is 0 if all change
    equally.

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
    return float(class_errors(y_true, dense_pred, pruned_pred).attrs["combined_error_variance"])


def symmetric_distance_error(
    y_true: npt.ArrayLike, dense_pred: npt.ArrayLike, pruned_pred: npt.ArrayLike
) -> float:
    """SDE: mean over the classes of the asymmetry of the changes of their error rates.

    It is the mean over the classes of the distance of (change of FPR, change of FNR) from the line
    where both are equal: a class off that line is predicted too often or too rarely (Blakeney et
    al., 2021).

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
    return float(class_errors(y_true, dense_pred, pruned_pred).attrs["symmetric_distance_error"])
