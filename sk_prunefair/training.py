"""One training of a net, with the beginning and end of its callbacks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sk_prunefair.epochs import joined_rows, own_rows
from sk_prunefair.hooks import Hook, Training
from sk_prunefair.objective import Objective
from sk_prunefair.resume import resume_training
from sk_prunefair.seeds import seeded
from sk_prunefair.skorch_state import begin_schedules, continue_schedules, set_best_scores

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet


# Ranks have different seeds, so that dropout differs between their rows.
_RANK = 2**32


def train(
    net: CoreNet,
    data: GroupDataset,
    epochs: int,
    X: Any = None,
    y: Any = None,
    *,
    goal: float | None = None,
    follows_schedule: bool = False,
    routed_as: str = "fit",
    **fit_params: Any,
) -> None:
    """Train for some epochs: the dense net, or a pruned one with its own history.

    Parameters
    ----------
    net : CoreNet
        Initialized net.
    data : GroupDataset
        The training data.
    epochs : int
        Number of epochs.
    X, y : array-like, default=None
        The user's data, for callbacks.
    goal : float, default=None
        Share of the weights that is removed at the end; None keeps the current one.
    follows_schedule : bool, default=False
        Whether a schedule raises the rate during the training.
    routed_as : str, default="fit"
        The method whose metadata requests determine the arguments of ``train_split``.
    **fit_params : dict
        For the module's ``forward`` and for ``train_split``.
    """
    hooks = [callback for _, callback in net.callbacks_ if isinstance(callback, Hook)]
    dense_rows = None if net.pruned_ is None else net.pruned_.dense_history
    step = 1 + len(net.history) + _RANK * net.ranks.index
    if dense_rows is not None:
        net.history_ = own_rows(net.history, len(dense_rows))
    goal = net.prune_rate_ if goal is None else goal
    net.is_output_checked_ = False
    net.training_ = Training(
        net.phase_, epochs, goal, len(net.history), follows_schedule, data.has_labels
    )
    try:
        with seeded(net.seed_, step, net.device):
            _begin(net, hooks, X, y)
            left = resume_training(net, data, epochs)
            # As in skorch, an interrupted training leaves a usable net.
            with contextlib.suppress(KeyboardInterrupt):
                net.fit_loop(data, data.y, epochs=left, _routing_method=routed_as, **fit_params)
            net.notify("on_train_end", X=X, y=y)
            if goal > net.prune_rate_:  # a schedule that was stopped early
                net.raise_rate(goal, data)
    finally:
        for hook in hooks:
            hook.reset_states("training")
        net.training_ = net.objective_ = None
        if dense_rows is not None:
            net.history_ = joined_rows(dense_rows, net.history)
    if dense_rows is None:
        for hook in hooks:
            hook.remember_dense()


def _begin(net: CoreNet, hooks: list[Hook], X: Any, y: Any) -> None:
    """Prepare all callbacks for the training that begins."""
    for hook in hooks:
        hook.reset_states("training")
    callbacks = [callback for _, callback in net.callbacks_]
    set_best_scores(callbacks, net.history)
    begin_schedules(callbacks, net.optimizer_, net.history)
    net.objective_ = Objective(net, callbacks)
    net.notify("on_train_begin", X=X, y=y)
    if net.pruned_ is None or net.history or net.finetune_schedule != "continue":
        return
    dense = net.pruned_.parts.get("optimizer_")
    if dense is not None:
        continue_schedules(net.callbacks_, net.pruned_.schedules, net.optimizer_, dense)
