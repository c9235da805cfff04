"""What a report must have to be written as a page or as text."""

from __future__ import annotations

from typing import Protocol

import pandas as pd
from fairlearn.metrics import MetricFrame

from sk_prunefair.outcome import LabelUse


class GroupReport(Protocol):
    """Two nets compared group by group; `sk_prunefair.FairnessReport` is one."""

    samples: pd.DataFrame
    dense: MetricFrame
    pruned: MetricFrame
    change: MetricFrame
    compression: pd.Series | None
    diagnostics: pd.DataFrame | None
    empty_layers: tuple[str, ...]
    label_use: LabelUse

    @property
    def accuracy_gap(self) -> pd.Series:
        """Largest minus smallest group accuracy of each net."""

    @property
    def accuracy_gap_floor(self) -> pd.Series:
        """Gap to expect from sampling alone."""

    @property
    def fairness_violation(self) -> float:
        """Largest minus smallest excessive risk."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group, the most harmed first."""
