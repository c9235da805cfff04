"""Evidence of one group's rows on one criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sk_prunefair.promise.counts import prove, rows_if_unchanged
from sk_prunefair.promise.criteria import Criterion
from sk_prunefair.stats.betting import mean_lower_bound, mean_p_value, mean_upper_bound

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """Evidence of one group's rows on one criterion.

    Attributes
    ----------
    count : int
        Number of rows that the criterion concerns.
    dense, compressed, drop : float
        Means of the value; NaN without rows.
    drop_bound : float
        Upper confidence bound of the drop.
    p_value : float
        p-value of "the drop exceeds the promise".
    is_testable : bool
        Whether as many rows could prove the promise if both classifiers agreed on all of them.
    p_harm : float
        p-value of "the drop is within the promise"; 1 if `is_testable`, where it is not needed,
        and if the observed drop is within the promise.
    needed, needed_most : float
        Number of rows needed if the drop is the least that the rows do not refute, and if it is
        the observed one. NaN if the test passes, infinite if that drop is too large.
    unlabelled : int, default=0
        Number of rows without labels that were used as well.
    changed : float
        Share of all these rows whose prediction changed; NaN if not used.
    by : str, default="labels"
        Data of the test: "labels", "changes" (no row has a label), "both", or the "answers" (the
        predictions) of all rows, for which no label is needed.
    """

    count: int
    dense: float
    compressed: float
    drop: float
    drop_bound: float
    p_value: float
    is_testable: bool
    p_harm: float
    needed: float
    needed_most: float
    unlabelled: int = 0
    changed: float = np.nan
    by: str = "labels"


def examine(
    criterion: Criterion,
    before: Values,
    after: Values,
    truth: npt.NDArray[np.int64],
    *,
    bound: float,
    confidence: float,
    counts: npt.NDArray[np.int64] | None = None,
) -> Evidence:
    """Test whether a criterion falls by at most a bound in one group.

    Values of 0 and 1 are compared by `sk_prunefair.stats.paired.drop_p_value`, which is exact.
    Other values are compared by `sk_prunefair.stats.betting.mean_p_value`, a bet on the change of
    each row. For the mean of the classes' means, bets are on rounds: see `rounds`.

    Parameters
    ----------
    criterion : Criterion
        The criterion.
    before, after : ndarray of shape (n_rows,), dtype float64
        Its values, over the rows of the group that it concerns, in an order that does not depend
        on them.
    truth : ndarray of shape (n_rows,), dtype int64
        Labels of the rows.
    bound : float in [0, scale)
        Accepted loss.
    confidence : float in (0, 1)
        1 − α.
    counts : ndarray of shape (n_rows,), dtype int64, default=None
        Number of rows that each one represents, for values of 0 and 1; None means one.

    Returns
    -------
    Evidence
        Valid by itself for any number of rows; without rows nothing is proven.
    """
    weights = None if counts is None else [counts]
    [found] = examine_groups(criterion, [before], [after], [truth], bound, confidence, weights)
    return found


def examine_groups(
    criterion: Criterion,
    before: Sequence[Values],
    after: Sequence[Values],
    truth: Sequence[npt.NDArray[np.int64]],
    bound: float,
    confidence: float,
    weights: Sequence[Counts] | None = None,
) -> list[Evidence]:
    """Return the results of `examine` for all groups together."""
    if criterion.is_binary:
        return _exact(criterion, before, after, bound, confidence, weights)
    return [
        _by_bets(criterion, *each, bound, confidence)
        for each in zip(before, after, truth, strict=True)
    ]


def _by_bets(
    criterion: Criterion,
    before: Values,
    after: Values,
    truth: npt.NDArray[np.int64],
    bound: float,
    confidence: float,
) -> Evidence:
    if len(before) == 0:
        return _nothing(criterion, _bets_needed(0.0, 0.0, bound, criterion.scale, confidence))
    per_round, changes = 1.0, before - after
    if criterion.by_class:
        changes, before, after = (rounds(each, truth) for each in (changes, before, after))
        per_round = len(truth) / len(changes)
    return _bets(changes, before, after, criterion, bound, confidence, per_round)


def _nothing(criterion: Criterion, needed: float) -> Evidence:
    unknown = (np.nan, np.nan, np.nan, criterion.scale)
    return Evidence(0, *unknown, 1.0, False, 1.0, needed, needed)


def rounds(values: Values, truth: npt.NDArray[np.int64]) -> Values:
    """Return values whose common mean is the mean of the classes' means, independent of each other.

    The rows of each class are distributed in turn to as many rounds as the rarest class has rows;
    the value of a round is the mean, over the classes, of the mean of its rows. Given the labels, a
    row's value has the mean of its class, so that the value of each round has the mean of the
    classes' means. All rows are used; bets are valid as the rounds are independent and bounded. A
    union bound over the classes would split the level among them, and add their bounds: with ten
    classes of 300 rows it passes half as often. It is better if the rarest of many
    classes has few rows, as there are few rounds then
    (``benchmarks/studies/promise_verdict/page.md``).

    Parameters
    ----------
    values : ndarray of shape (n_rows,), dtype float64
        Values, in an order that does not depend on them.
    truth : ndarray of shape (n_rows,), dtype int64
        Labels.

    Returns
    -------
    ndarray of shape (n_rounds,), dtype float64
        Mean of each round; as many as the rarest class has rows.

    Examples
    --------
    Label 1 has two rows, so there are two rounds; 0, 2, 4 and 1, 3, 5 are averaged in them.

    >>> rounds(np.array([0.0, 1, 2, 3, 4, 5, 10, 20]), np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    array([ 6. , 11.5])
    """
    codes, counts = np.unique(truth, return_counts=True)
    n_rounds = counts.min()
    means = [
        np.bincount(np.arange(count) % n_rounds, weights=values[truth == code])
        / np.bincount(np.arange(count) % n_rounds)
        for code, count in zip(codes, counts, strict=True)
    ]
    return np.asarray(np.mean(means, axis=0))


def _exact(
    criterion: Criterion,
    before: Sequence[Values],
    after: Sequence[Values],
    bound: float,
    confidence: float,
    weights: Sequence[Counts] | None,
) -> list[Evidence]:
    if weights is None:
        weights = [np.ones(len(old), dtype=np.int64) for old in before]
    counts = [
        (int(n.sum()), int(n[old > new].sum()), int(n[new > old].sum()))
        for n, old, new in zip(weights, before, after, strict=True)
    ]
    proofs = iter(prove([each for each in counts if each[0]], bound, confidence))
    nothing = _nothing(criterion, rows_if_unchanged(bound, confidence))
    return [
        Evidence(
            n,
            criterion.shown(float(old @ each) / n),
            criterion.shown(float(new @ each) / n),
            (lost - won) / n,
            **next(proofs)._asdict(),
        )
        if n
        else nothing
        for (n, lost, won), each, old, new in zip(counts, weights, before, after, strict=True)
    ]


def _bets(
    changes: Values,
    before: Values,
    after: Values,
    criterion: Criterion,
    bound: float,
    confidence: float,
    per_round: float,
) -> Evidence:
    options = {"low": -criterion.scale, "high": criterion.scale, "confidence": confidence}
    p_value = mean_p_value(-changes, -bound, **options)
    is_testable, p_harm = mean_p_value(0 * changes, -bound, **options) <= 1 - confidence, 1.0
    count = len(changes) * per_round
    least = most = np.nan
    if p_value > 1 - confidence:
        low = max(mean_lower_bound(changes, **options), 0.0)
        scale, spread = criterion.scale, changes.std()
        least, most = (
            max(per_round * _bets_needed(drop, spread, bound, scale, confidence), count + 1)
            for drop in (low, changes.mean())
        )
    if not is_testable:
        p_harm = mean_p_value(changes, bound, **options)
    return Evidence(
        round(count),
        criterion.shown(before.mean()),
        criterion.shown(after.mean()),
        changes.mean(),
        mean_upper_bound(changes, **options),
        p_value,
        is_testable,
        p_harm,
        min(least, most),
        most,
    )


def _bets_needed(
    drop: float, spread: float, bound: float, scale: float, confidence: float
) -> float:
    """Return about how many values the bets need until the growth of the stakes is enough.

    A stake λ on a gap g grows by λ g − λ² σ² / 2 a value; the stakes are what `mean_lower_bound`
    would set before any value, and at most 0.75 of the possible loss.
    """
    gap, target = bound - drop, -np.log1p(-confidence)
    if gap <= 0:
        return np.inf
    n = 2 * target * (spread / gap) ** 2 + target / np.log1p(0.75 * gap / (scale + bound))
    return float(np.ceil(n))
