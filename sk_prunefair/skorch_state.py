"""Set the state of skorch's callbacks for the training that begins.

skorch's callbacks derive their state from ``net.history`` and from attributes that only
``fit`` resets. A fine-tuning is a training of its own, with its own history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from skorch.callbacks import EarlyStopping, LRScheduler

if TYPE_CHECKING:
    from skorch.history import History
    from torch.optim import Optimizer


def set_best_scores(callbacks: Iterable[Any], history: History) -> None:
    """Set the best score of every scoring callback to the best one in the history.

    Parameters
    ----------
    callbacks : iterable
        Callbacks; those with ``best_score_`` and ``lower_is_better`` are set.
    history : skorch.history.History
        History of the training that begins; without rows the best score is infinitely bad.
    """
    for callback in callbacks:
        if not hasattr(callback, "best_score_"):
            continue
        name = getattr(callback, "name_", None) or getattr(callback, "name", None)
        best = [row[name] for row in history if row.get(f"{name}_best") and name in row]
        worst = np.inf if callback.lower_is_better else -np.inf
        callback.best_score_ = best[-1] if best else worst


def reset_best_scores(callbacks: Iterable[Any], net: Any) -> None:
    """Reset the best scores, as the net had more weights before."""
    callbacks = list(callbacks)
    set_best_scores(callbacks, type(net.history)())
    for callback in callbacks:
        if isinstance(callback, EarlyStopping):
            callback.on_train_begin(net)


def begin_schedules(callbacks: Iterable[Any], optimizer: Optimizer, history: History) -> None:
    """Start learning rate schedules with the history's first row, or continue after its last."""
    schedulers = [callback for callback in callbacks if isinstance(callback, LRScheduler)]
    for callback in schedulers:
        callback.batch_idx_ = 0
    if not schedulers:
        return
    if not history:
        for group in optimizer.param_groups:
            group.pop("initial_lr", None)
        return
    for group in optimizer.param_groups:  # continuing schedules need their initial rates
        group.setdefault("initial_lr", group["lr"])


def schedule_states(callbacks: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the state of each learning rate schedule, by the name of its callback."""
    return {
        name: callback.lr_scheduler_.state_dict()
        for name, callback in callbacks
        if hasattr(getattr(callback, "lr_scheduler_", None), "state_dict")
    }


def continue_schedules(
    callbacks: Iterable[tuple[str, Any]],
    states: Mapping[str, Any],
    optimizer: Optimizer,
    dense: Optimizer,
) -> None:
    """Continue learning rates and schedules from the end of the dense training.

    Parameters
    ----------
    callbacks : iterable of (str, callback)
        Callbacks with the schedulers of the fine-tuning.
    states : dict
        Result of `schedule_states` at the end of the dense training.
    optimizer, dense : torch.optim.Optimizer
        Optimizers of the fine-tuning, and of the dense training at its end.
    """
    for group, before in zip(optimizer.param_groups, dense.param_groups, strict=False):
        group |= {name: before[name] for name in ("lr", "initial_lr") if name in before}
    for name, callback in callbacks:
        if name in states and getattr(callback, "lr_scheduler_", None) is not None:
            callback.lr_scheduler_.load_state_dict(states[name])
