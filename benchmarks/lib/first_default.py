"""The equal-loss constraint with the defaults that the older tables were made with."""

from __future__ import annotations

from typing import Any

from sk_prunefair import EqualLossConstraint


class FirstDefault(EqualLossConstraint):
    """Draws by all of the factor, eq. 7 as printed, one standard error of noise."""

    _noise = 1.0

    def __init__(self, **params: Any) -> None:
        super().__init__(**{"by": "resampling", "explained": None} | params)
