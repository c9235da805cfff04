"""Bootstrap of sums by group, for millions of rows; for other statistics see `bootstrap`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 15  # rows whose counts fit into a processor's cache


def drawn_sums(
    codes: npt.NDArray[np.int64],
    values: Sequence[npt.NDArray[np.float64]],
    n_draws: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return sums by group of rows drawn with replacement, as many as in the data.

    All rows are drawn together, so that the sizes of groups vary as well. Rows that are equal, in
    group and in values, are drawn together by a multinomial distribution, if there are few kinds.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,), dtype int64
        Groups from 0 to n_groups - 1, none empty.
    values : sequence of ndarray of shape (n_rows,), dtype float64
        Quantities of each row; a draw uses the same rows for all of them.
    n_draws : int
        Number of draws.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    ndarray of shape (n_draws, 1 + n_quantities, n_groups), dtype float64
        Number of rows drawn from each group, then the sums of each quantity.

    Examples
    --------
    >>> codes, values = np.array([0, 0, 1]), np.array([1.0, 1.0, 5.0])
    >>> sums = drawn_sums(codes, [values], 1000, np.random.default_rng(0))
    >>> (sums[:, 0].sum(axis=1) == 3).all(), (sums[:, 1] == sums[:, 0] * [1, 5]).all()
    (np.True_, np.True_)
    """
    kinds = _kinds(codes, values)
    if kinds is not None:
        return _of_kinds(*kinds, n_draws, rng)
    # Rows sorted by group, so that sums by group are sums of slices.
    n_groups = int(codes.max()) + 1
    small = codes.astype(np.uint16) if n_groups < 1 << 16 else codes
    order = np.argsort(small, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(n_groups))
    ordered = [each[order] for each in values]
    del order, small
    n = len(codes)
    sizes = np.diff(np.append(np.arange(0, n, _BLOCK), n))
    weights, product = np.empty(n), np.empty(n)
    sums = np.empty((n_draws, 1 + len(values), n_groups))
    for draw in sums:
        at = 0
        for size, drawn in zip(sizes, rng.multinomial(n, sizes / n), strict=True):
            rows = rng.integers(size, size=drawn, dtype=np.uint16)
            weights[at : at + size] = np.bincount(rows, minlength=size)
            at += size
        draw[0] = np.add.reduceat(weights, starts)
        for row, each in zip(draw[1:], ordered, strict=True):
            row[:] = np.add.reduceat(np.multiply(weights, each, out=product), starts)
    return sums


def drawn_kinds(
    codes: npt.NDArray[np.int64],
    values: Sequence[npt.NDArray[np.float64]],
    counts: npt.NDArray[np.int64],
    squares: Sequence[npt.NDArray[np.float64] | None],
    n_draws: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return the same for rows that are known by kind: number, mean and sum of squares.

    The numbers drawn from each kind are multinomial; the sum of k of a kind is drawn as normal,
    with k times the mean and k times the variance of its rows. For kinds with equal rows that is
    not an approximation.

    Parameters
    ----------
    codes : ndarray of shape (n_kinds,), dtype int64
        Group of each kind.
    values : sequence of ndarray of shape (n_kinds,), dtype float64
        Means of the quantities.
    counts : ndarray of shape (n_kinds,), dtype int64
        Numbers of rows.
    squares : sequence of ndarray of shape (n_kinds,), dtype float64, or None
        For each quantity the sum of squared distances of the rows from the mean; None means 0.
    n_draws, rng
        As for `drawn_sums`.

    Examples
    --------
    >>> codes, counts, rng = np.array([0, 1]), np.array([2, 1]), np.random.default_rng(0)
    >>> sums = drawn_kinds(codes, [np.array([1.0, 5.0])], counts, [None], 1000, rng)
    >>> (sums[:, 0].sum(axis=1) == 3).all(), (sums[:, 1] == sums[:, 0] * [1, 5]).all()
    (np.True_, np.True_)
    """
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 1))
    n = int(counts.sum())
    sums = np.empty((n_draws, 1 + len(values), len(starts)))
    for draw in sums:
        drawn = rng.multinomial(n, counts[order] / n).astype(float)
        draw[0] = np.add.reduceat(drawn, starts)
        for row, each, square in zip(draw[1:], values, squares, strict=True):
            of_kinds = drawn * each[order]
            if square is not None:
                noise = rng.normal(size=len(drawn))
                of_kinds += np.sqrt(drawn * (square / counts)[order]) * noise
            row[:] = np.add.reduceat(of_kinds, starts)
    return sums


def _kinds(
    codes: npt.NDArray[np.int64], values: Sequence[npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.intp]] | None:
    """Return the kinds of rows: values, groups and sizes; None if values are not 0, 1 or −1."""
    if not all(np.isin(each[:1000], (-1, 0, 1)).all() for each in values):
        return None
    kind = codes
    for each in values:
        digits = each.astype(np.int64) + 1
        if digits.min() < 0 or digits.max() > 2 or (digits - 1 != each).any():
            return None
        kind = 3 * kind + digits
    sizes = np.bincount(kind)
    [found] = np.nonzero(sizes)
    powers = 3 ** np.arange(len(values))[::-1, np.newaxis]
    return (found // powers % 3).astype(float) - 1, found // 3 ** len(values), sizes[found]


def _of_kinds(
    values: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.intp],
    n_draws: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    n = int(sizes.sum())
    counts = rng.multinomial(n, sizes / n, size=n_draws).astype(float)
    # Kinds are sorted by group.
    starts = np.searchsorted(groups, np.arange(groups[-1] + 1))
    sums = [np.add.reduceat(counts, starts, axis=1)]
    sums += [np.add.reduceat(counts * each, starts, axis=1) for each in values]
    return np.stack(sums, axis=1)
