"""Draw sums over shuffled groups, at a cost that depends on the groups and not on the rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_MAX_DISTINCT = 8  # largest number of distinct values with one bin each
_MAX_EXTREME = 500  # largest number of rows that are assigned one by one
_EDGES = (0.01, 0.1, 0.5, 0.9, 0.99)  # edges of the bins of the other rows, as quantiles


class Bins(NamedTuple):
    """Rows of a column, binned by value.

    Parameters
    ----------
    counts : ndarray of shape (n_bins,), dtype int64
        Number of rows of each bin.
    means, deviations : ndarray of shape (n_bins,)
        Mean and deviation of its values; the deviation with n − 1 in the denominator, 0 if all are
        equal.
    """

    counts: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        column: npt.NDArray[np.float64],
        edges: npt.NDArray[np.float64],
        weights: npt.NDArray[np.int64] | None = None,
        within: npt.NDArray[np.float64] | None = None,
    ) -> Bins:
        """Return bins between edges, without empty ones.

        A row may represent several samples, by its weight, with a sum of squares within them.

        >>> Bins.of(np.array([0.0, 1.0, 1.0]), np.array([0.5, 2.0])).counts.tolist()
        [1, 2]
        """
        codes = np.searchsorted(edges, column, side="right")
        n = np.ones(len(codes)) if weights is None else weights
        counts = np.bincount(codes, n).astype(np.int64)
        codes, counts = (np.cumsum(counts > 0) - 1)[codes], counts[counts > 0]
        means = np.bincount(codes, n * column) / counts
        squares = np.bincount(codes, n * (column - means[codes]) ** 2)
        if within is not None:
            squares += np.bincount(codes, within)
        # With equal values the remainder is rounding.
        squares[squares <= 1e-20 * counts * (1 + means**2)] = 0
        return cls(counts, means, np.sqrt(squares / np.maximum(counts - 1, 1)))


def shuffled_sums(
    column: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.int64],
    n_shuffles: int,
    rng: np.random.Generator,
    counts: npt.NDArray[np.int64] | None = None,
    squares: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the sums of a column over groups whose rows are shuffled.

    The number of rows of each value in a group is drawn from the distribution under shuffling: a
    table with the margins of values and groups, hypergeometric cell by cell. With at most eight
    distinct values the sums have exactly the distribution of those of shuffled rows. Otherwise the
    rows furthest from the median, one in twenty but at most 500, are assigned to groups one by one,
    and the others are in six bins; the sum of a group's k of the N rows of a bin, of variance
    ``k (1 − k / N) s²``, is drawn as normal: exact in its mean and in all covariances of groups,
    approximate in the shape of the distribution within a bin.

    Parameters
    ----------
    column : ndarray of shape (n_samples,)
        Values.
    sizes : ndarray of shape (n_groups,), dtype int64
        Number of rows of each group; their sum is n_samples.
    n_shuffles : int
        Number of shuffles.
    rng : numpy.random.Generator
        Source of the draws.
    counts : ndarray of shape (n_samples,), dtype int64, default=None
        Number of samples that each row represents; None means one. With it no row is assigned
        singly.
    squares : ndarray of shape (n_samples,), default=None
        Sums of squared distances from the value, of the samples of each row.

    Returns
    -------
    ndarray of shape (n_shuffles, n_groups)
        The sums; each row sums to the sum of the column.

    Examples
    --------
    >>> column, rng = np.array([0.0, 1.0, 1.0, 1.0]), np.random.default_rng(0)
    >>> sums = shuffled_sums(column, np.array([2, 2]), 5, rng)
    >>> sums.sum(axis=1).tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    left = np.tile(sizes, (n_shuffles, 1))
    sums, values = np.zeros(left.shape), _few_values(column)
    if values is None and counts is None:
        n_extreme = min(_MAX_EXTREME, len(column) // 20)
        order = np.argsort(np.abs(column - np.median(column)))
        column, extreme = np.split(column[order], [len(column) - n_extreme])
        cells = _cells_of_rows(sizes, n_extreme, n_shuffles, rng)
        weights = np.tile(extreme, n_shuffles)
        sums += np.bincount(cells, weights, left.size).reshape(left.shape)
        left -= np.bincount(cells, minlength=left.size).reshape(left.shape)
    edges = np.quantile(column, _EDGES) if values is None else values[1:]
    bins = Bins.of(column, np.unique(edges), counts, squares)
    drawn = shuffled_tables(bins.counts, left, rng)
    for j, (count, mean, deviation) in enumerate(zip(*bins, strict=True)):
        rows = drawn[:, :, j]
        sums += rows * mean
        if deviation > 0:
            noise = np.sqrt(rows) * rng.normal(size=rows.shape)
            # The sum of the bin is known.
            noise -= rows / count * noise.sum(axis=1, keepdims=True)
            sums += deviation * noise
    return sums


def shuffled_tables(
    counts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the number of rows of each kind in each group when rows are shuffled.

    Parameters
    ----------
    counts : ndarray of shape (n_kinds,), dtype int64
        Number of rows of each kind.
    sizes : ndarray of shape (n_shuffles, n_groups), dtype int64
        Number of rows of each group, in each shuffle; each sums to the number of all rows.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    ndarray of shape (n_shuffles, n_groups, n_kinds), dtype int64
        Tables with these margins, with their distribution under shuffling.
    """
    n_shuffles, n_groups = sizes.shape
    left = np.tile(counts, (n_shuffles, 1))
    drawn = np.zeros((n_shuffles, n_groups, len(counts)), dtype=np.int64)
    for i in range(n_groups - 1):
        needed, others = sizes[:, i].copy(), left.sum(axis=1)
        for j in range(len(counts) - 1):
            others -= left[:, j]
            drawn[:, i, j] = rng.hypergeometric(left[:, j], others, needed)
            needed -= drawn[:, i, j]
        drawn[:, i, -1] = needed
        left -= drawn[:, i]
    drawn[:, -1] = left
    return drawn


def _few_values(column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return the distinct values, None if there are many."""
    # With many distinct values the first rows show it, without sorting all.
    for part in (column[:1000], column):
        values = np.unique(part)
        if len(values) > _MAX_DISTINCT:
            return None
    return values


def _cells_of_rows(
    sizes: npt.NDArray[np.int64], n_rows: int, n_shuffles: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return shuffle × n_groups + group of some rows in each shuffle, shape (shuffles × rows,)."""
    ends = np.cumsum(sizes)
    places = np.array([rng.choice(ends[-1], n_rows, replace=False) for _ in range(n_shuffles)])
    groups = np.searchsorted(ends, places, side="right")
    return (groups + len(sizes) * np.arange(n_shuffles)[:, None]).ravel()
