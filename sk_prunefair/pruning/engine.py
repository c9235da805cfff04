"""The steps of `prune`: from the dense net to a pruned one and back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from skorch.history import History
from torch import nn

from sk_prunefair import nested
from sk_prunefair.bound import Infer
from sk_prunefair.checks import check_epochs
from sk_prunefair.hooks import Hook
from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.plan import Plan, unpack_plan
from sk_prunefair.pruning.pruned import Pruned
from sk_prunefair.pruning.recalibrate import recalibrate_batch_norm
from sk_prunefair.pruning.schedules import PruningSchedule
from sk_prunefair.restore import unchanged_on_error
from sk_prunefair.seeds import seeded
from sk_prunefair.skorch_state import reset_best_scores, schedule_states

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet

# Offset of the seed for a pruner's draws: the same at every rate, so that masks are nested.
_PRUNING = 2**31


def prune(
    net: CoreNet,
    rate: float,
    data: GroupDataset | None,
    epochs: int,
    *,
    recalibrate: bool = False,
    **training: Any,
) -> None:
    """Prune the dense net of `net`, and fine-tune the rest; an error changes nothing.

    Parameters
    ----------
    net : CoreNet
        Fitted net, pruned before or not.
    rate : float
        Share of the prunable weights, or of each layer's channels, to remove, in [0, 1).
    data : GroupDataset or None
        Data for fine-tuning, scores and recalibration.
    epochs : int
        Epochs of fine-tuning.
    recalibrate : bool, default=False
        Whether the averages of batch norms are recomputed before the fine-tuning.
    **training : dict
        Options of ``net.train``.
    """
    schedule = find_schedule(net, epochs)
    first = rate if schedule is None else schedule.rate_at(rate, 0, epochs)
    start = _start(net, epochs)
    plan = None
    if rate > 0 or epochs > 0:
        plan = make_plan(net, net.dense_module_, first, data)
    with unchanged_on_error(net):
        restore_dense(net)
        if plan is None:
            return
        begin_pruned(net, plan, start)
        if data is not None and recalibrate:
            _recalibrate(net, data)
        if data is not None and epochs:
            net.train(data, epochs, goal=rate, follows_schedule=schedule is not None, **training)
        net.enforce()


def make_plan(net: CoreNet, module: nn.Module, rate: float, data: GroupDataset | None) -> Plan:
    """Return the plan of the net's pruner for a module."""
    pruner = net.make_pruner()
    if data is None and pruner.needs_data:
        raise ValueError(
            f"pruner={net.pruner!r} scores the weights on data: pass X, y and sensitive_features"
        )
    seen = None
    if pruner.needs_data or pruner.needs_example or pruner.needs_initial:
        seen = _seen(net, data)
    module.eval()  # a score that runs it in training mode would move the averages of batch norms
    with seeded(net.seed_, _PRUNING, net.device):
        plan = pruner.plan(module, rate, seen)
    if net.ranks.count == 1:
        return plan
    # Scores of all ranks are of the same rows, but may differ in the last bits: use the main
    # rank's.
    same = unpack_plan(module, net.ranks.main(plan.pack()))
    assert same is not None
    return same


def begin_pruned(net: CoreNet, plan: Plan, start: nn.Module | None = None) -> None:
    """Replace the dense net by a pruned copy with its own optimizer."""
    parts = net.trained_parts()
    own = copy.deepcopy(
        {
            name: part
            for name, part in parts.items()
            if name != "module_" and not isinstance(part, torch.optim.Optimizer)
        }
    )
    net.pruned_ = Pruned(
        net.module_,
        plan,
        dense_history=tuple(net.history),
        parts=parts,
        schedules=schedule_states(net.callbacks_),
    )
    vars(net).update(own)
    net.module_ = plan.apply(net.module_ if start is None else start)
    net.pruned_.dense.eval()
    _new_optimizer(net, parts.get("optimizer_") if start is None and plan.kept is None else None)


def _new_optimizer(net: CoreNet, dense: torch.optim.Optimizer | None) -> None:
    """Create an optimizer with the net's parameters and the state of the dense net's optimizer.

    Fine-tuning with the moments of the dense training gave better results than without.
    """
    net.initialize_optimizer()
    if dense is not None and type(dense) is type(net.optimizer_):
        gathered = copy.deepcopy(dense.state_dict()["state"])
        own = net.optimizer_.state_dict()
        net.optimizer_.load_state_dict(own | {"state": gathered})


