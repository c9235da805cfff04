"""Rows without labels, given by a user beside a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_same_length
from sk_prunefair.data.groups import encode_groups
from sk_prunefair.promise import Unlabelled
from sk_prunefair.report.frames import group_columns
from sk_prunefair.report.labels import as_labels_of_one_kind, as_plain_labels
from sk_prunefair.report.predictions import as_prediction


def as_unlabelled(given: Any, labels: npt.NDArray[Any], groups: pd.DataFrame) -> Unlabelled:
    """Return rows without labels in the promise's form.

    Parameters
    ----------
    given : tuple of (dense_pred, compressed_pred, sensitive_features), or Unlabelled
        Labels or probabilities of both models, and the groups, in the columns of the report.
    labels : ndarray of shape (n_labels,)
        Labels of the report, for columns of probabilities without names.
    groups : pandas.DataFrame
        Sensitive features of the report.

    Raises
    ------
    ValueError
        If it is not such a tuple, lengths differ, labels are of another kind, groups have other
        columns, or none of the groups is a group of the report.

    Examples
    --------
    >>> groups = pd.DataFrame({"sex": ["f", "m"]})
    >>> rows = as_unlabelled(([0, 1], [0, 0], ["f", "x"]), np.array([0, 1]), groups)
    >>> rows.group.tolist(), rows.dense.tolist(), rows.compressed.tolist()
    (['f', 'x'], [0, 1], [0, 0])
    """
    if isinstance(given, Unlabelled):
        return given
    if not isinstance(given, (tuple, list)) or len(given) != 3:
        kind = type(given).__name__
        what = f"{kind} of {len(given)}" if isinstance(given, (tuple, list)) else kind
        raise ValueError(
            "unlabelled must be (dense_pred, compressed_pred, sensitive_features): a report holds "
            f"no models, so pass their predictions; got a {what}"
        )
    names = ("the dense_pred of unlabelled", "the compressed_pred of unlabelled")
    dense, compressed = (
        _labels(values, name, labels) for values, name in zip(given, names, strict=False)
    )
    check_same_length(compressed, names[1], dense, names[0])
    frame = group_columns(given[2], len(dense), "the sensitive_features of unlabelled")
    # One column may be called anything; several could be exchanged unnoticed.
    has_names = isinstance(given[2], Mapping) or hasattr(given[2], "columns")
    is_named = has_names and groups.shape[1] > 1 and not _is_unnamed(groups)
    if frame.shape[1] != groups.shape[1] or (is_named and set(frame) != set(groups)):
        raise ValueError(
            "the sensitive_features of unlabelled must have the columns of the report, "
            f"{list(groups)}, got {list(frame)}"
        )
    if set(frame) == set(groups):
        frame = frame[list(groups)]
    codes, found = encode_groups(frame)
    known = encode_groups(groups)[1].to_flat_index()
    if not known.isin(found.to_flat_index()).any():
        raise ValueError(
            f"unlabelled must have a group of the report, such as {known[:5].tolist()}, got only "
            f"{found.to_flat_index()[:5].tolist()}; for groups without labelled rows use "
            "sk_prunefair.promise.judge_changes"
        )
    return Unlabelled(found.to_flat_index()[codes], dense, compressed)


def _is_unnamed(groups: pd.DataFrame) -> bool:
    return list(groups) == [f"sensitive_feature_{i}" for i in range(groups.shape[1])]


def _labels(values: Any, name: str, known: npt.NDArray[Any]) -> npt.NDArray[Any]:
    prediction = as_prediction(values, name)
    found = prediction.labels
    if found is None:
        assert prediction.scores is not None
        columns = known if prediction.classes is None else np.asarray(prediction.classes)
        if len(columns) != prediction.scores.shape[1]:
            raise ValueError(
                f"{name} has {prediction.scores.shape[1]} columns of probabilities, but the report "
                f"has {len(columns)} labels: pass a DataFrame whose columns are named by the labels"
            )
        found = columns[prediction.scores.argmax(axis=1)]
    as_labels_of_one_kind(known, {name: found}, same_length=False)
    return as_plain_labels(found, name)
