"""Samples that are alike in group, label and both answers, counted together: what parts add up to.

Accuracies, error rates and the exact tests of a promise are functions of the counts. Of losses each
kind has the mean and the sum of squares about it, of which those of any group follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
        What samples of a kind have in common; no two rows are the same.
    counts : ndarray of shape (n_kinds,), dtype int64
        Samples of each.
    means, squares : dict of str to ndarray of shape (n_kinds,), dtype float64
        Of what is not the same for all samples of a kind: the mean, and the sum of squared
        distances from it.

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

    @classmethod
    def of(
        cls,
        keys: pd.DataFrame,
        values: Mapping[str, Values],
        counts: npt.NDArray[np.int64] | None = None,
        squares: Mapping[str, Values] | None = None,
    ) -> Kinds:
        """Put rows together that have the same keys.

        Parameters
        ----------
        keys : pandas.DataFrame of shape (n_rows, n_keys)
            What is to be the same.
        values : mapping of str to ndarray of shape (n_rows,)
            What need not be: of each row, or its mean over the samples that the row stands for.
        counts : ndarray of shape (n_rows,), dtype int64, default=None
            How many samples each row stands for; None is one. Rows that stand for none are left
            out.
        squares : mapping of str to ndarray of shape (n_rows,), default=None
            Sums of squared distances from the mean, of the samples of each row; None is 0.
        """
        if counts is not None and not counts.all():
            kept = counts > 0
            keys, counts = keys[kept], counts[kept]
            values = {name: each[kept] for name, each in values.items()}
            squares = squares and {name: each[kept] for name, each in squares.items()}
        codes, firsts = distinct_rows(keys)
        weights = np.ones(len(codes)) if counts is None else counts
        n_kinds = len(firsts)
        sizes = np.bincount(codes, weights, n_kinds)
        means, spread = dict[str, Values](), dict[str, Values]()
        for name, each in values.items():
            means[name] = np.bincount(codes, weights * each, n_kinds) / sizes
            distance = weights * (each - means[name][codes]) ** 2
            if squares is not None:
                distance = distance + squares[name]
            spread[name] = np.asarray(np.bincount(codes, distance, n_kinds), dtype=float)
        return cls(firsts, sizes.round().astype(np.int64), means, spread)

    @classmethod
    def together(cls, parts: Sequence[Kinds]) -> Kinds:
        """Return several as one, as if all their samples had come at once."""
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
        )


def group_moments(
    values: Mapping[str, Values],
    codes: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64] | None = None,
    squares: Mapping[str, Values] | None = None,
) -> pd.DataFrame:
    """Return sizes, means and deviations of columns over groups of rows, or of kinds of rows.

    Parameters
    ----------
    values : mapping of str to ndarray of shape (n_rows,)
        Values, or means of kinds.
    codes : ndarray of shape (n_rows,), dtype int64
        The group of each row, from 0, none empty.
    counts, squares : default=None
        As of `Kinds`.

    Returns
    -------
    pandas.DataFrame
        By group: each column's mean, ``n``, and ``<column>_deviation`` with ``ddof=1``, NaN of one
        sample.

    Examples
    --------
    >>> group_moments({"x": np.array([1.0, 2.0, 6.0])}, np.array([0, 0, 1])).round(2)
         x  n  x_deviation
    0  1.5  2         0.71
    1  6.0  1          NaN
    """
    weights = np.ones(len(codes)) if counts is None else counts
    n = np.bincount(codes, weights)
    found, deviations = {}, {}
    for name, each in values.items():
        mean = np.bincount(codes, weights * each) / n
        total = np.bincount(codes, weights * (each - mean[codes]) ** 2)
        if squares is not None and name in squares:
            total += np.bincount(codes, squares[name])
        found[name] = mean
        free = np.where(n > 1, n - 1, np.nan)
        deviations[f"{name}_deviation"] = np.sqrt(total / free)
    return pd.DataFrame(found | {"n": n.round().astype(np.int64)} | deviations)
