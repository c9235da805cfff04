"""A module together with its pruning, for skorch's ``save_params`` and ``load_params``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sk_prunefair.pruning import Pruned, engine
from sk_prunefair.pruning.plan import PREFIX
from sk_prunefair.pruning.pruned import dense_part, pack_state, unpack_state

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet

_EPOCHS = f"{PREFIX}dense_epochs"


class PackedNet:
    """The state dict of a net's module together with that of its pruning."""

    def __init__(self, net: CoreNet) -> None:
        self.net = net

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the tensors of both nets, masks, rate and the number of the dense net's epochs."""
        net = self.net
        packed = pack_state(net.module_, net.pruned_)
        if net.pruned_ is not None:
            # During a fine-tuning, the history holds only its own rows.
            n_dense = 0 if net.training_ is not None else len(net.pruned_.dense_history)
            packed[_EPOCHS] = torch.tensor(n_dense)
        return packed

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Load a saved net; during a training only its weights, if its pruning is the same."""
        if self.net.training_ is not None:
            _load_weights(self.net, state)
        else:
            _load_net(self.net, state)


def _load_net(net: CoreNet, state: Mapping[str, torch.Tensor]) -> None:
    module, pruned = unpack_state(net.dense_module_, state)
    n_dense = int(state[_EPOCHS]) if _EPOCHS in state else None
    adopt(net, module, pruned, n_dense)


def adopt(
    net: CoreNet, module: nn.Module, pruned: Pruned | None, n_dense: int | None = None
) -> None:
    """Set a net from elsewhere together with its pruning.

    Parameters
    ----------
    net : CoreNet
        Initialized net, of the architecture of the dense net.
    module : torch.nn.Module
        The new net.
    pruned : Pruned or None
        Its dense net and its plan; None for a net that is not pruned.
    n_dense : int, default=None
        Number of epochs of the history that belong to the dense net; None for all.
    """
    history = list(net.history or [])
    engine.restore_dense(net)
    dense = module if pruned is None else pruned.dense
    net.module_.load_state_dict(dense.state_dict())
    net.history_ = type(net.history)(history)
    if pruned is None:
        return
    net.history_[:] = history[:n_dense]
    engine.begin_pruned(net, pruned.plan)
    net.module_.load_state_dict(module.state_dict())
    net.history_ = type(net.history)(history)


def _load_weights(net: CoreNet, state: Mapping[str, torch.Tensor]) -> None:
    own = {name: value for name, value in state.items() if not name.startswith(PREFIX)}
    if net.pruned_ is None:
        own = dense_part(state) or own
    try:
        net.module_.load_state_dict(own)
    except RuntimeError as error:
        warnings.warn(
            "the weights of a checkpoint do not fit the net in training "
            f"(prune_rate_={net.prune_rate_}) and were not loaded: {error}",
            UserWarning,
            stacklevel=2,
        )
    net.enforce()


def is_stale(net: CoreNet, checkpoint: Any) -> bool:
    """Tell whether a checkpoint was last written before the current training."""
    is_running = net.training_ is not None and len(net.history) > net.training_.first_epoch
    if not is_running or getattr(checkpoint, "event_name", None) is None:
        return False
    return not any(row.get(checkpoint.event_name) for row in net.history)
