"""Counts of a batch by group, the sufficient statistics of the monitor."""

from __future__ import annotations

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
    shapes = [np.shape(each) for each in predictions]
    widths = [shape[1] for shape in shapes if len(shape) == 2 and shape[1] > 1]
    if y is None or classes is not None or not widths:
        return
    known = pd.Series(np.asarray(y, dtype=object).reshape(-1)).dropna()
    strange = known[~known.isin(range(min(widths)))]
    if len(strange):
        raise ValueError(
            f"y holds {strange.iloc[0]!r}, but without classes the {min(widths)} columns of "
            "probabilities stand for the integers from 0; pass classes to the monitor"
        )


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
    as_labels_of_one_kind(dense, {"compressed_pred": compressed})
    is_known = np.zeros(len(dense), dtype=bool)
    difference = np.zeros(len(dense), dtype=np.int64)
    if y is not None:
        values = pd.Series(np.asarray(y, dtype=object).reshape(-1))
        check_same_length(values.to_numpy(), "y", dense, "dense_pred")
        is_known = values.notna().to_numpy()
        if is_known.any():
            truth, a, b = as_labels_of_one_kind(
                values[is_known].to_numpy(),
                {"dense_pred": dense[is_known], "compressed_pred": compressed[is_known]},
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
