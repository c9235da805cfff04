"""Convert labels and predictions to arrays of one kind, or raise an error."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import DataConversionWarning

from sk_prunefair.checks import as_labels, check_same_length

_NUMBERS = ("booleans", "integers", "fractions")
# dtype kinds of Python's values in numpy; those of unsigned integers depend on their size.
_WIDEST: dict[str, type[np.generic]] = {"b": np.bool_, "i": np.int64, "f": np.float64}


def as_labels_of_one_kind(
    y_true: npt.ArrayLike,
    predictions: dict[str, npt.ArrayLike],
    same_length: bool = True,
    of: str = "y_true",
) -> list[npt.NDArray[Any]]:
    """Return labels and predictions as arrays, or raise ValueError if they cannot be compared.

    Whole numbers are integers, for any dtype. Booleans are compared with numbers, as in Python;
    numbers with a fractional part, such as probabilities, are not predictions of integers.
    `of` is the name of `y_true` in errors.

    >>> as_labels_of_one_kind([0, 1], {"dense_pred": [0.0, 1.0]})
    [array([0, 1]), array([0., 1.])]
    >>> as_labels_of_one_kind([0, 1], {"dense_pred": [0.2, 0.9]})
    Traceback (most recent call last):
        ...
    ValueError: dense_pred must hold labels as y_true does: y_true has integers, dense_pred has \
fractions, such as 0.2; probabilities have shape (n_samples, n_classes)
    """
    truth = _checked(y_true, of)
    of_truth = _kind_of_all(truth, of)
    arrays = [_plain(truth)]
    for name, values in predictions.items():
        labels = _checked(values, name)
        if same_length:
            check_same_length(labels, name, truth, of)
        of_labels = _kind_of_all(labels, name)
        if not _can_be_compared(of_truth, of_labels):
            hint = (
                "; probabilities have shape (n_samples, n_classes)"
                if of_labels == "fractions"
                else ""
            )
            raise ValueError(
                f"{name} must hold labels as {of} does: {of} has {of_truth}, {name} has "
                f"{of_labels}, such as {_first(labels, of_labels)!r}{hint}"
            )
        arrays.append(_plain(labels))
    return arrays


def as_plain_labels(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return labels as a vector of numpy's dtype for them, or raise ValueError.

    >>> as_plain_labels(np.array([0, 1], dtype=np.uint8), "y_true").dtype
    dtype('int64')
    """
    return _plain(_checked(values, name))


def _checked(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return labels as numbers if they are an array of numbers, else as objects."""
    values = _one_column(values, name)
    if isinstance(values, pd.Series) and isinstance(values.dtype, np.dtype):
        values = values.to_numpy()
    if not isinstance(values, np.ndarray) or values.dtype.kind not in _WIDEST or values.ndim != 1:
        return as_labels(values, name)
    if not len(values) or (values.dtype.kind == "f" and np.isnan(values).any()):
        return as_labels(values, name)  # raises an error
    # a copy, as the user may change the array
    return values.astype(_WIDEST[values.dtype.kind])


def _one_column(values: Any, name: str) -> Any:
    """Return a table with one column as a vector, with scikit-learn's warning."""
    if getattr(values, "ndim", 1) != 2 or values.shape[1] != 1:
        return values
    warnings.warn(
        f"{name} is a column of shape {tuple(values.shape)} where a vector was expected",
        DataConversionWarning,
        stacklevel=2,
    )
    return values.iloc[:, 0] if isinstance(values, pd.DataFrame) else values[:, 0]


def _plain(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Of tuples numpy would make a table.
    if labels.dtype != object or _kind(labels[0]) == "other objects":
        return labels
    return np.asarray(labels.tolist())


def _can_be_compared(of_truth: str, of_labels: str) -> bool:
    if of_labels == "fractions":
        return of_truth == "fractions"
    return of_truth == of_labels or (of_truth in _NUMBERS and of_labels in _NUMBERS)


def _kind_of_all(values: npt.NDArray[Any], name: str) -> str:
    kinds = {_kind(value) for value in pd.unique(values)}
    if kinds <= set(_NUMBERS):
        return max(kinds, key=_NUMBERS.index)
    if len(kinds) > 1:
        raise ValueError(f"{name} must hold labels of one kind, got {' and '.join(sorted(kinds))}")
    return kinds.pop()


def _first(labels: npt.NDArray[Any], kind: str) -> Any:
    """Return the first label of a kind, as Python prints it."""
    return next(value for value in pd.unique(labels).tolist() if _kind(value) == kind)


def _kind(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "booleans"
    if isinstance(value, Real):
        return "integers" if float(value).is_integer() else "fractions"
    return "strings" if isinstance(value, str) else "other objects"
