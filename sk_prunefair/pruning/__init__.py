"""Which weights are removed, and how."""

from sk_prunefair.pruning.criteria import (
    MagnitudePruner,
    Pruner,
    RandomPruner,
    ScorePruner,
    get_pruner,
)
from sk_prunefair.pruning.masks import (
    apply_masks,
    check_masks,
    keep_largest,
    prunable_parameters,
    sparsity,
)
from sk_prunefair.pruning.recalibrate import recalibrate_batch_norm
from sk_prunefair.pruning.state import PruningState

__all__ = [
    "MagnitudePruner",
    "Pruner",
    "PruningState",
    "RandomPruner",
    "ScorePruner",
    "apply_masks",
    "check_masks",
    "get_pruner",
    "keep_largest",
    "prunable_parameters",
    "recalibrate_batch_norm",
    "sparsity",
]
