"""Theorem 1: a bound on the cost of pruning to each group, and an estimate by Taylor's formula."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from sk_prunefair.theory.gradients import group_gradients
from sk_prunefair.theory.grouped import GroupedNet
from sk_prunefair.theory.hessians import EigenvalueSearch, hessian_eigenvalues


def risk_bounds(
    dense: nn.Module,
    pruned: nn.Module | Mapping[Any, nn.Module],
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    criterion: Any = None,
    batch_size: int | None = None,
    **hessian_options: Any,
) -> pd.DataFrame:
    r"""Return Theorem 1's bound on each group's excessive risk, its terms, and an estimate.

    With :math:`\Delta = \bar\theta - \theta^*`, Theorem 1 of Tran, Fioretto, Kim and Naidu (eq. 4)
    states that, up to a remainder of third order,

    .. math:: R(a) \le \|g_a\|\,\|\Delta\| + \tfrac12 \lambda(H_a)\,\|\Delta\|^2 .

    It holds, but it is vacuous: it assumes the worst direction. On Adult and digits it was
    300 to 4,000 times the risk at rates from 0.1 to 0.9, and ranked the groups of Adult in reverse
    at 0.9 (``benchmarks/speed/theory.md``). The second-order formula without the inequality,

    .. math:: R(a) \approx g_a^\top \Delta + \tfrac12 \Delta^\top H_a \Delta ,

    costs one Hessian-vector product per group and ranked the groups with a correlation of 0.9 or
    more up to a rate of 0.7; beyond, the displacement is too large for an expansion about the
    dense net. Use the estimate at moderate rates, `risk_attribution`, which is
    exact, at high ones, and the bound to check the theorem. Neither bound nor estimate includes
    the change of batch norm's averages in a fine-tuning.

    Parameters
    ----------
    dense : torch.nn.Module
        The net before pruning, θ*; returns one score per class. Evaluated with batch norm frozen,
        not changed.
    pruned : torch.nn.Module or mapping to torch.nn.Module
        The net after pruning, θ̄, of the same architecture: removed weights or
        channels are zero in it. For a mapping, such as from rates to nets, the dense net's
        gradients and eigenvalues are computed once.
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
    **hessian_options
        ``max_samples``, ``n_resamples``, ``tol``, ``max_iter``, ``random_state`` and ``verbose`` of
        `group_hessian_eigenvalues`. Other quantities use all samples: ``max_samples`` applies only
        to the eigenvalues, which are then larger, and so is the bound.

    Returns
    -------
    pandas.DataFrame
        By group, within the key of the net if there are several: ``size``, ``gradient_norm``,
        ``hessian_max_eigenvalue``, ``displacement_norm``, ``first_order`` and ``second_order``
        (the two terms of the bound), ``risk_bound``, ``risk_estimate``, ``excessive_risk``. A
        negative eigenvalue means that the group's loss is concave at θ*, which is not a minimum of
        it; the bound is then lower but still valid, as :math:`\Delta^\top H_a \Delta \le
        \lambda(H_a) \|\Delta\|^2` for any sign, and it can be negative.

    Raises
    ------
    ValueError
        If an argument is malformed, or the nets' parameters differ in names or shapes.

    Warns
    -----
    UserWarning
        If the nets differ in parameters that do not require a gradient. The excessive risk includes
        their effect, the bound and the estimate do not.

    Examples
    --------
    >>> import torch
    >>> dense, pruned = (torch.nn.Linear(1, 2, bias=False) for _ in range(2))
    >>> dense.weight.data = torch.tensor([[0.1], [-0.1]])
    >>> _ = torch.nn.init.zeros_(pruned.weight)
    >>> frame = risk_bounds(dense, pruned, [[1.0], [3.0]], [0, 0], ["f", "m"])
    >>> frame[["risk_bound", "risk_estimate", "excessive_risk"]].round(3)
                       risk_bound  risk_estimate  excessive_risk
    sensitive_feature
    f                       0.095          0.095           0.095
    m                       0.254          0.254           0.256
    """
    net = GroupedNet(dense, X, y, sensitive_features, criterion, batch_size)
    return theorem1_terms(net, pruned, EigenvalueSearch(**hessian_options))


def theorem1_terms(
    net: GroupedNet, pruned: nn.Module | Mapping[Any, nn.Module], search: EigenvalueSearch
) -> pd.DataFrame:
    """Return the result of `risk_bounds` for a GroupedNet of the dense net."""
    for other in _nets(pruned):
        _check_pruned(net, other)
    gradients = group_gradients(net)
    eigenvalues = hessian_eigenvalues(net, search)["eigenvalue"]
    losses = net.group_losses()
    if isinstance(pruned, Mapping):
        frames = {
            key: _frame(net, other, gradients, eigenvalues, losses) for key, other in pruned.items()
        }
        return pd.concat(frames, names=["net"])
    return _frame(net, pruned, gradients, eigenvalues, losses)


def _frame(
    net: GroupedNet,
    pruned: nn.Module,
    gradients: torch.Tensor,
    eigenvalues: pd.Series,
    losses: npt.NDArray[np.float64],
) -> pd.DataFrame:
    displacement = _displacement(net, pruned)
    length = float(displacement.norm())
    frame = pd.DataFrame(
        {
            "size": net.sizes,
            "gradient_norm": gradients.norm(dim=1).double().cpu().numpy(),
            "hessian_max_eigenvalue": eigenvalues,
            "displacement_norm": length,
        },
        index=net.groups,
    )
    frame["first_order"] = frame["gradient_norm"] * length
    frame["second_order"] = 0.5 * frame["hessian_max_eigenvalue"] * length**2
    frame["risk_bound"] = frame["first_order"] + frame["second_order"]
    frame["risk_estimate"] = [
        float(gradients[code] @ displacement)
        + 0.5 * float(displacement @ net.hessian_product(net.rows(code), displacement))
        for code in range(len(net.groups))
    ]
    frame["excessive_risk"] = net.with_module(pruned).group_losses() - losses
    return frame


def _nets(pruned: Any) -> list[nn.Module]:
    nets = list(pruned.values()) if isinstance(pruned, Mapping) else [pruned]
    if not nets:
        raise ValueError(
            "pruned must be a torch.nn.Module or a mapping with at least one, got an empty mapping"
        )
    for net in nets:
        if not isinstance(net, nn.Module):
            raise ValueError(
                f"pruned must be a torch.nn.Module or a mapping to such, got {type(net).__name__}"
            )
    return nets


def _check_pruned(net: GroupedNet, pruned: nn.Module) -> None:
    """Compare all parameters before the expensive part begins."""
    own, other = dict(net.module.named_parameters()), dict(pruned.named_parameters())
    for name in [*own, *(name for name in other if name not in own)]:
        shapes = [str(tuple(of[name].shape)) if name in of else "none" for of in (own, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"dense and pruned must have parameters of the same names and shapes, got {name!r} "
                f"of shape {shapes[0]} in dense and {shapes[1]} in pruned; if channels were "
                "removed, pass the net with zeros in their place"
            )
    for title, tensors in (("dense", own), ("pruned", other)):
        if not all(bool(value.isfinite().all()) for value in tensors.values()):
            raise ValueError(f"{title} must have finite parameters, got NaN or infinite values")
    frozen = [name for name in own if name not in net.parameters]
    moved = [name for name in frozen if not torch.equal(own[name], other[name].to(own[name]))]
    if moved:
        warnings.warn(
            "dense and pruned differ in parameters that do not require a gradient, which bound and "
            f"estimate ignore: {moved[:5]}",
            UserWarning,
            stacklevel=4,
        )


def _displacement(net: GroupedNet, pruned: nn.Module) -> torch.Tensor:
    """Return θ̄ − θ* over the parameters of the gradients."""
    other = dict(pruned.named_parameters())
    return torch.cat(
        [
            (other[name].detach().to(value) - value.detach()).reshape(-1)
            for name, value in net.parameters.items()
        ]
    )
