"""Counts of a batch by group, the sufficient statistics of the monitor."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_same_length
from sk_prunefair.report.labels import as_labels_of_one_kind, as_plain_labels
from sk_prunefair.report.predictions import as_prediction

Counts = npt.NDArray[np.int64]


class BatchCounts(NamedTuple):
    """Counts of a batch by group, each an array of shape (n_groups,).

    ``rows``; ``changed``, with different predictions; ``labelled``; and among these
    ``lost`` and ``won``, that only the dense or only the compressed model predicts correctly.
    """

    rows: Counts
    changed: Counts
    labelled: Counts
    lost: Counts
    won: Counts


def labels_of(values: Any, name: str, classes: Any) -> npt.NDArray[Any]:
    """Return labels; for probabilities, those with the largest probability.

    Raises
    ------
    ValueError
        If `values` are neither, or their columns do not match the classes.
    """
    prediction = as_prediction(values, name, classes)
    if prediction.labels is not None:
        return as_plain_labels(prediction.labels, name)
    assert prediction.scores is not None
    n_columns = prediction.scores.shape[1]
    known = np.arange(n_columns) if prediction.classes is None else prediction.classes
    if len(known) != n_columns:
        raise ValueError(f"{name} has {n_columns} columns, but there are {len(known)} classes")
    return as_plain_labels(known[prediction.scores.argmax(axis=1)], name)


def check_columns(predictions: tuple[Any, ...], y: Any, classes: Any) -> None:
    """Raise ValueError if labels without classes are not the integers that number the columns.

    Parameters
    ----------
    predictions : tuple of array-like
        Labels, or probabilities of shape (n_samples, n_classes).
    y : array-like of shape (n_samples,) or None
        True labels; None, NaN and NA are unknown.
    classes : array-like or None
        If given, nothing is checked.
    """
    if classes is not None:
        return
    labels, n_columns = {"y": y}, 0
    for name, given in zip(("dense_pred", "compressed_pred"), predictions, strict=True):
        shape = np.shape(given)
        if len(shape) < 2 or shape[1] == 1:
            labels[name] = given
        elif as_prediction(given, name).classes is None:  # else a table names its columns
            n_columns = shape[1]
    for name, values in labels.items() if n_columns else ():
        known = _values(values).dropna()
        strange = known[~known.isin(range(n_columns))]
        if len(strange):
            raise ValueError(
                f"{name} holds {strange.iloc[0]!r}, but without classes the {n_columns} columns of "
                "probabilities stand for the integers from 0; pass classes to the monitor"
            )


def check_classes(answers: dict[str, npt.NDArray[Any]], y: Any, classes: Any) -> None:
    """Raise ValueError where labels are of another kind than the classes; warn of unknown ones.

    Parameters
    ----------
    answers : dict of str to ndarray of shape (n_samples,)
        Labels that the models give, by argument.
    y : array-like of shape (n_samples,) or None
        True labels; None, NaN and NA are unknown.
    classes : array-like or None
        Without them nothing is checked.
    """
    if classes is None:
        return
    as_labels_of_one_kind(classes, dict(answers), same_length=False, of="classes")
    known = _values(y).dropna()
    strange = known[~known.isin(np.asarray(classes).tolist())].unique().tolist()
    if strange:
        warnings.warn(
            f"y holds the labels {strange[:5]}, which are none of the classes, "
            f"{np.asarray(classes).tolist()[:20]}: both models are wrong there, so that such rows "
            "speak against a loss; pass None for a label that is not known",
            UserWarning,
            stacklevel=4,
        )


def _values(y: Any) -> pd.Series:
    """Return labels as a column of objects; what a mask hides is missing."""
    y = [] if y is None else y
    array = np.asarray(y, dtype=object)
    values = pd.Series(array.reshape(-1), dtype=object)
    return values.mask(np.ma.getmaskarray(y).reshape(-1)) if np.ma.isMaskedArray(y) else values


def count_batch(
    dense: npt.NDArray[Any],
    compressed: npt.NDArray[Any],
    y: Any,
    codes: npt.NDArray[np.int64],
    n_groups: int,
) -> BatchCounts:
    """Count a batch by group.

    Parameters
    ----------
    dense, compressed : ndarray of shape (n_samples,)
        Labels predicted by the models.
    y : array-like of shape (n_samples,) or None
        True labels; None, NaN and NA are unknown.
    codes : ndarray of shape (n_samples,)
        Groups, values in [0, n_groups).
    n_groups : int
        Number of groups.
    """
    check_same_length(compressed, "compressed_pred", dense, "dense_pred")
    as_labels_of_one_kind(dense, {"compressed_pred": compressed}, of="dense_pred")
    is_known = np.zeros(len(dense), dtype=bool)
    difference = np.zeros(len(dense), dtype=np.int64)
    if y is not None:
        values = _values(y)
        check_same_length(values.to_numpy(), "y", dense, "dense_pred")
        is_known = values.notna().to_numpy()
        if is_known.any():
            truth, a, b = as_labels_of_one_kind(
                values[is_known].to_numpy(),
                {"dense_pred": dense[is_known], "compressed_pred": compressed[is_known]},
                of="y",
            )
            difference[is_known] = (truth == a).astype(int) - (truth == b).astype(int)

    def count(rows: npt.NDArray[np.bool_]) -> Counts:
        return np.bincount(codes[rows], minlength=n_groups)

    every = np.ones(len(dense), dtype=bool)
    return BatchCounts(
        rows=count(every),
        changed=count(dense != compressed),
        labelled=count(is_known),
        lost=count(difference > 0),
        won=count(difference < 0),
    )
