"""A pruned net in a small file: bit masks and the values that are left, nothing that can run."""

from __future__ import annotations

import dataclasses
import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from sk_prunefair.data.inputs import InputSchema
from sk_prunefair.export._archive import open_archive, write_part
from sk_prunefair.export._header import HEADER, Header, Inputs
from sk_prunefair.export._labels import check_labels
from sk_prunefair.export._pruned import (
    Contents,
    Pruning,
    make_module,
    make_state,
    pruning_of,
    read_contents,
    shapes_of,
    write_kept,
)
from sk_prunefair.export._tensors import check_values, write_tensors
from sk_prunefair.packed import adopt
from sk_prunefair.requests import adopt_schema, known_schema
from sk_prunefair.restore import unchanged_on_error

if TYPE_CHECKING:
    from sk_prunefair.classifier import FairPrunedClassifier

# A net whose sizes a file decides may have 64 MiB, or a thousand times the bytes of the file: at a
# rate of 0.999 the rest of a net needs more.
_BUILT_BYTES, _BUILT_RATIO = 2**26, 1000
# Inputs of a sample that a file may tell of beyond one for each of its numbers: images are many.
_FREE_INPUTS = 2**20
# What the classifier makes of arrays and tables.
_INPUT_DTYPE = "float32"


def save_compact(
    source: nn.Module | FairPrunedClassifier, path: str | Path, *, dense: bool = False
) -> None:
    """Write the tensors of a net to a file that is small where they hold zeros, or are small.

    A tensor of which enough is zero is stored as one bit per number and the numbers that are not;
    others are stored whole. Bytes of the same place in their numbers stand together, which
    compresses better, and everything is deflated in a zip archive with a header in JSON.

    Parameters
    ----------
    source : torch.nn.Module or FairPrunedClassifier
        A net, pruned or not; of a classifier, the pruned net with its masks, or with which of the
        dense net's channels it has, its labels, and the shape and the names of its features.
    path : str or pathlib.Path
        Where to write; an existing file is replaced once the new one is complete.
    dense : bool, default=False
        Whether a pruned classifier's dense net goes into the file, too, so that the two can be
        compared once it is loaded, as the command line does. The file is then larger than that of
        the dense net.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the classifier has no net yet.
    TypeError
        If the classifier's labels are neither strings, numbers nor booleans.
    ValueError
        If labels are not unique or of several kinds, or the net holds values with which no net
        works: a parameter that is not finite, a buffer with NaN.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> net = torch.nn.Linear(1000, 10)
    >>> net.weight.data[:, 100:] = 0
    >>> path = Path(tempfile.mkdtemp()) / "net.zip"
    >>> save_compact(net, path)
    >>> bool(path.stat().st_size < 0.15 * 4 * 10_010)
    True
    >>> other = load_compact(path, torch.nn.Linear(1000, 10))
    >>> bool((other.weight == net.weight).all())
    True
    """
    data: dict[str, Any] = {}
    pruning, dense_net = Pruning({}, {}), None
    if isinstance(source, nn.Module):
        module = source
    else:
        source.check_is_fitted()
        module, data = source.module_, _described(source)
        pruning, dense_net = pruning_of(source)
    for net in (module, dense_net if dense else None):
        if net is not None:
            what = "this net cannot be saved"
            check_values(net.state_dict(), net, what, nan_in_buffers=not data)
    path = Path(path)
    draft = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(draft, "w") as archive:
            header = Header(
                write_tensors(archive, module, pruning.masks),
                masks=tuple(sorted(pruning.masks)),
                kept={
                    name: tuple(dim for dim, index in enumerate(dims) if index is not None)
                    for name, dims in pruning.kept.items()
                },
                rate=pruning.rate,
                **data,
            )
            if dense_net is not None:
                shapes = shapes_of(dense_net)
                if not pruning.agrees(shapes):
                    header = dataclasses.replace(header, removed=pruning.removed(shapes))
                if dense:
                    whole = write_tensors(archive, dense_net, {}, "dense/")
                    header = dataclasses.replace(header, dense=whole)
                write_kept(archive, pruning.kept, dense_net)
            write_part(archive, HEADER, header.to_json())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_compact(path: str | Path, target: Any) -> Any:
    """Load what `save_compact` wrote into a net of the same architecture.

    The file is taken for untrusted: nothing in it is executed, every size is checked against the
    target before anything is unpacked, what the file says of its net is checked against what it
    holds, and the target is changed only when all of it was read.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    target : torch.nn.Module or FairPrunedClassifier
        What to load into, of the architecture of the dense net. A classifier may be without a net
        yet: it takes its labels and the shape and names of its features from the file. Where the
        file has no dense net, the loaded one stands for it, too. Its masks go on holding.

    Returns
    -------
    torch.nn.Module or FairPrunedClassifier
        The target; in the place of a module, a new and smaller one where channels were removed.

    Raises
    ------
    ValueError
        If the file is not of this format, is damaged, contradicts itself, or does not fit the
        target; the target is then as it was.
    FileNotFoundError
        If there is no file.
    """
    with open_archive(path) as archive:
        header = Header.read(archive)
        template = target
        if not isinstance(target, nn.Module):
            template = _template(target, header, archive.n_bytes)
        contents = read_contents(archive, header, template)
    if isinstance(target, nn.Module):
        return make_module(target, contents)
    _fill_classifier(target, contents)
    return target


def holds_dense(path: str | Path) -> bool:
    """Tell whether a file has all that a comparison needs: both nets, or one that is not pruned.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    bool
        False for a pruned net alone.

    Raises
    ------
    ValueError
        If the file is not of this format, or is damaged.
    FileNotFoundError
        If there is no file.
    """
    with open_archive(path) as archive:
        header = Header.read(archive)
    return header.dense is not None or not header.is_pruned


