"""Sums over the batches of one epoch, by group."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sk_prunefair.data.group_means import GroupMoments, is_right
from sk_prunefair.ranks import ALONE, Ranks

_PENDING = 2**17


class EpochRecord:
    """The losses of the batches of one epoch and, optionally, which predictions were correct.

    Parameters
    ----------
    sizes : ndarray of shape (n_groups,)
        Number of different rows of each group.
    with_accuracy : bool, default=False
        Whether `accuracies` are recorded.
    ranks : Ranks, default=ALONE
        The ranks whose rows are averaged. Sums are exchanged at the first access to a mean, by all
        ranks at the same time.

    Examples
    --------
    >>> record = EpochRecord(np.array([2, 1]))
    >>> group, y = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
    >>> record.add(torch.tensor([1.0, 3.0, 5.0]), ({"group": group}, y), y_pred=None)
    >>> record.means, record.errors
    (array([2., 5.]), array([ 1., inf]))
    >>> record.gap
    3.0
    """

    def __init__(
        self, sizes: npt.NDArray[np.int64], with_accuracy: bool = False, ranks: Ranks = ALONE
    ) -> None:
        self.sizes = sizes
        self.with_accuracy = with_accuracy
        self.ranks = ranks
        self.batches: list[dict[str, torch.Tensor]] = []
        self.n_pending = 0
        self.own: GroupMoments | None = None

    def add(self, losses: torch.Tensor, batch: Any, y_pred: Any) -> None:
        """Add a batch, on its device and without synchronizing.

        Many rows are replaced by their sums, with one synchronization per hundred thousand rows or
        so.
        """
        columns = {"loss": losses, "group": batch[0]["group"]}
        if "sample_weight" in batch[0]:
            columns["weight"] = batch[0]["sample_weight"]
        if self.with_accuracy:
            columns["right"] = is_right(y_pred, batch[1])
        self.batches.append(columns)
        self.n_pending += len(losses)
        if self.n_pending >= _PENDING:
            self._add_up()

    @cached_property
    def _moments(self) -> GroupMoments:
        if self.batches:
            self._add_up()
        assert self.own is not None
        return self.own.summed(self.ranks)

    def _add_up(self) -> None:
        """Add the pending rows to the sums."""
        columns = {
            name: torch.cat([batch[name] for batch in self.batches]).cpu()
            for name in self.batches[0]
        }
        if columns["loss"].dtype == torch.bfloat16:  # a dtype that numpy lacks
            columns["loss"] = columns["loss"].float()
        found = {name: values.numpy() for name, values in columns.items()}
        names = ["loss", "right"] if self.with_accuracy else ["loss"]
        moments = GroupMoments.of(
            [found[name] for name in names], found["group"], found.get("weight"), len(self.sizes)
        )
        self.own = moments if self.own is None else self.own + moments
        self.batches, self.n_pending = [], 0

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """Weighted mean loss of each group, NaN for a group that was in no batch."""
        return self._moments.means(0)

    @property
    def gap(self) -> float:
        """Largest minus smallest group mean, NaN if no group has one."""
        known = self.means[~np.isnan(self.means)]
        return float(np.ptp(known)) if known.size else np.nan

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Standard errors of the means, inf for a group of fewer than two rows."""
        return self._moments.errors(0, self.sizes)

    @property
    def accuracies(self) -> npt.NDArray[np.float64]:
        """Weighted accuracy of each group, NaN for a group that was in no batch."""
        return self._moments.means(1)
