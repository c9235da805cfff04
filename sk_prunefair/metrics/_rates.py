"""Rates of a classifier from counts of samples, with one formula for data and bootstrap draws.

``counts`` has shape (n_draws, n_cells): how often the samples of each cell were drawn; one row of
cell sizes for the data itself. Undefined rates, such as a true positive rate without
positives, are NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
_BINS = 15


def label_rates(
    counts: Counts,
    labels: npt.NDArray[np.int64],
    truth: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
) -> dict[str, npt.NDArray[np.float64]]:
    """Return selection rate, TPR, FPR and precision of each class against the rest.

    Parameters
    ----------
    counts : ndarray of shape (n_draws, n_cells)
    labels, truth : ndarray of shape (n_cells,)
        Predicted and true label of each cell.
    classes : ndarray of shape (n_classes,)
        The positive labels, each in turn.

    Returns
    -------
    dict of ndarray of shape (n_draws, n_classes)

    Examples
    --------
    >>> labels, truth = np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])
    >>> rates = label_rates(np.array([[1, 1, 1, 1], [2, 1, 1, 0]]), labels, truth, np.array([1]))
    >>> rates["precision"].round(2).tolist()
    [[0.5], [0.67]]
    """
    is_given = labels[:, np.newaxis] == classes
    is_of = truth[:, np.newaxis] == classes
    total = counts.sum(axis=1, keepdims=True)
    given, positives = counts @ is_given, counts @ is_of
    hits = counts @ (is_given & is_of)
    return {
        "selection_rate": ratio(given, total),
        "true_positive_rate": ratio(hits, positives),
        "false_positive_rate": ratio(given - hits, total - positives),
        "precision": ratio(hits, given),
    }


def macro_rates(
    counts: Counts,
    labels: npt.NDArray[np.int64],
    truth: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
) -> dict[str, npt.NDArray[np.float64]]:
    """Return TPR, FPR and precision as means over the classes that occur, of shape (n_draws,).

    A class that occurs and is never predicted has the precision 0.
    """
    rates = label_rates(counts, labels, truth, classes)
    occurs = counts @ (truth[:, np.newaxis] == classes) > 0
    rates["precision"] = np.nan_to_num(rates["precision"])
    names = ("true_positive_rate", "false_positive_rate", "precision")
    return {name: mean_known(np.where(occurs, rates[name], np.nan)) for name in names}


def auc(
    counts: Counts, scores: npt.NDArray[np.float64], is_positive: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the area under the ROC curve, of shape (n_draws,): ties count half.

    >>> auc(np.ones((1, 4)), np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    array([0.875])
    """
    order = np.argsort(scores, kind="stable")
    sorted_scores, counts, is_positive = scores[order], counts[:, order], is_positive[order]
    starts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
    positives = np.add.reduceat(counts * is_positive, starts, axis=1)
    negatives = np.add.reduceat(counts * ~is_positive, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return ratio((positives * below).sum(axis=1), pairs)


def macro_auc(
    counts: Counts,
    scores: npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return the mean one-vs-rest AUC, over the classes with positives and negatives."""
    areas = [auc(counts, scores[:, each], truth == each) for each in classes]
    return mean_known(np.stack(areas, axis=1))


def calibration_error(
    counts: Counts, confidence: npt.NDArray[np.float64], is_right: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the expected calibration error over 15 bins of equal width, of shape (n_draws,).

    ``Σ_b |right_b − confidence_b| / n``, with the sums over the samples of each bin.
    """
    bins = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gaps = np.zeros((len(bins), _BINS))
    gaps[np.arange(len(bins)), bins] = is_right - confidence
    return ratio(np.abs(counts @ gaps).sum(axis=1), counts.sum(axis=1))


def brier_terms(
    scores: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return each sample's Brier score: half the sum over two labels, the sum over more."""
    errors = scores.copy()
    errors[np.arange(len(truth)), truth] -= 1
    return (errors**2).sum(axis=1) / (2 if scores.shape[1] == 2 else 1)


def ratio(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return part / whole, NaN where the whole is zero."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean_known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean over the last axis without NaN."""
    is_known = ~np.isnan(values)
    return ratio(np.where(is_known, values, 0.0).sum(axis=-1), is_known.sum(axis=-1).astype(float))
