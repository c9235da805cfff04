"""Features cut into bins, which define the conditions of rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sk_prunefair.data.groups import to_frame

MAX_BINS = 20


@dataclass(frozen=True)
class BinnedColumn:
    """One feature as codes: bins of numbers by size, then single values and missing ones.

    Parameters
    ----------
    name : str
        Name of the feature.
    codes : ndarray of shape (n_samples,), dtype int64
        Bin of each sample.
    cuts : tuple
        Upper edges of all bins of numbers except the last; empty if there are none.
    values : tuple of str
        Text for each code after the bins of numbers, such as ``= "b"`` or ``is missing``.
    """

    name: str
    codes: npt.NDArray[np.int64]
    cuts: tuple[Any, ...]
    values: tuple[str, ...]

    @property
    def n_ordered(self) -> int:
        """Number of bins of numbers."""
        return self.n_codes - len(self.values)

    @property
    def n_codes(self) -> int:
        """Number of codes."""
        return len(self.values) + (len(self.cuts) + 1 if self.cuts else 0)

    def ranges(self) -> list[tuple[int, int]]:
        """Return first and last code of every condition: intervals of numbers, single values."""
        ordered = range(self.n_ordered)
        spans = [(i, j) for i in ordered for j in ordered[i:] if j - i + 1 < self.n_codes]
        singles = range(self.n_ordered, self.n_codes) if self.n_codes > 1 else ()
        return spans + [(code, code) for code in singles]

    def condition(self, first: int, last: int) -> str:
        """Return the condition of a range of codes as text.

        >>> column = BinnedColumn("age", np.array([0, 2]), (30.0, 47.5), ("is missing",))
        >>> [column.condition(*codes) for codes in ((2, 2), (0, 1), (1, 1), (3, 3))]
        ['age > 47.5', 'age <= 47.5', '30.0 < age <= 47.5', 'age is missing']
        """
        if first >= self.n_ordered:
            return f"{self.name} {self.values[first - self.n_ordered]}"
        if last == self.n_ordered - 1:
            # With a bin of all numbers the first cut has no information.
            return f"{self.name} > {self.cuts[first - 1]}" if first else f"{self.name} is known"
        above = f"{self.cuts[first - 1]} < " if first else ""
        return f"{above}{self.name} <= {self.cuts[last]}"


def binned_columns(features: Any, n_samples: int, max_bins: int = MAX_BINS) -> list[BinnedColumn]:
    """Return the features as binned columns, without those with a single value.

    Numbers and times are cut into at most `max_bins` bins of about equal counts if they have
    more values than that. Other features are split by value. Cuts are the shortest decimals between
    two numbers, and for times the earlier of two.

    Raises
    ------
    ValueError
        If the number of rows is not `n_samples`, there is no column, or names are not unique.

    Examples
    --------
    >>> [column] = binned_columns(pd.DataFrame({"age": [10.0, 47.0, 48.0, None]}), 4)
    >>> column.cuts, column.values, column.codes.tolist()
    ((30.0, 47.0), ('is missing',), [0, 1, 2, 3])
    """
    frame = _as_frame(features)
    if frame.shape[1] == 0:
        raise ValueError("features must have at least one column, got none")
    if len(frame) != n_samples:
        raise ValueError(f"features has {len(frame)} rows, but the data has {n_samples}")
    if not frame.columns.is_unique:
        raise ValueError(f"features must have distinct column names, got {frame.columns.tolist()}")
    columns = [_binned(frame[name], str(name), max_bins) for name in frame]
    return [column for column in columns if column.n_codes > 1]


def _as_frame(features: Any) -> pd.DataFrame:
    if sparse.issparse(features):
        features = features.toarray()
    if isinstance(features, np.ndarray) and features.dtype != object and features.ndim == 2:
        return pd.DataFrame(features).rename(columns=lambda column: f"feature_{column}")
    return to_frame(features, "features").infer_objects()


def _binned(column: pd.Series, name: str, max_bins: int) -> BinnedColumn:
    is_number = pd.api.types.is_numeric_dtype(column.dtype)
    if is_number and not pd.api.types.is_bool_dtype(column.dtype):
        return _binned_numbers(column, name, max_bins)
    if _is_ordered(column):
        return _binned_by_rank(column, name, max_bins)
    codes, found = pd.factorize(column)
    values = [f"= {_text(value)}" for value in found]
    return _with_missing(name, codes.astype(np.int64), codes < 0, (), values)


def _is_ordered(column: pd.Series) -> bool:
    """Tell whether values are times or decimals, with more than one value."""
    known = column.dropna()
    is_time = isinstance(column.dtype, (pd.DatetimeTZDtype, pd.PeriodDtype))
    is_time = is_time or column.dtype.kind in "mM"
    kinds = set() if is_time else {type(value) for value in known}
    is_one = len(kinds) == 1 and issubclass(kinds.pop(), (date, time, timedelta, Decimal))
    return (is_time or is_one) and known.nunique() > 1


def _binned_by_rank(column: pd.Series, name: str, max_bins: int) -> BinnedColumn:
    """Return times or decimals binned like numbers; each cut is the largest value below it."""
    codes, found = pd.factorize(column, sort=True)
    numbers = pd.Series(codes, dtype=float).where(codes >= 0)
    ranks = _binned_numbers(numbers, name, max_bins)
    return replace(ranks, cuts=tuple(found[int(cut)] for cut in ranks.cuts))


def _binned_numbers(column: pd.Series, name: str, max_bins: int) -> BinnedColumn:
    is_missing = column.isna().to_numpy()
    numbers = column.to_numpy(dtype=float, na_value=np.nan)
    known = np.sort(numbers[~is_missing])
    cuts = _cuts(known, max_bins)
    codes = np.searchsorted(cuts, numbers, side="left").astype(np.int64)
    # A feature with one number: only known and missing values can be distinguished.
    values = [] if cuts or not len(known) else [f"= {_text(known[0].item())}"]
    return _with_missing(name, codes, is_missing, _plain(cuts, column), values)


def _with_missing(
    name: str,
    codes: npt.NDArray[np.int64],
    is_missing: npt.NDArray[np.bool_],
    cuts: tuple[Any, ...],
    values: list[str],
) -> BinnedColumn:
    if is_missing.any():
        last = len(values) + (len(cuts) + 1 if cuts else 0)
        codes, values = np.where(is_missing, last, codes), [*values, "is missing"]
    return BinnedColumn(name, codes, cuts, tuple(values))


def _cuts(known: npt.NDArray[np.float64], max_bins: int) -> list[float]:
    """Return the edges between bins of sorted numbers: x <= cut is below."""
    distinct = np.unique(known)
    if len(distinct) <= max_bins:
        lower = np.arange(len(distinct) - 1)
    else:
        places = np.arange(1, max_bins) * len(known) // max_bins
        lower = np.unique(np.searchsorted(distinct, known[places - 1]))
        lower = lower[lower < len(distinct) - 1]
    return [_shortest_between(distinct[i].item(), distinct[i + 1].item()) for i in lower]


def _shortest_between(low: float, high: float) -> float:
    """Return the number in [low, high) with the fewest digits."""
    for digits in range(1, 17):
        rounded = [float(f"{value:.{digits}g}") for value in ((low + high) / 2, low, high)]
        fitting = [value for value in rounded if low <= value < high]
        if fitting:
            return fitting[0]
    return low


def _plain(cuts: Sequence[float], column: pd.Series) -> tuple[Any, ...]:
    """Return the cuts, as integers if the values are integers."""
    is_whole = pd.api.types.is_integer_dtype(column.dtype) and all(c.is_integer() for c in cuts)
    return tuple(int(cut) if is_whole else cut for cut in cuts)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
