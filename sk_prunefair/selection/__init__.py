"""Curves over pruning rates, and the largest rate that keeps a promise."""

from sk_prunefair.promise import NoRateError
from sk_prunefair.selection.compression_search import CompressionSearchCV
from sk_prunefair.selection.curve import pruning_curve
from sk_prunefair.selection.procedures import decide
from sk_prunefair.selection.search import PruneRateSearchCV
from sk_prunefair.stats.betting import mean_lower_bound, mean_upper_bound
from sk_prunefair.stats.paired import drop_p_value, drop_upper_bound, samples_needed

__all__ = [
    "CompressionSearchCV",
    "NoRateError",
    "PruneRateSearchCV",
    "decide",
    "drop_p_value",
    "drop_upper_bound",
    "mean_lower_bound",
    "mean_upper_bound",
    "pruning_curve",
    "samples_needed",
]
