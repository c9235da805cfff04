"""Convert rows to the inputs of an ONNX file: names, dtypes and shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse

from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.items import LABEL_KEYS
from sk_prunefair.data.sources import as_source

_DTYPES: dict[str, Any] = {
    **{f"tensor({name})": name for name in ("float16", "bool", "string")},
    **{f"tensor({sign}int{n})": f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)},
    **{"tensor(float)": "float32", "tensor(double)": "float64"},
}
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Input:
    """One input of an ONNX file.

    Parameters
    ----------
    name : str
        Name of the input.
    dtype : str
        The numpy dtype of the input, or "string".
    shape : tuple of (int or None), default=None
        Sizes, None for free ones; None for the whole if the file does not state it.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None = None

    @classmethod
    def of(cls, told: Any, where: str) -> Input:
        """Return an input from ONNX Runtime's description."""
        if told.type not in _DTYPES:
            raise ValueError(
                f"{where} has the input {told.name!r} of type {told.type}; supported types are "
                f"{sorted(_DTYPES)}"
            )
        sizes = tuple(size if isinstance(size, int) else None for size in told.shape)
        return cls(told.name, _DTYPES[told.type], sizes or None)

    @property
    def n_fixed(self) -> int | None:
        """Number of rows of every batch, if the file fixes it."""
        return None if self.shape is None else self.shape[0]

    def take(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a batch of rows in the dtype of the input, with its shape checked."""
        if self.shape is not None:
            is_column = len(self.shape) == 2 and self.shape[1] in (1, None)
            values = values[:, None] if values.ndim == 1 and is_column else values
            found, expected = values.shape[1:], self.shape[1:]
            is_fit = len(found) == len(expected) and all(
                wanted in (None, size) for size, wanted in zip(found, expected, strict=True)
            )
            if not is_fit:
                raise ValueError(
                    f"X must have shape {_shape(expected)} for the input {self.name!r}, got "
                    f"{_shape(found)}"
                )
        return _strings(values, self) if self.dtype == "string" else _numbers(values, self)


def _shape(sizes: Sequence[int | None]) -> str:
    return f"({', '.join(['n_samples', *('?' if n is None else str(n) for n in sizes)])})"


def _strings(values: npt.NDArray[Any], wanted: Input) -> npt.NDArray[Any]:
    if values.dtype.kind not in "OU":
        raise ValueError(
            f"X must hold strings for the input {wanted.name!r}, got dtype {values.dtype}"
        )
    return values.astype(str).astype(object)


def _numbers(values: npt.NDArray[Any], wanted: Input) -> npt.NDArray[Any]:
    """Return numbers in the input's dtype: floats may be rounded, integers must be exact."""
    dtype = np.dtype(wanted.dtype)
    if values.dtype.kind not in "biuf":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"X must hold numbers for the input {wanted.name!r}, got {error}"
            ) from error
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(dtype)
        if dtype.kind == "f":
            is_lost = np.isinf(cast) & np.isfinite(values)
        else:
            is_lost = cast.astype(values.dtype) != values
    if is_lost.any():
        raise ValueError(
            f"X must hold values that {dtype} can represent for the input {wanted.name!r}, got "
            f"{values[is_lost][0]}"
        )
    return cast


class Rows:
    """Rows of X, converted for a file batch by batch.

    Parameters
    ----------
    X : array-like, DataFrame, sparse matrix, dict or tuple of arrays, torch or Arrow data set
        A dict is matched to the inputs by name, a tuple by order. A table becomes one array if
        the file has one input; for a file with one input per column, columns are matched by name.
    inputs : sequence of Input
        Inputs of the file.
    features : sequence of str, default=None
        Columns of the single input, if known: a table must have these, in any order.

    Raises
    ------
    ValueError
        If X has no rows, lacks an input, has an unknown one, or its arrays differ in length.
    """

    def __init__(
        self, X: Any, inputs: Sequence[Input], features: Sequence[str] | None = None
    ) -> None:
        self._inputs = inputs
        self._fetch: Callable[[int, int], Mapping[str, Any]]
        if is_dataset(X):
            source = as_source(X)
            self._n = len(source)
            self._fetch = lambda start, stop: _named(
                source.fetch(torch.arange(start, stop)).X, inputs
            )
        else:
            if features is not None:
                X = _in_order(X, features)
            stored = {name: _stored(each) for name, each in _named(X, inputs).items()}
            lengths = {name: each.shape[0] for name, each in stored.items()}
            if len(set(lengths.values())) != 1:
                raise ValueError(f"X must hold arrays of one length, got {lengths}")
            self._n = next(iter(lengths.values()))
            self._fetch = lambda start, stop: {
                name: each[start:stop] for name, each in stored.items()
            }
        if self._n == 0:
            raise ValueError("X must hold at least one sample, got none")

    def __len__(self) -> int:
        return self._n

    def batch(self, start: int, stop: int) -> Arrays:
        """Return the arrays of some rows, by input."""
        found = self._fetch(start, min(stop, self._n))
        return {each.name: each.take(_dense(found[each.name])) for each in self._inputs}


def _named(X: Any, inputs: Sequence[Input]) -> Mapping[str, Any]:
    """Return the arrays of each input, by name."""
    names = [each.name for each in inputs]
    if isinstance(X, Mapping) and not issparse(X):
        unknown = [name for name in X if name not in (*names, *LABEL_KEYS)]
        _check_missing([name for name in names if name not in X], unknown, names, "arrays")
        return {name: X[name] for name in names}
    if isinstance(X, tuple):
        if len(X) != len(names):
            raise ValueError(
                f"X must be a tuple of {len(names)} arrays, for the inputs {names}, got {len(X)}"
            )
        return dict(zip(names, X, strict=True))
    if len(names) == 1:
        return {names[0]: X}
    columns = [str(column) for column in getattr(X, "columns", [])]
    if not columns:
        raise ValueError(
            f"X must be a dict or a tuple of arrays for the inputs {names}, got {type(X).__name__}"
        )
    _check_missing([name for name in names if name not in columns], [], names, "columns")
    return {name: X[name] for name in names}


def _in_order(X: Any, features: Sequence[str]) -> Any:
    """Return a table with the columns in the file's order; other inputs are returned unchanged."""
    columns = getattr(X, "columns", None)
    if columns is None or not all(isinstance(column, str) for column in columns):
        return X
    missing = [name for name in features if name not in columns]
    unknown = [column for column in columns if column not in features]
    if missing or unknown:
        raise ValueError(
            f"X must have the columns of the file's inputs: {missing[:5]} are missing, "
            f"{unknown[:5]} are unknown"
        )
    return X[list(features)]


def _check_missing(missing: list[str], unknown: list[str], names: list[str], what: str) -> None:
    if missing or unknown:
        raise ValueError(
            f"X must have {what} for the inputs {names}: {missing[:5]} are missing, "
            f"{[str(name) for name in unknown[:5]]} are unknown"
        )


def _stored(values: Any) -> Any:
    """Return rows that can be sliced: an array or a sparse matrix."""
    if issparse(values):
        return values.tocsr()
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"X must hold arrays with rows of one length: {error}") from error
    if array.ndim == 0:
        raise ValueError(f"X must be an array of rows, got {type(values).__name__}")
    return array


def _dense(values: Any) -> npt.NDArray[Any]:
    return values.toarray() if issparse(values) else _stored(values)
