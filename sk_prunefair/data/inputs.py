"""Check X: arrays, frames, sparse matrices, dicts of arrays and torch datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from skorch.dataset import ERROR_MSG_1_ITEM, ERROR_MSG_MORE_THAN_2_ITEMS
from torch.utils.data import DataLoader, Dataset, IterableDataset

from sk_prunefair.data.dataset import count_rows, item_features


@dataclass(frozen=True)
class InputSchema:
    """What the inputs of a net look like.

    Parameters
    ----------
    shape : tuple of int, default=None
        Shape of one sample of an array, or of a torch dataset that yields tensors.
    fields : dict of str to tuple of int, default=None
        Shapes of one sample of each array of a dict.
    n_features_in : int, default=None
        Columns of a table, as scikit-learn counts them.
    feature_names_in : ndarray of str, default=None
        Names of the columns of a table that has them.
    """

    shape: tuple[int, ...] | None = None
    fields: Mapping[str, tuple[int, ...]] | None = None
    n_features_in: int | None = None
    feature_names_in: npt.NDArray[Any] | None = None

    @property
    def n_inputs(self) -> int | None:
        """Numbers per sample; None where that is not known, or there are several arrays."""
        return None if self.shape is None else int(np.prod(self.shape))


def check_inputs(X: Any, estimator: Any, known: InputSchema | None) -> tuple[Any, InputSchema]:
    """Return X as it is stored, and what it looks like.

    Parameters
    ----------
    X : array-like, sparse matrix, dict of arrays or torch.utils.data.Dataset
        Features. Arrays and tables become float32; the arrays of a dict keep their kind: integers
        become int64, floats float32. A dataset stays as it is.
    estimator : estimator
        Whose name and tags scikit-learn's checks use; they set attributes on it.
    known : InputSchema or None
        What X must look like; None learns it.

    Returns
    -------
    inputs : object
        As `sk_prunefair.data.dataset.GroupDataset` takes it.
    schema : InputSchema
        Of this X.

    Raises
    ------
    ValueError
        If X is malformed, or does not look like what is known.
    """
    if isinstance(X, (DataLoader, IterableDataset, Iterator)):
        raise ValueError(
            f"X must be an array, a table, a dict of arrays or a torch Dataset with a length, got "
            f"{type(X).__name__}; of a DataLoader, pass its dataset"
        )
    if isinstance(X, Dataset):
        schema = _of_items(X)
        if known is not None and known.fields is None:
            _check_shape(schema.shape, known.shape)
        return X, schema
    if isinstance(X, Mapping) and not issparse(X):  # one kind of sparse matrix is a dict
        return _check_fields(X, known)
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().numpy()
    inputs = validate_data(
        estimator,
        X,
        dtype=np.float32,
        allow_nd=True,
        accept_sparse="csr",
        reset=known is None,
    )
    found = vars(estimator)
    schema = InputSchema(
        shape=tuple(inputs.shape[1:]),
        n_features_in=found.get("n_features_in_"),
        feature_names_in=found.get("feature_names_in_"),
    )
    if known is not None:
        _check_shape(schema.shape, known.shape)
    return inputs, schema


def _check_shape(found: tuple[int, ...] | None, known: tuple[int, ...] | None) -> None:
    if found is not None and known is not None and found != known:
        raise ValueError(
            f"X must have shape (n_samples, {', '.join(map(str, known))}) as in fit, got "
            f"(n_samples, {', '.join(map(str, found))})"
        )


def _of_items(dataset: Dataset[Any]) -> InputSchema:
    if not count_rows(dataset):
        raise ValueError("X must hold at least one sample, got an empty dataset")
    item = dataset[0]
    features = item_features(item)
    n_values = len(item) if isinstance(item, (tuple, list)) else 1
    if isinstance(features, (int, float)) and n_values != 2:
        too_many = ERROR_MSG_MORE_THAN_2_ITEMS.format(n_values)
        raise ValueError(ERROR_MSG_1_ITEM if n_values == 1 else too_many)
    if isinstance(features, Mapping):
        return InputSchema(fields={name: np.shape(each) for name, each in features.items()})
    return InputSchema(shape=tuple(features.shape) if hasattr(features, "shape") else None)


def _check_fields(X: Mapping[str, Any], known: InputSchema | None) -> tuple[Any, InputSchema]:
    if not X:
        raise ValueError("X must hold at least one array, got an empty dict")
    arrays = {name: _field(values, name) for name, values in X.items()}
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"X must hold arrays of one length, got {lengths}")
    fields = {name: values.shape[1:] for name, values in arrays.items()}
    if known is not None and known.fields is not None and fields != dict(known.fields):
        raise ValueError(
            f"X must hold arrays whose rows have the shapes {dict(known.fields)} as in fit, got "
            f"{fields}"
        )
    return arrays, InputSchema(fields=fields)


def _field(values: Any, name: str) -> npt.NDArray[Any]:
    """Return one array of a dict, integers as int64, numbers as float32."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"X[{name!r}] must be an array with rows of one length: {error}") from None
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise ValueError(
            f"X[{name!r}] must be an array of numbers, got dtype {array.dtype} and shape "
            f"{array.shape}"
        )
    if array.dtype.kind == "f":
        return check_array(
            array, dtype=np.float32, ensure_2d=False, allow_nd=True, input_name=f"X[{name!r}]"
        )
    return array if array.dtype.kind == "b" else array.astype(np.int64)
