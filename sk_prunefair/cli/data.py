"""Read the files of an audit in parts, as features, labels and groups."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

ROWS = 100_000
# pandas' markers of missing values; in labels and groups only an empty string is one.
_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "n/a", "#N/A", "<NA>"]


class Part(NamedTuple):
    """Some rows of the data.

    Parameters
    ----------
    X : DataFrame, ndarray or dict of ndarray
        Features, as the models take them.
    y : ndarray of shape (n_samples,)
        Labels.
    groups : DataFrame of shape (n_samples, n_columns)
        Columns that define the groups.
    """

    X: Any
    y: npt.NDArray[Any]
    groups: pd.DataFrame


@dataclass(frozen=True)
class Columns:
    """The roles of the columns of a table.

    Parameters
    ----------
    label : str or None
        Column of the labels.
    groups : sequence of str
        Columns that define the groups; they intersect.
    features : sequence of str or None
        Columns of the features; None takes all others.
    drop : sequence of str
        Columns that are left out.
    names : sequence of str or None
        Feature names of the model, if it has them: the columns must be these, in any order.
    preprocess : callable or None
        Function from a table without labels to the models' input; features may then have any dtype.
    is_labelled : bool
        Whether the column of labels is read; otherwise it may be missing.
    """

    label: str | None
    groups: Sequence[str] = ()
    features: Sequence[str] | None = None
    drop: Sequence[str] = ()
    names: Sequence[str] | None = None
    preprocess: Callable[[pd.DataFrame], Any] | None = field(default=None, repr=False)
    is_labelled: bool = True

    def split(self, frame: pd.DataFrame) -> Part:
        """Return features, labels and groups of a table; ValueError if columns are missing."""
        if self.label is None or not self.groups:
            raise ValueError("--label and --groups must name columns of --data")
        if not self.is_labelled:
            frame = frame.assign(**{self.label: 0})
        taken = [self.label, *self.groups]
        kept = [str(column) for column in frame if column not in (*taken, *self.drop)]
        columns = list(self.features or kept)
        check_columns(frame, [*taken, *columns, *self.drop])
        check_known(frame, taken)
        part = Part(None, frame[self.label].to_numpy(), frame[list(self.groups)])
        if self.preprocess is not None:
            raw = _as_numbers(frame.drop(columns=[self.label, *self.drop]), self.groups)
            return part._replace(
                X=self.preprocess(raw[list(self.features)] if self.features else raw)
            )
        if self.names is not None:
            if not self.features:  # a column of groups may be a feature, too
                columns += [column for column in self.groups if column in self.names]
            check_names(columns, self.names)
            columns = list(self.names)
        X = _as_numbers(frame[columns], self.groups)
        for column in columns:
            if not pd.api.types.is_numeric_dtype(X[column]):
                raise ValueError(
                    f"--features must be numeric columns, got {column!r} of dtype "
                    f"{X[column].dtype}; encode other columns by --preprocess"
                )
        return part._replace(X=X if self.names is not None else _array_of(X))


def check_columns(frame: pd.DataFrame, columns: Sequence[str], name: str = "--data") -> None:
    """Raise ValueError if a table lacks a column."""
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]!r}; its columns are {list(frame)[:20]}")


def check_names(columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise ValueError unless the columns are the features of the net, in any order."""
    missing = [name for name in names if name not in columns]
    extra = [column for column in columns if column not in names]
    if missing or extra:
        raise ValueError(
            "the features of --data must be those that the net was fitted on, in any order: "
            f"{len(missing)} are missing {missing[:10]}, {len(extra)} are extra {extra[:10]}; "
            "choose the columns by --features"
        )


def check_known(frame: pd.DataFrame, columns: Sequence[str], name: str = "--data") -> None:
    """Raise ValueError if a table has no rows, or a column has a missing value."""
    if frame.empty:
        raise ValueError(f"{name} must have at least one row, got none")
    for column in columns:
        n_missing = int((frame[column].isna() | (frame[column].astype(object) == "")).sum())
        if n_missing:
            raise ValueError(f"{name} must have no missing values in {column!r}, got {n_missing}")


