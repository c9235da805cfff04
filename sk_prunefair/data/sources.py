"""Sources of inputs: arrays, sparse rows, items of a data set, columns of an Arrow table."""

from __future__ import annotations

from array import array as number_array
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from sklearn.utils import _safe_indexing
from torch.utils.data import Dataset, Subset, default_collate

from sk_prunefair.data.items import LABEL_KEYS, Item, held, read_items, split_item
from sk_prunefair.data.mapped import MappedRows, is_mapped


class Source(Protocol):
    """Inputs row by row."""

    def __len__(self) -> int: ...

    def fetch(self, rows: torch.Tensor) -> Item:
        """Return the inputs of some rows as a batch, with the labels and groups in their items."""

    def sample(self, row: int) -> Any:
        """Return one row as a user's ``collate_fn`` expects it."""


def as_source(inputs: Any) -> Source:
    """Return inputs as a source.

    Parameters
    ----------
    inputs : array, tensor, MappedRows, dict of these, scipy sparse matrix, data set
        The features; the data set is one of torch or Arrow.
    """
    if is_arrow(inputs):
        return ArrowSource(inputs)
    if sparse.issparse(inputs):
        return SparseSource(inputs)
    if isinstance(inputs, Mapping):
        return ArraySource({name: _column(values) for name, values in inputs.items()})
    is_array = isinstance(inputs, (np.ndarray, torch.Tensor, MappedRows))
    is_array = is_array and not isinstance(inputs, Dataset)
    return ArraySource(_column(inputs)) if is_array else ItemSource(inputs)


Column = torch.Tensor | MappedRows


