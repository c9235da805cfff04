"""One epoch: skorch's loop over the batches, with a lower cost per batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from skorch.callbacks import Callback
from skorch.dataset import get_len

from sk_prunefair.data.batches import Batch
from sk_prunefair.hooks import Hook
from sk_prunefair.nested import map_tensors, take
from sk_prunefair.ranks import Ranks
from sk_prunefair.restore import is_library

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


class Step:
    """The current batch, and its losses once they are computed."""

    def __init__(self, batch: Any) -> None:
        self.columns: dict[str, Any] = batch.columns if isinstance(batch, Batch) else {}
        self.losses: torch.Tensor | None = None


def run_epoch(
    net: CoreNet,
    iterator: Any,
    training: bool,
    prefix: str,
    step_fn: Callable[..., dict[str, Any]],
    **fit_params: Any,
) -> None:
    """Iterate over the batches once, without synchronizing with the device in between.

    Until the end of the epoch, ``history`` holds the batches' losses as tensors. Removed weights
    are set to zero after each step, and again if a user's callback may have
    changed them.

    Parameters
    ----------
    net : CoreNet
        The net.
    iterator : iterable of Batch
        The batches.
    training : bool
        Whether the steps are training steps.
    prefix : str
        Prefix of the columns in ``history``, "train" or "valid".
    step_fn : callable
        Function of a batch and `fit_params` that returns ``loss`` and ``y_pred``.
    **fit_params : dict
        For the module's ``forward``.
    """
    losses: list[torch.Tensor] = []
    batches = net.history[-1]["batches"]
    first = len(batches)
    begin, end = _overriding(net, "on_batch_begin"), _overriding(net, "on_batch_end")
    # Callbacks of skorch and of this library do not change weights between batches.
    others_listen = any(not is_library(callback) for callback in end[1:])
    is_over = False
    try:
        for batch in iterator:
            net.step_ = Step(batch)
            for listener in begin:
                listener.on_batch_begin(net, batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            if training:
                net.enforce()
            losses.append(torch.as_tensor(step["loss"]).detach())
            size = _size(net, batch)
            batches[-1] |= {prefix + "_loss": losses[-1], prefix + "_batch_size": size}
            for listener in end:
                listener.on_batch_end(net, **_hook_arguments(net, listener, batch, training, step))
            if training and others_listen:
                net.enforce()
            # Frees the memory for the next batch, which then uses memory in the cache.
            net.step_ = None
            del batch, step
        is_over = True
    finally:
        net.step_ = None
        values = torch.stack(losses) if losses else torch.empty(0)
        if is_over and losses:  # after an error, other ranks may be at another step
            values = net.ranks.sum(values) / net.ranks.count
        for row, value in zip(batches[first:], values.tolist(), strict=False):
            row[prefix + "_loss"] = value
    net.history.record(prefix + "_batch_count", len(losses))


def _overriding(net: CoreNet, hook: str) -> list[Any]:
    """Return the net and the callbacks that override a hook.

    Most callbacks override few hooks, and calling all of them for every batch is slow.
    """
    nothing = getattr(Callback, hook)
    callbacks = [callback for _, callback in net.callbacks_]
    return [net, *(c for c in callbacks if getattr(type(c), hook, None) is not nothing)]


def _hook_arguments(
    net: CoreNet, listener: Any, batch: Any, training: bool, step: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a callback's ``on_batch_end``; hooks also get losses and groups."""
    ranks = net.ranks
    if not isinstance(listener, Hook):
        if ranks.count > 1 and training and getattr(listener, "on_train", False):
            return _scored(ranks, batch, step)
        return {"batch": batch, "training": training, **step}
    known = net.step_
    assert known is not None
    if known.losses is None and isinstance(batch, Batch):
        # A user's get_loss that did not call this library's.
        with torch.no_grad():
            known.losses = net.sample_losses(step["y_pred"], batch[1])
    raw = batch.raw if isinstance(batch, Batch) else batch
    told = {"batch": raw, "training": training, "losses": known.losses, **step}
    return told if ranks.count == 1 else _own_rows(ranks, told)


def _size(net: CoreNet, batch: Any) -> int:
    """Return the number of rows of a batch, over all ranks."""
    part = net.step_.columns.get("part")
    if part is not None:
        return len(part.labels)
    if isinstance(batch, Batch):
        return len(batch[1])
    return int(get_len(batch[0] if isinstance(batch, (tuple, list)) else batch))


def _scored(ranks: Ranks, batch: Any, step: dict[str, Any]) -> dict[str, Any]:
    """Return a training batch of all ranks, for a callback that caches it for a score."""
    own = batch.columns["part"].own
    y_pred = map_tensors(ranks.concatenate, take(step["y_pred"], own))
    whole = (batch[0], batch.columns["part"].labels)
    return {"batch": whole, "training": True, **step, "y_pred": y_pred}


def _own_rows(ranks: Ranks, told: dict[str, Any]) -> dict[str, Any]:
    """Restrict the batch for hooks to the rows that no other rank's hooks get."""
    columns, y = told["batch"]
    columns = dict(columns)
    part = columns.pop("part", None)
    own = ranks.part(len(y)) if part is None else part.own
    if own != slice(None):
        columns, y = take(columns, own), y[own]
        told |= {name: take(told[name], own) for name in ("losses", "y_pred")}
    return told | {"batch": (columns, y)}
