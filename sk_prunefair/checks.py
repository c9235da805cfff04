"""Checks of arguments; errors name the argument, what was given and what is accepted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets


def check_rate(rate: Any, name: str = "rate") -> float:
    """Return a pruning rate as a float in [0, 1), or raise ValueError."""
    is_number = isinstance(rate, Real) and not isinstance(rate, bool)
    if not (is_number and 0 <= rate < 1):
        raise ValueError(f"{name} must be a number in [0, 1), the share to remove, got {rate!r}")
    return float(rate)


def check_epochs(epochs: Any, name: str = "finetune_epochs") -> int:
    """Return a number of epochs as an int, or raise ValueError."""
    check_count(name, epochs, least=0)
    return int(epochs)


def check_labels(y: Any, n_samples: int) -> npt.NDArray[Any]:
    """Return y as a one-dimensional array of discrete labels, or raise ValueError."""
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu().numpy()
    if isinstance(y, pd.Series):
        if y.isna().any():
            raise ValueError(f"y contains NaN: {int(y.isna().sum())} missing values")
        y = np.asarray(y.tolist()) if pd.api.types.is_extension_array_dtype(y) else y.to_numpy()
    try:
        y = column_or_1d(y, warn=True)
    except ValueError as error:
        raise ValueError(
            f"{error} y must hold one label per sample; several are not supported"
        ) from None
    if y.dtype == object:
        y = _plain_labels(y)
    check_array(y, ensure_2d=False, dtype=None, input_name="y")
    check_classification_targets(y)
    check_length(y, n_samples, "y")
    return y


def _plain_labels(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of Python objects as one of strings, numbers or booleans."""
    missing = int(pd.isna(y).sum())
    if missing:
        raise ValueError(f"y contains NaN or None: {missing} missing values")
    kinds = {_kind(value) for value in y}
    if len(kinds) > 1:
        names = sorted({type(value).__name__ for value in y})
        raise ValueError(f"y must hold labels of one kind, got a mix of {names}")
    return np.asarray(y.tolist()) if kinds <= {"str", "bool", "number"} else y


def _kind(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, Real):
        return "number"
    return "str" if isinstance(value, str) else type(value).__name__


def check_length(values: Any, n_samples: int, name: str) -> None:
    """Raise ValueError unless there is one value per row of X."""
    if len(values) != n_samples:
        raise ValueError(f"{name} has {len(values)} rows, but X has {n_samples}")


def encode_labels(
    y: npt.NDArray[Any], classes: npt.NDArray[Any], name: str = "y"
) -> npt.NDArray[np.int64]:
    """Return the position of each label in `classes`; ValueError names unknown labels."""
    order = np.argsort(classes, kind="stable")
    unseen = np.setdiff1d(y, classes)
    if unseen.size:
        raise ValueError(
            f"{name} holds labels that are not among the classes: {unseen[:5].tolist()}; "
            f"classes_ are {classes[:10].tolist()}"
        )
    return order[np.searchsorted(classes, y, sorter=order)].astype(np.int64)


def as_losses(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    """Return per-sample losses as a vector of finite numbers, or raise ValueError."""
    losses = as_vector(values, name, np.float64)
    n_bad = np.count_nonzero(~np.isfinite(losses))
    if n_bad:
        raise ValueError(f"{name} must be finite, got {n_bad} NaN or infinite values")
    return losses


def as_labels(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return labels as a vector of objects without missing values, or raise ValueError."""
    # A string array would turn a missing value into the label "nan".
    labels = as_vector(values, name, object)
    n_missing = np.count_nonzero(pd.isna(labels))
    if n_missing:
        raise ValueError(f"{name} must have no missing values, got {n_missing}")
    return labels


def as_vector(values: Any, name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return values as a vector that is not empty, or raise ValueError."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        vector = np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be one-dimensional and numeric: {error}") from error
    if vector.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {vector.shape}")
    if len(vector) == 0:
        raise ValueError(f"{name} must hold at least one value, got an empty array")
    return vector


def check_same_length(
    values: npt.NDArray[Any], name: str, others: npt.NDArray[Any], other_name: str
) -> None:
    """Raise ValueError unless two vectors are equally long."""
    if len(values) != len(others):
        raise ValueError(f"{name} has {len(values)} values, but {other_name} has {len(others)}")


def is_finite(value: Any) -> bool:
    """Tell whether `value` is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def check_count(name: str, value: Any, or_else: str = "", least: int = 1) -> None:
    """Raise ValueError unless `value` is an integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}{or_else}, got {value!r}")


def check_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    or_none: bool = False,
) -> None:
    """Raise ValueError unless `value` is a finite number within bounds, or an accepted None.

    >>> check_number("step_size", -1, least=0)
    Traceback (most recent call last):
        ...
    ValueError: step_size must be a finite number >= 0, got -1
    """
    if value is None and or_none:
        return
    is_fine = (
        is_finite(value)
        and not isinstance(value, bool)
        and (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
    )
    if not is_fine:
        bounds = (("", " >= ", least), ("", " > ", above), (" and", " <= ", most))
        words = "".join(f"{glue}{sign}{bound}" for glue, sign, bound in bounds if bound is not None)
        raise ValueError(
            f"{name} must be a finite number{words}{' or None' * or_none}, got {value!r}"
        )


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise ValueError unless `value` is one of the choices.

    >>> check_choice("by", "luck", ("resampling", "reweighting"))
    Traceback (most recent call last):
        ...
    ValueError: by must be one of ['resampling', 'reweighting'], got 'luck'
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is True or False, of Python or of numpy."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
