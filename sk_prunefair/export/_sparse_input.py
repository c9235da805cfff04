"""Check the arguments of `sparse_module`: a net on the CPU, and an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sk_prunefair.data.sources import as_tensor, field_array
from sk_prunefair.nested import float_dtype, n_rows, tensors_of, to


def checked_module(source: Any) -> nn.Module:
    """Return the pruned net of a classifier, or the module itself.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If it is not on the CPU.
    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.
    """
    if not isinstance(source, nn.Module):
        if not hasattr(source, "check_is_fitted"):
            raise TypeError(
                "source must be a torch module or a FairPrunedClassifier, got "
                f"{type(source).__name__}"
            )
        source.check_is_fitted()
        source = source.module_
    tensors = [*source.parameters(), *source.buffers()]
    devices = {str(tensor.device) for tensor in tensors if tensor.device.type != "cpu"}
    if devices:
        raise ValueError(
            f"source must be on the CPU, where sparse products are faster; it is on "
            f"{sorted(devices)}: pass copy.deepcopy(module).cpu()"
        )
    return source


def checked_example(example: Any, module: nn.Module, source: Any = None) -> Any:
    """Return the example as tensors, with floats in the dtype of the net.

    With a classifier as ``source``, integers are converted as for its net.

    Raises
    ------
    ValueError
        If it is empty, not finite, or not made of numbers.
    """
    X: Any = example
    if isinstance(example, Mapping):
        X = {name: _tensor(each, name) for name, each in example.items()}
    elif not (isinstance(example, (tuple, list)) and tensors_of(example)):
        X = _tensor(example, "X")
    inputs = getattr(getattr(source, "schema_", None), "inputs", None)
    if isinstance(X, torch.Tensor) and str(inputs and inputs.dtype).startswith("float"):
        X = X.float() if not X.is_floating_point() else X
    X = to(X, "cpu", float_dtype(module))
    if n_rows(X) == 0:
        raise ValueError("example must hold at least one sample, got none")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors_of(X)):
        raise ValueError("example must be finite, got NaN or infinity")
    return X


def _tensor(values: Any, name: str) -> torch.Tensor:
    return values if isinstance(values, torch.Tensor) else as_tensor(field_array(values, name))
