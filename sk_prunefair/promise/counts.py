"""Evidence from counts of lost and won rows, for many groups at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sk_prunefair.stats.paired_many import drop_p_values, drop_upper_bounds
from sk_prunefair.stats.sample_size import drop_lower_bounds_about, samples_about

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Proof(NamedTuple):
    """Evidence of one group; see `sk_prunefair.promise.evidence.Evidence`."""

    drop_bound: float
    p_value: float
    is_testable: bool
    p_harm: float
    needed: float
    needed_most: float


def prove(counts: Sequence[tuple[int, int, int]], bound: float, confidence: float) -> list[Proof]:
    """Test for each group whether it loses at most a bound.

    Parameters
    ----------
    counts : sequence of tuple of three int
        Numbers of rows (at least one), of lost and of won rows.
    bound : float in [0, 1)
        Accepted loss.
    confidence : float in (0, 1)
        1 − α.

    Returns
    -------
    list of Proof
        One for each group.

    Examples
    --------
    >>> passes, fails = prove([(400, 0, 0), (400, 6, 0)], 0.02, 0.95)
    >>> passes.drop_bound, round(passes.p_value, 4), passes.needed
    (0.0077, 0.0028, nan)
    >>> fails.drop_bound, round(fails.p_value, 2), fails.needed, fails.needed_most
    (0.0297, 0.32, 462.0, 2443.0)
    """
    if not counts:
        return []
    level = 1 - confidence
    n, lost, won = np.array(counts, dtype=np.int64).T
    p_value = drop_p_values(n, lost, won, np.full(len(n), bound), level / 20)
    is_testable = _is_testable(n, bound, level)
    # The level may be compared with a share, so that its least value is small.
    p_harm = _p_harm(n, lost, won, bound, level / 1000, ~is_testable)
    needed, most = rows_needed(n, lost, won, bound, confidence, p_value > level)
    drop_bound = drop_upper_bounds(n, lost, won, confidence)
    columns = (drop_bound, p_value, is_testable, p_harm, needed, most)
    return [Proof(*row) for row in zip(*(each.tolist() for each in columns), strict=True)]


def rows_if_unchanged(bound: float, confidence: float) -> float:
    """Return about how many rows are needed if no row is lost or won."""
    return float(samples_about(np.zeros(1), np.zeros(1), bound, confidence)[0])


def _is_testable(n: Counts, bound: float, level: float) -> npt.NDArray[np.bool_]:
    sizes, place = np.unique(n, return_inverse=True)
    nothing = np.zeros(len(sizes), dtype=np.int64)
    p = drop_p_values(sizes, nothing, nothing, np.full(len(sizes), bound), level / 20)
    return np.asarray((p <= level)[place])


def _p_harm(
    n: Counts, lost: Counts, won: Counts, bound: float, beta: float, is_asked: npt.NDArray[np.bool_]
) -> Values:
    """Return the p-value of "the drop is at most the bound"; 1 if the observed one is, too."""
    p, worse = np.ones(len(n)), is_asked & (lost - won > n * bound)
    drops = np.full(int(worse.sum()), -bound)
    p[worse] = drop_p_values(n[worse], won[worse], lost[worse], drops, beta)
    return p


def rows_needed(
    n: Counts,
    lost: Counts,
    won: Counts,
    bound: float,
    confidence: float,
    is_open: npt.NDArray[np.bool_],
) -> tuple[Values, Values]:
    """Return the least and the largest number of rows needed, NaN if the rows are enough."""
    level = 1 - confidence
    low = drop_lower_bounds_about(n, lost, won, confidence)
    # That a drop is too large is reported where that is proven.
    is_proven = _p_harm(n, lost, won, bound, level / 20, is_open) <= level
    low = np.where(is_proven, 1.0, np.minimum(low, 0.999 * bound))
    # At least n + 1, as the p-value is not monotone and one more row may be enough.
    least, most = (
        np.where(
            is_open,
            np.maximum(samples_about(drop + won / n, won / n, bound, confidence), n + 1),
            np.nan,
        )
        for drop in (low, (lost - won) / n)
    )
    return np.minimum(least, most), most
