"""Differences between group means, and their permutation distribution."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sk_prunefair.stats.shuffled_sums import shuffled_sums

# Least numbers of rows, and of rows per group, for drawing sums instead of shuffling.
MANY_ROWS, ROWS_PER_GROUP = 20_000, 100


def shuffled_gaps(
    values: npt.ArrayLike,
    codes: npt.NDArray[np.int64],
    n_shuffles: int,
    random_state: int = 0,
    *,
    counts: npt.NDArray[np.int64] | None = None,
    squares: Mapping[int, npt.NDArray[np.float64]] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the largest differences of group means, their mean under shuffling, and p-values.

    The gap of the smallest groups is mostly noise, which could hide a difference between large
    groups. Therefore the test statistic is the largest distance of a group's mean from the mean m
    of all, in units of its standard error, ``max_a |m_a − m| / sqrt(1 / n_a − 1 / n)``: the p-value
    is the share ``(1 + #) / (1 + n_shuffles)`` of the shuffles in which it is at least as large.

    With more than 20,000 rows, and more than 100 for each group, sums over shuffled groups are
    drawn without shuffling rows by `sk_prunefair.stats.shuffled_sums`, with the exact distribution
    for quantities with at most eight distinct values, and approximately for others.

    Parameters
    ----------
    values : array-like of shape (n_samples, n_quantities)
        Values to average.
    codes : ndarray of shape (n_samples,)
        Groups from 0 to n_groups - 1, none empty.
    n_shuffles : int
        Number of shuffles.
    random_state : int, default=0
        Seed.
    counts : ndarray of shape (n_samples,), dtype int64, default=None
        Number of samples that each row represents; None means one. With it sums are always drawn.
    squares : mapping of int to ndarray of shape (n_samples,), default=None
        By column, the sum of squared distances from the value of the samples of each row.

    Returns
    -------
    measured, shuffled, p_value : ndarray of shape (n_quantities,)
        One value for each quantity.

    Examples
    --------
    >>> values, codes = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([0, 1], 50)
    >>> measured, shuffled, p_value = shuffled_gaps(values, codes, 99)
    >>> measured.tolist(), shuffled.round(1).tolist(), p_value.tolist()
    ([1.0], [0.1], [0.01])
    """
    columns = np.ascontiguousarray(np.asarray(values, dtype=float).T)
    weights = np.ones(len(codes)) if counts is None else counts.astype(float)
    sizes = np.bincount(codes, weights).astype(np.int64)
    n = int(sizes.sum())
    overall = (columns @ weights)[:, None] / n
    errors = np.sqrt(1 / sizes - 1 / n) if len(sizes) > 1 else np.ones(1)
    rng = np.random.default_rng(random_state)

    def measure(means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        distances = np.abs(means - overall) / errors
        return np.array([np.ptp(means, axis=-1), distances.max(axis=-1)])

    def group_means(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.array([np.bincount(codes, weights * each) / sizes for each in columns])

    gap, distance = measure(group_means(codes))
    if counts is not None or n > max(MANY_ROWS, ROWS_PER_GROUP * len(sizes)):
        sums = [
            shuffled_sums(column, sizes, n_shuffles, rng, counts, (squares or {}).get(i))
            for i, column in enumerate(columns)
        ]
        draws = np.array([measure(means) for means in np.stack(sums, axis=1) / sizes])
    else:
        draws = np.array([measure(group_means(rng.permutation(codes))) for _ in range(n_shuffles)])
    # Sums of the same numbers in another order may differ by rounding.
    as_far = (draws[:, 1] >= distance * (1 - 1e-9) - 1e-12).sum(axis=0)
    return gap, draws[:, 0].mean(axis=0), (1 + as_far) / (1 + n_shuffles)
