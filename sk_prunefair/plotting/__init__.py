"""Displays as in scikit-learn: numbers first, and a picture on request."""

from sk_prunefair.plotting.compression_search import CompressionSearchDisplay
from sk_prunefair.plotting.constraint_effect import ConstraintEffectDisplay
from sk_prunefair.plotting.group_risk import GroupRiskDisplay
from sk_prunefair.plotting.group_theory import THEORY_PANELS, GroupTheoryDisplay
from sk_prunefair.plotting.monitor import MonitorDisplay
from sk_prunefair.plotting.pruning_curve import PruningCurveDisplay
from sk_prunefair.plotting.tradeoff import TradeoffDisplay, tradeoff_row

__all__ = [
    "THEORY_PANELS",
    "CompressionSearchDisplay",
    "ConstraintEffectDisplay",
    "GroupRiskDisplay",
    "GroupTheoryDisplay",
    "MonitorDisplay",
    "PruningCurveDisplay",
    "TradeoffDisplay",
    "tradeoff_row",
]
