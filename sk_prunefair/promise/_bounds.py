"""Checks of the parameters of a promise."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np


def check_promise(
    max_accuracy_drop: Any, max_violation: Any, loss_bound: Any, confidence: Any
) -> None:
    """Raise ValueError unless all four are numbers in their ranges."""
    checks = {
        "max_accuracy_drop": (
            max_accuracy_drop,
            "in [0, 1)",
            _is_real(max_accuracy_drop) and 0 <= max_accuracy_drop < 1,
        ),
        "max_violation": (
            max_violation,
            "None or positive",
            max_violation is None or (_is_real(max_violation) and max_violation > 0),
        ),
        "loss_bound": (
            loss_bound,
            "positive and finite",
            _is_real(loss_bound) and 0 < loss_bound < np.inf,
        ),
        "confidence": (
            confidence,
            "in [0.5, 1), as 0.95",
            _is_real(confidence) and 0.5 <= confidence < 1,
        ),
    }
    for name, (value, accepted, is_fine) in checks.items():
        if not is_fine:
            raise ValueError(f"{name} must be a number {accepted}, got {value!r}")


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
