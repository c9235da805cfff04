"""Counts of samples with equal group, label and predictions, for reports from parts.

Accuracies, error rates and the exact tests of a promise are functions of the counts. For losses
each kind has the mean, and the sums of squares and cubes about it, from which those of any group
follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.data.groups import distinct_rows

Values = npt.NDArray[np.float64]


class Kinds(NamedTuple):
    """Kinds of samples.

    Parameters
    ----------
    keys : pandas.DataFrame of shape (n_kinds, n_keys)
        Values that samples of a kind have in common; rows are unique.
    counts : ndarray of shape (n_kinds,), dtype int64
        Number of samples of each kind.
    means, squares, cubes : dict of str to ndarray of shape (n_kinds,), dtype float64
        For values that differ within a kind: the mean, and the sums of squared and
        cubed distances from it.

    Examples
    --------
    >>> keys = pd.DataFrame({"group": ["a", "b", "a"]})
    >>> kinds = Kinds.of(keys, {"loss": np.array([1.0, 5.0, 2.0])})
    >>> kinds.keys["group"].tolist(), kinds.counts.tolist()
    (['a', 'b'], [2, 1])
    >>> kinds.means["loss"].tolist(), kinds.squares["loss"].tolist()
    ([1.5, 5.0], [0.5, 0.0])
    """

    keys: pd.DataFrame
    counts: npt.NDArray[np.int64]
    means: dict[str, Values]
    squares: dict[str, Values]
    cubes: dict[str, Values]

    @classmethod
    def of(
        cls,
        keys: pd.DataFrame,
        values: Mapping[str, Values],
        counts: npt.NDArray[np.int64] | None = None,
        squares: Mapping[str, Values] | None = None,
        cubes: Mapping[str, Values] | None = None,
    ) -> Kinds:
        """Merge rows with the same keys.

        Parameters
        ----------
        keys : pandas.DataFrame of shape (n_rows, n_keys)
            Values that rows of a kind have in common.
        values : mapping of str to ndarray of shape (n_rows,)
            Other values: of each row, or their mean over the samples that the row represents.
        counts : ndarray of shape (n_rows,), dtype int64, default=None
            Number of samples that each row represents; None means one. Rows with 0 are left
            out.
        squares, cubes : mapping of str to ndarray of shape (n_rows,), default=None
            Sums of squared and cubed distances from the mean, of the samples of each row; None
            means 0.
        """
        if counts is not None and not counts.all():
            kept = counts > 0
            keys, counts = keys[kept], counts[kept]
            values = {name: each[kept] for name, each in values.items()}
            squares, cubes = (
                sums and {name: each[kept] for name, each in sums.items()}
                for sums in (squares, cubes)
            )
        codes, firsts = distinct_rows(keys)
        weights = np.ones(len(codes)) if counts is None else counts
        n_kinds = len(firsts)
        sizes = np.bincount(codes, weights, n_kinds)
        means, spread, skew = dict[str, Values](), dict[str, Values](), dict[str, Values]()
        for name, each in values.items():
            means[name] = np.bincount(codes, weights * each, n_kinds) / sizes
            spread[name], skew[name] = _powers(
                each - means[name][codes],
                codes,
                weights,
                None if squares is None else squares[name],
                None if cubes is None else cubes[name],
            )
        return cls(firsts, sizes.round().astype(np.int64), means, spread, skew)

    @classmethod
    def together(cls, parts: Sequence[Kinds]) -> Kinds:
        """Merge several parts into one, as if all their samples were given at once."""
        if len(parts) == 1:
            return parts[0]

        def joined(name: str, field: str) -> Values:
            return np.concatenate([getattr(part, field)[name] for part in parts])

        names = list(parts[0].means)
        return cls.of(
            pd.concat([part.keys for part in parts], ignore_index=True),
            {name: joined(name, "means") for name in names},
            np.concatenate([part.counts for part in parts]),
            {name: joined(name, "squares") for name in names},
            {name: joined(name, "cubes") for name in names},
        )


def _powers(
    distance: Values,
    codes: npt.NDArray[np.int64],
    weights: npt.NDArray[Any],
    squares: Values | None,
    cubes: Values | None,
) -> tuple[Values, Values]:
    """Return the sums of squares and cubes about the means, from rows' distances to these.

    Rows that represent several samples have their own sums, about their own means.
    """
    second, third = weights * distance**2, weights * distance**3
    if squares is not None:
        second, third = second + squares, third + 3 * distance * squares
    if cubes is not None:
        third = third + cubes
    n = int(codes.max(initial=-1)) + 1
    return tuple(np.bincount(codes, each, n).astype(float) for each in (second, third))  # type: ignore[return-value]


def group_moments(
    values: Mapping[str, Values],
    codes: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64] | None = None,
    squares: Mapping[str, Values] | None = None,
    cubes: Mapping[str, Values] | None = None,
) -> pd.DataFrame:
    """Return sizes, means, deviations and skewness of columns over groups of rows, or of kinds.

    Parameters
    ----------
    values : mapping of str to ndarray of shape (n_rows,)
        Values, or means of kinds.
    codes : ndarray of shape (n_rows,), dtype int64
        The group of each row, from 0, none empty.
    counts, squares, cubes : default=None
        As for `Kinds`.

    Returns
    -------
    pandas.DataFrame
        By group: each column's mean, ``n``, ``<column>_deviation`` with ``ddof=1``, NaN for one
        sample, and ``<column>_skewness``, the third central moment in cubes of the deviation, NaN
        if that is 0.

    Examples
    --------
    >>> group_moments({"x": np.array([1.0, 2.0, 6.0])}, np.array([0, 0, 1])).round(2)
         x  n  x_deviation  x_skewness
    0  1.5  2         0.71         0.0
    1  6.0  1          NaN         NaN
    """
    weights = np.ones(len(codes)) if counts is None else counts
    n = np.bincount(codes, weights)
    found, shapes = {}, {}
    free = np.where(n > 1, n - 1, np.nan)
    for name, each in values.items():
        mean = np.bincount(codes, weights * each) / n
        own = (None if sums is None else sums.get(name) for sums in (squares, cubes))
        second, third = _powers(each - mean[codes], codes, weights, *own)
        found[name] = mean
        deviation = np.sqrt(second / free)
        shapes[f"{name}_deviation"] = deviation
        shapes[f"{name}_skewness"] = third / n / np.where(deviation > 0, deviation, np.nan) ** 3
    return pd.DataFrame(found | {"n": n.round().astype(np.int64)} | shapes)
