"""Read from and write to a classifier, for compact files."""

from __future__ import annotations

import dataclasses
import reprlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from sk_prunefair.data.inputs import InputSchema
from sk_prunefair.export._entries import Field, Inputs
from sk_prunefair.export._header import Header
from sk_prunefair.export._labels import check_labels
from sk_prunefair.export._pruned import Contents, make_state
from sk_prunefair.packed import adopt
from sk_prunefair.requests import adopt_schema, known_schema, runs_on
from sk_prunefair.restore import unchanged_on_error

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet

# The net described by a file may have 64 MiB, or a thousand times the bytes of the file: at a
# rate of 0.999 the kept weights need more.
_BUILT_BYTES, _BUILT_RATIO = 2**26, 1000
# Numbers of a sample that a file may state beyond the number of its weights, as images are large.
_FREE_INPUTS = 2**20


def describe_data(clf: CoreNet) -> dict[str, Any]:
    """Return the entries of the header on a classifier's data."""
    known = known_schema(clf).inputs or InputSchema()
    names = known.feature_names_in
    fields = {
        name: Field(tuple(map(int, shape)), known.dtypes[name], known.sizes.get(name))
        for name, shape in (known.fields or {}).items()
    }
    inputs = Inputs(
        shape=None if known.shape is None else tuple(map(int, known.shape)),
        dtype=known.dtype,
        n_features=None if known.n_features_in is None else int(known.n_features_in),
        feature_names=None if names is None else tuple(map(str, names)),
        fields=fields or None,
    )
    return {"classes": _plain(clf.classes_), "inputs": inputs}


def _plain(labels: Any) -> Any:
    """Return labels as an array that a file can store."""
    array = np.asarray(labels)
    plain = array.tolist()
    if not all(isinstance(label, (str, int, float, np.generic)) for label in plain):
        raise TypeError(f"labels must be strings, numbers or booleans, got {plain[:5]}")
    plain = [label.item() if isinstance(label, np.generic) else label for label in plain]
    check_labels(plain)
    return array if array.dtype.kind != "O" else np.asarray(plain, dtype=object)


def make_template(clf: CoreNet, header: Header, n_bytes: int) -> nn.Module:
    """Return a net of the architecture of the classifier's dense net, to compare a file with.

    If the classifier has no net yet, its module is built on the meta device, which needs neither
    time nor memory, and the classifier is not changed.
    """
    if not hasattr(clf, "initialized_"):
        raise ValueError(
            f"target must be a torch module or a FairPrunedClassifier, got {type(clf).__name__}"
        )
    if header.classes is None:
        raise ValueError("the file holds a bare module, without labels; load it into a module")
    known = clf if clf.initialized_ else clone(clf)
    if not clf.initialized_:
        _learn(known, header)
    _check_known(known, header)
    if clf.initialized_:
        return clf.dense_module_
    n_inputs = header.inputs.n_numbers
    if n_inputs > header.numel + _FREE_INPUTS:
        raise ValueError(
            f"the file states {n_inputs} numbers per sample, but its net has only {header.numel} "
            "parameters"
        )
    with torch.random.fork_rng(devices=[]):
        template = _built(known, n_inputs <= header.numel)
    tensors = [tensor for tensor in template.state_dict().values() if tensor.is_meta]
    n_built = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if n_built > _BUILT_BYTES + _BUILT_RATIO * n_bytes:
        raise ValueError(
            f"the file has {n_bytes} bytes, but describes a net of {n_built} bytes; if that is "
            "right, initialize the target before loading"
        )
    return template


def _built(clf: CoreNet, is_small: bool) -> nn.Module:
    """Return the module that a classifier would build, on the meta device where possible."""
    try:
        with torch.device("meta"), clf._current_init_context("module"):
            clf.initialize_module()
    except Exception as error:
        # Code that reads values, for example by .item(), cannot run on the meta device.
        if not is_small:
            raise ValueError(
                "the target's module cannot be compared with the file before it is initialized "
                f"({type(error).__name__}: {error}); initialize the target first"
            ) from error
        try:
            with clf._current_init_context("module"):
                clf.initialize_module()
        except Exception as second:
            raise ValueError(
                "the target's module cannot be built for the inputs and labels of the file "
                f"({type(second).__name__}: {second})"
            ) from second
    return clf.module_


def _check_known(clf: CoreNet, header: Header) -> None:
    """Raise ValueError if the labels or inputs of a classifier differ from the file's."""
    assert header.classes is not None
    known = getattr(clf, "classes_", None)
    if known is not None and known.tolist() != header.classes.tolist():
        raise ValueError(
            f"the labels of the file are {header.classes[:10].tolist()}, those of the target are "
            f"{known[:10].tolist()}"
        )
    names = getattr(clf, "feature_names_in_", None)
    seen = known_schema(clf).inputs or InputSchema()
    for what, found, expected in (
        ("dtype of X", header.inputs.dtype, seen.dtype),
        ("arrays of X", header.inputs.fields and sorted(header.inputs.fields), _names(seen)),
        ("shape of a sample", header.inputs.shape, getattr(clf, "input_shape_", None)),
        ("number of features", header.inputs.n_features, getattr(clf, "n_features_in_", None)),
        ("feature names", header.inputs.feature_names, None if names is None else tuple(names)),
    ):
        if found is not None and expected is not None and found != expected:
            raise ValueError(
                f"the {what} is {reprlib.repr(found)} in the file and "
                f"{reprlib.repr(expected)} in the target"
            )


def _names(inputs: InputSchema) -> list[str] | None:
    return None if inputs.fields is None else sorted(inputs.fields)


def _learn(clf: CoreNet, header: Header) -> None:
    """Set the labels and inputs of the file where the classifier has none."""
    inputs = header.inputs
    known = known_schema(clf)
    seen, names = known.inputs or InputSchema(), inputs.feature_names
    found = InputSchema(
        shape=seen.shape or inputs.shape,
        dtype=seen.dtype or inputs.dtype,
        **_of_fields(seen, inputs),
        n_features_in=seen.n_features_in or inputs.n_features,
        feature_names_in=(
            seen.feature_names_in if names is None else np.asarray(names, dtype=object)
        ),
    )
    classes = header.classes if known.classes is None else known.classes
    adopt_schema(clf, dataclasses.replace(known, inputs=found, classes=classes))


def _of_fields(seen: InputSchema, inputs: Inputs) -> dict[str, Any]:
    """Return the schema of the arrays of a dict."""
    if seen.fields is not None or inputs.fields is None:
        return {"fields": seen.fields, "dtypes": seen.dtypes, "sizes": seen.sizes}
    entries = inputs.fields.items()
    return {
        "fields": {name: each.shape for name, each in entries},
        "dtypes": {name: each.dtype for name, each in entries},
        "sizes": {name: each.size for name, each in entries if each.size is not None},
    }


def fill_classifier(clf: CoreNet, contents: Contents) -> None:
    """Set the net of a file, read and checked, in a classifier."""
    with unchanged_on_error(clf, in_place=clf.initialized_):
        _learn(clf, contents.header)
        if not clf.initialized_:
            clf.initialize()
        adopt(clf, *make_state(clf.dense_module_, contents))
        inputs = known_schema(clf).inputs
        shape = None if inputs is None or inputs.dtype != "int64" else inputs.shape
        if shape and not runs_on(clf, torch.ones(2, *shape, dtype=torch.int64)):
            raise ValueError(
                "the net of the file takes int64 inputs, but the target's net does not"
            )
