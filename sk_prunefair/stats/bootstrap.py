"""Bootstrap of statistics of sample counts; for sums by group see `group_draws`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

_CELLS = 2_000_000  # size of the count table that is in memory at once


def bootstrap_values(
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    sizes: npt.NDArray[np.int64],
    n_boot: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return a statistic of samples drawn with replacement, as many as in the data.

    Parameters
    ----------
    statistic : callable
        Function of counts of shape (n_draws, n_cells), the number of drawn samples of each cell,
        that returns values of shape (n_draws, ...).
    sizes : ndarray of shape (n_cells,), dtype int64
        Numbers of equal samples, which are drawn together; ones if all samples are different.
    n_boot : int
        Number of draws.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    ndarray of shape (n_boot, ...)

    Examples
    --------
    >>> values, sizes = np.array([0.0, 1.0, 2.0]), np.array([1, 1, 1])
    >>> rng = np.random.default_rng(0)
    >>> draws = bootstrap_values(lambda counts: counts @ values / 3, sizes, 2000, rng)
    >>> draws.shape, draws.mean().round(1).item(), draws.std().round(1).item()
    ((2000,), 1.0, 0.5)
    """
    n_samples, n_cells = int(sizes.sum()), len(sizes)
    step = max(1, _CELLS // max(n_samples if n_cells == n_samples else n_cells, 1))
    parts = []
    for start in range(0, n_boot, step):
        n_draws = min(step, n_boot - start)
        if n_cells < n_samples:
            counts = rng.multinomial(n_samples, sizes / n_samples, size=n_draws)
        else:
            # Each draw has its own range of codes, so that one bincount counts for all draws.
            drawn = rng.integers(n_samples, size=(n_draws, n_samples))
            drawn += n_samples * np.arange(n_draws)[:, np.newaxis]
            flat = np.bincount(drawn.ravel(), minlength=n_draws * n_samples)
            counts = flat.reshape(n_draws, n_samples)
        parts.append(statistic(counts.astype(float)))
    return np.concatenate(parts)


def normal_interval(
    value: npt.ArrayLike, draws: npt.NDArray[np.float64], confidence: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return ``value ± z · s``, with s the standard deviation of the bootstrap's draws.

    Unlike the quantiles of the draws it is not shifted by the bias of resampling, as for
    distances, such as a calibration error or a largest difference between groups.

    Parameters
    ----------
    value : array-like of shape (...)
        The statistic of the samples.
    draws : ndarray of shape (n_boot, ...)
        Result of `bootstrap_values`; NaN where the statistic is not defined for a draw.
    confidence : float in (0, 1)
        Approximate coverage probability.

    Returns
    -------
    low, high : ndarray of shape (...)
        NaN if fewer than two draws have a value, or all draws are equal: samples that do
        not differ give no estimate of the error.

    Examples
    --------
    >>> low, high = normal_interval(0.5, np.array([0.4, 0.5, 0.6]), 0.95)
    >>> round(float(low), 3), round(float(high), 3)
    (0.304, 0.696)
    """
    values = np.asarray(value, dtype=float)
    is_known = ~np.isnan(draws)
    n_known = is_known.sum(axis=0)
    means = np.where(is_known, draws, 0).sum(axis=0) / np.maximum(n_known, 1)
    squares = (np.where(is_known, draws - means, 0) ** 2).sum(axis=0)
    spread = np.sqrt(squares / np.maximum(n_known - 1, 1))
    spread = np.where((n_known > 1) & (spread > 1e-12), spread, np.nan)
    half = float(norm.isf((1 - confidence) / 2)) * spread
    return values - half, values + half
