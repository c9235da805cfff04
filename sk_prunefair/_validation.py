"""Checks of what users pass in; every error names the argument, what was given, what is taken."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
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
    if not isinstance(epochs, Integral) or isinstance(epochs, bool) or epochs < 0:
        raise ValueError(f"{name} must be an integer >= 0, got {epochs!r}")
    return int(epochs)


def check_labels(y: Any, n_samples: int) -> npt.NDArray[Any]:
    """Return y as a one-dimensional array of discrete labels, or raise ValueError."""
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu().numpy()
    y = column_or_1d(y, warn=True)
    check_array(y, ensure_2d=False, dtype=None, input_name="y")
    check_classification_targets(y)
    check_length(y, n_samples, "y")
    return y


def check_length(values: Any, n_samples: int, name: str) -> None:
    """Raise ValueError unless there is one value per row of X."""
    if len(values) != n_samples:
        raise ValueError(f"{name} has {len(values)} rows, but X has {n_samples}")


def encode_labels(
    y: npt.NDArray[Any], classes: npt.NDArray[Any], name: str = "y"
) -> npt.NDArray[np.int64]:
    """Return the position of each label in `classes`, or raise ValueError naming strangers."""
    order = np.argsort(classes, kind="stable")
    unseen = np.setdiff1d(y, classes)
    if unseen.size:
        raise ValueError(
            f"{name} holds labels that are not among the classes: {unseen[:5].tolist()}; "
            f"classes_ are {classes[:10].tolist()}"
        )
    return order[np.searchsorted(classes, y, sorter=order)].astype(np.int64)
