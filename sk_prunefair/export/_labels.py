"""Labels in a file: strings, numbers or booleans, and the dtype of their array."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
import numpy.typing as npt

# Every string of a numpy array takes the memory of the longest.
_MAX_CHARACTERS = 2**22
_NUMBERS = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
}


def dtype_name(labels: npt.NDArray[Any]) -> str | None:
    """Return the name of the dtype of labels in a file; None for other dtypes."""
    if labels.dtype.kind == "U":
        return "str"
    return labels.dtype.name if labels.dtype.name in {*_NUMBERS, "object"} else None


def check_labels(labels: list[Any]) -> list[Any]:
    """Return labels if they are valid, or raise an error.

    Parameters
    ----------
    labels : list
        Labels from a file, or for one.

    Returns
    -------
    list
        The same labels.

    Raises
    ------
    ValueError
        If they are not unique, not of one kind, not strings, numbers or booleans, or need too much
        memory.

    Examples
    --------
    >>> check_labels(["no", "yes"])
    ['no', 'yes']
    >>> check_labels([0, True])
    Traceback (most recent call last):
        ...
    ValueError: labels must be all strings, all numbers or all booleans, got [0, True]
    """
    kinds = _kinds(labels)
    if len(kinds) != 1 or not kinds <= {str, float, bool}:
        raise ValueError(
            f"labels must be all strings, all numbers or all booleans, got {reprlib.repr(labels)}"
        )
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels must be unique, got {reprlib.repr(labels)}")
    if kinds == {str}:
        "".join(labels).encode()  # raises UnicodeEncodeError, a ValueError, for lone surrogates
        if len(labels) * max(map(len, labels)) > _MAX_CHARACTERS:
            raise ValueError(
                f"{len(labels)} labels of up to {max(map(len, labels))} characters are too many"
            )
    elif not all(-(2**63) <= label < 2**64 for label in labels if type(label) is int) or not all(
        np.isfinite(label) for label in labels if type(label) is float
    ):
        raise ValueError("labels must be finite, and integers of 64 bits at most")
    return labels


def array_of(labels: list[Any], dtype: Any) -> npt.NDArray[Any]:
    """Return checked labels as an array.

    Parameters
    ----------
    labels : list
        As `check_labels` returns them.
    dtype : str or None
        As `dtype_name` returns it; None takes numpy's choice.

    Returns
    -------
    ndarray of shape (n_labels,)
        The labels.

    Raises
    ------
    ValueError
        If the dtype is not known, or cannot hold these labels.

    Examples
    --------
    >>> array_of([0, 1], "int8")
    array([0, 1], dtype=int8)
    """
    if not (dtype is None or (isinstance(dtype, str) and dtype in {*_NUMBERS, "object", "str"})):
        raise ValueError(f"the labels of the file have an unknown dtype, {reprlib.repr(dtype)}")
    try:
        array = np.asarray(labels, dtype=dtype)
    except (OverflowError, ValueError, TypeError) as error:
        raise ValueError(f"the labels of the file do not fit dtype {dtype}: {error}") from error
    found = array.tolist()
    if found != labels or _kinds(found) != _kinds(labels):
        raise ValueError(f"the labels of the file do not fit dtype {dtype or array.dtype}")
    return array


def _kinds(labels: list[Any]) -> set[type]:
    return {float if type(label) is int else type(label) for label in labels}
