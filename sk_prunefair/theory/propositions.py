"""Propositions 1 and 2: relations of a group's gradient norm to its size and its errors."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from sk_prunefair.theory._per_sample import squared_gradient_norms
from sk_prunefair.theory.gradients import gradient_norms
from sk_prunefair.theory.grouped import GroupedNet


class GroupRelation(NamedTuple):
    """A table by group, and the rank correlation of its last two columns.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per group.
    rank_correlation : float
        Spearman's correlation over the groups; NaN for fewer than two groups, or if all are equal.
    """

    table: pd.DataFrame
    rank_correlation: float


def size_and_gradient(
    module: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    criterion: Any = None,
    batch_size: int | None = None,
) -> GroupRelation:
    r"""Return the size of each group beside its gradient norm (Proposition 1).

    At a stationary point of the overall loss the groups' gradients, weighted by their sizes, sum to
    zero. For two groups it follows that :math:`|D_a| > |D_b|` implies
    :math:`\|g_a\| < \|g_b\|` (Tran, Fioretto, Kim and Naidu); for more groups it need not, and a
    net whose training was stopped early is not at such a point. The rank correlation is negative if
    the proposition applies to the net.

    Parameters
    ----------
    module, X, y, sensitive_features, criterion, batch_size
        As for `group_gradient_norms`.

    Returns
    -------
    GroupRelation
        Table with the columns ``size`` and ``gradient_norm``.

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(1, 2, bias=False)
    >>> _ = torch.nn.init.zeros_(net.weight)
    >>> relation = size_and_gradient(net, [[1.0], [1.0], [4.0]], [0, 0, 0], ["a", "a", "b"])
    >>> relation.table["size"].to_dict(), round(relation.rank_correlation, 3)
    ({'a': 2, 'b': 1}, -1.0)
    """
    net = GroupedNet(module, X, y, sensitive_features, criterion, batch_size)
    table = pd.DataFrame({"size": net.sizes, "gradient_norm": gradient_norms(net)})
    return GroupRelation(table, _rank_correlation(table))


def error_and_gradient(
    module: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    batch_size: int | None = None,
) -> GroupRelation:
    r"""Return each group's errors beside its gradient norm (Proposition 2).

    For cross entropy on logits z with probabilities p, the gradient of a sample is
    :math:`J_z^\top (p - y)`, y one-hot, so that for a group

    .. math:: \|g_a\| \le \frac{1}{|D_a|} \sum_{D_a} \|p - y\|\;\|J_z\| ,

    with the Frobenius norm of the Jacobian of the logits by the parameters: groups with larger
    errors can have larger gradients (Tran, Fioretto, Kim and Naidu).

    Parameters
    ----------
    module : torch.nn.Module
        A net that returns one logit per class; evaluated with batch norm frozen, not changed.
    X, y, sensitive_features, batch_size
        As for `group_gradient_norms`.

    Returns
    -------
    GroupRelation
        Table with the columns ``mean_error`` (of ‖p - y‖), ``error_bound`` (the right-hand side)
        and ``gradient_norm``.

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    For a single sample of a linear net, p - y = (-1/2, 1/2), and both logits have the gradient x.

    >>> import torch
    >>> net = torch.nn.Linear(1, 2, bias=False)
    >>> _ = torch.nn.init.zeros_(net.weight)
    >>> error_and_gradient(net, [[1.0], [3.0]], [0, 0], ["a", "b"]).table.round(3)
                       mean_error  error_bound  gradient_norm
    sensitive_feature
    a                       0.707          1.0          0.707
    b                       0.707          3.0          2.121
    """
    net = GroupedNet(module, X, y, sensitive_features, _cross_entropy, batch_size)
    table = proposition2_terms(net)
    table["gradient_norm"] = gradient_norms(net)
    return GroupRelation(table, _rank_correlation(table))


def proposition2_terms(net: GroupedNet) -> pd.DataFrame:
    """Return ``mean_error`` and ``error_bound`` of `error_and_gradient`, by group."""
    net = net.with_criterion(_cross_entropy)
    rows = [_errors(net, code) for code in range(len(net.groups))]
    return pd.DataFrame(rows, columns=["mean_error", "error_bound"], index=net.groups)


def _errors(net: GroupedNet, code: int) -> tuple[float, float]:
    errors, products = [], []
    for X, y in net.chunks(net.rows(code)):
        with torch.no_grad():
            scores = net.scores(X)
        _check_labels_of_scores(scores, y)
        p = scores.double().softmax(1)
        error = (p - nn.functional.one_hot(y, p.shape[1])).norm(dim=1)
        squared = torch.zeros_like(error)
        for label in range(p.shape[1]):
            squared += squared_gradient_norms(net, X, partial(torch.select, dim=1, index=label))
        errors.append(error)
        products.append(error * squared.sqrt())
    return float(torch.cat(errors).mean()), float(torch.cat(products).mean())


def _cross_entropy(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            "module must return one logit per class, shape (n_samples, n_classes >= 2), got shape "
            f"{tuple(scores.shape)}"
        )
    _check_labels_of_scores(scores, y)
    return nn.functional.cross_entropy(scores, y, reduction="none")


def _check_labels_of_scores(scores: torch.Tensor, y: torch.Tensor) -> None:
    if int(y.max()) >= scores.shape[1]:
        raise ValueError(
            f"y must hold labels below the number of scores, {scores.shape[1]}, got {int(y.max())}"
        )


def _rank_correlation(table: pd.DataFrame) -> float:
    first, second = (table[name].rank() for name in table.columns[-2:])
    return float(first.corr(second)) if first.std() > 0 and second.std() > 0 else float("nan")
