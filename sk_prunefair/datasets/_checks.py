"""Checks of what is passed to the loaders; every error names the argument and what is taken."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Return value if it is one of the choices, or raise ValueError."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")
    return value


def check_positive(value: Any, name: str) -> int:
    """Return value as an int of at least one, or raise ValueError."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
    return int(value)


def check_ratio(value: Any, name: str) -> float:
    """Return value as a float of at least one, or raise ValueError."""
    if not isinstance(value, Real) or isinstance(value, bool) or not float(value) >= 1:
        raise ValueError(f"{name} must be a number >= 1, got {value!r}")
    return float(value)
