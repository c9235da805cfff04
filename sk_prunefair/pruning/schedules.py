"""Schedules that remove weights step by step during the fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sk_prunefair.data.group_means import group_sums
from sk_prunefair.hooks import Hook

if TYPE_CHECKING:
    from sk_prunefair.hooks import TrainingNet


class PruningSchedule(Hook):
    """Base class of schedules: skorch callbacks that spread a pruning over its fine-tuning.

    Without one, and in a `prune` without training, all weights are removed at once. A
    schedule removes some before the first epoch and more at the beginning of later ones, each
    time from the current net. A removed weight is zero, so a criterion that
    multiplies by the weight does not restore it.

    ``net.history`` then has two further columns: ``prune_rate`` of each epoch, and
    ``group_losses``, the mean training loss of each group by its name.

    Best scores and the patience of early stopping restart after the
    last removal, as the net had more weights before. A fine-tuning that is stopped early still ends
    at the requested rate.

    A subclass implements `rate_at`.
    """

    sums_: torch.Tensor | None
    names_: list[str]

    def rate_at(self, goal: float, epoch: int, n_epochs: int) -> float:
        """Return the share of the weights that is removed during an epoch.

        Parameters
        ----------
        goal : float
            The final share, in [0, 1).
        epoch : int
            Counted from 0.
        n_epochs : int
            Length of the fine-tuning.

        Returns
        -------
        float
            In [0, goal].
        """
        raise NotImplementedError

    def check(self, n_epochs: int) -> None:
        """Raise ValueError if the schedule does not fit into a fine-tuning of that length."""

    def initialize(self) -> Any:
        """Check the parameters and reset the state."""
        super().initialize()
        self.check(2**31)
        self.add_state("sums_", None, lives="epoch", adds_up=True)
        self.add_state("names_", [], lives="epoch")
        return self

    def on_epoch_begin(self, net: TrainingNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Remove the weights that are due in this epoch."""
        epoch = self._epoch(net)
        if epoch is None:
            return
        self.names_ = list(map(str, net.groups_)) if dataset_train.has_groups else ["all"]
        self.sums_ = torch.zeros(2, len(self.names_), device=net.device)
        rate = self.rate_at(net.training_.goal, epoch, net.training_.epochs)
        if rate != net.prune_rate_:
            net.raise_rate(rate, dataset_train)

    @staticmethod
    def _epoch(net: TrainingNet) -> int | None:
        """Return the current epoch of the fine-tuning; None if no schedule is in use."""
        epoch = len(net.history) - net.training_.first_epoch - 1
        is_within = net.training_.follows_schedule and epoch < net.training_.epochs
        return epoch if is_within else None

    def on_batch_end(
        self,
        net: TrainingNet,
        batch: Any,
        training: bool,
        losses: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the losses of each group."""
        if training and self.sums_ is not None:
            assert losses is not None
            group = batch[0]["group"].to(self.sums_.device)
            losses = losses.to(self.sums_)
            sums = group_sums(losses, group, torch.ones_like(losses), len(self.names_))
            self.sums_ += torch.stack(sums)

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Record the mean loss of each group."""
        if self.sums_ is None:
            return
        total, count = self.sums_.cpu()
        means = (total / count).tolist()
        seen = {name: mean for name, mean, n in zip(self.names_, means, count, strict=True) if n}
        net.history.record("group_losses", seen)
        net.history.record("prune_rate", net.prune_rate_)


class IterativePruning(PruningSchedule):
    r"""Prune in steps, with as many epochs of fine-tuning after each.

    Step k of n leaves :math:`(1 - r)^{k/n}` of the weights, so that each step removes the same
    share of what is left (Han, Pool, Tran and Dally, *Learning both weights and connections for
    efficient neural networks*, NeurIPS 2015).

    Parameters
    ----------
    n_steps : int, default=3
        n, at least 1 and at most the number of epochs of fine-tuning, which are split evenly.

    Examples
    --------
    >>> [round(IterativePruning(2).rate_at(0.75, epoch, 4), 3) for epoch in range(4)]
    [0.5, 0.5, 0.75, 0.75]
    """

    def __init__(self, n_steps: int = 3) -> None:
        self.n_steps = n_steps

    def check(self, n_epochs: int) -> None:
        """Raise ValueError unless each step has an epoch."""
        if not 1 <= self.n_steps <= n_epochs:
            raise ValueError(
                f"n_steps must be at least 1 and at most the epochs of fine-tuning, {n_epochs}, "
                f"got {self.n_steps!r}"
            )

    def rate_at(self, goal: float, epoch: int, n_epochs: int) -> float:
        """Return one minus the share that is kept after the steps so far."""
        step = epoch * self.n_steps // n_epochs + 1
        return goal if step == self.n_steps else 1 - (1 - goal) ** (step / self.n_steps)


class GradualPruning(PruningSchedule):
    r"""Prune before each epoch, by decreasing amounts.

    At a share t of the way the rate is :math:`r (1 - (1 - t)^3)` (Zhu and Gupta, *To prune, or not
    to prune*, 2017); the last epochs train the net at its full rate.

    Parameters
    ----------
    until : float, default=0.75
        Share of the fine-tuning, in (0, 1], after which the full rate is reached; at the latest
        before the last epoch.

    Examples
    --------
    >>> [round(GradualPruning(until=0.5).rate_at(0.8, epoch, 4), 3) for epoch in range(4)]
    [0.7, 0.8, 0.8, 0.8]
    """

    def __init__(self, until: float = 0.75) -> None:
        self.until = until

    def check(self, n_epochs: int) -> None:
        """Raise ValueError unless ``until`` is a share."""
        if not 0 < self.until <= 1:
            raise ValueError(f"until must be in (0, 1], got {self.until!r}")

    def rate_at(self, goal: float, epoch: int, n_epochs: int) -> float:
        """Return the value of the cubic function."""
        done = min((epoch + 1) / max(1, round(self.until * n_epochs)), 1.0)
        return goal * (1 - (1 - done) ** 3)
