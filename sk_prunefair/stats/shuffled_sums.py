"""Sums over shuffled groups, drawn at a cost that grows with the groups and not with the rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Shares of the rows below the edges of bins: narrow in the tails, which make sums of few rows skew.
_EDGES = (0.0005, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9995)
_MAX_DISTINCT = len(_EDGES) + 1


class Bins(NamedTuple):
    """Rows of a column, put together by value.

    Parameters
    ----------
    counts : ndarray of shape (n_bins,), dtype int64
        Rows of each.
    means, deviations : ndarray of shape (n_bins,)
        Of the values in it; the deviation over the rows minus one, 0 where all are equal.
    """

    counts: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]

    @classmethod
    def of(cls, column: npt.NDArray[np.float64]) -> Bins:
        """Return one bin for each value where there are at most eight, else one between edges.

        >>> Bins.of(np.array([0.0, 1.0, 1.0])).counts.tolist()
        [1, 2]
        """
        first = np.unique(column[:1000])
        values = np.unique(column) if len(first) <= _MAX_DISTINCT else first
        edges = values[1:] if len(values) <= _MAX_DISTINCT else np.quantile(column, _EDGES)
        codes = np.searchsorted(np.unique(edges), column, side="right")
        counts = np.bincount(codes)
        codes, counts = (np.cumsum(counts > 0) - 1)[codes], counts[counts > 0]
        means = np.bincount(codes, column) / counts
        squares = np.bincount(codes, (column - means[codes]) ** 2)
        # What is left of equal values is rounding.
        squares[squares <= 1e-20 * counts * (1 + means**2)] = 0
        return cls(counts, means, np.sqrt(squares / np.maximum(counts - 1, 1)))


def shuffled_sums(
    column: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.int64],
    n_shuffles: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return the sums of a column over groups whose rows are shuffled.

    How many rows of each bin a group gets is drawn as shuffling draws it: a table with the margins
    of bins and groups, row by row hypergeometric. With at most eight distinct values that is all,
    and the sums are distributed exactly as those of shuffled rows. Otherwise values are in eight
    bins, and the sum of a group's k of the N rows of a bin, of variance
    ``k (1 − k / N) s²``, is drawn as normal: exact in its mean and in all covariances of groups,
    approximate in what is left of the shape within a bin: with groups of 3, 10, 60 and 427 rows of
    a lognormal column the distribution of gaps is off by 0.05 at most.

    Parameters
    ----------
    column : ndarray of shape (n_samples,)
        Values.
    sizes : ndarray of shape (n_groups,), dtype int64
        Rows of each group; their sum is n_samples.
    n_shuffles : int
        Number of shuffles.
    rng : numpy.random.Generator
        What draws.

    Returns
    -------
    ndarray of shape (n_shuffles, n_groups)
        The sums; each row adds up to the sum of the column.

    Examples
    --------
    >>> column, rng = np.array([0.0, 1.0, 1.0, 1.0]), np.random.default_rng(0)
    >>> sums = shuffled_sums(column, np.array([2, 2]), 5, rng)
    >>> sums.sum(axis=1).tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    bins = Bins.of(column)
    drawn = shuffled_tables(bins.counts, sizes, n_shuffles, rng)
    sums = np.zeros((n_shuffles, len(sizes)))
    for j, (count, mean, deviation) in enumerate(zip(*bins, strict=True)):
        rows = drawn[:, :, j]
        sums += rows * mean
        if deviation > 0:
            noise = np.sqrt(rows) * rng.normal(size=rows.shape)
            # What the bin adds up to is known.
            noise -= rows / count * noise.sum(axis=1, keepdims=True)
            sums += deviation * noise
    return sums


def shuffled_tables(
    counts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    n_shuffles: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Return how many rows of each kind the groups get when rows are shuffled.

    Parameters
    ----------
    counts : ndarray of shape (n_kinds,), dtype int64
        Rows of each kind.
    sizes, n_shuffles, rng
        As `shuffled_sums` takes them.

    Returns
    -------
    ndarray of shape (n_shuffles, n_groups, n_kinds), dtype int64
        Tables with these margins, as likely as shuffling makes them.
    """
    left = np.tile(counts, (n_shuffles, 1))
    drawn = np.zeros((n_shuffles, len(sizes), len(counts)), dtype=np.int64)
    for i, size in enumerate(sizes[:-1]):
        needed, others = np.full(n_shuffles, size), left.sum(axis=1)
        for j in range(len(counts) - 1):
            others -= left[:, j]
            drawn[:, i, j] = rng.hypergeometric(left[:, j], others, needed)
            needed -= drawn[:, i, j]
        drawn[:, i, -1] = needed
        left -= drawn[:, i]
    drawn[:, -1] = left
    return drawn
