"""Attribution of the excessive risk to layers, as an integral along the path of the pruning.

Theorem 1 of the paper (Tran, Fioretto, Kim and Naidu, Pruning has a disparate impact on model
accuracy, NeurIPS 2022) bounds the excessive risk R(a) of a group by a Taylor expansion about the
dense net θ*, which requires a loss that is twice differentiable. The fundamental theorem of
calculus requires much less. With Δ = θ̄ − θ*, on the straight line to the pruned net θ̄,

    R(a) = J(θ̄; D_a) − J(θ*; D_a) = ∫₀¹ g_a(θ* + t Δ) · Δ dt,

for every loss that is continuous and, along the line, differentiable except at finitely many t:
nets with ReLU or max-pooling are included. The scalar product is a sum over coordinates, so the
integral is exactly a sum of one part per tensor, without remainder.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from tqdm import tqdm

from sk_prunefair.checks import check_count
from sk_prunefair.theory._line_integral import (
    Array,
    Line,
    LineIntegral,
    integrate,
    matching_tensors,
)
from sk_prunefair.theory.grouped import GroupedNet

__all__ = ["RiskPath", "excessive_risk_by_layer", "risk_attribution"]

# For a group with a risk below this share of the largest, the accepted error is that of the share.
SMALL_RISK = 0.01
# Bound on the rounding error of a mean loss, in units of the precision of the net's numbers.
ROUNDING = 100


@dataclass(frozen=True)
class RiskPath:
    """The excessive risk by tensor and by layer, as returned by `excessive_risk_by_layer`.

    Attributes
    ----------
    by_tensor : pandas.DataFrame of shape (n_groups, n_tensors), dtype float64
        Part of each group's excessive risk that is due to the change of each tensor, in the
        unit of the criterion; negative if the change of a tensor lowered the loss. Parameters and
        float buffers by name, such as ``layers.0.weight``, layer by layer; those that are
        equal in both nets have 0.
    by_layer : pandas.DataFrame of shape (n_groups, n_layers), dtype float64
        Sums over the tensors of each layer: the module that contains them, by its name, or by
        its class for the net itself.
    excessive_risk : pandas.Series of shape (n_groups,), dtype float64
        R(a) (eq. 2 of the paper), from the losses of both nets.
    error : pandas.Series of shape (n_groups,), dtype float64
        Sum of the group's parts minus R(a): the error of the integration.
    split_error : pandas.Series of shape (n_groups,), dtype float64
        Largest estimated error of one of the group's parts.
    n_evaluations : int
        Forward-backward passes over the data.
    converged : bool
        Whether both errors are within the tolerance for every group.
    """

    by_tensor: pd.DataFrame
    by_layer: pd.DataFrame
    excessive_risk: pd.Series
    error: pd.Series
    split_error: pd.Series
    n_evaluations: int
    converged: bool


def excessive_risk_by_layer(
    dense: nn.Module,
    pruned: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    criterion: Any = None,
    tol: float = 1e-3,
    max_evaluations: int = 2000,
    batch_size: int | None = None,
    verbose: int = 0,
) -> RiskPath:
    """Attribute each group's excessive risk to layers, by an integral that sums to R(a).

    ``R(a) = ∫₀¹ g_a(θ* + t(θ̄ − θ*)) · (θ̄ − θ*) dt``, split by tensor: the change of the loss
    while all weights change linearly from dense to pruned. It does not assume a smooth loss.
    Running averages of batch norm, which fine-tuning changes, are coordinates of the path like the
    weights. Both nets are evaluated in evaluation mode, and not changed.

    Each node needs one forward-backward pass over the data. At the default tolerance, a ResNet with
    ReLU needs some hundreds of nodes, a perceptron some tens.

    Parameters
    ----------
    dense, pruned : torch.nn.Module
        Nets of one architecture, such as ``clf.dense_module_`` and ``clf.module_``; removed weights
        are zeros. They return one score per class, or a tuple whose first entry does.
    X : array-like of shape (n_samples, ...)
        Features; converted to the dtype and the device of the dense net.
    y : array-like of shape (n_samples,), integer dtype
        Labels from 0 to n_classes - 1, as the criterion takes them.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    criterion : torch.nn.Module, class of one, or callable, default=None
        Loss of ``(scores, y)``, one per sample if it has no ``reduction``. None takes cross
        entropy on logits.
    tol : float, default=1e-3
        Largest error of the sum and of each tensor's part, relative to ``|R(a)|``, or to a
        hundredth of the largest ``|R|`` if that is larger. It is never below 100 times the
        precision of the net's numbers, relative to the loss.
    max_evaluations : int, default=2000
        Largest number of passes of the integration, at least 9.
    batch_size : int, default=None
        Samples per chunk. None chooses as many, from 1 to 4,096, as keep four times the outputs
        of all layers within 256 MiB.
    verbose : int, default=0
        Whether to show the passes on a terminal.

    Returns
    -------
    RiskPath
        ``by_layer``, ``by_tensor``, ``excessive_risk``, ``error`` and more.

    Raises
    ------
    ValueError
        If an argument is malformed, the nets differ in more than the values of their tensors, or
        a loss on the line is not finite.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If the tolerance is not reached within `max_evaluations`.

    Examples
    --------
    >>> dense, pruned = torch.nn.Linear(1, 2), torch.nn.Linear(1, 2)
    >>> dense.load_state_dict({"weight": torch.tensor([[1.0], [-1.0]]), "bias": torch.zeros(2)})
    <All keys matched successfully>
    >>> pruned.load_state_dict({"weight": torch.zeros(2, 1), "bias": torch.zeros(2)})
    <All keys matched successfully>
    >>> path = excessive_risk_by_layer(dense, pruned, [[1.0], [3.0]], [0, 0], ["f", "m"])
    >>> path.by_tensor.round(3)
    tensor             weight  bias
    sensitive_feature
    f                   0.566   0.0
    m                   0.691   0.0
    >>> bool((path.error.abs() < 1e-3 * path.excessive_risk).all())
    True
    """
    _check_numbers(tol, max_evaluations)
    dense_tensors, pruned_tensors = matching_tensors(dense, pruned)
    # Frozen parameters are part of the path, too.
    net = GroupedNet(
        copy.deepcopy(dense).requires_grad_(), X, y, sensitive_features, criterion, batch_size
    )
    before = _group_losses(net, "dense")
    after = _group_losses(net.with_module(pruned), "pruned")
    moved = {
        name: value.to(dense_tensors[name])
        for name, value in pruned_tensors.items()
        if not torch.equal(value.to(dense_tensors[name]), dense_tensors[name])
    }
    found = _integrate(net, moved, np.array([before, after]), tol, max_evaluations, verbose)
    return _as_path(found, list(moved), list(dense_tensors), dense, net.groups, after - before)


def risk_attribution(
    dense: nn.Module,
    pruned: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    tol: float = 1e-3,
    **options: Any,
) -> pd.DataFrame:
    """Attribute each group's excessive risk to parameter tensors, as a table.

    Parameters
    ----------
    dense, pruned, X, y, sensitive_features, tol, **options
        As in `excessive_risk_by_layer`.

    Returns
    -------
    pandas.DataFrame of shape (n_groups, n_tensors), dtype float64
        Its rows sum to R(a).

    Raises
    ------
    ValueError
        As `excessive_risk_by_layer`.

    Examples
    --------
    >>> net = torch.nn.Linear(2, 2)
    >>> risk_attribution(net, net, [[1.0, 2.0], [0.0, 1.0]], [0, 1], ["f", "m"])
    tensor             weight  bias
    sensitive_feature
    f                     0.0   0.0
    m                     0.0   0.0
    """
    path = excessive_risk_by_layer(dense, pruned, X, y, sensitive_features, tol=tol, **options)
    return path.by_tensor


def _check_numbers(tol: Any, max_evaluations: Any) -> None:
    is_number = isinstance(tol, Real) and not isinstance(tol, bool)
    if not (is_number and 0 < tol < 1):
        raise ValueError(f"tol must be a number in (0, 1), got {tol!r}")
    check_count("max_evaluations", max_evaluations, least=9)


def _group_losses(net: GroupedNet, name: str) -> Array:
    losses = net.group_losses()
    if not np.isfinite(losses).all():
        raise ValueError(f"the losses of {name} must be finite, got NaN or infinite values")
    return losses


def _integrate(
    net: GroupedNet,
    moved: dict[str, torch.Tensor],
    losses: Array,
    tol: float,
    max_evaluations: int,
    verbose: int,
) -> LineIntegral:
    risks = np.abs(losses[1] - losses[0])
    precision = torch.finfo(next(iter(net.parameters.values())).dtype).eps
    rounding = ROUNDING * precision * losses.max(axis=0)
    allowed = np.maximum(tol * np.maximum(risks, SMALL_RISK * risks.max()), rounding)
    if not moved:
        nothing = np.zeros(len(risks))
        _check_same_function(losses[0], losses[1])
        return LineIntegral(np.zeros((len(risks), 0)), nothing, 0, True)
    with tqdm(total=max_evaluations, desc="path", disable=None if verbose else True) as bar:
        line = Line(net, moved, on_pass=bar.update)
        _check_same_function(line.evaluate(1.0)[0], losses[1])
        found = integrate(line, allowed, max_evaluations)
    if not found.converged:
        warnings.warn(
            f"the path integral did not reach tol={tol:g} in {found.n_evaluations} evaluations "
            "(see its error and split_error); raise max_evaluations or tol",
            ConvergenceWarning,
            stacklevel=3,
        )
    return found


def _check_same_function(line_end: Array, pruned: Array) -> None:
    if not np.allclose(line_end, pruned, rtol=1e-3, atol=1e-6):
        raise ValueError(
            "dense and pruned must be nets of one architecture, got group losses of "
            f"{pruned[:3].tolist()} from pruned, but {line_end[:3].tolist()} from dense with its "
            "tensors"
        )


def _as_path(
    found: LineIntegral,
    moved: list[str],
    names: list[str],
    dense: nn.Module,
    groups: pd.Index,
    risks: Array,
) -> RiskPath:
    by_tensor = pd.DataFrame(0.0, index=groups, columns=pd.Index(names, name="tensor"))
    by_tensor[moved] = found.parts
    layers = [name.rpartition(".")[0] or dense._get_name() for name in names]
    by_layer = by_tensor.T.groupby(pd.Index(layers, name="layer"), sort=False).sum().T
    return RiskPath(
        by_tensor,
        by_layer,
        pd.Series(risks, groups, name="excessive_risk"),
        pd.Series(found.parts.sum(axis=1) - risks, groups, name="error"),
        pd.Series(found.split_error, groups, name="split_error"),
        found.n_evaluations,
        found.converged,
    )
