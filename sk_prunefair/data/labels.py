"""Labels and groups in the items of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from sk_prunefair.data.items import LABEL_KEYS, held, plain, read_items, split_item
from sk_prunefair.data.sources import is_arrow

_AT_ONCE = 1024  # items read at once; their inputs are dropped

Read = tuple[npt.NDArray[Any] | None, list[Any] | None]


def dataset_targets(dataset: Any) -> npt.NDArray[Any]:
    """Return the labels of a data set that yields ``(X, y)``, ``(X, y, group)`` or dicts.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or datasets.Dataset
        As for `read_labels`.

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
    >>> dataset_targets(TensorDataset(torch.zeros(2, 3), torch.tensor([1, 0])))
    array([1, 0])
    """
    y = read_labels(dataset)[0]
    if y is None:
        raise ValueError(
            "y=None needs an X that yields (X, y) pairs, or dicts that hold 'labels'; the items of "
            f"{type(dataset).__name__} hold no label"
        )
    return y


def read_labels(dataset: Any) -> Read:
    """Return the labels and the groups of a data set, None for those that its items lack.

    Columns of an Arrow data set and ``tensors`` of a `torch.utils.data.TensorDataset` are read at
    once, as are ``targets`` (torchvision) and ``y`` (skorch) if they agree with the items;
    other data sets are read item by item.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or datasets.Dataset
        Data set of items ``X``, ``(X, y)``, ``(X, y, group)``, or dicts with ``labels`` or
        ``label``.

    Returns
    -------
    y : ndarray of shape (n_samples,), or None
        The labels.
    group : list, or None
        The groups.
    """
    quick = quick_labels(dataset)
    if quick is not None:
        return quick
    labels: list[Any] = []
    groups: list[Any] = []
    for start in range(0, len(dataset), _AT_ONCE):
        rows = list(range(start, min(start + _AT_ONCE, len(dataset))))
        items = [split_item(item) for item in read_items(dataset, rows)]
        for values, found in zip((labels, groups), held(items), strict=True):
            values += [] if found is None else found
    # If some items hold no label or group, none are used.
    n = len(dataset)
    return (
        np.asarray(labels) if len(labels) == n else None,
        groups if len(groups) == n else None,
    )


def quick_labels(dataset: Any) -> Read | None:
    """Return labels and groups stored outside the items, or None if items must be read."""
    if is_arrow(dataset):
        names = [key for key in LABEL_KEYS if key in dataset.column_names]
        return (np.asarray(dataset[names[0]]) if names else None), None
    if isinstance(dataset, Subset):
        return _rows(quick_labels(dataset.dataset), np.asarray(dataset.indices))
    if isinstance(dataset, ConcatDataset):
        parts = [quick_labels(part) for part in dataset.datasets]
        return _joined(parts)
    if isinstance(dataset, TensorDataset):
        tensors = [tensor.cpu().numpy() for tensor in dataset.tensors[1:3]]
        y, group = (*tensors, None, None)[:2]
        return y, None if group is None else group.tolist()
    for attribute in ("targets", "y"):
        values = getattr(dataset, attribute, None)
        if values is not None and len(values) == len(dataset):
            labels = _transformed(dataset, values)
            return (labels, None) if _are_in_items(dataset, labels) else None
    return None


def _transformed(dataset: Any, values: Any) -> npt.NDArray[Any]:
    transform = getattr(dataset, "target_transform", None)
    if transform is not None:
        values = [plain(transform(plain(value))) for value in values]
    return np.asarray(values)


def _are_in_items(dataset: Dataset[Any], labels: npt.NDArray[Any]) -> bool:
    """Tell whether the first, the middle and the last item hold these labels and no group."""
    if labels.ndim != 1:
        return False
    for row in sorted({0, len(labels) // 2, len(labels) - 1}):
        item = split_item(dataset[row])
        if item.group is not None or plain(item.y) != plain(labels[row]):
            return False
    return True


def _rows(found: Read | None, rows: npt.NDArray[np.int64]) -> Read | None:
    if found is None:
        return None
    y, group = found
    return (
        None if y is None else y[rows],
        None if group is None else [group[row] for row in rows.tolist()],
    )


def _joined(parts: list[Read | None]) -> Read | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    labels, groups = zip(*known, strict=True)
    has_y, has_group = (all(each is not None for each in found) for found in (labels, groups))
    return (
        np.concatenate(labels) if has_y else None,
        [value for group in groups for value in group] if has_group else None,
    )
