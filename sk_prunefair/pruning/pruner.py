"""Pruners by name, and the net's interface for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sklearn.base import clone
from torch import nn

from sk_prunefair.pruning.channels import ChannelPruner
from sk_prunefair.pruning.criteria import MagnitudePruner, Pruner, RandomPruner, ScorePruner
from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.group_aware import FairGrapePruner, FairPrunePruner
from sk_prunefair.pruning.masks import check_masks
from sk_prunefair.pruning.plan import ChannelPlan, Plan, WeightPlan
from sk_prunefair.pruning.prunable import check_prunable, warn_of_left_out
from sk_prunefair.pruning.saliency import SnipPruner, TaylorPruner

PRUNERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "magnitude": (MagnitudePruner, {}),
    "layer_magnitude": (MagnitudePruner, {"scope": "layer"}),
    "random": (RandomPruner, {}),
    "taylor": (TaylorPruner, {}),
    "snip": (SnipPruner, {}),
    "fairgrape": (FairGrapePruner, {}),
    "fairprune": (FairPrunePruner, {}),
    "channel_magnitude": (ChannelPruner, {}),
    "channel_taylor": (ChannelPruner, {"importance": "taylor"}),
}


def get_pruner(
    pruner: str | Pruner | ChannelPruner | type[Any] | Callable[..., Any], **params: Any
) -> Pruner | ChannelPruner:
    """Return the pruner of a name, the given object, or a pruner with the given criterion.

    Parameters
    ----------
    pruner : str, Pruner, ChannelPruner, class or callable
        A key of `PRUNERS`; any object with a method ``masks(module, rate)``; a `ChannelPruner`; or
        a function from a module, and optionally data, to scores, as for `ScorePruner`.
    **params : dict
        Options of the pruner; an object is copied before they are set.

    Returns
    -------
    Pruner or ChannelPruner
        The pruner, ready to use.

    Raises
    ------
    ValueError
        If the name is unknown, the object is none of these, or it has no such options.

    Examples
    --------
    >>> get_pruner("magnitude", min_kept=0.01)
    MagnitudePruner(min_kept=0.01)
    """
    try:
        if isinstance(pruner, str) and pruner in PRUNERS:
            kind, options = PRUNERS[pruner]
            return kind(**options | params)
        if isinstance(pruner, type) and hasattr(pruner, "masks"):
            return pruner(**params)
        if isinstance(pruner, (Pruner, ChannelPruner)) and not isinstance(pruner, type):
            return clone(pruner).set_params(**params) if params else pruner  # type: ignore
        if callable(pruner) and not isinstance(pruner, type):
            return ScorePruner(pruner, **params)
    except (TypeError, ValueError) as error:
        if params:
            raise ValueError(f"pruner={pruner!r} does not take {params}: {error}") from error
        raise
    raise ValueError(
        f"pruner must be one of {sorted(PRUNERS)}, an object with a method masks(module, rate), "
        f"or a function from a module to scores, got {pruner!r}"
    )


class Planner(Protocol):
    """The net's interface for a pruner.

    Attributes
    ----------
    needs_data : bool
        Whether it uses labelled data.
    needs_example : bool
        Whether it removes channels, for which it runs the net on a sample.
    needs_initial : bool
        Whether it uses the net at initialisation.
    """

    needs_data: bool
    needs_example: bool
    needs_initial: bool

    def plan(self, module: nn.Module, rate: float, data: PruningData | None) -> Plan:
        """Return the plan for a module."""


class _MaskPlanner:
    """A pruner with ``masks(module, rate)``, of this library or the user's."""

    needs_example = False

    def __init__(self, pruner: Any) -> None:
        self.pruner = pruner
        self.needs_data = bool(getattr(pruner, "needs_data", False))
        self.needs_initial = bool(getattr(pruner, "needs_initial", False))

    def plan(self, module: nn.Module, rate: float, data: PruningData | None) -> WeightPlan:
        check_prunable(module)
        found = (
            self.pruner.masks(module, rate, data)
            if self.needs_data
            else self.pruner.masks(module, rate)
        )
        # Scores computed on the CPU, such as random ones, give masks there.
        masks = {
            name: mask.to(module.get_parameter(name).device)
            for name, mask in check_masks(module, found, rate).items()
        }
        warn_of_left_out(module, masks, getattr(self.pruner, "exclude", ()))
        return WeightPlan(masks, rate)


class _ChannelPlanner:
    needs_example = True
    needs_initial = False

    def __init__(self, pruner: ChannelPruner) -> None:
        self.pruner = pruner
        self.needs_data = pruner.needs_data

    def plan(self, module: nn.Module, rate: float, data: PruningData | None) -> ChannelPlan:
        check_prunable(module)
        assert data is not None
        return ChannelPlan.of(module, self.pruner.kept(module, rate, data), rate)


def as_planner(pruner: Any) -> Planner:
    """Return a planner that uses a pruner's masks or channels.

    Parameters
    ----------
    pruner : Pruner or ChannelPruner
        As `get_pruner` returns it.

    Examples
    --------
    >>> as_planner(MagnitudePruner()).plan(nn.Linear(2, 1), 0.5, None).masks["weight"].sum()
    tensor(1)
    """
    return _ChannelPlanner(pruner) if isinstance(pruner, ChannelPruner) else _MaskPlanner(pruner)
