"""Checks of the sizes of a net."""

from __future__ import annotations

from typing import Any

from sk_prunefair.checks import check_count


def check_sizes(**sizes: Any) -> None:
    """Raise ValueError unless each is an integer >= 1, and ``n_classes`` >= 2."""
    for name, size in sizes.items():
        smallest = 2 if name == "n_classes" else 1
        check_count(name, size, least=smallest)
