"""Check X: arrays, frames, sparse matrices, dicts of arrays, torch and Arrow data sets."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from skorch.dataset import ERROR_MSG_1_ITEM, ERROR_MSG_MORE_THAN_2_ITEMS
from torch.utils.data import DataLoader, Dataset, IterableDataset

from sk_prunefair.data.items import LABEL_KEYS, split_item
from sk_prunefair.data.mapped import MappedRows, is_mapped
from sk_prunefair.data.sources import (
    ArrowSource,
    count_rows,
    field_array,
    is_arrow,
)


@dataclass(frozen=True)
class InputSchema:
    """Shapes, dtypes and names of the inputs of a net.

    Parameters
    ----------
    shape : tuple of int, default=None
        Shape of one sample of an array, or of a torch dataset that yields tensors.
    fields : dict of str to tuple of int, default=None
        Shapes of one sample of each array of a dict.
    dtype : {"float32", "float64", "int64"}, default=None
        Dtype of arrays and tables once the net has determined it; None for dicts, data sets and
        before that.
    dtypes : dict of str to str, default={}
        By field "float32", "float64", "int64" or "bool"; samples of integers may differ in length.
    sizes : dict of str to int, default={}
        By field, the columns of floats, or one more than the largest integer.
    n_features_in : int, default=None
        Number of columns of a table, as in scikit-learn.
    feature_names_in : ndarray of str, default=None
        Names of the columns of a table that has them.
    """

    shape: tuple[int, ...] | None = None
    fields: Mapping[str, tuple[int, ...]] | None = None
    dtype: str | None = None
    dtypes: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    n_features_in: int | None = None
    feature_names_in: npt.NDArray[Any] | None = None

    @property
    def n_inputs(self) -> int | None:
        """Numbers per sample; None if not known, or if there are several arrays."""
        return None if self.shape is None else int(np.prod(self.shape))


def check_inputs(X: Any, estimator: Any, known: InputSchema | None) -> tuple[Any, InputSchema]:
    """Return X as it is stored, and its schema.

    Parameters
    ----------
    X : array-like, sparse matrix, dict of arrays, torch or Arrow data set
        Features. Arrays and tables keep their dtype until the net determines it, see
        `settle_dtype`; in a dict, integers become int64, floats float32, and
        doubles are kept. A data set is kept. A memory-mapped array becomes `MappedRows`, whose
        values are checked batch by batch, as they are read.
    estimator : estimator
        Estimator whose name and tags scikit-learn's checks use; they set attributes on it.
    known : InputSchema or None
        Schema that X must have; None learns it from X.

    Returns
    -------
    inputs : object
        As `sk_prunefair.data.dataset.GroupDataset` takes it.
    schema : InputSchema
        Schema of this X.

    Raises
    ------
    ValueError
        If X is malformed, or does not match `known`.
    """
    refuse_streams(X)
    if is_dataset(X):
        return X, _of_items(X, known)
    if isinstance(X, Mapping) and not issparse(X):  # one kind of sparse matrix is a dict
        return _check_fields(X, known)
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    of_file = MappedRows.of(X) if is_mapped(X) else None
    inputs = validate_data(
        estimator,
        X if of_file is None else of_file.array,
        ensure_all_finite=of_file is None,
        dtype=np.float32 if issparse(X) else "numeric",
        allow_nd=True,
        accept_sparse="csr",
        reset=known is None,
    )
    found = vars(estimator)
    schema = InputSchema(
        shape=tuple(inputs.shape[1:]),
        dtype=None if known is None else known.dtype,
        n_features_in=found.get("n_features_in_"),
        feature_names_in=found.get("feature_names_in_"),
    )
    if known is not None:
        _check_shape(schema.shape, known.shape)
        if known.fields is not None:
            raise ValueError(
                f"X must be a dict of arrays {sorted(known.fields)} as in fit, got "
                f"{type(X).__name__}"
            )
    return inputs if of_file is None else of_file, schema


def settle_dtype(inputs: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Return a checked array in the dtype that its net takes.

    Raises
    ------
    ValueError
        If numbers are too large for the dtype, or not whole if it is an integer.
    """
    if dtype == "int64":
        whole = inputs.astype(np.int64)
        if not np.array_equal(whole, inputs):
            raise ValueError("X must hold integers as in fit, got numbers that are not whole")
        return whole
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values are refused below
        return check_array(inputs, dtype=np.dtype(dtype), ensure_2d=False, allow_nd=True)


def is_dataset(X: Any) -> bool:
    """Tell whether X is a torch data set, or one of the package datasets."""
    is_table = hasattr(X, "column_names") and hasattr(X, "with_format")
    return isinstance(X, Dataset) or (is_table and not isinstance(X, Mapping))


def refuse_streams(X: Any) -> None:
    """Raise ValueError if X can be iterated only once, or has no length."""
    is_stream = isinstance(X, (DataLoader, IterableDataset, Iterator))
    if is_stream or (is_dataset(X) and not hasattr(X, "__len__")):
        raise ValueError(
            "X must be an array, a table, a dict of arrays or a data set with a length, got "
            f"{type(X).__name__}; for a DataLoader, pass its dataset; for a stream, the list of "
            "its items"
        )
    if isinstance(X, Mapping) and any(is_dataset(each) for each in X.values()):
        raise ValueError(
            f"X must be one data set, got a dict of data sets: pass X[{next(iter(X))!r}]"
        )


