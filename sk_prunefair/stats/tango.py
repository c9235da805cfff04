"""Tango's score interval of a paired drop, such as that of an accuracy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from sk_prunefair.stats.paired_many import score

_HALVINGS = 50


def tango_interval(
    n_samples: npt.ArrayLike,
    n_lost: npt.ArrayLike,
    n_won: npt.ArrayLike,
    confidence: float = 0.95,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return Tango's score interval of the drop ``(n_lost − n_won) / n_samples``, from pairs.

    The drops within z standard errors of the observed one, where the standard errors are those
    under the drop itself. Unlike the normal interval it has a positive width if nothing changed,
    and covers well in small samples.

    Parameters
    ----------
    n_samples, n_lost, n_won : array-like of int, of one shape
        Number of samples, and of those that only the first and only the second of two classifiers
        predicts correctly.
    confidence : float in (0, 1), default=0.95
        Approximate coverage probability.

    Returns
    -------
    low, high : ndarray
        In [−1, 1]; NaN if there are no samples.

    References
    ----------
    Tango (1998), Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design, Statistics in Medicine 17.

    Examples
    --------
    One of 44 pairs is won.

    >>> low, high = tango_interval(44, 0, 1)
    >>> round(float(low), 3), round(float(high), 3)
    (-0.118, 0.059)
    """
    counts = np.broadcast_arrays(n_samples, n_lost, n_won)
    n, lost, won = (np.asarray(each, dtype=float) for each in counts)
    z = float(norm.isf((1 - confidence) / 2))
    # The interval of the negative drop is the mirror image.
    high = _largest_drop(n, lost, won, z)
    return -_largest_drop(n, won, lost, z), high


def _largest_drop(
    n: npt.NDArray[np.float64],
    lost: npt.NDArray[np.float64],
    won: npt.NDArray[np.float64],
    z: float,
) -> npt.NDArray[np.float64]:
    """Return the largest drop for which the counts are at most z standard errors below."""
    seen = (lost - won) / np.where(n > 0, n, np.nan)
    low, high = seen.copy(), np.ones_like(seen)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_near = _drop_score(lost, won, n, middle) >= -z
        low, high = np.where(is_near, middle, low), np.where(is_near, high, middle)
    return (low + high) / 2


def _drop_score(
    lost: npt.NDArray[np.float64],
    won: npt.NDArray[np.float64],
    n: npt.NDArray[np.float64],
    drop: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    is_drop = drop >= 0
    first, second = np.where(is_drop, lost, won), np.where(is_drop, won, lost)
    found = score(first, second, n, np.abs(drop))
    return np.where(is_drop, found, -found)
