"""accept: test the criteria of a file on an audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from sk_prunefair.acceptance.bounding import bounded_between, bounded_groups
from sk_prunefair.acceptance.criteria import AcceptanceCriterion
from sk_prunefair.acceptance.proving import changes, tested_groups, tested_pairs
from sk_prunefair.acceptance.reading import read_criteria
from sk_prunefair.acceptance.result import Acceptance
from sk_prunefair.acceptance.rows import (
    BROKEN,
    KEPT,
    AcceptedReport,
    Row,
    Sample,
    gaps,
    observed,
    taken,
)
from sk_prunefair.acceptance.shares import RATES, positive_label, shares
from sk_prunefair.metrics.practice import practice_frame, practice_summary
from sk_prunefair.outcome import lost_labels


def accept(
    report: AcceptedReport,
    criteria: str | PathLike[str] | Mapping[str, Any] | Sequence[AcceptanceCriterion],
) -> Acceptance:
    """Judge an audit by the criteria of a file.

    Parameters
    ----------
    report : FairnessReport
        The audit.
    criteria : str, path-like, mapping or sequence of AcceptanceCriterion
        A file, its content as a mapping, or the criteria that `read_criteria` returned.

    Returns
    -------
    Acceptance
        One verdict for each criterion.

    Raises
    ------
    ValueError
        If a criterion needs groups, a label, losses or probabilities that the audit lacks, or
        the file is malformed.

    Notes
    -----
    A limit under ``test="proven"`` is kept in a group if the test of `sk_prunefair.promise` passes
    at the confidence, each group at the full level: a criterion that does not hold in some tested
    group is "kept" with a probability of at most 1 − confidence. For metrics without such a test
    the confidence bound must keep the limit, see `sk_prunefair.acceptance.METRICS`: exact bounds
    from counts, and bets for the Brier score. "Broken" means that the rows do not prove the limit,
    although as many rows could. Under ``test="observed"`` the limit is compared with the observed
    value, which is subject to chance.

    A group has "too few rows" if it has fewer than `min_count`, if the metric is not defined in it,
    or if its rows could not prove the limit even without any changed prediction, or with correct
    predictions only. A criterion with only such groups is not kept, whatever `small_groups` is.

    Examples
    --------
    >>> from sk_prunefair import FairnessReport
    >>> truth = np.arange(2000) % 2
    >>> report = FairnessReport(
    ...     truth,
    ...     dense_pred=truth,
    ...     pruned_pred=np.where(np.arange(2000) % 20 == 1, 0, truth),
    ...     sensitive_features=np.repeat(["a", "b"], 1000),
    ... )
    >>> limits = {"criteria": [{"metric": "accuracy_drop", "limit": 0.1}]}
    >>> accept(report, limits).kept
    True
    >>> limits["criteria"].append({"metric": "recall_drop", "limit": 0.1, "label": 1})
    >>> accept(report, limits).criteria[["metric", "verdict"]].values.tolist()
    [['accuracy_drop', 'kept'], ['recall_drop', 'broken']]
    """
    if isinstance(criteria, str | PathLike | Mapping):
        criteria = read_criteria(criteria)
    given = tuple(criteria) if isinstance(criteria, Iterable) else ()
    if not given or not all(isinstance(each, AcceptanceCriterion) for each in given):
        raise TypeError(
            "criteria must be a file, a mapping, or criteria as read_criteria returns them, got "
            f"{criteria!r}"
        )
    sample = Sample(report)
    return Acceptance.of([(each, _rows(sample, each)) for each in given], report.label_findings)


def _rows(sample: Sample, criterion: AcceptanceCriterion) -> list[Row]:
    kind = criterion.kind
    if kind.needs_losses and sample.dense.losses is None:
        raise ValueError(
            f"criterion {criterion.name!r}: {criterion.metric} needs the losses of both models, "
            "but only their labels are known"
        )
    if kind.kind == "group":
        return tested_groups(sample, criterion)
    if kind.kind == "labels":
        return [_labels(sample)]
    if not kind.is_between:
        is_bounded = criterion.test == "proven"
        return (bounded_groups if is_bounded else _observed_groups)(sample, criterion)
    groups, few = sample.large_groups(criterion, _counts(sample, criterion))
    if not groups:
        return few
    if kind.kind == "pairs" and criterion.test == "proven":
        return [*few, *tested_pairs(sample, criterion, groups)]
    return [*few, _between(sample, criterion, groups)]


def _counts(sample: Sample, criterion: AcceptanceCriterion) -> dict[int, int]:
    """Return the number of rows of each group in a comparison; the smallest of several rates."""
    chosen = sample.chosen(criterion)
    n = np.bincount(sample.codes, minlength=len(sample.names))[chosen]
    if criterion.kind.kind == "summary":
        n = np.min([each.rows for each in shares(sample, criterion, chosen)], axis=0)
    return dict(zip(chosen, n.tolist(), strict=True))


def _between(sample: Sample, criterion: AcceptanceCriterion, groups: list[int]) -> Row:
    rows = np.flatnonzero(np.isin(sample.codes, groups))
    is_summary = criterion.kind.kind == "summary"
    measured = (_summary if is_summary else _gap)(sample, criterion, rows)
    label = positive_label(sample, criterion)
    if criterion.test == "observed":
        return observed(criterion, measured, len(rows), None, label)
    bound, verdict = bounded_between(sample, criterion, groups, measured)
    return Row(None, label, measured, bound, len(rows), np.nan, verdict)


def _gap(sample: Sample, criterion: AcceptanceCriterion, rows: npt.NDArray[np.int64]) -> float:
    codes, level = sample.codes[rows], sample.report.samples["level"].iloc[rows]

    def largest(values: npt.NDArray[Any]) -> float:
        return max(gaps(values[rows].astype(float), codes, level))

    if criterion.kind.kind == "pairs":
        return largest(changes(sample, criterion))
    before, after = (largest(each.is_right) for each in sample.report.outcomes)
    return after if criterion.metric == "accuracy_gap" else after - before


def _observed_groups(sample: Sample, criterion: AcceptanceCriterion) -> list[Row]:
    chosen, label = sample.chosen(criterion), positive_label(sample, criterion)
    found = _rates(sample, criterion, chosen)
    if found is None:
        found = _practice(sample, criterion, chosen, label)
    return [
        observed(criterion, float(measured), int(n), sample.names[group], label)
        for group, (measured, n) in zip(chosen, found, strict=True)
    ]


def _rates(
    sample: Sample, criterion: AcceptanceCriterion, chosen: list[int]
) -> list[tuple[float, int]] | None:
    """Return a share of each group and its number of rows; None if the metric is not a share."""
    if criterion.metric not in RATES:
        return None
    [found, *others] = shares(sample, criterion, chosen)
    if others:  # a mean over the labels
        return None
    return [(hits / n if n else np.nan, n) for hits, n in zip(*found, strict=True)]


def _practice(
    sample: Sample, criterion: AcceptanceCriterion, chosen: list[int], label: Any
) -> list[tuple[float, int]]:
    report = sample.report
    rows = np.flatnonzero(np.isin(sample.codes, chosen))
    frame = practice_frame(
        taken(sample.dense, rows),
        taken(sample.compressed, rows),
        report.labels,
        report.sensitive_features.iloc[rows],
        pos_label=label,
        n_boot=2,  # the interval is not needed
    )
    is_metric = frame.index.get_level_values("metric") == criterion.kind.source
    if not is_metric.any():
        needs = (
            "a label, which is the positive one"
            if criterion.kind.source == "selection_rate"
            else "the probabilities of both models"
        )
        raise ValueError(f"criterion {criterion.name!r}: {criterion.metric} needs {needs}")
    of_groups = frame[is_metric]  # in the order of the groups
    is_change = criterion.metric.endswith("_change")
    figures = of_groups["change"].abs() if is_change else of_groups["compressed"]
    return list(zip(figures, of_groups["count"], strict=True))


def _summary(sample: Sample, criterion: AcceptanceCriterion, rows: npt.NDArray[np.int64]) -> float:
    report = sample.report
    frame = practice_summary(
        taken(sample.dense, rows),
        taken(sample.compressed, rows),
        report.labels,
        report.sensitive_features.iloc[rows],
        pos_label=positive_label(sample, criterion),
        n_boot=2,
    )
    return float(frame["compressed"].loc[criterion.kind.source])


def _labels(sample: Sample) -> Row:
    lost = len(lost_labels(sample.dense, sample.compressed))
    verdict = BROKEN if sample.report.label_findings else KEPT
    return Row(None, None, float(lost), np.nan, len(sample.codes), np.nan, verdict)
