"""judge_changes: prove a promise without any labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import as_labels, check_same_length
from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.names import Names, check_names
from sk_prunefair.promise._bounds import check_promise
from sk_prunefair.promise.evidence import Evidence
from sk_prunefair.promise.judging import Row, verdict_of
from sk_prunefair.promise.unlabelled import Unlabelled, with_changes
from sk_prunefair.promise.verdict import Verdict


def judge_changes(
    dense_pred: npt.ArrayLike,
    compressed_pred: npt.ArrayLike,
    *,
    sensitive_features: Any,
    max_accuracy_drop: float = 0.02,
    confidence: float = 0.95,
    names: tuple[str, str] = Names("dense", "compressed"),
) -> Verdict:
    r"""Test whether every group loses at most the promised accuracy, without any labels.

    A row with an unchanged prediction is correct or wrong as before, so a group's accuracy falls by
    at most the share of its predictions that changed. Clopper and Pearson's exact test tests
    whether that share is `max_accuracy_drop` or more, for any number of rows. If more predictions
    change than may be lost, labels are needed: `sk_prunefair.FairnessReport.promise` uses both.

    Parameters
    ----------
    dense_pred, compressed_pred : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels predicted by the two models, or scores, whose largest is the label.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    max_accuracy_drop : float in [0, 1), default=0.02
        Accepted loss of accuracy of each group.
    confidence : float in [0.5, 1), default=0.95
        1 − α.
    names : pair of str, default=("dense", "compressed")
        Names of the two models, in the findings.

    Returns
    -------
    Verdict
        With ``unlabelled`` rows, the share ``changed``, and ``drop_bound``, its upper bound at
        the confidence; ``evidence`` is "changes", ``count`` of labelled rows 0. A compressed model
        that predicts a single label, or no longer predicts a label of the dense one, is not
        approved.

    Raises
    ------
    ValueError
        If an argument is malformed, or lengths differ.

    Examples
    --------
    >>> dense = np.arange(1000) % 2
    >>> compressed = np.where(np.arange(1000) % 100 == 0, 1 - dense, dense)
    >>> group = np.repeat(["a", "b"], 500)
    >>> found = judge_changes(dense, compressed, sensitive_features=group, max_accuracy_drop=0.03)
    >>> found.kept, found.table[["group", "changed", "drop_bound"]].round(3).to_dict("list")
    (True, {'group': ['a', 'b'], 'changed': [0.01, 0.01], 'drop_bound': [0.021, 0.021]})
    """
    check_promise(max_accuracy_drop, None, 1.0, confidence)
    dense = _labels(dense_pred, "dense_pred")
    compressed = _labels(compressed_pred, "compressed_pred")
    check_same_length(compressed, "compressed_pred", dense, "dense_pred")
    if {isinstance(label, str) for label in (dense[0], compressed[0])} == {True, False}:
        raise ValueError(
            "dense_pred and compressed_pred must hold labels of one kind, got "
            f"{dense[0]!r} and {compressed[0]!r}"
        )
    frame = as_group_frame(sensitive_features, len(dense))
    codes, groups = encode_groups(frame)
    index = groups.to_flat_index()
    rows = Unlabelled(index[codes], dense, compressed)
    unknown = Evidence(0, np.nan, np.nan, np.nan, np.nan, 1.0, False, 1.0, np.nan, np.nan)
    found: list[Row] = [
        (
            place,
            "accuracy",
            max_accuracy_drop,
            False,
            with_changes(
                unknown, (0, 0, 0, 0), (int(n), int(n_changed)), max_accuracy_drop, confidence
            ),
        )
        for place, (n, n_changed) in enumerate(zip(*rows.counts(index), strict=True))
    ]
    findings = rows.findings([], check_names(names))
    return verdict_of(found, index, confidence, findings)


def _labels(values: Any, name: str) -> npt.NDArray[Any]:
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f":
        columns = values.columns if isinstance(values, pd.DataFrame) else range(array.shape[1])
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must hold scores, got values that are not finite")
        return np.array(list(columns), dtype=object)[array.argmax(axis=1)]
    return as_labels(values, name)
