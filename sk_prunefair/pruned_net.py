"""A net with two lives, dense and pruned: how one becomes the other."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

from sk_prunefair.checks import check_epochs
from sk_prunefair.constraints.base import Constraint
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.net import GroupNet
from sk_prunefair.pruning import (
    PruningData,
    PruningState,
    apply_masks,
    check_masks,
    get_pruner,
    recalibrate_batch_norm,
    sparsity,
)
from sk_prunefair.pruning.channels import ChannelPruner
from sk_prunefair.pruning.masks import Masks
from sk_prunefair.pruning.pruned import pack_state, unpack_state
from sk_prunefair.pruning.schedules import PruningSchedule
from sk_prunefair.pruning.shrink import Kept, kept_masks, shrink_module

# Step of the seed for what a pruner draws: the same at every rate, so that masks are nested.
_PRUNING = 2**31


class PrunedNet(GroupNet):
    """A `GroupNet` that can be pruned and fine-tuned, always from its dense net.

    It remembers the dense net beside the pruned one, applies the masks again after each optimizer
    step, and keeps the nets of early epochs where something asks for them.
    """

    # What holds tensors of the device, for skorch to load on a machine without that device.
    cuda_dependent_attributes_ = ["pruning_", "snapshots_"]  # noqa: RUF012 (skorch rebinds it)
    pruner: Any
    rewind_epoch: int | None
    random_state: Any
    seed_: int | None

    # ---------------------------------------------------------------- training

    def initialize(self) -> PrunedNet:
        """Create the net, its optimizer and its callbacks, without training.

        For a pretrained module this is all that is needed before `prune` and `fairness_report`,
        given the parameter ``classes``.

        Returns
        -------
        FairPrunedClassifier
            This classifier, its weights drawn from ``random_state``.
        """
        self.seed_ = None
        if self.random_state is not None:
            self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        with self._seeded(0):
            super().initialize()
        self.snapshots_: dict[int, nn.Module] = {}
        self._snapshot(0)
        return self

    def _snapshot(self, epoch: int) -> None:
        wanted = {self.rewind_epoch}
        if getattr(get_pruner(self.pruner), "needs_initial", False):
            wanted.add(0)
        if epoch in wanted:
            self.snapshots_[epoch] = copy.deepcopy(self.module_)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Keep the dense net of the epoch where something will ask for it."""
        super().on_epoch_end(net, **kwargs)
        if self.pruning_ is None:
            self._snapshot(len(self.history))

    def _train(self, data: GroupDataset, epochs: int) -> None:
        if self.pruning_ is not None and not epochs:
            return
        with self._seeded(1 + len(self.history)):
            self.notify("on_train_begin", X=data, y=data.y)
            # As in skorch, an interrupted training leaves a net that can be used.
            with contextlib.suppress(KeyboardInterrupt):
                self.fit_loop(data, data.y, epochs=epochs)
            self.notify("on_train_end", X=data, y=data.y)

    @contextlib.contextmanager
    def _seeded(self, step: int) -> Iterator[None]:
        # The step is part of the seed, so that training on does not repeat the same shuffles.
        if self.seed_ is None:
            yield
            return
        is_cuda = torch.device(self.device).type == "cuda"
        devices = range(torch.cuda.device_count()) if is_cuda else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(np.random.SeedSequence([self.seed_, step]).generate_state(1)[0]))
            yield

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take one optimizer step and remove again what pruning removed."""
        step = super().train_step(batch, **fit_params)
        if self.pruning_ is not None:
            apply_masks(self.module_, self.pruning_.zeroed)
        return step

    # ----------------------------------------------------------------- pruning

    def _prune(
        self,
        rate: float,
        data: GroupDataset | None,
        epochs: int,
        recalibrate: bool = False,
    ) -> None:
        """Prune the dense net; `data` is fine-tuned on, scored on and recalibrated with."""
        schedule = self._schedule(epochs)
        first = rate if schedule is None else schedule.rate_at(rate, 0, epochs)
        is_pruned = rate > 0 or epochs > 0
        masks, kept = self._choose(self.dense_module_, first, data) if is_pruned else ({}, None)
        start = self._start(epochs)
        self._restore_dense()
        if not is_pruned:
            return
        self.pruning_ = PruningState(
            copy.deepcopy(self.module_),
            masks,
            first,
            dense_epochs=len(self.history),
            goal=rate,
            epochs=epochs,
            kept=kept,
            memory=copy.deepcopy(self.optimizer_.state_dict()["state"]),
        )
        if kept is not None:
            self.module_ = shrink_module(start or self.module_, kept)
        elif start is not None:
            self.module_.load_state_dict(start.state_dict())
        apply_masks(self.module_, self.pruning_.zeroed)
        if kept is not None or start is not None:
            self.initialize_optimizer()  # the old one knows other weights
        if data is not None:
            if recalibrate:
                self._recalibrate(data)
            self._train(data, epochs)

    def _choose(
        self, module: nn.Module, rate: float, data: GroupDataset | None
    ) -> tuple[Masks, Kept | None]:
        """Return the masks of what is kept, and the indices where whole channels go."""
        pruner = get_pruner(self.pruner)
        if data is None and getattr(pruner, "needs_data", False):
            raise ValueError(
                f"pruner={self.pruner!r} scores the weights on data: pass X, y and "
                "sensitive_features"
            )
        with self._seeded(_PRUNING):
            if isinstance(pruner, ChannelPruner):
                kept = pruner.kept(module, rate, self._seen(data))
                return kept_masks(module, kept), kept
            if getattr(pruner, "needs_data", False):
                masks = pruner.masks(module, rate, self._seen(data))  # type: ignore[call-arg]
            else:
                masks = pruner.masks(module, rate)
        return check_masks(module, masks), None

    def _seen(self, data: GroupDataset | None) -> PruningData:
        """Return what a pruner may look at; without data, one sample of the right shape."""
        batches: Any = None if data is None else _LabelledBatches(self, data)
        if batches is None:
            shape = getattr(self, "input_shape_", None)
            if shape is None:
                raise ValueError(
                    f"pruner={self.pruner!r} runs the net on a sample, but its shape is not known: "
                    "pass X"
                )
            label = torch.zeros(1, dtype=torch.int64, device=self.device)
            batches = [(torch.zeros(1, *shape, device=self.device), label, label)]
        return PruningData(batches, self.sample_losses, initial=self.snapshots_.get(0))

    def check_plan(self, epochs: int) -> None:
        """Raise ValueError where the parameters do not allow the pruning that `fit` will end with.

        Parameters
        ----------
        epochs : int
            Of fine-tuning.
        """
        self._schedule(epochs)
        if self.rewind_epoch is not None:
            epoch = check_epochs(self.rewind_epoch, "rewind_epoch")
            if epoch > self.max_epochs:
                raise ValueError(
                    f"rewind_epoch={epoch} must not be above max_epochs={self.max_epochs}"
                )

    def _start(self, epochs: int) -> nn.Module | None:
        """Return the net that fine-tuning starts from, None for the dense one."""
        if self.rewind_epoch is None or not epochs:
            return None
        if self.rewind_epoch not in self.snapshots_:
            raise ValueError(
                f"rewind_epoch={self.rewind_epoch!r} asks for the net after that epoch of dense "
                f"training, but only those after {sorted(self.snapshots_)} were kept; it must be "
                "set before fit"
            )
        return self.snapshots_[self.rewind_epoch]

    def _schedule(self, epochs: int) -> PruningSchedule | None:
        found = [c for _, c in self.callbacks_ if isinstance(c, PruningSchedule)]
        if len(found) > 1:
            raise ValueError(f"callbacks must hold one pruning schedule at most, got {len(found)}")
        if not found or not epochs:
            return None
        if isinstance(get_pruner(self.pruner), ChannelPruner):
            raise ValueError(
                f"callbacks hold {type(found[0]).__name__}, but pruner={self.pruner!r} removes "
                "channels, which go at once; drop the schedule"
            )
        found[0].check(epochs)
        return found[0]

    def raise_rate(self, rate: float, data: GroupDataset) -> None:
        """Prune the net as it is further, in the middle of its fine-tuning.

        Parameters
        ----------
        rate : float
            Share of the weights that is then removed, in [0, 1).
        data : GroupDataset
            What it is trained on, for criteria that look at data.
        """
        assert self.pruning_ is not None
        self.pruning_.masks, _ = self._choose(self.module_, rate, data)
        self.pruning_.rate = rate
        apply_masks(self.module_, self.pruning_.masks)

    def adopt(self, module: nn.Module, state: PruningState | None) -> None:
        """Take over a net from elsewhere.

        Parameters
        ----------
        module : torch.nn.Module
            The net as it is, of the architecture of this one, or a smaller one of that.
        state : PruningState or None
            What is known of its pruning.
        """
        is_resized = any(each is not None and each.kept for each in (self.pruning_, state))
        if is_resized:
            self.module_ = module
        else:
            self.module_.load_state_dict(module.state_dict())
        self.pruning_ = state
        if state is not None:
            state.dense_epochs = len(self.history)
        if is_resized:
            self.initialize_optimizer()

    def _recalibrate(self, data: GroupDataset) -> None:
        """Go through the data once, shuffled: batches of one class would have averages apart."""
        with self._seeded(_PRUNING):
            order = torch.randperm(len(data))
        # A last batch of one sample has no variance.
        size = len(data) if self.batch_size == -1 else max(self.batch_size, 2)
        parts = [part for part in order.split(size) if len(part) > 1]
        batches = (data.__getitems__(part)[0]["X"].to(self.device) for part in parts)
        recalibrate_batch_norm(self.module_, batches)

    def _restore_dense(self) -> None:
        """Go back to the dense net, its history and its constraints' state."""
        if self.pruning_ is None:
            return
        if self.pruning_.kept is None:
            self.module_.load_state_dict(self.pruning_.dense.state_dict())
        else:
            self.module_ = self.pruning_.dense
        del self.history[self.pruning_.dense_epochs :]
        # Fine-tuning goes on with the moments of the dense training, which was seen to do better
        # than to start without, but not with those of another fine-tuning.
        optimizer = type(self.optimizer_)
        self.initialize_optimizer()
        if isinstance(self.optimizer_, optimizer):
            own = self.optimizer_.state_dict()
            self.optimizer_.load_state_dict(own | {"state": self.pruning_.memory})
        self.pruning_ = None
        for _, callback in self.callbacks_:
            if isinstance(callback, Constraint):
                callback.rewind()

    # ------------------------------------------------------------ what is there

    @property
    def dense_module_(self) -> nn.Module:
        """The net before pruning, θ* in the paper."""
        self.check_is_fitted()
        return self.module_ if self.pruning_ is None else self.pruning_.dense

    @property
    def masks_(self) -> Masks:
        """Boolean masks by parameter name; empty where nothing was pruned."""
        self.check_is_fitted()
        return {} if self.pruning_ is None else self.pruning_.masks

    @property
    def prune_rate_(self) -> float:
        """The rate of the last ``prune``; 0.0 for the dense net."""
        self.check_is_fitted()
        return 0.0 if self.pruning_ is None else self.pruning_.rate

    @property
    def sparsity_(self) -> float:
        """Share of the prunable weights that is removed."""
        return sparsity(self.masks_)

    def _get_module(self, name: str, msg: str) -> Any:
        # skorch saves and loads what this returns; a pruned net has more to save than its module.
        module = super()._get_module(name, msg)
        return _ModuleWithPruning(self) if name.rstrip("_") == "module" else module


class _LabelledBatches:
    """The batches of a dataset as (X, y, group), on the net's device, as often as one likes."""

    def __init__(self, net: PrunedNet, data: GroupDataset) -> None:
        self.net = net
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        device = self.net.device
        for batch, y in self.net.get_iterator(self.data, training=False):
            yield batch["X"].to(device), y.to(device), batch["group"].to(device)


class _ModuleWithPruning:
    """The state dict of a net's module together with that of its pruning."""

    def __init__(self, net: PrunedNet) -> None:
        self.net = net

    def state_dict(self) -> dict[str, torch.Tensor]:
        return pack_state(self.net.module_, self.net.pruning_)

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        net = self.net
        template = net.module_ if net.pruning_ is None else net.pruning_.dense
        net.adopt(*unpack_state(template, state))
