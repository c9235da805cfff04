"""Convert a model's labels or probabilities to labels, losses and scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_same_length
from sk_prunefair.report.labels import as_labels_of_one_kind

LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Lower bound on probabilities, so that losses of all models are at most 15.9."""


class Prediction(NamedTuple):
    """Predictions of one model for each sample.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), or None
        Predicted labels; None takes the most probable ones.
    scores : ndarray of shape (n_samples, n_classes), or None
        Probabilities.
    classes : ndarray of shape (n_classes,), or None
        Labels of the columns of scores; None if the model has none.
    name : str or None
        Name of the model's argument, for errors.
    """

    labels: npt.NDArray[Any] | None
    scores: npt.NDArray[Any] | None = None
    classes: npt.NDArray[Any] | None = None
    name: str | None = None


class Answers(NamedTuple):
    """A prediction compared with the truth.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Predicted labels.
    losses : ndarray of shape (n_samples,), dtype float64, or None
        Cross entropy, in nats; None if only labels are known.
    scores : ndarray of shape (n_samples, n_classes), or None
        Probabilities, columns in the order of the known labels.
    """

    labels: npt.NDArray[Any]
    losses: npt.NDArray[np.float64] | None
    scores: npt.NDArray[Any] | None


def as_prediction(values: Any, name: str, classes: Any = None) -> Prediction:
    """Return labels, or probabilities, from a user as a `Prediction`.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or probabilities of each class. The columns of a DataFrame are the classes if
        no classes are given.
    name : str
        Name of the argument, for errors.
    classes : array-like of shape (n_classes,), default=None
        Labels of the columns.

    Raises
    ------
    ValueError
        If the values are neither.
    """
    if isinstance(values, Prediction):
        return values
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = (values.float() if values.is_floating_point() else values).numpy()
    if classes is None:
        classes = _named_columns(values)
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return Prediction(array)
    if array.ndim != 2:
        raise ValueError(
            f"{name} must hold labels, shape (n_samples,), or probabilities, shape (n_samples, "
            f"n_classes), got shape {array.shape}"
        )
    return Prediction(
        None, as_probabilities(array, name), None if classes is None else np.asarray(classes)
    )


def _named_columns(values: Any) -> Any:
    """Return the names of a table's columns, None if they are only numbered."""
    if isinstance(values, pd.DataFrame):
        is_own = not isinstance(values.columns, pd.RangeIndex) and values.shape[1] > 1
        return values.columns.to_numpy() if is_own else None
    names = getattr(values, "column_names", None) or getattr(values, "columns", None)  # Arrow
    if not isinstance(names, (list, tuple)) or len(names) < 2:
        return None
    is_own = list(names) != [f"column_{i}" for i in range(len(names))]  # polars' default names
    return np.asarray(names) if is_own else None


