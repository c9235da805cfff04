"""All quantities of the theory for one pair of nets, in one frame."""

from __future__ import annotations

from typing import Any

import pandas as pd
from torch import nn

from sk_prunefair.theory.boundary import mean_closeness, theorem2_terms
from sk_prunefair.theory.grouped import GroupedNet
from sk_prunefair.theory.hessians import EigenvalueSearch
from sk_prunefair.theory.propositions import proposition2_terms
from sk_prunefair.theory.risk_bound import theorem1_terms

# Rows per group for λ(∇²z) of single samples, which needs about ten products each.
BOUNDARY_SAMPLES = 25


def group_diagnostics(
    dense: nn.Module,
    pruned: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    criterion: Any = None,
    max_samples: int | None = None,
    batch_size: int | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Return possible reasons for the harm of pruning to each group, by the theory of the paper.

    Memory: gradients of all groups, the Lanczos vectors of one group, and the activations of one
    chunk.

    Parameters
    ----------
    dense, pruned : torch.nn.Module
        Nets of one architecture that return one logit per class; not changed.
    X : array-like of shape (n_samples, ...)
        Features.
    y : array-like of shape (n_samples,), integer dtype
        Labels from 0 to n_classes - 1.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    criterion : torch.nn.Module, class of one, or callable, default=None
        Loss of ``(scores, y)`` for gradients, Hessians and risks; None takes cross entropy.
        Proposition 2 and Theorem 2 always use cross entropy.
    max_samples : int, default=None
        Number of samples of each group for the Hessians, see `group_hessian_eigenvalues`.
    batch_size : int, default=None
        Samples per chunk; None chooses by the size of the net's activations.
    random_state : int, default=0
        Seed of draws and start vectors.
    verbose : int, default=0
        Above 0, progress bars, in a terminal.

    Returns
    -------
    pandas.DataFrame
        By group: ``size``; ``gradient_norm``, ``hessian_max_eigenvalue`` of the dense net;
        ``boundary_closeness``; ``mean_error`` and ``error_bound`` (Proposition 2);
        ``displacement_norm``, ``first_order``, ``second_order`` and their sum ``risk_bound``
        (Theorem 1); ``risk_estimate`` (signed, second order); ``excessive_risk``; for two classes
        also ``boundary_bound`` of ``hessian_max_eigenvalue_drawn`` (Theorem 2, both over at most 25
        samples of each group).

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    >>> import torch
    >>> dense, pruned = (torch.nn.Linear(1, 2, bias=False) for _ in range(2))
    >>> dense.weight.data = torch.tensor([[0.1], [-0.1]])
    >>> _ = torch.nn.init.zeros_(pruned.weight)
    >>> frame = group_diagnostics(dense, pruned, [[1.0], [3.0]], [0, 0], ["f", "m"])
    >>> frame[["size", "gradient_norm", "boundary_closeness", "risk_bound"]].round(2)
                       size  gradient_norm  boundary_closeness  risk_bound
    sensitive_feature
    f                     1           0.64                0.25        0.09
    m                     1           1.50                0.23        0.25
    """
    net = GroupedNet(dense, X, y, sensitive_features, criterion, batch_size)
    n_scores = net.n_scores
    search = EigenvalueSearch(max_samples=max_samples, random_state=random_state, verbose=verbose)
    frame = theorem1_terms(net, pruned, search)
    errors = proposition2_terms(net)
    frame.insert(3, "boundary_closeness", mean_closeness(net))
    frame.insert(4, "mean_error", errors["mean_error"])
    frame.insert(5, "error_bound", errors["error_bound"])
    if n_scores == 2:
        theorem2 = theorem2_terms(
            net, max_samples=BOUNDARY_SAMPLES, random_state=random_state, verbose=verbose
        )
        frame["boundary_bound"] = theorem2["boundary_bound"]
        frame["hessian_max_eigenvalue_drawn"] = theorem2["hessian_max_eigenvalue"]
    return frame
