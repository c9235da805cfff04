"""Data with groups, fetched a whole batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import Dataset, Subset, default_collate

RawBatch = tuple[dict[str, Any], torch.Tensor]


class GroupDataset(SkorchDataset):
    """Inputs, encoded labels, encoded groups and sample weights, row by row.

    A batch is the pair ``({"X": ..., "group": ..., "sample_weight": ...}, y)``; the key
    ``sample_weight`` is absent where no weights were given. The module only ever sees ``X``.

    Parameters
    ----------
    inputs : array, dict of arrays, scipy sparse matrix or torch.utils.data.Dataset
        The features, shape (n_samples, ...). Rows of a sparse matrix are made dense batch by
        batch. A dataset may yield ``X`` or ``(X, y)``; its ``y`` is not looked at.
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
    ) -> None:
        self.inputs = _stored(inputs)
        n_samples = count_rows(inputs)
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

    @property
    def group_codes(self) -> npt.NDArray[np.int64]:
        """Encoded groups of the rows."""
        return self.group[self.rows].numpy()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> RawBatch:
        batch, y = self.batch([index])
        row = {key: values[0] for key, values in batch.items() if key != "X"}
        return {"X": _first_row(batch["X"])} | row, y[0]

    def batch(self, indices: Sequence[int] | torch.Tensor) -> RawBatch:
        """Return one batch, fetched whole."""
        rows = self.rows[torch.as_tensor(indices)]
        batch = {"X": self._inputs(rows), "group": self.group[rows]}
        if self.sample_weight is not None:
            batch["sample_weight"] = self.sample_weight[rows]
        return batch, self.targets[rows]

    def _inputs(self, rows: torch.Tensor) -> Any:
        inputs = self.inputs
        if isinstance(inputs, torch.Tensor):
            return inputs[rows]
        if isinstance(inputs, dict):
            return {name: values[rows] for name, values in inputs.items()}
        if sparse.issparse(inputs):
            return torch.from_numpy(inputs[rows.numpy()].toarray())
        return default_collate([item_features(inputs[int(row)]) for row in rows])

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


def count_rows(inputs: Any) -> int:
    """Return the number of samples; of a dict, of any of its arrays."""
    if isinstance(inputs, Mapping):
        inputs = next(iter(inputs.values()))
    return int(inputs.shape[0]) if hasattr(inputs, "shape") else len(inputs)


def as_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor, of the same memory where torch can take it.

    torch refuses negative strides, and warns about read-only memory (memory-mapped by joblib, or
    pandas' copy-on-write).
    """
    array = np.ascontiguousarray(array) if min(array.strides, default=1) < 0 else array
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _stored(inputs: Any) -> Any:
    if isinstance(inputs, Dataset) or sparse.issparse(inputs):
        return inputs
    if isinstance(inputs, Mapping):
        return {name: as_tensor(values) for name, values in inputs.items()}
    return as_tensor(inputs)


def _first_row(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: _first_row(each) for name, each in values.items()}
    if isinstance(values, (tuple, list)):
        return type(values)(_first_row(each) for each in values)
    return values[0]


def _column(values: npt.NDArray[np.int64] | None, n_samples: int) -> torch.Tensor:
    if values is None:
        return torch.zeros(n_samples, dtype=torch.int64)
    return as_tensor(values)


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
    y = np.unique(y, return_inverse=True)[1]  # a label that is ignored may be negative
    strata = y * (group.max(initial=0) + 1) + group
    by_label = strata.max(initial=0) + 1 + y
    strata = np.where(_counts(strata) < min_count, by_label, strata)
    counts = _counts(strata)
    strata = np.where(counts < min_count, strata[counts.argmax()], strata)
    return np.unique(strata, return_inverse=True)[1]


def _counts(strata: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.bincount(strata)[strata]
