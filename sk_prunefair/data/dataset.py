"""Data with groups, fetched batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch.dataset import Dataset as SkorchDataset

from sk_prunefair.data.items import held, split_item
from sk_prunefair.data.labels import dataset_targets
from sk_prunefair.data.sources import (
    ArraySource,
    Item,
    SparseSource,
    as_source,
    as_tensor,
    count_rows,
)
from sk_prunefair.nested import take

__all__ = ["GroupDataset", "count_rows", "dataset_targets", "split_strata"]

RawBatch = tuple[dict[str, Any], torch.Tensor]


class GroupDataset(SkorchDataset):
    """Inputs, encoded labels, encoded groups and sample weights, row by row.

    A batch is the pair ``({"X": ..., "group": ..., "row": ..., "sample_weight": ...}, y)``; the key
    ``sample_weight`` is absent if no weights were given, and ``row`` holds the positions of the
    rows in the stored data. Only ``X`` is passed to the module.

    Parameters
    ----------
    inputs : array, dict of arrays, scipy sparse matrix, torch or Arrow data set
        The features, shape (n_samples, ...). Rows of a sparse matrix are made dense batch by
        batch. A data set may yield ``X``, ``(X, y)``, ``(X, y, group)`` or dicts.
    y : array of shape (n_samples,), dtype int64, default=None
        Encoded labels. None means zeros, as for prediction.
    group : array of shape (n_samples,), dtype int64, default=None
        Encoded groups. None means zeros, one group for all.
    sample_weight : array of shape (n_samples,), dtype float32, default=None
        Weights with mean 1.
    encode : callable, default=None
        Function from a list of labels to codes of dtype int64. With it, labels are read from the
        items with each batch; the batch then also has the groups in the items, a list ``"said"``.

    Examples
    --------
    >>> import numpy as np
    >>> data = GroupDataset(np.eye(3, dtype=np.float32), np.array([0, 1, 0]), np.array([1, 1, 0]))
    >>> batch, y = data.batch([0, 2])
    >>> batch["group"], y
    (tensor([1, 0]), tensor([0, 0]))
    """

    def __init__(
        self,
        inputs: Any,
        y: npt.NDArray[np.int64] | None = None,
        group: npt.NDArray[np.int64] | None = None,
        sample_weight: npt.NDArray[np.float32] | None = None,
        *,
        encode: Callable[[list[Any]], npt.NDArray[np.int64]] | None = None,
    ) -> None:
        self.source = as_source(inputs)
        n_samples = len(self.source)
        self.targets = _column(y, n_samples)
        self.group = _column(group, n_samples)
        self.has_groups = group is not None
        self.has_labels = y is not None or encode is not None
        self.sample_weight = None if sample_weight is None else torch.from_numpy(sample_weight)
        self.encode = encode
        self.rows = torch.arange(n_samples)

    @property
    def X(self) -> GroupDataset:
        """The dataset itself, where skorch's scoring callbacks look for the inputs."""
        return self

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """Encoded labels, where skorch's scoring callbacks look for them."""
        return self.targets[self.rows].numpy()

    @property
    def group_codes(self) -> npt.NDArray[np.int64]:
        """Encoded groups of the rows."""
        return self.group[self.rows].numpy()

    @property
    def n_stored(self) -> int:
        """Number of rows of the stored data, among which ``row`` of a batch counts."""
        return len(self.targets)

    @property
    def is_repeatable(self) -> bool:
        """Whether a row is the same at each access, because it is stored in memory."""
        return isinstance(self.source, (ArraySource, SparseSource))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> RawBatch:
        batch, y = self.batch([index])
        row = {key: values[0] for key, values in batch.items() if key != "X"}
        return {"X": take(batch["X"], 0)} | row, y[0]

    def batch(
        self,
        indices: Sequence[int] | torch.Tensor,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> RawBatch:
        """Return one batch, fetched at once.

        Parameters
        ----------
        indices : sequence of int
            Rows of this data set.
        collate : callable, default=None
            The user's function from a list of samples to a batch. The samples of a data set are its
            items; of arrays, pairs ``(X, y)`` as in skorch. Its X is passed to the module.
        """
        order = torch.as_tensor(indices)
        return next(self.batches(order, max(len(order), 1), collate))

    def batches(
        self,
        order: torch.Tensor,
        size: int,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> Iterator[RawBatch]:
        """Yield rows as batches, each fetched on request.

        The columns of all rows are indexed once for all batches: indexing for each batch took a
        twentieth of an epoch of a small net.

        Parameters
        ----------
        order : torch.Tensor of shape (n_rows,), dtype int64
            Rows of this data set, batch after batch.
        size : int
            Number of rows of a batch; the last one may have fewer.
        collate : callable, default=None
            As for `batch`.
        """
        rows = self.rows[order]
        columns = {"group": self.group[rows], "row": rows}
        if self.sample_weight is not None:
            columns["sample_weight"] = self.sample_weight[rows]
        targets = self.targets[rows].split(size)
        parts = zip(*(values.split(size) for values in columns.values()), strict=True)
        for values, y in zip(parts, targets, strict=True):
            known = dict(zip(columns, values, strict=True))
            found = self._fetched(known["row"], collate)
            batch = {"X": found.X} | known
            if self.encode is None:
                yield batch, y
                continue
            if found.y is None:
                raise ValueError(
                    "y=None needs an X whose items hold labels; some of them hold none"
                )
            yield batch | {"said": found.group}, torch.from_numpy(self.encode(found.y))

    def _fetched(self, rows: torch.Tensor, collate: Callable[[list[Any]], Any] | None) -> Item:
        return self.source.fetch(rows) if collate is None else self._collated(rows, collate)

    def _collated(self, rows: torch.Tensor, collate: Callable[[list[Any]], Any]) -> Item:
        samples = [self.source.sample(row) for row in rows.tolist()]
        items = [split_item(sample) for sample in samples]
        return split_item(collate(samples))._replace(
            **dict(zip(("y", "group"), held(items), strict=True))
        )

    def subset(self, indices: npt.ArrayLike) -> GroupDataset:
        """Return the given rows as a dataset that shares this one's memory.

        Parameters
        ----------
        indices : array-like of int
            Rows of this dataset.

        Returns
        -------
        GroupDataset
            A view; only row numbers are copied.
        """
        view = GroupDataset.__new__(GroupDataset)
        view.__dict__.update(self.__dict__)
        view.rows = self.rows[torch.as_tensor(np.asarray(indices))]
        return view


def _column(values: npt.NDArray[np.int64] | None, n_samples: int) -> torch.Tensor:
    if values is None:
        return torch.zeros(n_samples, dtype=torch.int64)
    return as_tensor(values)


def split_strata(
    y: npt.NDArray[np.int64], group: npt.NDArray[np.int64], min_count: int
) -> npt.NDArray[np.int64]:
    """Label every row with its y × group cell, with cells too small for a split merged.

    A cell with fewer than `min_count` rows is merged with the other small cells of its label; if
    they are still too small, with the largest stratum, so that a stratified split always has enough
    rows.

    Parameters
    ----------
    y, group : arrays of shape (n_samples,)
        Encoded labels and groups.
    min_count : int
        Least number of rows of a stratum; k for k-fold splits.

    Returns
    -------
    ndarray of shape (n_samples,), dtype int64
        Stratum of each row.

    Examples
    --------
    >>> import numpy as np
    >>> y, group = np.repeat([0, 0, 1, 1], 3), np.repeat([0, 1, 0, 1], 3)
    >>> np.bincount(split_strata(y, group, min_count=3))
    array([3, 3, 3, 3])
    >>> np.bincount(split_strata(y, group, min_count=4))
    array([6, 6])
    """
    y = np.unique(y, return_inverse=True)[1]  # the ignored label may be negative
    strata = y * (group.max(initial=0) + 1) + group
    by_label = strata.max(initial=0) + 1 + y
    strata = np.where(_counts(strata) < min_count, by_label, strata)
    counts = _counts(strata)
    strata = np.where(counts < min_count, strata[counts.argmax()], strata)
    return np.unique(strata, return_inverse=True)[1]


def _counts(strata: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.bincount(strata)[strata]
