"""Data with groups, fetched a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import Dataset, Sampler, Subset, default_collate

Batch = tuple[dict[str, Any], torch.Tensor]


class GroupDataset(SkorchDataset):
    """Inputs, encoded labels, encoded groups and sample weights, row by row.

    A batch is the pair ``({"X": ..., "group": ..., "sample_weight": ...}, y)``; the key
    ``sample_weight`` is absent where no weights were given. The module only ever sees ``X``.

    Parameters
    ----------
    inputs : array of shape (n_samples, ...) or torch.utils.data.Dataset
        The features. A dataset may yield ``X`` or ``(X, y)``; its ``y`` is not looked at.
    y : array of shape (n_samples,), dtype int64, default=None
        Encoded labels. Zeros where there are none, as in prediction.
    group : array of shape (n_samples,), dtype int64, default=None
        Encoded groups. Zeros, one group for all, where there are none.
    sample_weight : array of shape (n_samples,), dtype float32, default=None
        Weights with mean 1.

    Examples
    --------
    >>> import numpy as np
    >>> data = GroupDataset(np.eye(3, dtype=np.float32), np.array([0, 1, 0]), np.array([1, 1, 0]))
    >>> batch, y = data.__getitems__([0, 2])
    >>> batch["group"], y
    (tensor([1, 0]), tensor([0, 0]))
    """

    def __init__(
        self,
        inputs: npt.NDArray[Any] | Dataset[Any],
        y: npt.NDArray[np.int64] | None = None,
        group: npt.NDArray[np.int64] | None = None,
        sample_weight: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.inputs: torch.Tensor | Dataset[Any]
        if isinstance(inputs, Dataset):
            self.inputs = inputs
        else:
            self.inputs = torch.from_numpy(_own(inputs))
        n_samples = len(inputs)  # type: ignore[arg-type]
        self.targets = _column(y, n_samples)
        self.group = _column(group, n_samples)
        self.has_groups = group is not None
        self.sample_weight = None if sample_weight is None else torch.from_numpy(sample_weight)
        self.rows = torch.arange(n_samples)

    @property
    def X(self) -> GroupDataset:
        """The dataset itself; where skorch's scoring callbacks look for the inputs."""
        return self

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """Encoded labels; where skorch's scoring callbacks look for them."""
        return self.targets[self.rows].numpy()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        batch, y = self.__getitems__([index])
        return {key: values[0] for key, values in batch.items()}, y[0]

    def __getitems__(self, indices: Sequence[int] | torch.Tensor) -> Batch:
        """Return one batch; `torch.utils.data.DataLoader` calls this where it exists."""
        rows = self.rows[torch.as_tensor(indices)]
        batch = {"X": self._inputs(rows), "group": self.group[rows]}
        if self.sample_weight is not None:
            batch["sample_weight"] = self.sample_weight[rows]
        return batch, self.targets[rows]

    def _inputs(self, rows: torch.Tensor) -> Any:
        if isinstance(self.inputs, torch.Tensor):
            return self.inputs[rows]
        return default_collate([item_features(self.inputs[int(row)]) for row in rows])

    def subset(self, indices: npt.ArrayLike) -> GroupDataset:
        """Return the given rows as a dataset that shares this one's memory.

        Parameters
        ----------
        indices : array-like of int
            Rows of this dataset.

        Returns
        -------
        GroupDataset
            A view; nothing but the row numbers is copied.
        """
        view = GroupDataset.__new__(GroupDataset)
        view.__dict__.update(self.__dict__)
        view.rows = self.rows[torch.as_tensor(np.asarray(indices))]
        return view


