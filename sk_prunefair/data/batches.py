"""Batches: their rows, their order, and the columns of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from sk_prunefair.data.dataset import GroupDataset, RawBatch


class Batch(tuple[Any, torch.Tensor]):
    """The pair ``(X, y)`` for skorch's steps and callbacks, with further columns of the batch.

    Parameters
    ----------
    raw : tuple
        ``({"X": ..., "group": ..., "sample_weight": ...}, y)``, as `GroupDataset` returns it;
        ``sample_weight`` may be absent.

    Attributes
    ----------
    raw : tuple
        As given.

    Examples
    --------
    >>> group, y = torch.tensor([0, 1]), torch.tensor([1, 0])
    >>> batch = Batch(({"X": torch.ones(2, 3), "group": group}, y))
    >>> X, y = batch
    >>> X.shape, batch.columns["group"]
    (torch.Size([2, 3]), tensor([0, 1]))
    """

    raw: RawBatch

    def __new__(cls, raw: RawBatch) -> Batch:  # noqa: D102 (the class says it)
        batch = super().__new__(cls, (raw[0]["X"], raw[1]))
        batch.raw = raw
        return batch

    @property
    def columns(self) -> dict[str, Any]:
        """``X``, ``group`` and, where there are weights, ``sample_weight``."""
        return self.raw[0]

    def __reduce__(self) -> Any:
        return Batch, (self.raw,)


class LoadedBatches:
    """Wrapper of a loader over a `GroupDataset` that yields `Batch` objects.

    Parameters
    ----------
    loader : iterable
        A `torch.utils.data.DataLoader`, or the user's replacement. All its other attributes
        can be read from this object.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return map(as_batch, self.loader)

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # absent during unpickling
            raise AttributeError(name)
        return getattr(self.loader, name)


def as_batch(raw: Any) -> Any:
    """Return a batch of `GroupDataset` as a `Batch`, other objects unchanged."""
    is_own = isinstance(raw, (tuple, list)) and len(raw) == 2 and isinstance(raw[0], dict)
    return Batch((raw[0], raw[1])) if is_own and {"X", "group"} <= raw[0].keys() else raw


class BatchRows(Sampler[torch.Tensor]):
    """Yield the row numbers of each batch as one tensor.

    `torch.utils.data.BatchSampler` yields lists, one Python number per row; converting those
    took a tenth of an epoch.

    Parameters
    ----------
    n_rows : int
        Number of rows of the dataset.
    batch_size : int
        Number of rows of a batch; the last one may be smaller.
    shuffle : bool, default=False
        Whether the order is drawn anew for each pass.
    drop_last : bool, default=False
        Whether a smaller last batch is left out.
    draw_weights : callable, default=None
        Called before each pass; returns how often each row is drawn relative to the others, a
        tensor of shape (n_rows,), or None for once each. A pass still has `n_rows` draws, and each
        row is drawn as often as its share, rounded up or down at random. Needs `shuffle`.
    generator : torch.Generator, default=None
        Generator of the order; None is torch's global generator.

    Examples
    --------
    >>> list(BatchRows(5, 2))
    [tensor([0, 1]), tensor([2, 3]), tensor([4])]
    """

    def __init__(
        self,
        n_rows: int,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        draw_weights: Callable[[], torch.Tensor | None] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.n_rows = n_rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.draw_weights = draw_weights
        self.generator = generator

    def __len__(self) -> int:
        n_full, rest = divmod(self.n_rows, self.batch_size)
        return n_full + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from self.order().split(self.batch_size)[: len(self)]

    def order(self) -> torch.Tensor:
        """Return the rows of a pass, batch after batch, including those of a dropped last batch."""
        order = self._shuffled(self.n_rows) if self.shuffle else torch.arange(self.n_rows)
        weights = self.draw_weights() if self.draw_weights is not None else None
        if weights is not None:
            # Systematic sampling along a random order has less noise than drawing with replacement.
            # In place, as with many rows each of these is as large as a column of the data.
            shares = weights[order].double().cumsum_(0)
            offset = torch.rand(1, generator=self.generator).double()
            marks = shares.div_(shares[-1].clone()).mul_(self.n_rows).add_(offset).floor_().long()
            del shares, weights
            marks[-1] = self.n_rows
            order = order.repeat_interleave(marks.diff(prepend=marks.new_zeros(1)))
            order = order[self._shuffled(len(order))]
        return order

    def _shuffled(self, n_rows: int) -> torch.Tensor:
        return torch.randperm(n_rows, generator=self.generator)


class Batches:
    """The batches of a dataset in order, fetched in this process.

    Parameters
    ----------
    data : GroupDataset
        The dataset.
    rows : BatchRows
        The rows of each batch.
    collate : callable, default=None
        As for `GroupDataset.batch`.
    """

    def __init__(self, data: GroupDataset, rows: BatchRows, collate: Any = None) -> None:
        self.data = data
        self.rows = rows
        self.collate = collate

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        batches = self.data.batches(self.rows.order(), self.rows.batch_size, self.collate)
        return map(Batch, islice(batches, len(self)))


class WholeBatches(Dataset[RawBatch]):
    """A data set whose batches a `torch.utils.data.DataLoader` fetches whole."""

    def __init__(self, data: GroupDataset, collate: Any = None) -> None:
        self.data = data
        self.collate = collate

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, rows: torch.Tensor) -> RawBatch:
        """Return one batch; the loader calls this method if it exists."""
        return self.data.batch(rows, self.collate)


def identity_collate(batch: RawBatch) -> RawBatch:
    """Return a batch of `WholeBatches` unchanged."""
    return batch