# What follows is all that these functions ask of a classifier.


def _described(clf: FairPrunedClassifier) -> dict[str, Any]:
    """Return the entries of the header that are about a classifier's data."""
    shape, names = getattr(clf, "input_shape_", None), getattr(clf, "feature_names_in_", None)
    n_features = getattr(clf, "n_features_in_", None)
    inputs = Inputs(
        shape=None if shape is None else tuple(map(int, shape)),
        dtype=None if n_features is None else _INPUT_DTYPE,
        n_features=None if n_features is None else int(n_features),
        feature_names=None if names is None else tuple(map(str, names)),
    )
    return {"classes": _plain(clf.classes_), "inputs": inputs}


def _plain(labels: Any) -> Any:
    """Return labels as an array that a file can hold."""
    array = np.asarray(labels)
    plain = array.tolist()
    if not all(isinstance(label, (str, int, float, np.generic)) for label in plain):
        raise TypeError(f"labels must be strings, numbers or booleans, got {plain[:5]}")
    plain = [label.item() if isinstance(label, np.generic) else label for label in plain]
    check_labels(plain)
    return array


def _template(clf: FairPrunedClassifier, header: Header, n_bytes: int) -> nn.Module:
    """Return a net of the architecture of the classifier's dense one, to compare a file with.

    Where the classifier has none yet, its module is made on the meta device, which needs neither
    time nor memory, and the classifier stays as it is.
    """
    if header.classes is None:
        raise ValueError("the file holds a bare module, without labels; load it into a module")
    known = clf if clf.initialized_ else clone(clf)
    if not clf.initialized_:
        _learn(known, header)
    _check_known(known, header)
    if clf.initialized_:
        return clf.dense_module_
    n_inputs = math.prod(header.inputs.shape or ())
    if n_inputs > header.numel + _FREE_INPUTS:
        raise ValueError(
            f"the file says that a sample has {n_inputs} numbers, but its net has {header.numel}"
        )
    with torch.random.fork_rng(devices=[]):
        template = _built(known, n_inputs <= header.numel)
    tensors = [tensor for tensor in template.state_dict().values() if tensor.is_meta]
    n_built = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if n_built > _BUILT_BYTES + _BUILT_RATIO * n_bytes:
        raise ValueError(
            f"the file has {n_bytes} bytes, but tells of a net of {n_built}; where that is true, "
            "initialize the target before it is loaded into"
        )
    return template


def _built(clf: FairPrunedClassifier, is_small: bool) -> nn.Module:
    """Return the module that a classifier would have, without its values where that is possible."""
    try:
        with torch.device("meta"), clf._current_init_context("module"):
            clf.initialize_module()
    except Exception as error:
        # Code that looks at values, by .item() for instance, cannot run without them.
        if not is_small:
            raise ValueError(
                "the target's module cannot be compared with the file before it is made "
                f"({type(error).__name__}: {error}); initialize the target first"
            ) from error
        try:
            with clf._current_init_context("module"):
                clf.initialize_module()
        except Exception as second:
            raise ValueError(
                "the target's module cannot be made for the inputs and labels of the file "
                f"({type(second).__name__}: {second})"
            ) from second
    return clf.module_


def _check_known(clf: FairPrunedClassifier, header: Header) -> None:
    """Raise ValueError where a classifier knows of other data than the file does."""
    assert header.classes is not None
    known = getattr(clf, "classes_", None)
    if known is not None and known.tolist() != header.classes.tolist():
        raise ValueError(
            f"the labels of the file are {header.classes[:10].tolist()}, those of the target are "
            f"{known[:10].tolist()}"
        )
    if header.inputs.dtype not in (None, _INPUT_DTYPE):
        raise ValueError(
            f"the net of the file takes {header.inputs.dtype}, the target gives {_INPUT_DTYPE}"
        )
    names = getattr(clf, "feature_names_in_", None)
    for what, found, expected in (
        ("shape of a sample", header.inputs.shape, getattr(clf, "input_shape_", None)),
        ("number of features", header.inputs.n_features, getattr(clf, "n_features_in_", None)),
        ("feature names", header.inputs.feature_names, None if names is None else tuple(names)),
    ):
        if found is not None and expected is not None and found != expected:
            raise ValueError(
                f"the {what} is {repr(found)[:200]} in the file and {repr(expected)[:200]} in the "
                "target"
            )


def _learn(clf: FairPrunedClassifier, header: Header) -> None:
    """Set what the file knows of the data and the classifier does not."""
    inputs = header.inputs
    known = known_schema(clf)
    seen, names = known.inputs or InputSchema(), inputs.feature_names
    found = InputSchema(
        shape=seen.shape or inputs.shape,
        fields=seen.fields,
        n_features_in=seen.n_features_in or inputs.n_features,
        feature_names_in=(
            seen.feature_names_in if names is None else np.asarray(names, dtype=object)
        ),
    )
    classes = header.classes if known.classes is None else known.classes
    adopt_schema(clf, dataclasses.replace(known, inputs=found, classes=classes))


def _fill_classifier(clf: FairPrunedClassifier, contents: Contents) -> None:
    """Give a classifier the net of a file, which has been read and checked."""
    with unchanged_on_error(clf, in_place=clf.initialized_):
        _learn(clf, contents.header)
        if not clf.initialized_:
            clf.initialize()
        adopt(clf, *make_state(clf.dense_module_, contents))
