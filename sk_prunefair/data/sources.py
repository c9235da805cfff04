"""Where inputs come from: arrays, sparse rows, items of a data set, columns of an Arrow table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from sklearn.utils import _safe_indexing
from torch.utils.data import Dataset, Subset, default_collate

from sk_prunefair.nested import map_tensors, take

LABEL_KEYS = ("labels", "label")
"""Where a dict holds these, they are y and never go to the module, as in transformers."""


class Item(NamedTuple):
    """What one item of a data set, or a batch of them, holds; None for what it does not."""

    X: Any
    y: Any = None
    group: Any = None


class Source(Protocol):
    """Inputs row by row."""

    def __len__(self) -> int: ...

    def fetch(self, rows: torch.Tensor) -> Item:
        """Return the inputs of some rows as one batch, and lists of what else their items hold."""

    def sample(self, row: int) -> Any:
        """Return one row as a ``collate_fn`` of the user's takes it."""


def as_source(inputs: Any) -> Source:
    """Return inputs as a source.

    Parameters
    ----------
    inputs : array, tensor, dict of arrays, scipy sparse matrix, torch or Arrow data set
        The features.
    """
    if is_arrow(inputs):
        return ArrowSource(inputs)
    if sparse.issparse(inputs):
        return SparseSource(inputs)
    if isinstance(inputs, Mapping):
        return ArraySource({name: as_tensor(values) for name, values in inputs.items()})
    is_array = isinstance(inputs, (np.ndarray, torch.Tensor)) and not isinstance(inputs, Dataset)
    return ArraySource(as_tensor(inputs)) if is_array else ItemSource(inputs)


class ArraySource:
    """A tensor, or a dict of tensors."""

    def __init__(self, tensors: torch.Tensor | dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return count_rows(self.tensors)

    def fetch(self, rows: torch.Tensor) -> Item:  # noqa: D102 (as in Source)
        return Item(map_tensors(lambda tensor: _selected(tensor, rows), self.tensors))

    def sample(self, row: int) -> Any:  # noqa: D102
        return take(self.tensors, row)


def _selected(tensor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    # A third of the time of tensor[rows], but of one device alone.
    return tensor.index_select(0, rows) if tensor.device == rows.device else tensor[rows]


class SparseSource:
    """Rows of a sparse matrix, which are made dense batch by batch."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def fetch(self, rows: torch.Tensor) -> Item:  # noqa: D102
        return Item(torch.from_numpy(self.matrix[rows.numpy()].toarray()))

    def sample(self, row: int) -> Any:  # noqa: D102
        return torch.from_numpy(self.matrix[row].toarray()[0])


class ItemSource:
    """A torch data set of ``X``, ``(X, y)``, ``(X, y, group)`` or dicts."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, rows: torch.Tensor) -> Item:  # noqa: D102
        items = [split_item(self.dataset[row]) for row in rows.tolist()]
        return Item(default_collate([item.X for item in items]), *held(items))

    def sample(self, row: int) -> Any:  # noqa: D102
        return self.dataset[row]


class ArrowSource:
    """Columns of numbers of a `datasets.Dataset`, read from its file batch by batch.

    Columns of strings stay behind, and so do labels. A format that the user has set, with
    ``set_format`` or ``with_format``, says which columns there are. What ``with_transform`` makes
    of rows is taken as it is: such a data set is an `ItemSource`.
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
    """Return one array of a dict as a tensor: integers int64, floats float32, booleans as they are.

    Raises
    ------
    ValueError
        If rows differ in length, or hold other things than numbers.
    """
    return as_tensor(field_array(values, name))


def field_array(values: Any, name: str) -> npt.NDArray[Any]:
    """Return one array of a dict: integers int64, floats float32, doubles and booleans as such."""
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
            f"X[{name!r}] must be an array with rows of one length: pad them, or give X as a data "
            "set, and iterator_train__collate_fn and iterator_valid__collate_fn, which pad a batch"
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
    """Tell whether X is a `datasets.Dataset` of columns, rather than of what a function makes."""
    is_one = hasattr(X, "features") and hasattr(X, "column_names") and hasattr(X, "with_format")
    return is_one and hasattr(X, "__len__") and X.format["type"] != "custom"


def input_columns(dataset: Any) -> list[str]:
    """Return the columns of an Arrow data set that can go to a module: numbers, but labels."""
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
    while hasattr(feature, "feature"):  # a list of a feature
        feature = feature.feature
    if isinstance(feature, list):
        return bool(feature) and _holds_numbers(feature[0])
    return str(getattr(feature, "dtype", "")).startswith(("int", "uint", "float", "bool"))


def split_item(item: Any) -> Item:
    """Return X, y and group of an item: ``X``, ``(X, y)``, ``(X, y, group)`` or a dict.

    Examples
    --------
    >>> split_item({"input_ids": [1, 2], "labels": 0})
    Item(X={'input_ids': [1, 2]}, y=0, group=None)
    """
    found = Item(*item) if isinstance(item, (tuple, list)) else Item(item)
    if not isinstance(found.X, Mapping):
        return found
    y = found.y
    for key in LABEL_KEYS:
        y = found.X.get(key) if y is None else y
    X = {name: values for name, values in found.X.items() if name not in LABEL_KEYS}
    return Item(X, y, found.group)


def held(items: Sequence[Item]) -> tuple[list[Any] | None, list[Any] | None]:
    """Return the labels and the groups of items, None where they hold none."""
    y = [plain(item.y) for item in items]
    group = [plain(item.group) for item in items]
    return (
        None if any(value is None for value in y) else y,
        None if any(value is None for value in group) else group,
    )


def plain(value: Any) -> Any:
    """Return a number of torch or numpy as one of Python."""
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else value.numpy()
    is_one = isinstance(value, (np.ndarray, np.generic)) and value.size == 1
    return value.item() if is_one else value


def take_rows(X: Any, rows: npt.NDArray[np.int64]) -> Any:
    """Return some rows of inputs as a user gives them, in the form that they have.

    Parameters
    ----------
    X : array-like, frame, sparse matrix, dict of such, torch or Arrow data set
        The inputs.
    rows : ndarray of shape (n_rows,), dtype int64
        Which.

    Examples
    --------
    >>> take_rows({"a": [4, 5, 6]}, np.array([2, 0]))
    {'a': [6, 4]}
    """
    if sparse.issparse(X):
        return X.tocsr()[rows]
    if isinstance(X, Mapping):
        return {name: take_rows(values, rows) for name, values in X.items()}
    if isinstance(X, Dataset):
        return Subset(X, rows.tolist())
    if hasattr(X, "column_names") and hasattr(X, "with_format"):
        return X.select(rows)
    return _safe_indexing(X, rows)


def count_rows(inputs: Any) -> int:
    """Return the number of samples; of a dict, of any of its arrays."""
    if isinstance(inputs, Mapping) and not sparse.issparse(inputs):
        inputs = next(iter(inputs.values()))
    is_array = hasattr(inputs, "shape") and isinstance(inputs.shape, tuple)
    return int(inputs.shape[0]) if is_array and not is_arrow(inputs) else len(inputs)


def as_tensor(array: Any) -> torch.Tensor:
    """Return an array as a tensor, of the same memory where torch can take it.

    torch refuses negative strides, and warns about read-only memory (memory-mapped by joblib, or
    pandas' copy-on-write).
    """
    if isinstance(array, torch.Tensor):
        return array
    array = np.ascontiguousarray(array) if min(array.strides, default=1) < 0 else array
    return torch.from_numpy(array if array.flags.writeable else array.copy())
