"""Prove limits by confidence bounds: a limit is kept if the bound of the figure keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sk_prunefair.acceptance.bounds import (
    change_bounds,
    change_difference_bound,
    gap_bound,
    ratio_bound,
    share_ends,
)
from sk_prunefair.acceptance.criteria import AcceptanceCriterion
from sk_prunefair.acceptance.rows import BROKEN, FEW, KEPT, Row, Sample
from sk_prunefair.acceptance.shares import Shares, positive_codes, positive_label, shares
from sk_prunefair.metrics._pairs import known_scores
from sk_prunefair.metrics._rates import brier_terms
from sk_prunefair.stats.betting import mean_lower_bound, mean_upper_bound
from sk_prunefair.stats.paired import drop_lower_bound


class Bounded(NamedTuple):
    """A figure of one group and its bounds.

    Parameters
    ----------
    measured, bound : float
        The figure, and its confidence bound towards the limit.
    best : float
        The bound of as many rows with the best possible result.
    other : float
        The bound on the other side; if it breaks the limit, harm is proven.
    n : int
        Number of rows.
    """

    measured: float
    bound: float
    best: float
    other: float
    n: int


def bounded_groups(sample: Sample, criterion: AcceptanceCriterion) -> list[Row]:
    """Return the verdict on each group's figure by its bound."""
    groups = sample.chosen(criterion)
    level = 1 - criterion.confidence
    # Divided by the number of groups, as a group with too few rows must not be called broken.
    harmed = level / len(groups)
    makers = {"selection_rate_change": _changes, "brier_score": _brier_scores}
    found = makers.get(criterion.metric, _shares)(sample, criterion, groups, level, harmed)
    label = positive_label(sample, criterion)
    return [
        Row(
            sample.names[group],
            label,
            one.measured,
            one.bound,
            one.n,
            np.nan,
            _verdict(criterion, one),
        )
        for group, one in zip(groups, found, strict=True)
    ]


def bounded_between(
    sample: Sample, criterion: AcceptanceCriterion, groups: list[int], measured: float
) -> tuple[float, str]:
    """Return the bound of a figure that compares groups, and the verdict."""
    level = 1 - criterion.confidence
    if criterion.metric == "accuracy_gap_change":
        rows = [_lost_and_won(sample, groups, each) for each in sample.levels]
        bounds, bests = (
            [change_difference_bound(n, part * lost, part * won, level) for n, lost, won in rows]
            for part in (1, 0)
        )
    else:
        compared = ratio_bound if criterion.kind.is_least else gap_bound
        found = [_known(each) for each in shares(sample, criterion, groups)]
        bounds = [compared(each, level) for each in found]
        bests = [compared(Shares(each.rows, each.rows), level) for each in found]
    worst = min if criterion.kind.is_least else max
    bound, best = worst(bounds), worst(bests)
    if criterion.keeps(bound):
        return bound, KEPT
    could = criterion.keeps(best) or not criterion.keeps(measured)
    return bound, BROKEN if could else FEW


def _lost_and_won(
    sample: Sample, groups: list[int], level: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return the numbers of all, lost and won rows of each group in a level, if it has rows."""
    before, after = sample.dense.is_right, sample.compressed.is_right
    masks = (level, level & before & ~after, level & after & ~before)
    n = len(sample.names)
    found = np.stack([np.bincount(sample.codes[each], minlength=n)[groups] for each in masks])
    return found[:, found[0] > 0]


def _known(found: Shares) -> Shares:
    """Return shares of the groups that have rows in a level of control features."""
    return Shares(*(each[found.rows > 0] for each in found))


def _shares(
    sample: Sample, criterion: AcceptanceCriterion, groups: list[int], level: float, harmed: float
) -> Iterator[Bounded]:
    [found, *others] = shares(sample, criterion, groups)
    if others:
        raise ValueError(
            f"criterion {criterion.name!r}: {criterion.metric} is a mean over several labels, "
            "which has no bound; set label, or set test to 'observed'"
        )
    is_least = criterion.kind.is_least
    best = Shares(found.rows if is_least else 0 * found.rows, found.rows)
    bounds, bests = (share_ends(each, level)[not is_least] for each in (found, best))
    ends = bounds, bests, share_ends(found, harmed)[is_least]
    for hits, n, bound, best_bound, other in zip(*found, *ends, strict=True):
        measured = hits / n if n else np.nan
        yield Bounded(measured, float(bound), float(best_bound), float(other), int(n))


def _changes(
    sample: Sample, criterion: AcceptanceCriterion, groups: list[int], level: float, harmed: float
) -> Iterator[Bounded]:
    codes = positive_codes(sample, criterion)
    if len(codes) > 1:
        raise ValueError(
            f"criterion {criterion.name!r}: {criterion.metric} needs a label, the positive one"
        )
    before, after = (each.labels == codes[0] for each in (sample.dense, sample.compressed))
    for group in groups:
        rows = sample.rows_of(group)
        n, old, new = len(rows), before[rows], after[rows]
        fewer, more = int((old & ~new).sum()), int((new & ~old).sum())
        seen, nothing = np.array([[n], [fewer], [more]]), np.array([[n], [0], [0]])
        bound, best = (
            float(np.max(change_bounds(each[0], each[1], each[2], level)))
            for each in (seen, nothing)
        )
        # The share may have fallen or risen.
        other = max(
            drop_lower_bound(n, down, up, 1 - harmed / 2)
            for down, up in ((fewer, more), (more, fewer))
        )
        yield Bounded(abs(more - fewer) / n, bound, best, other, n)


def _brier_scores(
    sample: Sample, criterion: AcceptanceCriterion, groups: list[int], level: float, harmed: float
) -> Iterator[Bounded]:
    scores = known_scores(sample.compressed)
    if scores is None:
        raise ValueError(
            f"criterion {criterion.name!r}: {criterion.metric} needs the probabilities of both "
            "models"
        )
    most = 1.0 if scores.shape[1] == 2 else 2.0
    # Probabilities sum to 1 only up to rounding.
    terms = np.clip(brier_terms(scores, sample.compressed.truth), 0.0, most)
    for group in groups:
        values = terms[sample.rows_of(group)]
        bound, best = (
            mean_upper_bound(each, low=0.0, high=most, confidence=1 - level)
            for each in (values, 0 * values)
        )
        other = mean_lower_bound(values, low=0.0, high=most, confidence=1 - harmed)
        yield Bounded(float(values.mean()), bound, best, other, len(values))


def _verdict(criterion: AcceptanceCriterion, found: Bounded) -> str:
    if found.n < criterion.min_count or np.isnan(found.measured):
        return FEW
    if criterion.keeps(found.bound):
        return KEPT
    is_harmed = not criterion.keeps(found.other)
    return BROKEN if criterion.keeps(found.best) or is_harmed else FEW
