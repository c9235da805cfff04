"""A pruned net in a small file: bit masks and the values that are left, nothing that can run."""

from __future__ import annotations

import contextlib
import copy
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sk_prunefair.export._tensors import read_part, read_tensors, write_part, write_tensors
from sk_prunefair.pruning import PruningState, expand_module, kept_masks, shrink_module
from sk_prunefair.pruning.shrink import Kept

if TYPE_CHECKING:
    from sk_prunefair.classifier import FairPrunedClassifier

_FORMAT = "sk_prunefair compact 1"
_HEADER = "header.json"
_MAX_HEADER = 2**24


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
        dense net's channels it has, and its labels.
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
    header: dict[str, Any] = {"format": _FORMAT}
    masks: Mapping[str, torch.Tensor] = {}
    kept: Kept = {}
    dense_net: nn.Module | None = None
    if isinstance(source, nn.Module):
        module = source
    else:
        source.check_is_fitted()
        module, state = source.module_, source.pruning_
        if state is not None:
            masks, kept, dense_net = state.zeroed, state.kept or {}, state.dense
        header["classes"] = _plain(source.classes_)
        header["rate"] = source.prune_rate_
        header["input_shape"] = getattr(source, "input_shape_", None)
    header["masks"] = sorted(masks)
    header["kept"] = {
        name: [dim for dim, index in enumerate(dims) if index is not None]
        for name, dims in kept.items()
    }
    whole = {} if dense_net is None else dense_net.state_dict()
    path = Path(path)
    draft = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(draft, "w") as archive:
            header["tensors"] = write_tensors(archive, module, masks)
            if dense and dense_net is not None:
                header["dense"] = write_tensors(archive, dense_net, {}, "dense/")
            for name, dims in kept.items():
                for dim, index in enumerate(dims):
                    if index is not None:
                        bits = np.zeros(whole[name].shape[dim], dtype=bool)
                        bits[index.numpy()] = True
                        write_part(archive, f"kept/{dim}/{name}", np.packbits(bits).tobytes())
            write_part(archive, _HEADER, json.dumps(header).encode())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_compact(path: str | Path, target: Any) -> Any:
    """Load what `save_compact` wrote into a net of the same architecture.

    The file is taken for untrusted: nothing in it is executed, every size is checked against the
    target before anything is unpacked, and the target is changed only when all of it was read.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    target : torch.nn.Module or FairPrunedClassifier
        What to load into, of the architecture of the dense net. A classifier may be without a net
        yet: it takes its labels from the file, and its module must be an instance or know its own
        sizes. Where the file has no dense net, the loaded one stands for it, too. Its masks go on
        holding.

    Returns
    -------
    torch.nn.Module or FairPrunedClassifier
        The target; in the place of a module, a new and smaller one where channels were removed.

    Raises
    ------
    ValueError
        If the file is not of this format, is damaged, or does not fit the target.
    FileNotFoundError
        If there is no file.
    """
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        header = _read_header(archive)
        if not isinstance(target, nn.Module):
            _load_classifier(archive, header, target)
            return target
        kept = _read_kept(archive, header, target)
        module = shrink_module(target, kept) if kept else target
        module.load_state_dict(read_tensors(archive, header["tensors"], module)[0])
    return module


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
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        header = _read_header(archive)
        return "dense" in header or not (header["masks"] or header.get("kept"))


def _load_classifier(
    archive: zipfile.ZipFile, header: dict[str, Any], clf: FairPrunedClassifier
) -> None:
    classes = header.get("classes")
    if classes is None:
        raise ValueError("the file holds a bare module, without labels; load it into a module")
    with clf._intact_on_error():
        if not clf.initialized_:
            clf.classes_inferred_ = np.asarray(classes)
            if header["input_shape"] is not None:
                clf._remember_shape(tuple(header["input_shape"]))
            clf.initialize()
        elif list(clf.classes_) != classes:
            raise ValueError(
                f"the labels of the file are {classes[:10]}, those of the target are "
                f"{list(clf.classes_)[:10]}"
            )
        dense = copy.deepcopy(clf.dense_module_)
        kept = _read_kept(archive, header, dense)
        module = shrink_module(dense, kept) if kept else copy.deepcopy(dense)
        tensors, stored = read_tensors(archive, header["tensors"], module)
        masks = {name: stored[name] for name in header["masks"] if name in stored}
        module.load_state_dict(tensors)
        state = None
        if masks or kept:
            if kept:
                dense, masks = expand_module(dense, module, kept), kept_masks(dense, kept)
            else:
                dense.load_state_dict(tensors)
            if "dense" in header:
                whole = read_tensors(archive, header["dense"], dense, "dense/")[0]
                dense.load_state_dict(whole)
            rate = float(header["rate"])
            state = PruningState(dense, masks, rate, goal=rate, kept=kept or None)
        clf.adopt(module, state)


@contextlib.contextmanager
def _damage_named(path: str | Path) -> Iterator[None]:
    """Turn what a damaged or forged file can raise into an error that says so."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (
        # zipfile raises RuntimeError for what claims to be encrypted.
        *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeDecodeError),
        *(json.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError, OSError),
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"path={str(path)!r} is not a whole compact file ({reason})") from error


def _read_header(archive: zipfile.ZipFile) -> dict[str, Any]:
    size = archive.getinfo(_HEADER).file_size
    if size > _MAX_HEADER:
        raise ValueError(f"the header of the file has {size} bytes, more than any net needs")
    header = json.loads(read_part(archive, _HEADER, size))
    if header["format"] != _FORMAT:
        raise ValueError(f"the file's format is {header['format']!r}, known is {_FORMAT!r}")
    return header


def _read_kept(archive: zipfile.ZipFile, header: dict[str, Any], dense: nn.Module) -> Kept:
    """Return what is left of each tensor of the dense net; `shrink_module` checks that it fits."""
    tensors, kept = dense.state_dict(), {}
    for name, dims in header.get("kept", {}).items():
        if name not in tensors:
            raise ValueError(f"the file does not fit the target: it has {name!r} beyond it")
        indices: list[torch.Tensor | None] = [None] * tensors[name].ndim
        for dim in dims:
            size = tensors[name].shape[dim]
            content = read_part(archive, f"kept/{dim}/{name}", -(-size // 8))
            bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=size)
            indices[dim] = torch.from_numpy(np.flatnonzero(bits))
        kept[name] = tuple(indices)
    return kept


def _plain(labels: npt.NDArray[Any]) -> list[Any]:
    plain = labels.tolist()
    if not all(isinstance(label, (str, int, float)) for label in plain):
        raise TypeError(f"labels must be strings, numbers or booleans, got {plain[:5]}")
    return plain
