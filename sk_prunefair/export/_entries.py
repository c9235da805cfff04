"""Entries of a compact file's header for tensors and inputs, with checks of their values."""

from __future__ import annotations

import functools
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

MAX_DIMS = 64
_MAX_SIZE = 2**63 - 1
_INPUT_DTYPES = ("float32", "float64", "int64", "bool")
_DTYPES = {
    str(each).removeprefix("torch."): each
    for each in vars(torch).values()
    if isinstance(each, torch.dtype)
}


@dataclass(frozen=True)
class TensorEntry:
    """The entry of one tensor.

    Parameters
    ----------
    shape : tuple of int
        Shape.
    dtype : str
        Name of its torch dtype, without "torch.".
    n_stored : int, default=None
        Number of its values in the file, where the others are zero; None for all.
    """

    shape: tuple[int, ...]
    dtype: str
    n_stored: int | None = None

    @functools.cached_property
    def numel(self) -> int:
        """Number of values of the tensor."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Bytes of one value."""
        return _DTYPES[self.dtype].itemsize

    def part_sizes(self, folder: str, name: str) -> Iterator[tuple[str, int]]:
        """Yield the parts of the file that hold the tensor, with their sizes."""
        if self.n_stored is not None:
            yield f"{folder}bits/{name}", -(-self.numel // 8)
        n_values = self.numel if self.n_stored is None else self.n_stored
        yield f"{folder}values/{name}", n_values * self.width

    @classmethod
    def of(cls, name: str, entry: Any) -> TensorEntry:
        """Return a checked entry from JSON."""
        where = f"tensor {name!r}"
        check_keys(entry, {"shape", "dtype"}, {"kept"}, where)
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
            raise wrong(f"the dtype of {where}", "a torch dtype", entry["dtype"])
        tensor = cls(check_shape(entry["shape"], f"the shape of {where}", 0), entry["dtype"])
        if "kept" in entry:
            n_stored = check_integer(
                entry["kept"], f"the number of values of {where}", 0, tensor.numel
            )
            tensor = cls(tensor.shape, tensor.dtype, n_stored)
        return tensor

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        entry: dict[str, Any] = {"shape": list(self.shape), "dtype": self.dtype}
        return entry if self.n_stored is None else entry | {"kept": self.n_stored}


@dataclass(frozen=True)
class Field:
    """The entry of one array, where X is a dict.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample.
    dtype : str
        Name of its numpy dtype.
    size : int, default=None
        Number of columns of floats, or one more than the largest integer of the training data.
    """

    shape: tuple[int, ...]
    dtype: str
    size: int | None = None

    @classmethod
    def of(cls, entry: Any) -> Field:
        """Return a checked entry from JSON."""
        check_keys(entry, {"shape", "dtype"}, {"size"}, "input_fields")
        if entry["dtype"] not in _INPUT_DTYPES:
            raise wrong("input_fields", f"one of {_INPUT_DTYPES}", entry["dtype"])
        size = entry.get("size")
        return cls(
            check_shape(entry["shape"], "input_fields", 1),
            entry["dtype"],
            None if size is None else check_integer(size, "input_fields", 1),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        known = {} if self.size is None else {"size": self.size}
        return {"shape": self.shape, "dtype": self.dtype} | known


@dataclass(frozen=True)
class Inputs:
    """Schema of X in a file; all None if not known.

    Parameters
    ----------
    shape : tuple of int, default=None
        Shape of one sample.
    dtype : str, default=None
        Name of the numpy dtype of the module's input.
    n_features : int, default=None
        ``n_features_in_``, the number of columns of a table.
    feature_names : tuple of str, default=None
        ``feature_names_in_``, the names of the columns.
    fields : dict of str to Field, default=None
        The arrays, if X is a dict.
    """

    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    n_features: int | None = None
    feature_names: tuple[str, ...] | None = None
    fields: Mapping[str, Field] | None = None

    @property
    def n_numbers(self) -> int:
        """Numbers per sample, or the largest size of an array in the file."""
        fields = (self.fields or {}).values()
        sizes = [each.size or 0 for each in fields]
        numbers = math.prod(self.shape or (0,)) + sum(math.prod(each.shape) for each in fields)
        return max([numbers, *sizes])

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Inputs:
        """Return the schema of X from a parsed header, checked."""
        shape, dtype = header["input_shape"], header.get("input_dtype")
        n_features, names = header.get("n_features"), header.get("feature_names")
        if shape is not None:
            shape = check_shape(shape, "input_shape", 1)
        if dtype is not None and dtype not in _INPUT_DTYPES:
            raise wrong("input_dtype", f"one of {_INPUT_DTYPES}", dtype)
        if n_features is not None:
            check_integer(n_features, "n_features", 1)
            if shape is not None and shape[:1] != (n_features,):
                raise wrong("n_features", f"the first of input_shape={shape}", n_features)
        if names is not None:
            names = check_strings(names, "feature_names")
            if len(names) != n_features:
                raise wrong("feature_names", f"{n_features} names", f"{len(names)} names")
        return cls(shape, dtype, n_features, names, _fields(header.get("input_fields")))

    def to_json(self) -> dict[str, Any]:
        """Return the entries as JSON, without those that are not known."""
        optional = {
            "input_dtype": self.dtype,
            "n_features": self.n_features,
            "feature_names": self.feature_names,
            "input_fields": None if self.fields is None else _as_json(self.fields),
        }
        known = {name: value for name, value in optional.items() if value is not None}
        return {"input_shape": self.shape} | known


def _as_json(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {name: each.to_json() for name, each in fields.items()}


def _fields(entries: Any) -> Mapping[str, Field] | None:
    if entries is None:
        return None
    if not isinstance(entries, dict) or not entries:
        raise wrong("input_fields", "an object that is not empty", entries)
    check_strings(list(entries), "input_fields")
    return {name: Field.of(entry) for name, entry in entries.items()}


def check_shape(value: Any, where: str, smallest: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_DIMS:
        raise wrong(where, f"a list of at most {MAX_DIMS} sizes", value)
    shape = tuple(check_integer(size, where, smallest) for size in value)
    if math.prod(shape) > _MAX_SIZE:
        raise wrong(where, "sizes that a tensor can have", value)
    return shape


def check_integer(value: Any, where: str, smallest: int, largest: int = _MAX_SIZE) -> int:
    if type(value) is not int or not smallest <= value <= largest:
        raise wrong(where, f"integers from {smallest} to {largest}", value)
    return value


def check_strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise wrong(where, "a list of strings", value)
    "".join(value).encode()  # raises UnicodeEncodeError, a ValueError, for lone surrogates
    return tuple(value)


def check_keys(entry: Any, required: set[str], optional: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise wrong(where, "an object", entry)
    found = cast("set[str]", entry.keys())
    if not required <= found <= required | optional:
        raise ValueError(
            f"the header of the file is invalid: {where} lacks {sorted(required - found)} and has "
            f"the unknown keys {sorted(found - required - optional)[:5]}"
        )


def wrong(where: str, expected: str, found: Any) -> ValueError:
    return ValueError(
        f"the header of the file is invalid: {where} must be {expected}, got {reprlib.repr(found)}"
    )
