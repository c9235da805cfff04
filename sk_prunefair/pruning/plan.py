"""Plan: the weights to set to zero in a net, or the channels to remove from it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from sk_prunefair.pruning.masks import Masks, apply_masks
from sk_prunefair.pruning.shrink import Kept, expand_module, kept_masks, shrink_module

PREFIX = "sk_prunefair."
_MASK = f"{PREFIX}mask."
_KEPT = f"{PREFIX}kept."
_RATE = f"{PREFIX}rate"


class Plan(Protocol):
    """Decision of a pruner, and its application to a net.

    Attributes
    ----------
    rate : float
        The requested rate.
    masks : dict of str to torch.Tensor
        By parameter name, of the shapes of the dense net, True where a weight is kept.
    zeroed : dict of str to torch.Tensor
        Masks of the parameters of the pruned net that are held at zero; empty for channels.
    kept : dict of str to tuple or None
        The kept indices if channels are removed; None if weights are set to zero.
    """

    @property
    def rate(self) -> float: ...  # noqa: D102
    @property
    def masks(self) -> Masks: ...  # noqa: D102
    @property
    def zeroed(self) -> Masks: ...  # noqa: D102
    @property
    def kept(self) -> Kept | None: ...  # noqa: D102

    def apply(self, dense: nn.Module) -> nn.Module:
        """Return a pruned copy of the dense net, which is not changed."""

    def enforce(self, module: nn.Module) -> None:
        """Enforce the plan, in place, after a change of weights."""

    def expand(self, dense: nn.Module, module: nn.Module) -> nn.Module:
        """Return a net of the dense net's architecture with the outputs of the pruned one."""

    def pack(self) -> dict[str, torch.Tensor]:
        """Return the plan as tensors for a state dict."""


@dataclass(frozen=True)
class WeightPlan:
    """Plan that sets single weights to zero.

    Parameters
    ----------
    masks : dict of str to torch.Tensor
        Boolean masks by parameter name, True where a weight is kept.
    rate : float, default=0.0
        The requested share of the prunable weights to remove.

    Examples
    --------
    >>> plan = WeightPlan({"weight": torch.tensor([[True, False]])}, rate=0.5)
    >>> plan.apply(nn.Linear(2, 1)).weight[0, 1].item()
    0.0
    """

    masks: Masks = field(default_factory=dict)
    rate: float = 0.0

    @property
    def zeroed(self) -> Masks:
        """The masks."""
        return self.masks

    @property
    def kept(self) -> None:
        """None, as no channels are removed."""
        return

    def apply(self, dense: nn.Module) -> nn.Module:
        """Return a copy of the dense net with the removed weights set to zero."""
        module = copy.deepcopy(dense)
        self.enforce(module)
        return module

    def enforce(self, module: nn.Module) -> None:
        """Set the removed weights to zero, in place."""
        apply_masks(module, self.masks)

    def expand(self, dense: nn.Module, module: nn.Module) -> nn.Module:
        """Return the pruned net itself, which has the dense net's architecture."""
        return module

    def pack(self) -> dict[str, torch.Tensor]:
        """Return rate and masks as tensors for a state dict."""
        return _packed_rate(self.rate) | {_MASK + name: mask for name, mask in self.masks.items()}


@dataclass(frozen=True)
class ChannelPlan:
    """Plan that removes whole channels, so that the net gets smaller.

    Parameters
    ----------
    kept : dict of str to tuple
        Kept indices of each tensor, as `sk_prunefair.pruning.shrink_module` takes them.
    masks : dict of str to torch.Tensor
        The same as masks over the dense net's weights.
    rate : float, default=0.0
        The requested share of each layer's channels to remove.

    Examples
    --------
    >>> dense = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    >>> kept = {"0.weight": (torch.tensor([1]), None), "0.bias": (torch.tensor([1]),)}
    >>> kept["1.weight"] = (None, torch.tensor([1]))
    >>> ChannelPlan.of(dense, kept, rate=0.5).apply(dense)[0]
    Linear(in_features=1, out_features=1, bias=True)
    """

    kept: Kept
    masks: Masks
    rate: float = 0.0

    @classmethod
    def of(cls, dense: nn.Module, kept: Kept, rate: float) -> ChannelPlan:
        """Return the plan that keeps these indices of a dense net."""
        return cls(kept, kept_masks(dense, kept), rate)

    @property
    def zeroed(self) -> Masks:
        """Empty, as removed channels have no zeros."""
        return {}

    def apply(self, dense: nn.Module) -> nn.Module:
        """Return a smaller copy of the dense net."""
        return shrink_module(dense, self.kept)

    def enforce(self, module: nn.Module) -> None:
        """Do nothing, as removed channels cannot reappear."""

    def expand(self, dense: nn.Module, module: nn.Module) -> nn.Module:
        """Return the smaller net with zeros for the missing channels."""
        return expand_module(dense, module, self.kept)

    def pack(self) -> dict[str, torch.Tensor]:
        """Return rate and indices as tensors for a state dict."""
        return _packed_rate(self.rate) | {
            f"{_KEPT}{dim}.{name}": index
            for name, dims in self.kept.items()
            for dim, index in enumerate(dims)
            if index is not None
        }


def unpack_plan(dense: nn.Module, packed: Mapping[str, torch.Tensor]) -> Plan | None:
    """Return the plan in a state dict, or None.

    Parameters
    ----------
    dense : torch.nn.Module
        The net of the plan.
    packed : mapping of str to torch.Tensor
        A state dict that includes the tensors of ``pack``.

    Raises
    ------
    ValueError, AttributeError
        If it names tensors that the net lacks.
    """
    if _RATE not in packed:
        return None
    rate = float(packed[_RATE])
    kept = _unpacked_kept(dense, below(packed, _KEPT))
    if kept:
        return ChannelPlan.of(dense, kept, rate)
    masks = {
        name: mask.to(dense.get_parameter(name).device)
        for name, mask in below(packed, _MASK).items()
    }
    return WeightPlan(masks, rate)


def _packed_rate(rate: float) -> dict[str, torch.Tensor]:
    return {_RATE: torch.tensor(rate, dtype=torch.float64)}


def _unpacked_kept(dense: nn.Module, packed: Mapping[str, torch.Tensor]) -> Kept:
    tensors = dense.state_dict()
    found: dict[str, list[torch.Tensor | None]] = {}
    for key, index in packed.items():
        dim, _, name = key.partition(".")
        if name not in tensors:
            raise ValueError(f"the saved net has a tensor {name!r}, which the target lacks")
        found.setdefault(name, [None] * tensors[name].ndim)[int(dim)] = index.cpu()
    return {name: tuple(dims) for name, dims in found.items()}


def below(packed: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with a prefix, with the prefix removed."""
    return {
        name.removeprefix(prefix): value
        for name, value in packed.items()
        if name.startswith(prefix)
    }
