"""Group gradients g_a = ∇θ J(θ; D_a)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sk_prunefair.theory.grouped import GroupedNet


def group_gradient_norms(
    module: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    criterion: Any = None,
    batch_size: int | None = None,
) -> pd.Series:
    r"""Return the length of each group's gradient, :math:`\|\nabla_\theta J(\theta; D_a)\|`.

    Proposition 1 of Tran, Fioretto, Kim and Naidu says that small groups have large gradients at
    the minimum of the overall loss; Theorem 1 says that a large gradient lets pruning do harm.

    The data is sorted by group and gone through once, so the work is that of one forward and
    backward pass however many groups there are. Memory: one gradient, and the activations of one
    chunk of ``batch_size`` samples.

    Parameters
    ----------
    module : torch.nn.Module
        A net that returns one score per class; evaluated with batch norm frozen, never changed.
        Parameters that do not require a gradient are left out.
    X : array-like of shape (n_samples, ...)
        Features.
    y : array-like of shape (n_samples,), integer dtype
        Labels from 0 to n_classes - 1.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    criterion : torch.nn.Module, class of one, or callable, default=None
        Loss of ``(scores, y)``; None takes cross entropy on logits.
    batch_size : int, default=None
        Samples per chunk; None chooses by the size of the net's activations.

    Returns
    -------
    pandas.Series
        ``gradient_norm`` by group.

    Raises
    ------
    ValueError
        If an argument is malformed, or the net has no parameter that requires a gradient.

    Examples
    --------
    A linear net without bias at zero predicts one half for both classes, so that each sample's
    gradient is ±x/2 for either score.

    >>> import torch
    >>> net = torch.nn.Linear(1, 2, bias=False)
    >>> _ = torch.nn.init.zeros_(net.weight)
    >>> group_gradient_norms(net, [[2.0], [4.0]], [0, 0], ["a", "b"]).round(3).to_dict()
    {'a': 1.414, 'b': 2.828}
    """
    return gradient_norms(GroupedNet(module, X, y, sensitive_features, criterion, batch_size))


def gradient_norms(net: GroupedNet) -> pd.Series:
    """Return what `group_gradient_norms` does, one gradient in memory at a time."""
    norms = [float(net.gradient(net.rows(code)).norm()) for code in range(len(net.groups))]
    return pd.Series(norms, index=net.groups, name="gradient_norm", dtype=np.float64)


def group_gradients(net: GroupedNet) -> torch.Tensor:
    """Return the gradients of all groups, shape (n_groups, n_parameters)."""
    return torch.stack([net.gradient(net.rows(code)) for code in range(len(net.groups))])
