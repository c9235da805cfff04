"""Two-sided intervals of a mean, and of the spread of several numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import t

Interval = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def mean_interval(
    mean: npt.ArrayLike,
    deviation: npt.ArrayLike,
    count: npt.ArrayLike,
    confidence: float = 0.95,
    skewness: npt.ArrayLike = 0.0,
) -> Interval:
    r"""Student's interval of a mean, corrected for skewness; NaN for one value.

    Losses are skewed: a few samples have most of the loss, and a small group may contain none of
    them. Hall's transformation of the studentized mean T removes the skewness g,

    .. math:: h(T) = T + g T^2 / 3 + g^2 T^3 / 27 + g / 6n

    for T in units of the deviation; it is monotone, and its inverse maps Student's quantiles, in
    place of normal ones, to the ends. With a skewness of 0 it is Student's interval.

    For losses whose largest values are rarer than one in `count`, no interval without a
    bound on them covers: ``benchmarks/studies/intervals/page.md`` has the number of samples from
    which this one does.

    Parameters
    ----------
    mean, deviation : array-like of float
        Mean and deviation of the values; the deviation with ``ddof=1``.
    count : array-like of int
        Number of values.
    confidence : float, default=0.95
        Nominal coverage.
    skewness : array-like of float, default=0.0
        Third central moment of the values in cubes of the deviation; NaN is treated as 0.

    Returns
    -------
    low, high : ndarray of float64
        In the unit of the values.

    References
    ----------
    Hall (1992), On the removal of skewness by transformation, JRSS B 54.

    Examples
    --------
    >>> low, high = mean_interval([1.0], [2.0], [16])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([-0.066], [2.066])
    >>> low, high = mean_interval([1.0], [2.0], [16], skewness=2.0)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.205], [5.426])
    """
    mean, s, n, g = (np.asarray(each, dtype=float) for each in (mean, deviation, count, skewness))
    quantile = t.isf((1 - confidence) / 2, np.maximum(n - 1, 1))
    s, root = np.where(n > 1, s, np.nan), np.sqrt(n)
    ends = (_untransformed(sign * quantile / root, g, n) for sign in (1, -1))
    low, high = (mean - s * end for end in ends)
    return low, high


def _untransformed(
    value: npt.NDArray[np.float64], skewness: npt.NDArray[np.float64], n: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the T of a transformed value; both in units of the deviation."""
    third = np.nan_to_num(skewness) / 3
    is_skewed = np.abs(third) > 1e-6
    a = np.where(is_skewed, third, 1.0)
    roots = (np.cbrt(1 + 3 * a * (value - a / (2 * n))) - 1) / a
    return np.where(is_skewed, roots, value)


def spread_interval(low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[float, float]:
    """Interval of the largest minus the smallest of several numbers, from an interval of each.

    It holds if all of those hold, and is wide if there are many: choose their confidence by
    Bonferroni's rule.

    Parameters
    ----------
    low, high : array-like of float
        Ends of the intervals.

    Returns
    -------
    low, high : float
        At least 0; the second is infinite if an end is not known.

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
