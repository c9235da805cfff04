"""Compute metrics that are shares of rows, as counts by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sk_prunefair.acceptance.criteria import AcceptanceCriterion
from sk_prunefair.acceptance.rows import Sample
from sk_prunefair.metrics._pairs import as_pair

Counts = npt.NDArray[np.int64]

RATES: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy",),
    "true_positive_rate": ("true_positive_rate",),
    "false_positive_rate": ("false_positive_rate",),
    "precision": ("precision",),
    "accuracy_gap": ("accuracy",),
    "impact_ratio": ("selection_rate",),
    "demographic_parity_difference": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
}
"""The shares that a metric is made of."""


class Shares(NamedTuple):
    """A share of each group.

    Parameters
    ----------
    hits, rows : ndarray of shape (n_groups,), dtype int64
        Numerator and denominator of the share: counted rows, and rows that it applies to.
    """

    hits: Counts
    rows: Counts


def shares(sample: Sample, criterion: AcceptanceCriterion, groups: Sequence[int]) -> list[Shares]:
    """Return the shares of the compressed model from which a metric is computed.

    Parameters
    ----------
    sample : Sample
        The rows.
    criterion : AcceptanceCriterion
        Its metric is among `RATES`.
    groups : sequence of int
        Codes of groups.

    Returns
    -------
    list of Shares
        One for each positive label and rate; for an accuracy gap one for each level of control
        features.
    """
    names = RATES[criterion.metric]
    if "accuracy" in names:
        is_right = sample.compressed.is_right
        levels = [np.ones(len(is_right), dtype=bool)]
        if criterion.kind.is_between:
            levels = sample.levels
        return [_counted(sample, is_right, each, groups) for each in levels]
    return [
        _counted(sample, *_of_label(sample, name, code), groups)
        for code in positive_codes(sample, criterion)
        for name in names
    ]


def positive_codes(sample: Sample, criterion: AcceptanceCriterion) -> list[int]:
    """Return the code of the positive label; all codes if there are several and none is named."""
    code = sample.label_code(criterion)
    if code is not None:
        return [code]
    pair = as_pair(sample.dense, sample.compressed, sample.report.labels, None)
    return [int(each) for each in pair.classes]


def positive_label(sample: Sample, criterion: AcceptanceCriterion) -> Any:
    """Return the positive label of a metric; None if it has none, or is a mean over all."""
    codes = positive_codes(sample, criterion) if criterion.kind.takes_label else []
    return sample.report.labels.tolist()[codes[0]] if len(codes) == 1 else None


def _of_label(
    sample: Sample, name: str, code: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the rows of the numerator and of the denominator of a rate of a label."""
    is_given, is_of = sample.compressed.labels == code, sample.compressed.truth == code
    return {
        "selection_rate": (is_given, np.ones_like(is_of)),
        "true_positive_rate": (is_given, is_of),
        "false_positive_rate": (is_given, ~is_of),
        "precision": (is_of, is_given),
    }[name]


def _counted(
    sample: Sample,
    is_hit: npt.NDArray[np.bool_],
    is_concerned: npt.NDArray[np.bool_],
    groups: Sequence[int],
) -> Shares:
    n = len(sample.names)
    hits, rows = (
        np.bincount(sample.codes[each], minlength=n)[list(groups)]
        for each in (is_hit & is_concerned, is_concerned)
    )
    return Shares(hits, rows)
