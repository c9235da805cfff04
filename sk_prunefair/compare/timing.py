"""Latency of any two models, each with its preprocessing of X."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.export import ExportedProgram

from sk_prunefair.compare.models import as_model
from sk_prunefair.compare.sizes import stored_sizes
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.sources import as_source
from sk_prunefair.latency import Made, compare_latency
from sk_prunefair.latency.reading import with_times
from sk_prunefair.latency.settings import checked_sizes
from sk_prunefair.names import check_names
from sk_prunefair.onnx_model import OnnxModel


def costs_of(
    dense: Any,
    compressed: Any,
    X: Any,
    names: Any,
    batch_size: int,
    latency: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the costs of two models for a report: sizes and latencies.

    Parameters
    ----------
    dense, compressed, names, batch_size : object
        As `sk_prunefair.compare_models` takes them.
    X : object
        Data whose first rows are the input, if latencies are measured.
    latency : dict or None
        Options of `models_latency`; None measures nothing.

    Returns
    -------
    dict of str to object
        ``compression`` and ``latency``, as `sk_prunefair.FairnessReport` takes them.
    """
    sizes = stored_sizes(dense, compressed)
    if latency is None:
        return {"compression": sizes}
    before, after = check_names(names)
    table = models_latency({before: dense, after: compressed}, X, batch_size=batch_size, **latency)
    return {"compression": with_times(sizes, table, before, after), "latency": table}


def models_latency(
    models: Mapping[str, Any], X: Any, *, batch_size: int = 256, **options: Any
) -> pd.DataFrame:
    """Measure how long models take from rows of X to predictions, alternately.

    Parameters
    ----------
    models : dict of str to object
        By name, as `sk_prunefair.compare_models` takes them. For an estimator ``predict`` is timed;
        a module and a file get arrays, and their conversion of these is included.
    X : array-like, DataFrame, sparse matrix, dict of arrays or torch.utils.data.Dataset
        Data whose first rows are the input; items of a data set are read beforehand.
    batch_size : int, default=256
        Rows per batch for modules and files, or more if a timed batch has more.
    **options : dict
        As `sk_prunefair.latency.compare_latency` takes them.

    Returns
    -------
    pandas.DataFrame
        As `sk_prunefair.latency.compare_latency` returns it.
    """
    largest = max(checked_sizes(options.get("batch_sizes", (1, 64))))
    if is_dataset(X):
        X = as_source(X).fetch(torch.arange(largest) % len(X)).X
    size = max(batch_size, largest)
    contenders = {name: _timed(model, name, size) for name, model in models.items()}
    table = compare_latency(contenders, X, **options)
    table.attrs["what"] = "a prediction, including each model's conversion of X,"
    return table


def _timed(model: Any, name: str, batch_size: int) -> Any:
    """Return a model as a function of X."""
    if isinstance(model, (str, PathLike)) and Path(model).suffix.lower() == ".onnx":
        model = OnnxModel(Path(model), batch_size=batch_size)
    if isinstance(model, OnnxModel):
        return Made(lambda X, n_threads: as_model(model.with_threads(n_threads), name, batch_size))
    is_run_in_batches = isinstance(model, (nn.Module, ExportedProgram, str, PathLike))
    if hasattr(model, "predict") and not is_run_in_batches:
        return model.predict
    return model if not is_run_in_batches else as_model(model, name, batch_size)
