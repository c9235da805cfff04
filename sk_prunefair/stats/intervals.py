"""Two-sided intervals of a mean, and of the spread of several numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import t

Interval = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


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
