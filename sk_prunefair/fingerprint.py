"""A digest of values that is reproducible across processes."""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn

from sk_prunefair._version import __version__

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic, torch.dtype, torch.device)
_PART = 2**24  # bytes per read, so that a memory-mapped array is never whole in memory


def fingerprint(*values: Any) -> str:
    """Return a digest of values, for the file name of a result that was computed from them.

    Numbers, strings, arrays, tensors, frames and sparse matrices enter with all their values;
    modules with their state, classes and plain attributes, such as the rate of a
    dropout; optimizers with their state; lists, dicts and objects with their parts; functions and
    classes with their names and code. Attributes of an object that end in an underscore are
    ignored, as they are learned. A torch data set enters with its attributes, not with its items,
    which may be random. The versions of torch and of this library enter as well.

    Parameters
    ----------
    *values : object
        Values of the digest.

    Returns
    -------
    str
        40 hexadecimal digits.

    Examples
    --------
    >>> fingerprint([1, 2.0]) == fingerprint([1, 2.0])
    True
    >>> fingerprint(torch.ones(2)) == fingerprint(torch.zeros(2))
    False
    """
    digest = hashlib.sha256()
    _update(digest.update, (torch.__version__, __version__, values), ())
    return digest.hexdigest()[:40]


def _update(update: Callable[[Any], None], value: Any, within: tuple[int, ...]) -> None:
    """Add a value to the digest, its type first; ``within`` holds the ids of its containers."""
    if id(value) in within:
        update(b"circle")
        return
    within = (*within, id(value))
    kind = type(value)
    update(f"<{kind.__module__}.{kind.__qualname__}>".encode())
    if isinstance(value, _PLAIN):
        update(repr(value).encode())
    elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
        _update_array(update, value)
    elif isinstance(value, torch.Tensor):
        plain = value.detach().cpu()
        update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        for part in plain.reshape(-1).split(_PART):
            update(part.view(torch.uint8).numpy().data)
    elif isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
        _update_array(update, pd.util.hash_pandas_object(value).to_numpy())
        names = list(value.columns) if isinstance(value, pd.DataFrame) else [value.name]
        update(repr(names).encode())
    else:
        parts = _parts(value)
        update(str(len(parts)).encode())
        for part in parts:
            _update(update, part, within)


def _update_array(update: Callable[[Any], None], array: Any) -> None:
    update(f"{array.dtype.str}{array.shape}".encode())
    flat = array.reshape(1) if array.ndim == 0 else array
    step = _rows(flat)
    for first in range(0, len(flat), step):
        update(np.ascontiguousarray(flat[first : first + step]).tobytes())


def _rows(array: Any) -> int:
    n_rows = len(array) if array.ndim else 1
    return max(1, n_rows * _PART // max(int(array.nbytes), 1))


def _parts(value: Any) -> list[Any]:
    """Return the parts of a value, in an order that does not depend on the process."""
    if isinstance(value, Mapping):
        return [part for key in sorted(value, key=repr) for part in (key, value[key])]
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, np.ndarray):
        return [value.shape, *value.ravel().tolist()]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if sparse.issparse(value):
        rows = value.tocsr()
        return [rows.shape, rows.data, rows.indices, rows.indptr]
    if isinstance(value, nn.Module):
        # A ReLU and a Tanh have the same, empty state.
        parts = list(value.named_modules())
        classes = list(dict.fromkeys(type(each) for _, each in parts))
        made_of = [
            (name, classes.index(type(each)), plain_attributes(each)) for name, each in parts
        ]
        return [classes, made_of, value.state_dict()]
    if isinstance(value, torch.optim.Optimizer):
        return [value.state_dict()]
    if isinstance(value, (torch.Generator, np.random.RandomState)):
        return [value.get_state()]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.FunctionType):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        named = [value.__module__, value.__qualname__]
        return [*named, value.__code__, value.__defaults__, held]
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_names, *value.co_consts]
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return [value.__module__, value.__qualname__, *_code_of_class(value)]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    size = [len(value)] if hasattr(value, "__len__") else []
    attributes = vars(value) if hasattr(value, "__dict__") else {}
    return [*size, {name: part for name, part in attributes.items() if not name.endswith("_")}]


def plain_attributes(value: Any) -> dict[str, Any]:
    """Return the public attributes of an object that are numbers, strings, functions or tuples.

    Parameters
    ----------
    value : object
        The object. Attributes that end in an underscore, and ``training``, are left out.
    """
    found = {k: v for k, v in vars(value).items() if not (k.startswith("_") or k.endswith("_"))}
    return {name: part for name, part in found.items() if name != "training" and _is_plain(part)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    return isinstance(value, (*_PLAIN, types.FunctionType, types.BuiltinFunctionType))


def _code_of_class(value: Any) -> list[Any]:
    """Return the code of a class's methods, except of classes covered by the versions."""
    found: list[Any] = []
    for each in getattr(value, "__mro__", ()):
        if each.__module__.split(".")[0] in ("torch", "sk_prunefair"):
            continue
        for name, part in sorted(vars(each).items()):
            plain = getattr(part, "fget", None) or getattr(part, "__func__", part)
            plain = inspect.unwrap(plain) if callable(plain) else plain
            if isinstance(plain, types.FunctionType):
                found += [name, plain.__code__]
    return found
