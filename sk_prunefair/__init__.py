"""Prune PyTorch classifiers the scikit-learn way, and measure the effect on every group."""

from typing import TYPE_CHECKING

from sk_prunefair._lazy import lazy
from sk_prunefair._version import __version__ as __version__

if TYPE_CHECKING:
    from sk_prunefair.classifier import FairPrunedClassifier
    from sk_prunefair.compare import compare_models
    from sk_prunefair.constraints import (
        AccuracyGapConstraint,
        Constraint,
        Distillation,
        EqualCurvatureConstraint,
        EqualGradientConstraint,
        EqualLossConstraint,
    )
    from sk_prunefair.mend import mend_head
    from sk_prunefair.monitor import GroupMonitor
    from sk_prunefair.promise import required_samples
    from sk_prunefair.report.report import FairnessReport
    from sk_prunefair.resume import Resume
    from sk_prunefair.selection import (
        CompressionSearchCV,
        NoRateError,
        PruneRateSearchCV,
        pruning_curve,
    )
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "classifier": ["FairPrunedClassifier"],
            "compare": ["compare_models"],
            "constraints": [
                "AccuracyGapConstraint",
                "Constraint",
                "Distillation",
                "EqualCurvatureConstraint",
                "EqualGradientConstraint",
                "EqualLossConstraint",
            ],
            "mend": ["mend_head"],
            "monitor": ["GroupMonitor"],
            "promise": ["required_samples"],
            "report.report": ["FairnessReport"],
            "resume": ["Resume"],
            "selection": [
                "CompressionSearchCV",
                "NoRateError",
                "PruneRateSearchCV",
                "pruning_curve",
            ],
        },
    )

__all__ = [
    "AccuracyGapConstraint",
    "CompressionSearchCV",
    "Constraint",
    "Distillation",
    "EqualCurvatureConstraint",
    "EqualGradientConstraint",
    "EqualLossConstraint",
    "FairPrunedClassifier",
    "FairnessReport",
    "GroupMonitor",
    "NoRateError",
    "PruneRateSearchCV",
    "Resume",
    "compare_models",
    "mend_head",
    "pruning_curve",
    "required_samples",
]
