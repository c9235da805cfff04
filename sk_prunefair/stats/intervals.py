"""Two-sided intervals of one mean, and of the difference of two shares over the same samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from sk_prunefair.stats.paired import tango_score

Interval = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def drop_interval(
    count: npt.ArrayLike, lost: npt.ArrayLike, won: npt.ArrayLike, confidence: float = 0.95
) -> Interval:
    """Tango's score interval of an accuracy drop over paired samples (Tango 1998).

    All drops whose score is within the normal quantile. Unlike the interval of the normal
    approximation it has a width where no sample changed.

    Parameters
    ----------
    count, lost, won : array-like of int
        Samples; those right before and wrong after; those wrong before and right after.
    confidence : float, default=0.95
        Nominal coverage.

    Returns
    -------
    low, high : ndarray of float64
        In [−1, 1], of the shape of the counts.

    Examples
    --------
    >>> low, high = drop_interval([100, 10], [12, 0], [4, 0])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.002, -0.278], [0.166, 0.278])
    """
    n, lost, won = (np.asarray(each, dtype=float) for each in (count, lost, won))
    z = float(norm.isf((1 - confidence) / 2))
    return -_largest_drop(n, won, lost, z), _largest_drop(n, lost, won, z)


def _largest_drop(
    n: npt.NDArray[np.float64],
    lost: npt.NDArray[np.float64],
    won: npt.NDArray[np.float64],
    z: float,
) -> npt.NDArray[np.float64]:
    """Return the largest drop whose score is at least −z, by bisection: the score falls with it."""
    low, high = (lost - won) / n, np.ones_like(n)
    for _ in range(50):
        middle = (low + high) / 2
        size = np.abs(middle)
        forth, back = tango_score(lost, won, n, size), -tango_score(won, lost, n, size)
        is_likely = np.where(middle >= 0, forth, back) >= -z
        low, high = np.where(is_likely, middle, low), np.where(is_likely, high, middle)
    return high


def mean_interval(
    mean: npt.ArrayLike, deviation: npt.ArrayLike, count: npt.ArrayLike, confidence: float = 0.95
) -> Interval:
    """Student's interval of a mean; NaN for one value.

    Parameters
    ----------
    mean, deviation : array-like of float
        Of the values; the deviation with ``ddof=1``.
    count : array-like of int
        How many values.
    confidence : float, default=0.95
        Nominal coverage.

    Returns
    -------
    low, high : ndarray of float64
        In the unit of the values.

    Examples
    --------
    >>> low, high = mean_interval([1.0], [2.0], [16])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([-0.066], [2.066])
    """
    mean, s, n = (np.asarray(each, dtype=float) for each in (mean, deviation, count))
    quantile = t.isf((1 - confidence) / 2, np.maximum(n - 1, 1))
    half = np.where(n > 1, quantile * s / np.sqrt(n), np.nan)
    return mean - half, mean + half


def spread_interval(low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[float, float]:
    """Interval of the largest minus the smallest of several numbers, from an interval of each.

    It holds wherever all of those hold, and is wide where there are many: take their confidence by
    Bonferroni's rule.

    Parameters
    ----------
    low, high : array-like of float
        Ends of the intervals.

    Returns
    -------
    low, high : float
        At least 0; the second is infinite where an end is not known.

    Examples
    --------
    >>> spread_interval([0.5, 0.9], [0.7, 1.0])
    (0.2, 0.5)
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if np.isnan(low).any():
        return 0.0, np.inf
    least = max(0.0, float(low.max() - high.min()))
    return round(least, 12), round(float(max(0.0, high.max() - low.min())), 12)
