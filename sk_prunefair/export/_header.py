"""The header of a compact file, with checks of its consistency."""

from __future__ import annotations

import functools
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from sk_prunefair.export._archive import Archive
from sk_prunefair.export._entries import (
    MAX_DIMS,
    Inputs,
    TensorEntry,
    check_integer,
    check_keys,
    check_strings,
    wrong,
)
from sk_prunefair.export._json import parse_json
from sk_prunefair.export._labels import array_of, check_labels, dtype_name

FORMAT = "sk_prunefair compact 1"
HEADER = "header.json"
# A header may unpack to 128 times its bytes in the file, beyond the first MiB: names compress well,
# those of 20,000 similar layers to a fiftieth.
_HEADER_SIZE, _HEADER_RATIO, _MAX_HEADER = 2**20, 128, 2**24

_ENTRIES = {"format", "tensors", "masks"}
_OPTIONAL = {"dense", "kept"}
_OF_CLASSIFIERS = {
    *("classes", "classes_dtype", "rate", "removed"),
    *("input_shape", "input_dtype", "input_fields", "n_features", "feature_names"),
}


@dataclass(frozen=True)
class Header:
    """Description of the net in a file.

    Parameters
    ----------
    tensors : mapping of str to TensorEntry
        Tensors of the net.
    dense : mapping of str to TensorEntry, default=None
        Tensors of the dense net, if the file has it as well.
    masks : tuple of str, default=()
        Parameters whose values that are not stored were removed.
    kept : mapping of str to tuple of int, default={}
        If channels were removed, the dimensions of each tensor that are smaller.
    classes : ndarray, default=None
        The labels; None for a bare module.
    rate : float, default=0.0
        The requested rate.
    removed : int, default=None
        Number of removed weights, if it differs from the rate's.
    inputs : Inputs
        Schema of X.
    """

    tensors: Mapping[str, TensorEntry]
    dense: Mapping[str, TensorEntry] | None = None
    masks: tuple[str, ...] = ()
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    classes: npt.NDArray[Any] | None = None
    rate: float = 0.0
    removed: int | None = None
    inputs: Inputs = field(default_factory=Inputs)

    @property
    def is_pruned(self) -> bool:
        """Whether weights or channels of the dense net were removed."""
        return bool(self.masks or self.kept)

    @functools.cached_property
    def numel(self) -> int:
        """Number of values of all tensors of the net."""
        return sum(tensor.numel for tensor in self.tensors.values())

    def to_json(self) -> bytes:
        """Return the header as JSON."""
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
        """Return the header from JSON, or raise ValueError if it is inconsistent."""
        entries = parse_json(content)
        if not isinstance(entries, dict):
            raise wrong("header.json", "an object", entries)
        if entries.get("format") != FORMAT:
            found = reprlib.repr(entries.get("format"))
            raise ValueError(f"the format of the file must be {FORMAT!r}, got {found}")
        required = _ENTRIES | (
            {"classes", "rate", "input_shape"} if "classes" in entries else set()
        )
        optional = _OPTIONAL | (_OF_CLASSIFIERS if "classes" in entries else set())
        check_keys(entries, required, optional, "header.json")
        header = cls(
            tensors=_tensors(entries["tensors"], "tensors"),
            dense=_tensors(entries["dense"], "dense") if "dense" in entries else None,
            masks=check_strings(entries["masks"], "masks"),
            kept=_kept(entries.get("kept", {})),
        )
        _check_pruning(header)
        return header if "classes" not in entries else _with_classes(header, entries)

    @classmethod
    def read(cls, archive: Archive) -> Header:
        """Read the header of an archive, whose parts must be exactly those in the header."""
        size = archive.sizes.get(HEADER, 0)
        limit = min(_HEADER_SIZE + _HEADER_RATIO * archive.packed_size(HEADER), _MAX_HEADER)
        if size > limit:
            raise ValueError(f"the header of the file has {size} bytes, more than any net needs")
        header = cls.from_json(archive.read(HEADER, size))
        header.check_parts(archive.sizes)
        return header

    def check_parts(self, sizes: Mapping[str, int]) -> None:
        """Raise ValueError if the parts of a file, or their sizes, differ from the header.

        The sizes of ``kept/...`` depend on the dense net; they are checked when they are read.
        """
        told: dict[str, int | None] = {HEADER: None}
        for folder, tensors in (("", self.tensors), ("dense/", self.dense or {})):
            for name, tensor in tensors.items():
                told |= tensor.part_sizes(folder, name)
        told |= {f"kept/{dim}/{name}": None for name, dims in self.kept.items() for dim in dims}
        if told.keys() != sizes.keys():
            raise ValueError(
                "the file is not a complete compact file (it lacks "
                f"{sorted(told.keys() - sizes)[:5]} and has {sorted(sizes.keys() - told)[:5]}, "
                "which its header does not list)"
            )
        for name, size in told.items():
            if size is not None and sizes[name] != size:
                raise ValueError(f"the file is damaged: {name!r} does not have {size} bytes")


def _with_classes(header: Header, entries: Mapping[str, Any]) -> Header:
    """Return the header of a classifier."""
    if not isinstance(entries["classes"], list):
        raise wrong("classes", "a list", entries["classes"])
    labels = check_labels(entries["classes"])
    # A net has at least one value per score, but one score may stand for two labels.
    if len(labels) > max(2, header.numel):
        raise ValueError(
            f"the file has {len(labels)} labels, but a net of only {header.numel} numbers"
        )
    rate = entries["rate"]
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise wrong("rate", "a number in [0, 1)", rate)
    if rate and not header.is_pruned:
        raise wrong("rate", "0, for a net without masks", rate)
    removed = entries.get("removed")
    return replace(
        header,
        classes=array_of(labels, entries.get("classes_dtype")),
        rate=float(rate),
        removed=None if removed is None else check_integer(removed, "removed", 0),
        inputs=Inputs.of(entries),
    )


def _check_pruning(header: Header) -> None:
    if header.masks and header.kept:
        raise ValueError("the header of the file must have masks or removed channels, got both")
    if header.dense is not None and not header.is_pruned:
        raise ValueError(
            "the header of the file describes a dense net, but no masks and no removed channels: "
            "the net itself is dense"
        )
    if len(set(header.masks)) != len(header.masks):
        raise wrong("masks", "unique names", header.masks)
    for name in header.masks:
        if name not in header.tensors or header.tensors[name].n_stored is None:
            raise wrong("masks", "names of tensors that are stored with a bit mask", name)
    for name in header.kept:
        if name not in header.tensors:
            raise wrong("kept", "names of tensors", name)


def _tensors(entries: Any, where: str) -> dict[str, TensorEntry]:
    if not isinstance(entries, dict):
        raise wrong(where, "an object", entries)
    return {name: TensorEntry.of(name, entry) for name, entry in entries.items()}


def _kept(entries: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(entries, dict):
        raise wrong("kept", "an object", entries)
    kept = {}
    for name, dims in entries.items():
        if not isinstance(dims, list) or not 0 < len(dims) <= MAX_DIMS:
            raise wrong(f"kept[{name!r}]", "a list of dimensions", dims)
        kept[name] = tuple(check_integer(dim, f"kept[{name!r}]", 0, MAX_DIMS) for dim in dims)
        if len(set(dims)) != len(dims):
            raise wrong(f"kept[{name!r}]", "distinct dimensions", dims)
    return kept