def restore_dense(net: CoreNet) -> None:
    """Restore the dense net, its optimizer, its history and its constraints' state."""
    pruned = net.pruned_
    if pruned is None:
        return
    net.pruned_ = None
    net.module_ = pruned.dense
    vars(net).update(pruned.parts)
    if "optimizer_" not in pruned.parts:
        net.initialize_optimizer()
    net.history_ = History(pruned.dense_history)
    for _, callback in net.callbacks_:
        if isinstance(callback, Hook):
            callback.rewind()


def raise_rate(net: CoreNet, rate: float, data: GroupDataset) -> None:
    """Prune the current net further, during its fine-tuning.

    Earlier scores are from a net with more weights: "best" and "patience" restart here.
    """
    assert net.pruned_ is not None
    plan = make_plan(net, net.module_, rate, data)
    net.pruned_ = replace(net.pruned_, plan=plan)
    net.enforce()
    reset_best_scores((callback for _, callback in net.callbacks_), net)


def find_schedule(net: CoreNet, epochs: int) -> PruningSchedule | None:
    """Return the schedule among the callbacks, or None if there is none or no fine-tuning."""
    found = [c for _, c in net.callbacks_ if isinstance(c, PruningSchedule)]
    if len(found) > 1:
        raise ValueError(f"callbacks must hold one pruning schedule at most, got {len(found)}")
    if not found or not epochs:
        return None
    if net.make_pruner().needs_example:
        raise ValueError(
            f"callbacks hold {type(found[0]).__name__}, but pruner={net.pruner!r} removes "
            "channels, all in one step; remove the schedule"
        )
    found[0].check(epochs)
    return found[0]


def check_request(net: CoreNet, epochs: int) -> None:
    """Raise ValueError if the parameters do not allow the pruning at the end of ``fit``."""
    find_schedule(net, epochs)
    if net.rewind_epoch is not None:
        epoch = check_epochs(net.rewind_epoch, "rewind_epoch")
        if epoch > net.max_epochs:
            raise ValueError(f"rewind_epoch={epoch} must not be above max_epochs={net.max_epochs}")


def _start(net: CoreNet, epochs: int) -> nn.Module | None:
    """Return the net from which fine-tuning starts, or None for the dense one."""
    if net.rewind_epoch is None or not epochs:
        return None
    if net.rewind_epoch not in net.snapshots_:
        raise ValueError(
            f"rewind_epoch={net.rewind_epoch!r} needs the net after that epoch of dense training, "
            f"but only those after epochs {sorted(net.snapshots_)} were kept; set it before fit"
        )
    return net.snapshots_[net.rewind_epoch]


def _seen(net: CoreNet, data: GroupDataset | None) -> PruningData:
    """Return the data for a pruner; without data, one sample of the right shape."""
    batches: Any = None if data is None else _LabelledBatches(net, data)
    if batches is None:
        inputs = None if net.schema_ is None else net.schema_.inputs
        if inputs is None or inputs.shape is None:
            raise ValueError(
                f"pruner={net.pruner!r} runs the net on a sample, but its shape is not known: "
                "pass X"
            )
        batches = [(torch.zeros(1, *inputs.shape, device=net.device), None, None)]
    return PruningData(
        batches, net.sample_losses, initial=net.snapshots_.get(0), infer=_inferring(net)
    )


def _inferring(net: CoreNet) -> Infer:
    """Return the function that runs a module as written, for pruners that inspect it."""
    return lambda module, X: net.exact(module).infer(X)


class _LabelledBatches:
    """The batches of a dataset as (X, y, group), on the net's device, for repeated iteration."""

    def __init__(self, net: CoreNet, data: GroupDataset) -> None:
        self.net = net
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        device = self.net.device
        for batch in self.net.get_iterator(self.data, training=False):
            X, y = batch
            X = nested.to(X, device, nested.float_dtype(self.net.module_))
            yield X, y.to(device), batch.columns["group"].to(device)


def _recalibrate(net: CoreNet, data: GroupDataset) -> None:
    """Run the net over the data once, shuffled, as batches of one class would bias averages."""
    with seeded(net.seed_, _PRUNING, net.device):
        order = torch.randperm(len(data))
    # A last batch of one sample has no variance.
    size = len(data) if net.batch_size == -1 else max(net.batch_size, 2)
    parts = [part for part in order.split(size) if len(part) > 1]
    # Each in one piece, whatever the size of the batches that the net predicts in.
    batches = (
        nested.concatenate([X for X, _ in net.get_iterator(data.subset(part))]) for part in parts
    )
    recalibrate_batch_norm(net.module_, batches, _inferring(net))
    net.ranks.align(net.module_)
