"""Convert sensitive features to a frame and to integer codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

# Kinds in which equal values are identical; of mixed kinds, 1 and True would be merged.
_OF_ONE_TYPE = ("string", "integer", "boolean")


def as_group_frame(
    sensitive_features: Any, n_samples: int, name: str = "sensitive_features"
) -> pd.DataFrame:
    """Return sensitive features as a frame of plain values with a new index.

    Rows are matched by position: the index of a Series or a DataFrame is dropped.

    Parameters
    ----------
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        Array, list, tuple, tensor, Series, DataFrame, Index or dict of columns; tables of polars
        and pyarrow as well. Names of a Series or of columns are kept as strings. Without names, a
        single column is called ``sensitive_feature`` and several are called
        ``sensitive_feature_0``, ``sensitive_feature_1``, …
    n_samples : int
        Number of rows of the data.
    name : str, default="sensitive_features"
        Name of the argument: used in errors and, without its final "s", for the
        names of unnamed columns.

    Returns
    -------
    pandas.DataFrame of shape (n_samples, n_columns)
        Integers, strings and booleans keep their kind; categories become plain values.

    Raises
    ------
    ValueError
        If it is None, not one- or two-dimensional, without columns, of another length, with
        duplicate column names, with missing values, or with values that cannot be sorted.

    Examples
    --------
    >>> as_group_frame([("f", 1), ("m", 0)], n_samples=2)
      sensitive_feature_0  sensitive_feature_1
    0                   f                    1
    1                   m                    0
    """
    if sensitive_features is None:
        raise ValueError(f"{name} must hold the group of each sample, got None")
    frame = to_frame(sensitive_features, name)
    if frame.shape[1] == 0:
        raise ValueError(f"{name} must have at least one column, got shape {frame.shape}")
    if len(frame) != n_samples:
        raise ValueError(f"{name} has {len(frame)} rows, but the data has {n_samples}")
    if not frame.columns.is_unique:
        raise ValueError(f"{name} must have distinct column names, got {frame.columns.tolist()}")
    columns = {column: _plain_values(frame[column], name) for column in frame}
    return pd.DataFrame(columns, index=pd.RangeIndex(n_samples))


def encode_groups(
    frame: pd.DataFrame, groups: pd.Index | None = None, name: str = "sensitive_features"
) -> tuple[npt.NDArray[np.int64], pd.Index]:
    """Return the position of each row's group among the groups.

    Parameters
    ----------
    frame : pandas.DataFrame of shape (n_samples, n_columns)
        As `as_group_frame` returns it.
    groups : pandas.Index of shape (n_groups,), default=None
        The known groups, a MultiIndex for several columns. None takes the sorted values, or
        combinations of values, in `frame`.
    name : str, default="sensitive_features"
        Name of the argument, for errors.

    Returns
    -------
    codes : ndarray of shape (n_samples,), dtype int64
        Values in [0, n_groups).
    groups : pandas.Index or pandas.MultiIndex of shape (n_groups,)
        Named after the columns.

    Raises
    ------
    ValueError
        If `frame` has another number of columns than `groups`, or holds a group not in them.

    Examples
    --------
    >>> codes, groups = encode_groups(as_group_frame(["m", "f", "m"], n_samples=3))
    >>> codes, groups.tolist()
    (array([1, 0, 1]), ['f', 'm'])
    """
    if groups is not None and groups.nlevels != frame.shape[1]:
        raise ValueError(
            f"{name} has {frame.shape[1]} columns, but the known groups are made of "
            f"{groups.nlevels}: {list(groups.names)}"
        )
    if groups is not None and set(groups.names) == set(frame.columns):
        # Otherwise race and sex in another order would be confused.
        frame = frame[list(groups.names)]
    # Only one row of each group is sorted and looked up.
    codes, firsts = distinct_rows(frame)
    if groups is None:
        in_order = firsts.sort_values(list(frame.columns))
        groups = _row_index(in_order)
        place = np.empty(len(groups), dtype=np.int64)
        place[in_order.index] = np.arange(len(groups))
        return place[codes], groups
    rows = _row_index(firsts)
    place = groups.get_indexer(rows).astype(np.int64)
    unseen = rows[place < 0]
    if len(unseen):
        raise ValueError(
            f"{name} holds groups that are not known: {unseen[:5].tolist()}; "
            f"the known groups are {groups.tolist()}"
        )
    return place[codes], groups


def distinct_rows(frame: pd.DataFrame) -> tuple[npt.NDArray[np.int64], pd.DataFrame]:
    """Return the position of each row among the distinct rows, and these in order of appearance."""
    codes, uniques = pd.factorize(frame.iloc[:, 0])
    n = len(uniques)
    for column in frame.columns[1:]:
        other, uniques = pd.factorize(frame[column])
        codes, pairs = pd.factorize(codes * len(uniques) + other)
        n = len(pairs)
    first = np.empty(n, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes.astype(np.int64, copy=False), frame.iloc[first].reset_index(drop=True)


def to_frame(values: Any, name: str) -> pd.DataFrame:
    """Return any accepted container as a DataFrame with string column names."""
    if isinstance(values, pd.Series):
        values = values.to_frame(_singular(name) if values.name is None else values.name)
    if isinstance(values, pd.DataFrame):
        return values.set_axis([str(column) for column in values.columns], axis=1)
    if isinstance(values, pd.MultiIndex):
        return to_frame(values.to_frame(index=False), name)
    if isinstance(values, pd.Index):
        return to_frame(values.to_series(), name)
    if isinstance(values, Mapping):
        return to_frame(pd.DataFrame(_columns(values, name)), name)
    if hasattr(values, "columns") and hasattr(values, "__getitem__"):  # polars, pyarrow
        return to_frame(pd.DataFrame(_columns(_named(values), name)), name)
    if hasattr(values, "to_list") and getattr(values, "name", None):  # polars
        return to_frame(pd.Series(values.to_list(), name=values.name, dtype=object), name)
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    array = _array(values)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{name} must be one- or two-dimensional, got {type(values).__name__} "
            f"with {array.ndim} dimensions"
        )
    if array.ndim == 1:
        array = array[:, np.newaxis]
    names = [f"{_singular(name)}_{column}" for column in range(array.shape[1])]
    return pd.DataFrame(array, columns=[_singular(name)] if len(names) == 1 else names)


def _named(table: Any) -> dict[str, Any]:
    """Return the columns of a table from another library than pandas, by name."""
    names = getattr(table, "column_names", None) or list(table.columns)
    return {str(column): table[column] for column in names}


def _columns(values: Mapping[Any, Any], name: str) -> dict[Any, pd.Series]:
    columns = {}
    for key, column in values.items():
        plain = column.to_pylist() if hasattr(column, "to_pylist") else column
        array = _array(plain if isinstance(plain, np.ndarray) else list(plain))
        if array.ndim != 1:
            raise ValueError(
                f"{name}[{key!r}] must be one-dimensional, got {array.ndim} dimensions"
            )
        columns[key] = pd.Series(array)
    lengths = {str(key): len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name} must hold columns of one length, got {lengths}")
    return columns


def _array(values: Any) -> npt.NDArray[Any]:
    """Return an array of the values' dtype, or else of objects."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biufU":
        return values
    # Converted to strings, 1 and "1", or None and "None", would be one group.
    return np.asarray(values, dtype=object)