def as_probabilities(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return rows of probabilities that sum to 1, or raise ValueError."""
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must hold probabilities in its {array.shape[1]} columns, got dtype "
            f"{array.dtype}"
        )
    scores = array if array.dtype.kind == "f" else array.astype(float)
    scores = scores.astype(np.float32) if scores.dtype.itemsize < 4 else scores
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} must hold probabilities, got values that are not finite")
    sums = scores.sum(axis=1, keepdims=True)
    if scores.min(initial=0) < -1e-6 or not np.allclose(sums, 1, rtol=0, atol=0.01):
        raise ValueError(
            f"{name} must hold probabilities whose rows sum to 1, got values from "
            f"{scores.min():.3g} to {scores.max():.3g} and sums from {sums.min():.3g} to "
            f"{sums.max():.3g}; for logits, pass scipy.special.softmax(logits, axis=1)"
        )
    return np.clip(scores, 0, None) / sums


def columns_of(
    prediction: Prediction, name: str, truth: npt.NDArray[Any], classes: Any = None
) -> npt.NDArray[Any]:
    """Return the labels of the columns of a model's scores.

    If neither the model nor the user gives them: the integers from 0, if the labels are integers
    and fewer than the columns, else the sorted labels.

    Raises
    ------
    ValueError
        If they are ambiguous, or the model has no probability for a label of the truth.
    """
    assert prediction.scores is not None
    n_columns = prediction.scores.shape[1]
    found = prediction.classes if prediction.classes is not None else classes
    if found is None:
        found = np.unique(truth)
        is_code = found.dtype.kind in "iu" and found.min() >= 0 and found.max() < n_columns
        if len(found) != n_columns and is_code:
            found = np.arange(n_columns)
    columns = as_labels_of_one_kind(truth, {f"classes of {name}": found}, same_length=False)[1]
    if len(columns) != n_columns or len(np.unique(columns)) != n_columns:
        raise ValueError(
            f"classes must name the {n_columns} columns of {name}, each by a different label; got "
            f"{columns.tolist()[:20]}"
        )
    unknown = np.setdiff1d(truth, columns)
    if len(unknown):
        raise ValueError(
            f"{name} has no probability for the labels {unknown.tolist()[:10]} of y_true; its "
            f"columns are {columns.tolist()[:20]}"
        )
    return columns


def answers(
    truth: npt.NDArray[Any], predictions: dict[str, Prediction], classes: Any = None
) -> tuple[npt.NDArray[Any], list[Answers]]:
    """Return the known labels, sorted, and the answers of each model.

    Parameters
    ----------
    truth : ndarray of shape (n_samples,)
        Labels.
    predictions : dict of str to Prediction
        Predictions by the name of the argument, for errors.
    classes : array-like, default=None
        Labels of the columns of scores, if a prediction has none.

    Raises
    ------
    ValueError
        If the labels of columns are ambiguous, or there is not one prediction per sample.
    """
    columns = {
        name: columns_of(prediction, name, truth, classes)
        for name, prediction in predictions.items()
        if prediction.scores is not None
    }
    known = np.unique(np.concatenate([truth, *columns.values()]))
    return known, [
        _answers(prediction, name, truth, columns.get(name), known)
        for name, prediction in predictions.items()
    ]


def _answers(
    prediction: Prediction,
    name: str,
    truth: npt.NDArray[Any],
    columns: npt.NDArray[Any] | None,
    known: npt.NDArray[Any],
) -> Answers:
    if prediction.scores is None or columns is None:
        assert prediction.labels is not None
        as_labels_of_one_kind(truth, {name: prediction.labels})  # or it is an error with this name
        return Answers(prediction.labels, None, None)
    check_same_length(prediction.scores, name, truth, "y_true")
    if prediction.labels is not None:
        as_labels_of_one_kind(truth, {name: prediction.labels})
    scores = np.zeros((len(truth), len(known)), dtype=prediction.scores.dtype)
    scores[:, np.searchsorted(known, columns)] = prediction.scores
    labels = prediction.labels
    if labels is None:
        labels = columns[prediction.scores.argmax(axis=1)]
    of_truth = scores[np.arange(len(truth)), np.searchsorted(known, truth)].astype(float)
    # Otherwise the negative logarithm of 1 would be -0.
    losses = 0.0 - np.log(np.clip(of_truth, LEAST_PROBABILITY, 1.0))
    return Answers(labels, losses, scores)


def aligned_scores(
    values: Any, name: str, labels: npt.NDArray[Any], classes: Any, truth: npt.NDArray[Any]
) -> npt.NDArray[Any] | None:
    """Return probabilities with one column for each label; 0 for labels without a column."""
    if values is None:
        return None
    scores = np.asarray(values)
    columns = np.asarray(labels if classes is None else np.asarray(classes).tolist())
    if scores.shape != (len(truth), len(columns)):
        raise ValueError(
            f"{name} must have shape {(len(truth), len(columns))}, one column for each of the "
            f"classes {columns.tolist()[:10]}, got {scores.shape}"
        )
    scores = as_probabilities(scores, name)
    if np.array_equal(columns, labels):
        return scores
    aligned = np.zeros((len(truth), len(labels)), dtype=scores.dtype)
    aligned[:, np.searchsorted(labels, columns)] = scores
    return aligned
