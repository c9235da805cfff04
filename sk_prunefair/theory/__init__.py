"""Reasons why pruning harms some groups more: derivatives of group losses, bounds, attributions."""

from sk_prunefair.theory.boundary import boundary_bounds, boundary_closeness
from sk_prunefair.theory.diagnostics import group_diagnostics
from sk_prunefair.theory.gradients import group_gradient_norms
from sk_prunefair.theory.hessians import group_hessian_eigenvalues
from sk_prunefair.theory.nets import comparable
from sk_prunefair.theory.path import RiskPath, excessive_risk_by_layer, risk_attribution
from sk_prunefair.theory.propositions import (
    GroupRelation,
    error_and_gradient,
    size_and_gradient,
)
from sk_prunefair.theory.risk_bound import risk_bounds
from sk_prunefair.theory.robustness import group_robustness

__all__ = [
    "GroupRelation",
    "RiskPath",
    "boundary_bounds",
    "boundary_closeness",
    "comparable",
    "error_and_gradient",
    "excessive_risk_by_layer",
    "group_diagnostics",
    "group_gradient_norms",
    "group_hessian_eigenvalues",
    "group_robustness",
    "risk_attribution",
    "risk_bounds",
    "size_and_gradient",
]