def _check_shape(found: tuple[int, ...] | None, known: tuple[int, ...] | None) -> None:
    if found is not None and known is not None and found != known:
        raise ValueError(
            f"X must have shape (n_samples, {', '.join(map(str, known))}) as in fit, got "
            f"(n_samples, {', '.join(map(str, found))})"
        )


def _of_items(dataset: Any, known: InputSchema | None) -> InputSchema:
    """Return the schema of the items of a data set, from the first item."""
    if not len(dataset):
        raise ValueError("X must hold at least one sample, got an empty dataset")
    if is_arrow(dataset):
        features: Any = ArrowSource(dataset).fetch(torch.tensor([0])).X
        features = {name: values[0] for name, values in features.items()}
    else:
        item = dataset[0]
        n_values = len(item) if isinstance(item, (tuple, list)) else 1
        if n_values > 3:
            raise ValueError(ERROR_MSG_MORE_THAN_2_ITEMS.format(n_values))
        features = split_item(item).X
        if isinstance(features, (int, float)) and n_values != 2:
            too_many = ERROR_MSG_MORE_THAN_2_ITEMS.format(n_values)
            raise ValueError(ERROR_MSG_1_ITEM if n_values == 1 else too_many)
    if isinstance(features, Mapping):
        arrays = {name: np.asarray(each) for name, each in features.items()}
        if known is not None and known.fields is not None:
            _check_names(arrays, known.fields)
        return _fields_schema({name: each[None] for name, each in arrays.items()}, learn=False)
    shape = tuple(features.shape) if hasattr(features, "shape") else None
    if known is not None and known.fields is None:
        _check_shape(shape, known.shape)
    is_integer = str(getattr(features, "dtype", "")).split(".")[-1] in ("int64", "int32")
    return InputSchema(shape=shape, dtype="int64" if is_integer else None)


def _check_fields(X: Mapping[str, Any], known: InputSchema | None) -> tuple[Any, InputSchema]:
    arrays = {name: _field(values, name) for name, values in X.items() if name not in LABEL_KEYS}
    if not arrays:
        raise ValueError("X must hold at least one array, got an empty dict")
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"X must hold arrays of one length, got {lengths}")
    if not count_rows(arrays):
        raise ValueError("X must hold at least one sample, got arrays of length 0")
    schema = _fields_schema(arrays, learn=known is None)
    if known is not None and known.fields is not None:
        _check_names(arrays, known.fields)
        _check_shapes(schema, known)
    elif known is not None and known.shape is not None:
        raise ValueError(f"X must be an array as in fit, got a dict of arrays {sorted(arrays)}")
    return arrays, schema


def _fields_schema(arrays: Mapping[str, Any], learn: bool) -> InputSchema:
    fields = {name: tuple(values.shape[1:]) for name, values in arrays.items()}
    dtypes = {name: field_dtype(values.dtype) for name, values in arrays.items()}
    sizes = {
        name: int(_largest(values)) + 1 if dtypes[name] == "int64" else int(values.shape[1])
        for name, values in arrays.items()
        if learn and len(values) and (dtypes[name] == "int64" or values.ndim == 2)
    }
    return InputSchema(fields=fields, dtypes=dtypes, sizes=sizes)


def _largest(values: Any) -> Any:
    return values.array.max() if isinstance(values, MappedRows) else values.max()


def field_dtype(dtype: np.dtype[Any]) -> str:
    """Return the dtype in which an array of a dict is stored."""
    kinds = {"i": "int64", "u": "int64", "b": "bool"}
    return kinds.get(dtype.kind, "float64" if dtype == np.float64 else "float32")


def _check_names(found: Iterable[str], known: Mapping[str, Any]) -> None:
    if set(found) != set(known):
        raise ValueError(
            f"X must be a dict of the arrays {sorted(known)} as in fit, got {sorted(found)}"
        )


def _check_shapes(found: InputSchema, known: InputSchema) -> None:
    """Raise ValueError if samples differ from those of fit, except in the number of tokens."""
    assert found.fields is not None
    assert known.fields is not None
    for name, shape in found.fields.items():
        expected = known.fields[name]
        is_sequence = "int64" == known.dtypes.get(name) == found.dtypes.get(name)
        if len(shape) != len(expected) if is_sequence else shape != expected:
            raise ValueError(
                f"X must hold arrays whose rows have the shapes {dict(known.fields)} as in fit, "
                f"got {dict(found.fields)}"
            )


def _field(values: Any, name: str) -> Any:
    """Return one array of a dict, checked; memory-mapped ones are checked as rows are read."""
    if is_mapped(values):
        return MappedRows.of(values).settled(functools.partial(_field, name=name))
    array = field_array(values, name)
    if array.dtype.kind != "f":
        return array
    return check_array(
        array,
        ensure_2d=False,
        allow_nd=True,
        ensure_min_samples=0,
        input_name=f"X[{name!r}]",
    )
