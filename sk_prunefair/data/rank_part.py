"""A data set whose batches are split over the ranks of a distributed training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import Sampler

from sk_prunefair.data.dataset import GroupDataset, RawBatch

if TYPE_CHECKING:
    from sk_prunefair.ranks import Ranks


class Part(NamedTuple):
    """The part of a batch of all ranks that belongs to one rank.

    Parameters
    ----------
    labels : torch.Tensor of shape (n_rows,), dtype int64
        Encoded labels of the batch of all ranks.
    share : float
        Weight of this part's mean loss in the mean over the ranks; its mean over the ranks is 1.
    own : slice
        The rows that this rank counts: all, except in a batch of few
        rows, which every rank fetches whole.
    """

    labels: torch.Tensor
    share: float
    own: slice


class RankDataset(GroupDataset):
    """A view of a data set in which a rank fetches its own part of each batch.

    Each batch has one more column, ``"part"``. A batch of fewer than two rows for each rank is
    fetched by all of them, as batch norm needs two rows for a variance.

    Parameters
    ----------
    data : GroupDataset
        Data set, the same on all ranks.
    ranks : Ranks
        This rank and the number of ranks.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_prunefair.ranks import Ranks
    >>> second = Ranks()
    >>> second.index, second.count = 1, 2
    >>> data = GroupDataset(np.arange(5.0), np.array([0, 1, 0, 1, 0]))
    >>> batch, y = RankDataset(data, second).batch([4, 3, 2, 1, 0])
    >>> batch["X"], batch["part"].share
    (tensor([2., 1., 0.], dtype=torch.float64), 1.2)
    """

    def __init__(self, data: GroupDataset, ranks: Ranks) -> None:
        self.__dict__.update(vars(data))
        self.ranks = ranks

    def batches(
        self,
        order: torch.Tensor,
        size: int,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> Iterator[RawBatch]:
        """Yield this rank's part of each batch, as `GroupDataset.batches`."""
        for rows in order.split(size):
            own = self.ranks.part(len(rows))
            here = rows if len(rows) < 2 * self.ranks.count else rows[own]
            batch, y = next(super().batches(here, max(len(here), 1), collate))
            labels = self.targets[self.rows[rows]]
            if len(here) == len(rows):
                part = Part(labels, 1.0, own)
            else:
                part = Part(labels, self.ranks.count * len(here) / len(rows), slice(None))
            yield batch | {"part": part}, y


class MainOrder(Sampler[Any]):
    """A user's sampler that yields on all ranks what it yields on the main rank.

    Parameters
    ----------
    sampler : iterable
        Sampler of row numbers, or of lists of them.
    ranks : Ranks
        Ranks that iterate over it at the same time.
    """

    def __init__(self, sampler: Any, ranks: Ranks) -> None:
        self.sampler = sampler
        self.ranks = ranks

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ranks.main(list(self.sampler) if self.ranks.is_main else None))


def same_order(options: Mapping[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Return the options of a loader with which all ranks draw rows in one order.

    It is the order of a single process, if the net draws no random numbers in training: the
    generator starts from the state of the main rank's global generator, and dropout does not use
    it.

    Parameters
    ----------
    options : dict
        Options of a `torch.utils.data.DataLoader`.
    ranks : Ranks
        All ranks; each must call this function.
    """
    given = {name: options[name] for name in ("sampler", "batch_sampler") if name in options}
    if given:
        return {name: MainOrder(sampler, ranks) for name, sampler in given.items()}
    generator = options.get("generator")
    state = torch.get_rng_state() if generator is None else generator.get_state()
    if generator is None:
        generator = torch.Generator()
        torch.rand(1)  # changes the state, so that the next training draws another order
    generator.set_state(ranks.main(state))
    ranks.order = generator
    return {"generator": generator}
