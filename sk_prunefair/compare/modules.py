"""Run torch modules and exported programs batch by batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from torch.export import ExportedProgram

from sk_prunefair.data.sources import as_source
from sk_prunefair.losses import first_output, full_precision
from sk_prunefair.nested import (
    concatenate,
    float_dtype,
    map_tensors,
    n_rows,
    run,
    split,
    take,
    tensors_of,
)
from sk_prunefair.onnx_model.scores import as_scores

Scores = npt.NDArray[np.float64]


class ModuleModel:
    """Outputs of a module of logits, or of an exported program.

    Parameters
    ----------
    module : torch.nn.Module or torch.export.ExportedProgram
        Returns logits: a tensor of shape (n_samples, n_classes), or one logit for two classes; a
        tuple that begins with it, or a dict that holds it as ``logits``. Rows of probabilities
        are used as they are. It runs on its own device, in evaluation mode, without gradients.
    name : str
        Name of the argument, for errors.
    batch_size : int
        Rows per batch. An exported program with a fixed batch size gets batches of that size.
    """

    def __init__(self, module: nn.Module | ExportedProgram, name: str, batch_size: int) -> None:
        self.name = name
        self.fixed = None
        if isinstance(module, ExportedProgram):
            self.fixed = _fixed_batch(module)
            self.module: nn.Module = module.module()
            self.parts: list[nn.Module] = []  # exported modules have no modes
        else:
            self.module = module
            self.parts = list(module.modules())
        self.batch_size = self.fixed or batch_size
        self.device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        self.floats = float_dtype(self.module) or torch.float32
        self.has_integers: bool | None = None

    def __call__(self, X: Any) -> Scores:
        """Return the output for X: an array, a table, a dict or a batch of tensors."""
        modes = [part.training for part in self.parts]
        for part in self.parts:
            part.training = False
        try:
            with torch.no_grad():
                outputs = [self._run(batch) for batch in self._batches(X)]
        finally:
            for part, mode in zip(self.parts, modes, strict=True):
                part.training = mode
        return torch.cat(outputs).numpy()

    def _batches(self, X: Any) -> Iterator[Any]:
        if isinstance(X, (tuple, list)) and tensors_of(X):
            yield from split(X, self.batch_size)
            return
        source = as_source(_numbers(X, self.name))
        if len(source) == 0:
            raise ValueError("X must hold at least one sample, got none")
        for rows in torch.arange(len(source)).split(self.batch_size):
            yield source.fetch(rows).X

    def _run(self, X: Any) -> torch.Tensor:
        X = map_tensors(self._placed(X), X)
        n_samples = n_rows(X)
        if self.fixed is not None and n_samples < self.fixed:
            X = concatenate([X, *[take(X, slice(0, 1))] * (self.fixed - n_samples)])
        output = full_precision(first_output(run(self.module, X)))
        if not isinstance(output, torch.Tensor):
            raise ValueError(f"{self.name} must return a tensor, got {type(output).__name__}")
        return output.detach().double().cpu()[:n_samples]

    def _placed(self, X: Any) -> Any:
        """Return a function that moves and converts a tensor as the module needs."""
        keeps = not isinstance(X, torch.Tensor) or self._takes_integers(X)

        def place(tensor: torch.Tensor) -> torch.Tensor:
            keep = keeps and not tensor.is_floating_point()
            return tensor.to(self.device, _wide(tensor.dtype) if keep else self.floats)

        return place

    def _takes_integers(self, X: torch.Tensor) -> bool:
        """Tell whether the module accepts integers, as one that begins with an embedding does."""
        if X.is_floating_point():
            return False
        if self.has_integers is None:
            few = X[:1].expand(self.fixed or 1, *X.shape[1:]).to(self.device, _wide(X.dtype))
            try:
                run(self.module, few)
                self.has_integers = True
            except IndexError:  # token numbers beyond the vocabulary
                self.has_integers = True
            except Exception:  # any error of a module that was written for other dtypes
                self.has_integers = False
        return self.has_integers


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Convert short integers, which embeddings do not accept, to int64."""
    return torch.int64 if dtype in (torch.uint8, torch.int8, torch.int16) else dtype


