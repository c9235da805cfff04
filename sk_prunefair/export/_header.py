"""The header of a compact file: what the file says of its net, checked for itself."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy.typing as npt
import torch

from sk_prunefair.export._archive import Archive
from sk_prunefair.export._json import parse_json
from sk_prunefair.export._labels import array_of, check_labels, dtype_name

FORMAT = "sk_prunefair compact 1"
HEADER = "header.json"
_MAX_DIMS = 64
_MAX_SIZE = 2**63 - 1
# A header unpacks to 32 times its bytes in the file, beyond the first MiB: names compress well.
_HEADER_SIZE, _HEADER_RATIO, _MAX_HEADER = 2**20, 32, 2**24

_DTYPES = {
    str(each).removeprefix("torch."): each
    for each in vars(torch).values()
    if isinstance(each, torch.dtype)
}
_ENTRIES = {"format", "tensors", "masks"}
_OPTIONAL = {"dense", "kept"}
_OF_CLASSIFIERS = {
    *("classes", "classes_dtype", "rate", "removed"),
    *("input_shape", "input_dtype", "n_features", "feature_names"),
}


@dataclass(frozen=True)
class TensorEntry:
    """What a file says of one tensor.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : str
        Name of its torch dtype, without "torch.".
    n_stored : int, default=None
        How many of its numbers are in the file, the others being zero; None for all.
    """

    shape: tuple[int, ...]
    dtype: str
    n_stored: int | None = None

    @functools.cached_property
    def numel(self) -> int:
        """Numbers of the tensor."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Bytes of one number."""
        return _DTYPES[self.dtype].itemsize

    def part_sizes(self, folder: str, name: str) -> Iterator[tuple[str, int]]:
        """Yield the parts of the file that hold the tensor, with their sizes."""
        if self.n_stored is not None:
            yield f"{folder}bits/{name}", -(-self.numel // 8)
        n_values = self.numel if self.n_stored is None else self.n_stored
        yield f"{folder}values/{name}", n_values * self.width

    @classmethod
    def of(cls, name: str, entry: Any) -> TensorEntry:
        """Return a checked entry of the JSON."""
        where = f"tensor {name!r}"
        _check_keys(entry, {"shape", "dtype"}, {"kept"}, where)
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
            raise _wrong(f"the dtype of {where}", "a torch dtype", entry["dtype"])
        tensor = cls(_shape(entry["shape"], f"the shape of {where}", 0), entry["dtype"])
        if "kept" in entry:
            n_stored = _integer(entry["kept"], f"the number of values of {where}", 0, tensor.numel)
            tensor = cls(tensor.shape, tensor.dtype, n_stored)
        return tensor

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the JSON."""
        entry: dict[str, Any] = {"shape": list(self.shape), "dtype": self.dtype}
        return entry if self.n_stored is None else entry | {"kept": self.n_stored}


@dataclass(frozen=True)
class Inputs:
    """What X looks like to the classifier of a file; all None where that is not known.

    Parameters
    ----------
    shape : tuple of int, default=None
        Shape of one sample.
    dtype : str, default=None
        Name of the numpy dtype that the module is given.
    n_features : int, default=None
        ``n_features_in_``, the columns of a table.
    feature_names : tuple of str, default=None
        ``feature_names_in_``, the names of the columns.
    """

    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    n_features: int | None = None
    feature_names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Inputs:
        """Return what a parsed header says of X, checked."""
        shape, dtype = header["input_shape"], header.get("input_dtype")
        n_features, names = header.get("n_features"), header.get("feature_names")
        if shape is not None:
            shape = _shape(shape, "input_shape", 1)
        if dtype is not None and dtype not in ("float32", "float64", "int64", "bool"):
            raise _wrong("input_dtype", "float32, float64, int64 or bool", dtype)
        if n_features is not None:
            _integer(n_features, "n_features", 1)
            if shape is not None and shape[:1] != (n_features,):
                raise _wrong("n_features", f"the first of input_shape={shape}", n_features)
        if names is not None:
            names = _strings(names, "feature_names")
            if len(names) != n_features:
                raise _wrong("feature_names", f"{n_features} names", f"{len(names)} names")
        return cls(shape, dtype, n_features, names)

    def to_json(self) -> dict[str, Any]:
        """Return the entries of the JSON; those that are not known are left out."""
        optional = {
            "input_dtype": self.dtype,
            "n_features": self.n_features,
            "feature_names": self.feature_names,
        }
        known = {name: value for name, value in optional.items() if value is not None}
        return {"input_shape": self.shape} | known


@dataclass(frozen=True)
class Header:
    """What a file says of its net.

    Parameters
    ----------
    tensors : mapping of str to TensorEntry
        Of the net.
    dense : mapping of str to TensorEntry, default=None
        Of the dense net, where the file has it as well.
    masks : tuple of str, default=()
        Parameters whose numbers that are not stored were removed.
    kept : mapping of str to tuple of int, default={}
        Where channels were removed, the dimensions of each tensor that are smaller.
    classes : ndarray, default=None
        The labels; None for a bare module.
    rate : float, default=0.0
        The rate that was asked for.
    removed : int, default=None
        How many weights were removed, where that is not what the rate says.
    inputs : Inputs
        What X looks like.
    """

    tensors: Mapping[str, TensorEntry]
    dense: Mapping[str, TensorEntry] | None = None
    masks: tuple[str, ...] = ()
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    classes: npt.NDArray[Any] | None = None
    rate: float = 0.0
    removed: int | None = None
    inputs: Inputs = Inputs()

    @property
    def is_pruned(self) -> bool:
        """Whether the net lacks weights or channels of its dense net."""
        return bool(self.masks or self.kept)

    @functools.cached_property
    def numel(self) -> int:
        """Numbers of all tensors of the net."""
        return sum(tensor.numel for tensor in self.tensors.values())

    def to_json(self) -> bytes:
        """Return the header as it stands in the file."""
        entries: dict[str, Any] = {"format": FORMAT, "masks": self.masks, "kept": self.kept}
        entries["tensors"] = {name: each.to_json() for name, each in self.tensors.items()}
        if self.dense is not None:
            entries["dense"] = {name: each.to_json() for name, each in self.dense.items()}
        if self.classes is not None:
            entries |= {"classes": self.classes.tolist(), "rate": self.rate}
            entries |= {"classes_dtype": dtype_name(self.classes)}
            entries |= {} if self.removed is None else {"removed": self.removed}
            entries |= self.inputs.to_json()
        return json.dumps(entries, allow_nan=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Header:
        """Return what a header says, or raise ValueError where it contradicts itself."""
        entries = parse_json(content)
        if not isinstance(entries, dict):
            raise _wrong("header.json", "an object", entries)
        if entries.get("format") != FORMAT:
            found = repr(entries.get("format"))[:80]
            raise ValueError(f"the file's format is {found}, known is {FORMAT!r}")
        required = _ENTRIES | (
            {"classes", "rate", "input_shape"} if "classes" in entries else set()
        )
        optional = _OPTIONAL | (_OF_CLASSIFIERS if "classes" in entries else set())
        _check_keys(entries, required, optional, "header.json")
        header = cls(
            tensors=_tensors(entries["tensors"], "tensors"),
            dense=_tensors(entries["dense"], "dense") if "dense" in entries else None,
            masks=_strings(entries["masks"], "masks"),
            kept=_kept(entries.get("kept", {})),
        )
        _check_pruning(header)
        return header if "classes" not in entries else _with_classes(header, entries)

    @classmethod
    def read(cls, archive: Archive) -> Header:
        """Return the header of an archive that has exactly the parts which the header tells of."""
        size = archive.sizes.get(HEADER, 0)
        limit = min(_HEADER_SIZE + _HEADER_RATIO * archive.packed_size(HEADER), _MAX_HEADER)
        if size > limit:
            raise ValueError(f"the header of the file has {size} bytes, more than any net needs")
        header = cls.from_json(archive.read(HEADER, size))
        header.check_parts(archive.sizes)
        return header

    def check_parts(self, sizes: Mapping[str, int]) -> None:
        """Raise ValueError where a file has other parts, or of other sizes, than the header tells.

        The sizes of ``kept/...`` depend on the dense net; they are checked when they are read.
        """
        told: dict[str, int | None] = {HEADER: None}
        for folder, tensors in (("", self.tensors), ("dense/", self.dense or {})):
            for name, tensor in tensors.items():
                told |= tensor.part_sizes(folder, name)
        told |= {f"kept/{dim}/{name}": None for name, dims in self.kept.items() for dim in dims}
        if told.keys() != sizes.keys():
            raise ValueError(
                "the file is not a whole compact file (it lacks "
                f"{sorted(told.keys() - sizes)[:5]} and has {sorted(sizes.keys() - told)[:5]} "
                "beyond what its header tells)"
            )
        for name, size in told.items():
            if size is not None and sizes[name] != size:
                raise ValueError(f"the file is damaged: {name!r} does not have {size} bytes")


def _with_classes(header: Header, entries: Mapping[str, Any]) -> Header:
    """Return the header of a classifier."""
    if not isinstance(entries["classes"], list):
        raise _wrong("classes", "a list", entries["classes"])
    labels = check_labels(entries["classes"])
    # A net has a number for each score that it gives, but one score may stand for two labels.
    if len(labels) > max(2, header.numel):
        raise ValueError(f"the file has {len(labels)} labels, but {header.numel} numbers")
    rate = entries["rate"]
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise _wrong("rate", "a number in [0, 1)", rate)
    if rate and not header.is_pruned:
        raise _wrong("rate", "0, for a net without masks", rate)
    removed = entries.get("removed")
    return Header(
        header.tensors,
        header.dense,
        header.masks,
        header.kept,
        array_of(labels, entries.get("classes_dtype")),
        float(rate),
        None if removed is None else _integer(removed, "removed", 0),
        Inputs.of(entries),
    )


def _check_pruning(header: Header) -> None:
    if header.masks and header.kept:
        raise ValueError("the header of the file has masks and removed channels, expected is one")
    if header.dense is not None and not header.is_pruned:
        raise ValueError(
            "the header of the file tells of a dense net, but neither of masks nor of removed "
            "channels: the net is the dense one itself"
        )
    if len(set(header.masks)) != len(header.masks):
        raise _wrong("masks", "different names", header.masks)
    for name in header.masks:
        if name not in header.tensors or header.tensors[name].n_stored is None:
            raise _wrong("masks", "names of tensors that are stored by bits", name)
    for name in header.kept:
        if name not in header.tensors:
            raise _wrong("kept", "names of tensors", name)


def _tensors(entries: Any, where: str) -> dict[str, TensorEntry]:
    if not isinstance(entries, dict):
        raise _wrong(where, "an object", entries)
    return {name: TensorEntry.of(name, entry) for name, entry in entries.items()}


def _kept(entries: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(entries, dict):
        raise _wrong("kept", "an object", entries)
    kept = {}
    for name, dims in entries.items():
        if not isinstance(dims, list) or not 0 < len(dims) <= _MAX_DIMS:
            raise _wrong(f"kept[{name!r}]", "a list of dimensions", dims)
        kept[name] = tuple(_integer(dim, f"kept[{name!r}]", 0, _MAX_DIMS) for dim in dims)
        if len(set(dims)) != len(dims):
            raise _wrong(f"kept[{name!r}]", "different dimensions", dims)
    return kept


def _shape(value: Any, where: str, smallest: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MAX_DIMS:
        raise _wrong(where, f"a list of at most {_MAX_DIMS} sizes", value)
    shape = tuple(_integer(size, where, smallest) for size in value)
    if math.prod(shape) > _MAX_SIZE:
        raise _wrong(where, "sizes of a tensor that can be", value)
    return shape


def _integer(value: Any, where: str, smallest: int, largest: int = _MAX_SIZE) -> int:
    if type(value) is not int or not smallest <= value <= largest:
        raise _wrong(where, f"integers from {smallest} to {largest}", value)
    return value


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(where, "a list of strings", value)
    return tuple(value)


def _check_keys(entry: Any, required: set[str], optional: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise _wrong(where, "an object", entry)
    found = cast("set[str]", entry.keys())
    if not required <= found <= required | optional:
        raise ValueError(
            f"the header of the file does not fit: {where} lacks {sorted(required - found)} and "
            f"has {sorted(found - required - optional)[:5]} beyond what is known"
        )


def _wrong(where: str, expected: str, found: Any) -> ValueError:
    return ValueError(
        f"the header of the file does not fit: {where} must be {expected}, got {repr(found)[:80]}"
    )