def _own(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # torch warns about read-only memory (memory-mapped by joblib, or pandas' copy-on-write).
    return array if array.flags.writeable else array.copy()


def _column(values: npt.NDArray[np.int64] | None, n_samples: int) -> torch.Tensor:
    if values is None:
        return torch.zeros(n_samples, dtype=torch.int64)
    return torch.from_numpy(_own(values))


def item_features(item: Any) -> Any:
    """Return X of a torch dataset's item, which may be ``X`` or ``(X, y)``."""
    return item[0] if isinstance(item, (tuple, list)) else item


def dataset_targets(dataset: Dataset[Any]) -> npt.NDArray[Any]:
    """Return the labels of a torch dataset that yields ``(X, y)``.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        ``targets`` (torchvision), ``tensors`` (TensorDataset) and ``y`` (skorch) are read at
        once; other datasets are gone through, item by item.

    Returns
    -------
    ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    ValueError
        If the items of the dataset hold no label.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> dataset_targets(TensorDataset(torch.zeros(2, 3), torch.tensor([1, 0])))
    array([1, 0])
    """
    if isinstance(dataset, Subset):
        return dataset_targets(dataset.dataset)[np.asarray(dataset.indices)]
    if isinstance(dataset, torch.utils.data.TensorDataset) and len(dataset.tensors) > 1:
        return dataset.tensors[1].cpu().numpy()
    for attribute in ("targets", "y"):
        if getattr(dataset, attribute, None) is not None:
            return np.asarray(getattr(dataset, attribute))
    items = [dataset[row] for row in range(len(dataset))]  # type: ignore[arg-type]
    if not all(isinstance(item, (tuple, list)) and len(item) > 1 for item in items):
        raise ValueError(
            "y=None needs an X that yields (X, y) pairs; the items of "
            f"{type(dataset).__name__} hold no label"
        )
    return np.asarray([item[1] for item in items])


class BatchRows(Sampler[torch.Tensor]):
    """Yield the row numbers of each batch as one tensor.

    `torch.utils.data.BatchSampler` yields lists, one Python number per row; taking those apart
    again took a tenth of an epoch.

    Parameters
    ----------
    n_rows : int
        Rows of the dataset.
    batch_size : int
        Rows of a batch; the last one may be smaller.
    shuffle : bool, default=False
        Whether each pass has an order of its own.
    drop_last : bool, default=False
        Whether a smaller last batch is left out.
    draw_weights : callable, default=None
        Called before each pass, returns how often each row is drawn relative to the others, a
        tensor of shape (n_rows,), or None for once each. A pass still has `n_rows` draws, and each
        row comes as often as its share says, rounded up or down at random. Needs `shuffle`.
    generator : torch.Generator, default=None
        Where the order is drawn from; None is torch's global generator.

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
        order = self._shuffled(self.n_rows) if self.shuffle else torch.arange(self.n_rows)
        weights = self.draw_weights() if self.draw_weights is not None else None
        if weights is not None:
            # Systematic sampling along a random order: less noise than drawing with replacement.
            shares = weights[order].double().cumsum(0)
            offset = torch.rand(1, generator=self.generator).double()
            marks = (shares / shares[-1] * self.n_rows + offset).floor().long()
            marks[-1] = self.n_rows
            order = order.repeat_interleave(marks.diff(prepend=marks.new_zeros(1)))
            order = order[self._shuffled(len(order))]
        yield from order.split(self.batch_size)[: len(self)]

    def _shuffled(self, n_rows: int) -> torch.Tensor:
        return torch.randperm(n_rows, generator=self.generator)


class Batches:
    """The batches of a dataset, one after the other, fetched in this process.

    Parameters
    ----------
    data : GroupDataset
        The dataset.
    rows : BatchRows
        The rows of each batch.
    """

    def __init__(self, data: GroupDataset, rows: BatchRows) -> None:
        self.data = data
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.data.__getitems__, self.rows)


def identity_collate(batch: Batch) -> Batch:
    """Hand a batch that `GroupDataset.__getitems__` has already put together on to the net."""
    return batch


def split_strata(
    y: npt.NDArray[np.int64], group: npt.NDArray[np.int64], min_count: int
) -> npt.NDArray[np.int64]:
    """Label every row with its y × group cell, merging cells too small to be split.

    A cell with fewer than `min_count` rows joins the other small cells of its label; what is
    still too small joins the largest stratum, so that a stratified split always finds enough rows.

    Parameters
    ----------
    y, group : arrays of shape (n_samples,)
        Encoded labels and groups.
    min_count : int
        The rows a stratum needs, for k-fold splits k.

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
    strata = y * (group.max(initial=0) + 1) + group
    by_label = strata.max(initial=0) + 1 + y
    strata = np.where(_counts(strata) < min_count, by_label, strata)
    counts = _counts(strata)
    strata = np.where(counts < min_count, strata[counts.argmax()], strata)
    return np.unique(strata, return_inverse=True)[1]


def _counts(strata: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.bincount(strata)[strata]
