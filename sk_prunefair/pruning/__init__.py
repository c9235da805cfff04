"""Criteria that choose the weights to remove, and the pruning itself."""

from typing import TYPE_CHECKING

from sk_prunefair._lazy import lazy

if TYPE_CHECKING:
    from sk_prunefair.pruning.channels import ChannelPruner
    from sk_prunefair.pruning.criteria import MagnitudePruner, Pruner, RandomPruner, ScorePruner
    from sk_prunefair.pruning.data import PruningData
    from sk_prunefair.pruning.group_aware import FairGrapePruner, FairPrunePruner
    from sk_prunefair.pruning.masks import (
        apply_masks,
        check_masks,
        keep_largest,
        prunable_parameters,
        sparsity,
    )
    from sk_prunefair.pruning.plan import ChannelPlan, Plan, WeightPlan
    from sk_prunefair.pruning.pruned import Pruned
    from sk_prunefair.pruning.pruner import get_pruner
    from sk_prunefair.pruning.recalibrate import recalibrate_batch_norm
    from sk_prunefair.pruning.saliency import SnipPruner, TaylorPruner
    from sk_prunefair.pruning.schedules import GradualPruning, IterativePruning, PruningSchedule
    from sk_prunefair.pruning.shrink import expand_module, kept_masks, shrink_module

    PruningState = Pruned
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "channels": ["ChannelPruner"],
            "criteria": ["MagnitudePruner", "Pruner", "RandomPruner", "ScorePruner"],
            "data": ["PruningData"],
            "group_aware": ["FairGrapePruner", "FairPrunePruner"],
            "masks": [
                "apply_masks",
                "check_masks",
                "keep_largest",
                "prunable_parameters",
                "sparsity",
            ],
            "plan": ["ChannelPlan", "Plan", "WeightPlan"],
            "pruned": ["Pruned"],
            "pruner": ["get_pruner"],
            "recalibrate": ["recalibrate_batch_norm"],
            "saliency": ["SnipPruner", "TaylorPruner"],
            "schedules": ["GradualPruning", "IterativePruning", "PruningSchedule"],
            "shrink": ["expand_module", "kept_masks", "shrink_module"],
        },
        aliases={"PruningState": "Pruned"},  # former name
    )

__all__ = [
    "ChannelPlan",
    "ChannelPruner",
    "FairGrapePruner",
    "FairPrunePruner",
    "GradualPruning",
    "IterativePruning",
    "MagnitudePruner",
    "Plan",
    "Pruned",
    "Pruner",
    "PruningData",
    "PruningSchedule",
    "PruningState",
    "RandomPruner",
    "ScorePruner",
    "SnipPruner",
    "TaylorPruner",
    "WeightPlan",
    "apply_masks",
    "check_masks",
    "expand_module",
    "get_pruner",
    "keep_largest",
    "kept_masks",
    "prunable_parameters",
    "recalibrate_batch_norm",
    "shrink_module",
    "sparsity",
]
