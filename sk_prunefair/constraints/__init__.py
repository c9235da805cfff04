"""Constraints on the effect of training and pruning on groups; each is a skorch callback."""

from sk_prunefair.constraints.accuracy_gap import AccuracyGapConstraint
from sk_prunefair.constraints.base import Constraint
from sk_prunefair.constraints.distillation import Distillation
from sk_prunefair.constraints.equal_curvature import EqualCurvatureConstraint
from sk_prunefair.constraints.equal_gradient import EqualGradientConstraint
from sk_prunefair.constraints.equal_loss import EqualLossConstraint

__all__ = [
    "AccuracyGapConstraint",
    "Constraint",
    "Distillation",
    "EqualCurvatureConstraint",
    "EqualGradientConstraint",
    "EqualLossConstraint",
]
