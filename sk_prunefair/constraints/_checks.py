"""Checks of parameters that all constraints share."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def is_finite(value: Any) -> bool:
    """Tell whether `value` is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def check_count(name: str, value: Any, or_else: str = "") -> None:
    """Raise unless `value` is an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer >= 1{or_else}, got {value!r}")