def _singular(name: str) -> str:
    return name.removesuffix("s")


def _plain_values(column: pd.Series, name: str) -> pd.Series:
    """Return the column with its dtype inferred from its values, which must be sortable scalars."""
    n_missing = int(column.isna().sum())
    if n_missing:
        raise ValueError(
            f"{name} must have no missing values, got {n_missing} in column {column.name!r}"
        )
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "bif":
        wide = {"b": np.bool_, "i": np.int64, "f": np.float64}[dtype.kind]
        return column.astype(wide).reset_index(drop=True)
    is_of_objects = isinstance(dtype, np.dtype) and dtype.kind == "O"
    if not is_of_objects or pd.api.types.infer_dtype(column, skipna=False) in _OF_ONE_TYPE:
        codes, uniques = pd.factorize(column)
        return _inferred(uniques.tolist(), name, column.name).take(codes).reset_index(drop=True)
    return _inferred(column.tolist(), name, column.name)


def _inferred(values: list[Any], name: str, column: Any) -> pd.Series:
    plain = pd.Series(values, name=column)
    if plain.dtype == object:
        _check_sortable(plain, name)
    return plain


def _check_sortable(column: pd.Series, name: str) -> None:
    kinds = sorted({type(value).__name__ for value in column})
    message = f"{name} must hold values of one sortable kind per column, got {kinds} in column "
    if not all(map(pd.api.types.is_scalar, column)):
        raise ValueError(f"{message}{column.name!r}")
    try:
        sorted(column)
    except TypeError as error:
        raise ValueError(f"{message}{column.name!r}") from error


def _row_index(frame: pd.DataFrame) -> pd.Index:
    """Return one entry per row: plain for a single column, a MultiIndex for several."""
    return pd.Index(frame.iloc[:, 0]) if frame.shape[1] == 1 else pd.MultiIndex.from_frame(frame)
