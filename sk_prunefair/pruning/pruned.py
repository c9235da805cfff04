"""What a pruned net remembers: its dense net, its masks, and how to save both."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sk_prunefair.pruning.masks import Masks, apply_masks
from sk_prunefair.pruning.shrink import Kept, kept_masks, shrink_module

_PREFIX = "sk_prunefair."
_DENSE = f"{_PREFIX}dense."
_MASK = f"{_PREFIX}mask."
_KEPT = f"{_PREFIX}kept."
_RATE = f"{_PREFIX}rate"


@dataclass
class PruningState:
    """What is known of a pruned net beside its module.

    Parameters
    ----------
    dense : torch.nn.Module
        The net before pruning, θ* in the paper.
    masks : dict of str to torch.Tensor
        Boolean masks by parameter name, of the shapes of the dense net, True where a weight is
        kept.
    rate : float
        The share that is removed.
    dense_epochs : int
        Length of the training history of the dense net.
    goal : float
        The share that was asked for; larger than ``rate`` in the middle of a schedule.
    epochs : int
        Epochs of fine-tuning that belong to the pruning.
    kept : dict of str to tuple, default=None
        Where channels were removed, what is left of each tensor, as
        `sk_prunefair.pruning.shrink_module` takes it; None where weights were set to zero.
    memory : dict, default={}
        What the optimizer had gathered in the dense training, as in its ``state_dict()["state"]``.
    """

    dense: nn.Module
    masks: Masks = field(default_factory=dict)
    rate: float = 0.0
    dense_epochs: int = 0
    goal: float = 0.0
    epochs: int = 0
    kept: Kept | None = None
    memory: dict[int, Any] = field(default_factory=dict)

    @property
    def zeroed(self) -> Masks:
        """The masks that the pruned module wears; none where it is a smaller one."""
        return self.masks if self.kept is None else {}


def pack_state(module: nn.Module, state: PruningState | None) -> dict[str, torch.Tensor]:
    """Return the tensors of a net, with those of its pruning under names of our own.

    Parameters
    ----------
    module : torch.nn.Module
        The net as it is now.
    state : PruningState or None
        None for a net that was not pruned: then this is ``module.state_dict()``.

    Returns
    -------
    dict of str to torch.Tensor
        Tensors only, so that ``torch.load(..., weights_only=True)`` and safetensors take it.

    Examples
    --------
    >>> from torch import nn
    >>> list(pack_state(nn.Linear(2, 1), PruningState(nn.Linear(2, 1))))
    ['weight', 'bias', 'sk_prunefair.dense.weight', 'sk_prunefair.dense.bias', 'sk_prunefair.rate']
    """
    packed = dict(module.state_dict())
    if state is not None:
        packed |= {_DENSE + name: value for name, value in state.dense.state_dict().items()}
        packed[_RATE] = torch.tensor(state.rate, dtype=torch.float64)
        if state.kept is None:
            packed |= {_MASK + name: mask for name, mask in state.masks.items()}
        else:
            packed |= {
                f"{_KEPT}{dim}.{name}": index
                for name, dims in state.kept.items()
                for dim, index in enumerate(dims)
                if index is not None
            }
    return packed


def unpack_state(
    template: nn.Module, packed: Mapping[str, torch.Tensor]
) -> tuple[nn.Module, PruningState | None]:
    """Make what `pack_state` was given again.

    Parameters
    ----------
    template : torch.nn.Module
        A net of the architecture of the dense one; not changed.
    packed : mapping of str to torch.Tensor
        Also a plain state dict.

    Returns
    -------
    module : torch.nn.Module
        A copy of the template, a smaller one where channels were removed.
    state : PruningState or None
        None where the saved net was not pruned.

    Raises
    ------
    RuntimeError, ValueError
        If names or shapes do not match.

    Examples
    --------
    >>> from torch import nn
    >>> net, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> module, state = unpack_state(other, pack_state(net, PruningState(net, rate=0.5)))
    >>> bool((module.weight == net.weight).all()), state.rate
    (True, 0.5)
    """
    own = {name: value for name, value in packed.items() if not name.startswith(_PREFIX)}
    module, state = copy.deepcopy(template), None
    if _RATE in packed:
        dense = copy.deepcopy(template)
        dense.load_state_dict(_strip(packed, _DENSE))
        masks = {
            name: mask.to(dense.get_parameter(name).device)
            for name, mask in _strip(packed, _MASK).items()
        }
        kept = _unpack_kept(dense, _strip(packed, _KEPT)) or None
        if kept is not None:
            masks, module = kept_masks(dense, kept), shrink_module(module, kept)
        rate = float(packed[_RATE])
        state = PruningState(dense, masks, rate, goal=rate, kept=kept)
    module.load_state_dict(own)
    if state is not None:
        apply_masks(module, state.zeroed)  # a mask of another shape raises here
    return module, state


def _unpack_kept(dense: nn.Module, packed: Mapping[str, torch.Tensor]) -> Kept:
    tensors = dense.state_dict()
    found: dict[str, list[torch.Tensor | None]] = {}
    for key, index in packed.items():
        dim, _, name = key.partition(".")
        if name not in tensors:
            raise ValueError(f"the saved net has a tensor {name!r}, the target has not")
        found.setdefault(name, [None] * tensors[name].ndim)[int(dim)] = index.cpu()
    return {name: tuple(dims) for name, dims in found.items()}


def _strip(packed: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in packed.items()
        if name.startswith(prefix)
    }
