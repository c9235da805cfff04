"""Pruned: the state of a pruned net beside its module, and its form in a state dict."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sk_prunefair.pruning.masks import Masks
from sk_prunefair.pruning.plan import PREFIX, Plan, WeightPlan, below, unpack_plan
from sk_prunefair.pruning.shrink import Kept

_DENSE = f"{PREFIX}dense."


@dataclass(frozen=True)
class Pruned:
    """The dense net of a pruned one, and the plan of the pruning.

    Parameters
    ----------
    dense : torch.nn.Module
        The net before pruning, θ* in the paper.
    plan : Plan, default=WeightPlan()
        The plan of the pruning.
    dense_history : sequence of dict, default=()
        The epochs of the dense training.
    parts : dict, default={}
        Modules, criteria and optimizers of the dense net, by the names of their attributes.
    schedules : dict, default={}
        State of the learning rate schedules at the end of the dense training.
    """

    dense: nn.Module
    plan: Plan = field(default_factory=WeightPlan)
    dense_history: Sequence[dict[str, Any]] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)
    schedules: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """The requested rate."""
        return self.plan.rate

    @property
    def masks(self) -> Masks:
        """Boolean masks of the shapes of the dense net, True where a weight is kept."""
        return self.plan.masks

    @property
    def zeroed(self) -> Masks:
        """Masks of the parameters of the pruned net that are held at zero."""
        return self.plan.zeroed

    @property
    def kept(self) -> Kept | None:
        """The kept indices if channels were removed, else None."""
        return self.plan.kept


def pack_state(module: nn.Module, pruned: Pruned | None) -> dict[str, torch.Tensor]:
    """Return the tensors of a net, and those of its pruning under reserved names.

    Parameters
    ----------
    module : torch.nn.Module
        The current net.
    pruned : Pruned or None
        None for a net that is not pruned: the result is then ``module.state_dict()``.

    Returns
    -------
    dict of str to torch.Tensor
        Tensors only, so that ``torch.load(..., weights_only=True)`` and safetensors take it.

    Examples
    --------
    >>> list(pack_state(nn.Linear(2, 1), Pruned(nn.Linear(2, 1))))
    ['weight', 'bias', 'sk_prunefair.dense.weight', 'sk_prunefair.dense.bias', 'sk_prunefair.rate']
    """
    packed = dict(module.state_dict())
    if pruned is not None:
        packed |= {_DENSE + name: value for name, value in pruned.dense.state_dict().items()}
        packed |= pruned.plan.pack()
    return packed


def unpack_state(
    template: nn.Module, packed: Mapping[str, torch.Tensor]
) -> tuple[nn.Module, Pruned | None]:
    """Return the arguments of `pack_state` from its result.

    Parameters
    ----------
    template : torch.nn.Module
        A net of the architecture of the dense one; not changed.
    packed : mapping of str to torch.Tensor
        Result of `pack_state`, or a plain state dict.

    Returns
    -------
    module : torch.nn.Module
        A copy of the template, a smaller one where channels were removed.
    pruned : Pruned or None
        None if the saved net was not pruned.

    Raises
    ------
    RuntimeError, ValueError
        If names or shapes do not match.

    Examples
    --------
    >>> net, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> module, pruned = unpack_state(other, pack_state(net, Pruned(net, WeightPlan(rate=0.5))))
    >>> bool((module.weight == net.weight).all()), pruned.rate
    (True, 0.5)
    """
    own = {name: value for name, value in packed.items() if not name.startswith(PREFIX)}
    dense = copy.deepcopy(template)
    plan = unpack_plan(dense, packed)
    if plan is None:
        dense.load_state_dict(own)
        return dense, None
    dense.load_state_dict(dense_part(packed))
    module = plan.apply(dense)
    module.load_state_dict(own)
    plan.enforce(module)  # a mask of another shape raises here
    return module, Pruned(dense, plan)


def dense_part(packed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the dense net in a pruned state dict; empty if there are none."""
    return below(packed, _DENSE)
