"""Inputs of a net that may be one tensor, or a dict, tuple or list of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn


def run(module: nn.Module | Callable[..., Any], X: Any, **params: Any) -> Any:
    """Return the module's output for X; a dict is passed as ``module(**X)``, as in skorch.

    Parameters
    ----------
    module : torch.nn.Module or callable
        The net.
    X : torch.Tensor, mapping of str to torch.Tensor, tuple or list
        A tuple or a list is passed to the module as one argument.
    **params : dict
        Further arguments, as in skorch's ``fit_params``; none may be a key of X.

    Examples
    --------
    >>> run(lambda a, b: a - b, {"b": torch.tensor([1]), "a": torch.tensor([3])})
    tensor([2])
    """
    if not isinstance(X, Mapping):
        return module(X, **params)
    if twice := X.keys() & params.keys():
        raise ValueError(f"X and fit_params contain duplicate keys: {', '.join(sorted(twice))}")
    return module(**X, **params)


def map_tensors(change: Callable[[torch.Tensor], torch.Tensor], X: Any) -> Any:
    """Return X with a function applied to each of its tensors; other values are kept.

    Examples
    --------
    >>> map_tensors(lambda t: t[:1], {"a": torch.ones(3), "b": [torch.zeros(3)]})
    {'a': tensor([1.]), 'b': [tensor([0.])]}
    """
    if isinstance(X, torch.Tensor):
        return change(X)
    if isinstance(X, Mapping):
        return {name: map_tensors(change, each) for name, each in X.items()}
    if isinstance(X, (tuple, list)):
        return _like(X, [map_tensors(change, each) for each in X])
    return X


def tensors_of(X: Any) -> list[torch.Tensor]:
    """Return the tensors of X, from left to right.

    Examples
    --------
    >>> tensors_of({"a": torch.ones(1), "b": (torch.zeros(1), None)})
    [tensor([1.]), tensor([0.])]
    """
    if isinstance(X, torch.Tensor):
        return [X]
    parts = X.values() if isinstance(X, Mapping) else X if isinstance(X, (tuple, list)) else []
    return [tensor for part in parts for tensor in tensors_of(part)]


def n_rows(X: Any) -> int:
    """Return the number of samples; ValueError if the tensors differ in it.

    Examples
    --------
    >>> n_rows({"a": torch.ones(3, 2), "b": torch.ones(3)})
    3
    """
    lengths = {len(tensor) for tensor in tensors_of(X)}
    if len(lengths) != 1:
        raise ValueError(f"X must hold tensors of one length, got lengths {sorted(lengths)}")
    return lengths.pop()


def take(X: Any, rows: Any) -> Any:
    """Return some rows: a slice, row numbers or a boolean mask.

    Examples
    --------
    >>> take({"a": torch.arange(4)}, slice(1, 3))
    {'a': tensor([1, 2])}
    """
    return map_tensors(lambda tensor: tensor[rows], X)


def split(X: Any, size: int) -> list[Any]:
    """Return X in parts of at most this many rows.

    Examples
    --------
    >>> split((torch.arange(3), torch.ones(3)), 2)
    [(tensor([0, 1]), tensor([1., 1.])), (tensor([2]), tensor([1.]))]
    """
    return [take(X, slice(start, start + size)) for start in range(0, n_rows(X), size)]


def concatenate(parts: Sequence[Any]) -> Any:
    """Concatenate batches.

    Examples
    --------
    >>> concatenate([{"a": torch.zeros(1)}, {"a": torch.ones(2)}])
    {'a': tensor([0., 1., 1.])}
    """
    first = parts[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {name: concatenate([part[name] for part in parts]) for name in first}
    if isinstance(first, (tuple, list)):
        return _like(first, [concatenate(each) for each in zip(*parts, strict=True)])
    return first


def to(X: Any, device: Any = None, floats: torch.dtype | None = None) -> Any:
    """Return X on a device, its floats cast to a dtype; integers are not cast.

    Copies from the CPU to a device are asynchronous.

    Examples
    --------
    >>> to([torch.ones(1), torch.tensor([1])], floats=torch.float64)
    [tensor([1.], dtype=torch.float64), tensor([1])]
    """

    def place(tensor: torch.Tensor) -> torch.Tensor:
        dtype = floats if floats is not None and tensor.is_floating_point() else tensor.dtype
        # From the CPU only: in the other direction a copy could be read before it is complete.
        return tensor.to(device=device, dtype=dtype, non_blocking=tensor.is_cpu)

    return map_tensors(place, X)


def float_dtype(module: nn.Module) -> torch.dtype | None:
    """Return the dtype of a net's floats, or None if it has none.

    Examples
    --------
    >>> float_dtype(nn.Linear(1, 1).double())
    torch.float64
    """
    for part in module.modules():  # called for each batch, and `parameters` is three times slower
        for tensor in part._parameters.values():
            if tensor is not None and tensor.is_floating_point():
                return tensor.dtype
    return None


def without_cache(module: nn.Module) -> nn.Module:
    """Disable the cache of keys and values that a transformer returns beside its scores.

    It is set in the config; classifiers do not need it. The module is changed.
    """
    for part in module.modules():
        config = getattr(part, "config", None)
        if getattr(config, "use_cache", False):
            config.use_cache = False  # type: ignore[union-attr]
    return module


def _like(X: tuple[Any, ...] | list[Any], values: list[Any]) -> Any:
    if hasattr(X, "_fields"):  # a named tuple
        return type(X)(*values)
    return type(X)(values)
