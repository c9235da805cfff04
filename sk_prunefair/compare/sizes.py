"""Sizes of two models on disk."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.export import ExportedProgram


def stored_sizes(dense: Any, compressed: Any) -> pd.Series | None:
    """Return the size of both models in bytes, or None if one is not known.

    Parameters
    ----------
    dense, compressed : object
        Models, as `sk_prunefair.compare_models` takes them.

    Returns
    -------
    pandas.Series or None
        ``bytes_dense`` and ``bytes_stored``: the size of a file, with
        the files that hold an ONNX file's weights; for a module, the size of its state as
        `torch.save` writes it, which includes removed weights.

    Examples
    --------
    >>> sizes = stored_sizes(nn.Linear(64, 64), nn.Linear(64, 64).half())
    >>> bool(sizes["bytes_stored"] < sizes["bytes_dense"])
    True
    """
    sizes = {"bytes_dense": _bytes(dense), "bytes_stored": _bytes(compressed)}
    if None in sizes.values():
        return None
    return pd.Series(sizes, name="compression", dtype=float)


def _bytes(model: Any) -> int | None:
    if isinstance(model, (str, PathLike)):
        return sum(each.stat().st_size for each in _files(Path(model)))
    if isinstance(model, ExportedProgram):
        return _saved(dict(model.state_dict))
    return _saved(model.state_dict()) if isinstance(model, nn.Module) else None


def _files(path: Path) -> list[Path]:
    """Return a file and the files in which an ONNX file keeps its weights."""
    if path.suffix.lower() != ".onnx":
        return [path]
    try:
        import onnx
        from onnx.external_data_helper import ExternalDataInfo, uses_external_data
    except ImportError:  # file names used by torch and optimum
        beside = [path.with_name(path.name + end) for end in (".data", "_data")]
        return [path, *(each for each in beside if each.is_file())]
    weights = onnx.load(path, load_external_data=False).graph.initializer
    names = {ExternalDataInfo(each).location for each in weights if uses_external_data(each)}
    return [path, *(path.parent / name for name in sorted(names))]


def _saved(state: Any) -> int:
    file = io.BytesIO()
    torch.save(state, file)
    return file.tell()