def to_scores(output: npt.NDArray[Any], name: str) -> Scores:
    """Return the probabilities for the outputs of a module: logits, or probabilities already.

    Parameters
    ----------
    output : ndarray of shape (n_samples, n_classes), (n_samples, 1) or (n_samples,)
        Rows in [0, 1] that sum to 1, within 0.01 for half precision, are probabilities; all
        others are logits, with a warning if they are in [0, 1].
    name : str
        Name of the argument, for errors.

    Raises
    ------
    ValueError
        If values are not finite, of another shape, or one probability per sample.

    Examples
    --------
    >>> to_scores(np.array([[0.0, 0.0], [2.0, 2.0]]), "dense")
    array([[0.5, 0.5],
           [0.5, 0.5]])
    >>> to_scores(np.array([[0.25, 0.75]]), "dense")
    array([[0.25, 0.75]])
    """
    if output.ndim == 1:
        output = output[:, None]
    if output.ndim != 2:
        raise ValueError(
            f"{name} must return one score per sample and class, got shape {output.shape}"
        )
    is_share = bool(((output >= 0) & (output <= 1)).all())
    if is_share and output.shape[1] == 1:
        raise ValueError(
            f"{name} returned one value per sample, all in [0, 1], which may be logits or "
            "probabilities: pass a function that returns probabilities of shape (n_samples, 2)"
        )
    is_proba = is_share and np.allclose(output.sum(axis=1), 1, rtol=0, atol=0.01)
    if is_share and not is_proba:
        warnings.warn(
            f"{name} returned values in [0, 1] whose rows do not sum to 1; they are taken as "
            "logits. If they are not logits (outputs of a sigmoid, for example), pass a function "
            "that returns probabilities of shape (n_samples, n_classes)",
            stacklevel=2,
        )
    return as_scores(output, "probabilities" if is_proba else "logits", None, name).probabilities


def _numbers(X: Any, name: str) -> Any:
    """Return a table as an array of numbers; other inputs are returned unchanged."""
    if isinstance(X, pd.DataFrame) or hasattr(X, "to_pandas"):
        X = X if isinstance(X, pd.DataFrame) else X.to_pandas()
        other = [column for column in X if not pd.api.types.is_numeric_dtype(X[column])]
        if other:
            raise ValueError(
                f"{name} is a torch module, which takes numbers, but X has the column "
                f"{other[0]!r} of dtype {X[other[0]].dtype}; pass a function that encodes X"
            )
        return _array_of(X)
    if isinstance(X, Mapping) and not hasattr(X, "shape"):  # lists, as tokenizers return them
        return {key: _listed(value, key) for key, value in X.items()}
    if hasattr(X, "shape") or hasattr(X, "keys"):
        return X
    array = np.asarray(X)
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} is a torch module, which takes arrays of numbers, but X is of type "
            f"{type(X).__name__}"
        )
    return array


def _listed(values: Any, key: Any) -> Any:
    """Return a list of numbers as an array; other inputs are returned unchanged."""
    if not isinstance(values, (list, tuple)) or tensors_of(values):
        return values
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"X[{key!r}] must hold rows of equal length (pad them): {error}"
        ) from error


def _array_of(table: pd.DataFrame) -> npt.NDArray[Any]:
    """Return numbers and booleans as an array, of numbers where pandas would make objects."""
    array = table.to_numpy()
    if array.dtype != object:
        return array
    is_whole = all(pd.api.types.is_integer_dtype(dtype) for dtype in table.dtypes)
    is_whole = is_whole and not table.isna().to_numpy().any()
    return table.to_numpy(dtype=np.int64) if is_whole else table.to_numpy(float, na_value=np.nan)


def _fixed_batch(program: ExportedProgram) -> int | None:
    """Return the batch size that an exported program requires, or None for any."""
    inputs = set(program.graph_signature.user_inputs)
    sizes = [
        node.meta["val"].shape[0]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in inputs and tensors_of(node.meta.get("val"))
    ]
    fixed = {size for size in sizes if isinstance(size, int)}  # others are symbolic sizes
    return fixed.pop() if len(fixed) == 1 else None