def _as_numbers(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table whose string columns are numbers wherever all their values are."""
    frame = frame.copy()
    for column in [each for each in columns if each in frame]:
        try:
            frame[column] = pd.to_numeric(frame[column])
        except (ValueError, TypeError):
            continue
    return frame


def _array_of(frame: pd.DataFrame) -> npt.NDArray[Any]:
    """Return numbers and booleans as an array, of numbers where pandas would make objects."""
    array = frame.to_numpy()
    return frame.to_numpy(float, na_value=np.nan) if array.dtype == object else array


def read_parts(paths: Sequence[Path], columns: Columns, rows: int = ROWS) -> Iterator[Part]:
    """Read files in parts, one file after the other.

    Parameters
    ----------
    paths : sequence of Path
        Files ending in .csv (.csv.gz too), .parquet or .npz. In the latter the names of columns do
        not matter; without an array X, all arrays except y and groups go to the net by name.
    columns : Columns
        What is in them.
    rows : int, default=100_000
        Rows read at a time; a .npz file is read whole.

    Raises
    ------
    ValueError
        If a file or its columns are not as described.
    """
    for path in paths:
        if path.suffix.lower() == ".npz":
            yield _read_npz(path, columns.is_labelled)
            continue
        for frame in read_tables(path, [columns.label or "", *columns.groups], rows):
            yield columns.split(frame)


def read_tables(path: Path, texts: Sequence[str], rows: int = ROWS) -> Iterator[pd.DataFrame]:
    """Read a .csv or .parquet file in parts; some columns of a .csv file as strings.

    Parameters
    ----------
    path : Path
        The file.
    texts : sequence of str
        Columns whose values stay strings: "01" is not "1".
    rows : int, default=100_000
        At a time.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        yield from _read_parquet(path, rows)
        return
    if not name.endswith((".csv", ".csv.gz")):
        raise ValueError(f"--data must be a .csv, .parquet or .npz file, got {path.name!r}")
    try:
        header = pd.read_csv(path, nrows=0).columns
        yield from _read_csv(path, header, texts, rows)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name} must be a table of comma-separated values in UTF-8: {error}"
        ) from error


def _read_csv(
    path: Path, header: pd.Index, texts: Sequence[str], rows: int
) -> Iterator[pd.DataFrame]:
    kept = [column for column in header if column in texts]
    missing: dict[Any, Any] = {column: _MISSING for column in header if column not in kept}
    yield from pd.read_csv(
        path,
        dtype=dict.fromkeys(kept, "object"),
        keep_default_na=False,
        na_values=missing,
        chunksize=rows,
    )


def _read_parquet(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    try:
        from pyarrow import parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            "--data: a .parquet file needs pyarrow, which is not installed: pip install "
            "'sk-prunefair[parquet]'"
        ) from error
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=rows):
        yield batch.to_pandas()


def _read_npz(path: Path, is_labelled: bool) -> Part:
    arrays = load_arrays(path)
    if not is_labelled and "groups" in arrays:
        arrays["y"] = np.zeros(len(arrays["groups"]), dtype=np.int64)
    fields = [name for name in arrays if name not in Part._fields]
    is_dict = "X" not in arrays and bool(fields)
    missing = [name for name in Part._fields[is_dict:] if name not in arrays]
    if missing:
        raise ValueError(
            f"--data must hold the arrays {list(Part._fields)}, {missing[0]!r} is missing"
        )
    X: Any = {name: arrays[name] for name in fields} if is_dict else arrays["X"]
    return Part(X, arrays["y"], numbered_groups(arrays["groups"]))


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return all arrays of an .npz file, without unpickling anything."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays}
    except zipfile.BadZipFile as error:
        raise ValueError(f"--data {path.name} is not a complete npz file: {error}") from error


def numbered_groups(groups: npt.NDArray[Any]) -> pd.DataFrame:
    """Return arrays of groups as a table with column names."""
    frame = pd.DataFrame(groups)
    return frame.set_axis([f"group {i}" for i in frame], axis=1)


def joined(parts: Sequence[Part]) -> Part:
    """Concatenate parts."""
    first = parts[0].X
    X: Any
    if isinstance(first, dict):
        X = {name: np.concatenate([part.X[name] for part in parts]) for name in first}
    elif isinstance(first, pd.DataFrame):
        X = pd.concat([part.X for part in parts], ignore_index=True)
    else:
        X = np.concatenate([np.asarray(part.X) for part in parts])
    groups = pd.concat([part.groups for part in parts], ignore_index=True)
    return Part(X, np.concatenate([part.y for part in parts]), groups)
