"""What a page asks of a report."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd


class AuditedReport(Protocol):
    """A comparison of two classifiers by group; `sk_prunefair.FairnessReport` is one."""

    compression: pd.Series | None
    diagnostics: pd.DataFrame | None
    empty_layers: tuple[str, ...]
    samples: pd.DataFrame
    change: Any

    @property
    def findings(self) -> list[str]:
        """What no average shows: one label for all, labels lost, layers without weights."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group, the most harmed first."""
