"""Intervals of shares, such as accuracies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, norm

_LARGE = 50  # number of samples above which one more count is corrected


def wilson_interval(
    share: npt.ArrayLike, count: npt.ArrayLike, z: float = 1.96
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    r"""Return Wilson's score interval of binomial shares, corrected near 0 and 1; 95 % by default.

    ``(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)``

    For 1 to 2 cases (1 to 3 of more than 50 samples) the lower end is that of a Poisson count,
    ``χ²(α; 2x) / 2n``, and likewise the upper end if as few cases are missing: for a share near 1,
    Wilson's interval covers as little as 0.84 (``benchmarks/studies/intervals/page.md``).

    Parameters
    ----------
    share : array-like of float
        Observed share, in [0, 1].
    count : array-like of int
        Number of samples.
    z : float, default=1.96
        Normal quantile of the confidence.

    Returns
    -------
    low, high : ndarray of float64
        In [0, 1]; NaN where a share is NaN.

    References
    ----------
    Wilson (1927), JASA 22; Brown, Cai and DasGupta (2001), Interval estimation for a binomial
    proportion, Statistical Science 16, section 4.1.1.

    Examples
    --------
    >>> low, high = wilson_interval([0.5, 0.9, 1.0], [10, 10, 10])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237, 0.596, 0.722], [0.763, 0.995, 1.0])
    """
    p, n = np.broadcast_arrays(np.asarray(share, dtype=float), np.asarray(count, dtype=float))
    middle = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return np.minimum(low, _of_few(p, n, z)), np.maximum(high, 1 - _of_few(1 - p, n, z))


def _of_few(
    p: npt.NDArray[np.float64], n: npt.NDArray[np.float64], z: float
) -> npt.NDArray[np.float64]:
    """Return a Poisson count's lower end if there are few cases, else 1."""
    cases = p * n
    few = np.where(n > _LARGE, 3, 2) + 1e-9
    is_few = (cases > 1e-9) & (cases <= few) & (cases < n - 1e-9)
    ends = chi2.ppf(2 * norm.sf(z), 2 * np.where(is_few, cases, 1.0)) / (2 * n)
    return np.where(is_few, ends, 1.0)
