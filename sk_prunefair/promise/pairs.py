"""Test every pair of groups for a difference between their losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sk_prunefair.promise.evidence import Evidence
from sk_prunefair.stats.betting import mean_p_value
from sk_prunefair.stats.combine import (
    squared_z,
    two_squared_z_critical,
    two_squared_z_p_value,
)
from sk_prunefair.stats.paired import drop_p_value

Values = npt.NDArray[np.float64]
_STEPS = (12, 60)  # grid steps per margin; the finer grid if the coarse one is inconclusive
_MAX_STEPS = 20_000


def examine_pairs(
    changes: Sequence[Values],
    *,
    margin: float,
    scale: float,
    is_binary: bool,
    confidence: float,
    counts: Sequence[npt.NDArray[np.int64]] | None = None,
) -> list[Evidence]:
    r"""Test for each group whether it loses more than any other group by a margin.

    Groups are independent of each other. For a pair, "a loses more than b by δ or more" is refuted
    if for every c the rows of a refute that its drop is at least c, or those of b that its drop is
    at most c − δ, or both do jointly:

    .. math:: T = \min_c \, z(p_a(c))^2 + z(p_b(c - δ))^2

    with the p-values of the exact paired test or of bets, and z(p) = max(0, Φ⁻¹(1 − p)). At c = the
    true drop of a, both hypotheses hold if the difference is δ or more, so that T is too large
    with a probability of at most α: see `sk_prunefair.stats.combine.two_squared_z_p_value`. It is
    valid at any size, and requires 2.06 standard errors of the difference at 0.95, while two bounds
    at half the level each require up to 2.77. The minimum is bounded, cell by cell of a grid in c.

    Parameters
    ----------
    changes : sequence of ndarray of shape (n_rows,), dtype float64
        By group, before − after, in an order that does not depend on them.
    margin : float
        δ, above 0.
    scale : float
        Changes are in [-scale, scale].
    is_binary : bool
        Whether each change is -1, 0 or 1.
    confidence : float in (0, 1)
        1 − α.
    counts : sequence of ndarray of shape (n_rows,), dtype int64, default=None
        By group, the number of rows that each one represents, for binary changes; None means one.

    Returns
    -------
    list of Evidence
        By group: ``drop`` is its loss minus the smallest loss of a group, ``p_value`` the
        largest of its pairs. Empty if there are fewer than two groups.
    """
    if len(changes) < 2:
        return []
    given: Sequence[Values | _Counted] = changes
    if is_binary:
        weights = counts or [np.ones(len(each), dtype=np.int64) for each in changes]
        given = [_Counted.of(each, n) for each, n in zip(changes, weights, strict=True)]
    tests = [_tests(each, scale, confidence) for each in given]
    drops = np.array([each.mean() for each in given])
    p_values = two_squared_z_p_value(_least_sums(tests, drops, margin, 1 - confidence))
    np.fill_diagonal(p_values, 0)
    return [
        _evidence(group, given, drops, p_values[group], margin, confidence)
        for group in range(len(changes))
    ]


Test = Callable[[float], float]


@dataclass(frozen=True)
class _Counted:
    """Changes of -1, 0 and 1, for which the counts are sufficient."""

    n: int
    lost: int
    won: int

    @classmethod
    def of(cls, changes: Values, counts: npt.NDArray[np.int64]) -> _Counted:
        lost, won = (int(counts[each].sum()) for each in (changes > 0, changes < 0))
        return cls(int(counts.sum()), lost, won)

    def __len__(self) -> int:
        return self.n

    def mean(self) -> float:
        return (self.lost - self.won) / self.n


def _tests(changes: Values | _Counted, scale: float, confidence: float) -> tuple[Test, Test]:
    """Return p-values of "the drop is at least c" and "the drop is at most c", as functions."""
    if isinstance(changes, _Counted):
        n, lost, won = changes.n, changes.lost, changes.won
        level = (1 - confidence) / 20

        def exact(n_lost: int, n_won: int, c: float) -> float:
            return 1.0 if c <= -1 else drop_p_value(n, n_lost, n_won, min(c, 0.9999), level)

        return lambda c: exact(lost, won, c), lambda c: exact(won, lost, -c)

    def bets(values: Values, c: float) -> float:
        return mean_p_value(values, c, low=-scale, high=scale, confidence=confidence)

    return lambda c: bets(-changes, -c), lambda c: bets(changes, c)


def _least_sums(
    tests: Sequence[tuple[Test, Test]], drops: Values, margin: float, level: float
) -> Values:
    """Return T of every pair, row a and column b, bounded from below."""
    critical = two_squared_z_critical(level) if level < 0.75 else 0.0
    sums, groups = np.zeros((len(drops), len(drops))), np.arange(len(drops))
    for n_steps in _STEPS:
        pairs = np.ix_(groups, groups)
        least, most = _sums(
            [tests[int(group)] for group in groups], drops[groups], margin, n_steps, level
        )
        sums[pairs] = np.maximum(sums[pairs], least)
        is_open = (least < critical) & (most >= critical)
        np.fill_diagonal(is_open, False)
        groups = groups[is_open.any(axis=0) | is_open.any(axis=1)]
        if len(groups) == 0:
            break
    return sums


def _sums(
    tests: Sequence[tuple[Test, Test]], drops: Values, margin: float, n_steps: int, level: float
) -> tuple[Values, Values]:
    """Return bounds of T of every pair, from a grid: by its cells, and at its points."""
    low = drops.min() - margin
    n = int(np.ceil((drops.max() + margin - low) / margin * n_steps))
    if n > _MAX_STEPS:
        raise ValueError(
            "the margin between groups is too small, as their drops differ by "
            f"{np.ptp(drops):.3g}; got {margin}"
        )
    grid = low + margin * (np.arange(n + 1) / n_steps)
    above, below = [], []
    for (at_least, at_most), drop in zip(tests, drops, strict=True):
        above.append(_scores(at_least, grid, drop, level))
        below.append(_scores(_mirrored(at_most), -grid[::-1], -drop, level)[::-1])
    # In the cell from c[i] to c[i + 1], p_a is at most that at c[i], p_b at most that at c[i + 1];
    # the first cell reaches down to minus infinity, the last one up to infinity.
    nothing = np.zeros((len(drops), 1))
    shifted = np.array(below)[:, np.maximum(np.arange(n + 1) - n_steps, 0)]
    cells = np.hstack([nothing, above]), np.hstack([shifted, nothing])
    points = np.array(above)[:, n_steps:], np.array(below)[:, : n + 1 - n_steps]
    least, most = (
        np.array([(row + second).min(axis=1) for row in first]) for first, second in (cells, points)
    )
    return least, most


def _mirrored(p_value: Test) -> Test:
    return lambda c: p_value(-c)


def _scores(p_value: Test, grid: Values, drop: float, level: float) -> Values:
    """Return the squared z of a p-value that decreases along a grid; 0 up to the observed drop."""
    scores = np.zeros(len(grid))
    for i in range(int(np.searchsorted(grid, drop)), len(grid)):
        p = p_value(float(grid[i]))
        scores[i] = squared_z(p)
        if p <= level / 10:  # enough for any pair; it does not increase further on
            scores[i:] = scores[i]
            break
    return np.asarray(np.maximum.accumulate(scores))


def _evidence(
    group: int,
    changes: Sequence[Values | _Counted],
    drops: Values,
    p_values: Values,
    margin: float,
    confidence: float,
) -> Evidence:
    count, other = len(changes[group]), int(p_values.argmax())
    p_value, drop = float(p_values[other]), float(drops[group] - np.delete(drops, group).min())
    least = most = np.nan
    if p_value > 1 - confidence:
        # Normal approximation, with both groups growing in proportion.
        variance = sum(_variance(changes[each]) / len(changes[each]) for each in (group, other))
        seen = drops[group] - drops[other]
        critical = two_squared_z_critical(1 - confidence)
        spread = np.sqrt(critical * variance)
        most = np.ceil(count * (spread / (margin - seen)) ** 2) if seen < margin else np.inf
        nearest = max(0.0, min(seen, seen - spread))
        least = np.ceil(count * (spread / (margin - nearest)) ** 2) if nearest < margin else np.inf
        least, most = max(least, count + 1.0), max(most, count + 1.0)
    return Evidence(count, np.nan, np.nan, drop, np.nan, p_value, True, 1.0, min(least, most), most)


def _variance(changes: Values | _Counted) -> float:
    """Return the variance with one more row of the largest change, so that it is never 0."""
    if isinstance(changes, _Counted):
        n, lost, won = changes.n + 1, changes.lost + 1, changes.won
        return (lost + won) / n - ((lost - won) / n) ** 2
    largest = np.abs(changes).max() or 1.0
    return float(np.append(changes, largest).var())