class ArraySource:
    """A tensor, a memory-mapped array, or a dict of these."""

    def __init__(self, columns: Column | dict[str, Column]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return count_rows(self.columns)

    def fetch(self, rows: torch.Tensor) -> Item:  # noqa: D102 (as in Source)
        if isinstance(self.columns, dict):
            return Item({name: _rows_of(each, rows) for name, each in self.columns.items()})
        return Item(_rows_of(self.columns, rows))

    def sample(self, row: int) -> Any:  # noqa: D102
        X = self.fetch(torch.tensor([row])).X
        return {name: each[0] for name, each in X.items()} if isinstance(X, dict) else X[0]


def _column(values: Any) -> Column:
    return MappedRows.of(values) if is_mapped(values) else as_tensor(values)


def _rows_of(column: Column, rows: torch.Tensor) -> torch.Tensor:
    if not isinstance(column, torch.Tensor):
        return torch.from_numpy(column[rows.numpy()])
    # A third of the time of column[rows], but for arrays on one device only.
    return column.index_select(0, rows) if column.device == rows.device else column[rows]


class SparseSource:
    """Rows of a sparse matrix, made dense batch by batch."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def fetch(self, rows: torch.Tensor) -> Item:  # noqa: D102
        return Item(torch.from_numpy(self.matrix[rows.numpy()].toarray()))

    def sample(self, row: int) -> Any:  # noqa: D102
        return torch.from_numpy(self.matrix[row].toarray()[0])


class ItemSource:
    """A torch data set of ``X``, ``(X, y)``, ``(X, y, group)`` or dicts.

    If it has ``__getitems__``, as for torch's loaders, whole batches are requested.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, rows: torch.Tensor) -> Item:  # noqa: D102
        items = [split_item(item) for item in read_items(self.dataset, rows.tolist())]
        return Item(default_collate([item.X for item in items]), *held(items))

    def sample(self, row: int) -> Any:  # noqa: D102
        return self.dataset[row]


class ArrowSource:
    """Columns of numbers of a `datasets.Dataset`, read from its file batch by batch.

    Columns of strings and labels are left out. A format that the user has set, with
    ``set_format`` or ``with_format``, selects the columns. The output of ``with_transform``
    is used as it is: such a data set is an `ItemSource`.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.columns = input_columns(dataset)
        self.numbers = dataset.with_format("numpy", columns=self.columns)

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, rows: torch.Tensor) -> Item:  # noqa: D102
        found = self.numbers[rows.tolist()]
        return Item({name: as_field(found[name], name) for name in self.columns})

    def sample(self, row: int) -> Any:  # noqa: D102
        return self.dataset[row]


def as_field(values: Any, name: str) -> torch.Tensor:
    """Return one array of a dict as a tensor: integers int64, floats float32, booleans unchanged.

    Raises
    ------
    ValueError
        If rows differ in length, or hold anything but numbers.
    """
    return as_tensor(field_array(values, name))


def field_array(values: Any, name: str) -> npt.NDArray[Any]:
    """Return one array of a dict: integers as int64, floats as float32, other dtypes kept."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        array = np.asarray(values)
        is_ragged = array.dtype.kind == "O" and any(hasattr(row, "__len__") for row in array)
    except ValueError:  # rows of different lengths
        is_ragged = True
    if is_ragged:
        raise ValueError(
            f"X[{name!r}] must be an array with rows of equal length: pad them, or pass X as a "
            "data set with iterator_train__collate_fn and iterator_valid__collate_fn that pad each "
            "batch"
        )
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise ValueError(
            f"X[{name!r}] must be an array of numbers, got dtype {array.dtype} and shape "
            f"{array.shape}"
        )
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind == "b" or array.dtype == np.float64:
        return array
    return array.astype(np.float32, copy=False)


def is_arrow(X: Any) -> bool:
    """Tell whether X is a `datasets.Dataset` without a transform of its rows."""
    is_one = hasattr(X, "features") and hasattr(X, "column_names") and hasattr(X, "with_format")
    return is_one and hasattr(X, "__len__") and X.format["type"] != "custom"


def input_columns(dataset: Any) -> list[str]:
    """Return the columns of an Arrow data set for the module: those of numbers, without labels."""
    columns = dataset.format["columns"] or dataset.column_names
    found = [
        name
        for name in columns
        if name not in LABEL_KEYS and _holds_numbers(dataset.features[name])
    ]
    if not found:
        raise ValueError(f"X must have a column of numbers for the module, got columns {columns}")
    return found


def _holds_numbers(feature: Any) -> bool:
    while hasattr(feature, "feature"):  # a feature of list type
        feature = feature.feature
    if isinstance(feature, list):
        return bool(feature) and _holds_numbers(feature[0])
    return str(getattr(feature, "dtype", "")).startswith(("int", "uint", "float", "bool"))


def take_rows(X: Any, rows: npt.NDArray[np.int64]) -> Any:
    """Return some rows of inputs as a user gives them, in the same form.

    Parameters
    ----------
    X : array-like, frame, sparse matrix, dict of such, torch or Arrow data set
        The inputs.
    rows : ndarray of shape (n_rows,), dtype int64
        Positions of the rows.

    Examples
    --------
    >>> take_rows({"a": [4, 5, 6]}, np.array([2, 0]))
    {'a': [6, 4]}
    """
    if is_mapped(X):
        return MappedRows.of(X).take(rows)
    if sparse.issparse(X):
        return X.tocsr()[rows]
    if isinstance(X, Mapping):
        return {name: take_rows(values, rows) for name, values in X.items()}
    if isinstance(X, Dataset):
        return Subset(X, number_array("q", rows.tobytes()))  # 8 bytes a row, not 40
    if hasattr(X, "column_names") and hasattr(X, "with_format"):
        return X.select(rows)
    return _safe_indexing(X, rows)


def count_rows(inputs: Any) -> int:
    """Return the number of samples; for a dict, that of any of its arrays."""
    if isinstance(inputs, Mapping) and not sparse.issparse(inputs):
        inputs = next(iter(inputs.values()))
    is_array = hasattr(inputs, "shape") and isinstance(inputs.shape, tuple)
    return int(inputs.shape[0]) if is_array and not is_arrow(inputs) else len(inputs)


def as_tensor(array: Any) -> torch.Tensor:
    """Return an array as a tensor that shares its memory where torch allows.

    torch refuses negative strides, and warns about read-only memory (memory-mapped by joblib, or
    pandas' copy-on-write).
    """
    if isinstance(array, torch.Tensor):
        return array
    array = np.ascontiguousarray(array) if min(array.strides, default=1) < 0 else array
    return torch.from_numpy(array if array.flags.writeable else array.copy())
