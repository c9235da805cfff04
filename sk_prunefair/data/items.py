"""Items of a data set: X and, optionally, y and a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

LABEL_KEYS = ("labels", "label")
"""Keys of a dict that are y and are not passed to the module, as in transformers."""


class Item(NamedTuple):
    """The parts of one item of a data set, or of a batch of items; None for absent ones."""

    X: Any
    y: Any = None
    group: Any = None


def split_item(item: Any) -> Item:
    """Return X, y and group of an item: ``X``, ``(X, y)``, ``(X, y, group)`` or a dict.

    Examples
    --------
    >>> split_item({"input_ids": [1, 2], "labels": 0})
    Item(X={'input_ids': [1, 2]}, y=0, group=None)
    """
    found = Item(*item) if isinstance(item, (tuple, list)) else Item(item)
    if not isinstance(found.X, Mapping):
        return found
    y = found.y
    for key in LABEL_KEYS:
        y = found.X.get(key) if y is None else y
    X = {name: values for name, values in found.X.items() if name not in LABEL_KEYS}
    return Item(X, y, found.group)


def held(items: Sequence[Item]) -> tuple[list[Any] | None, list[Any] | None]:
    """Return the labels and the groups of items, None if they hold none."""
    y = [plain(item.y) for item in items]
    group = [plain(item.group) for item in items]
    return (
        None if any(value is None for value in y) else y,
        None if any(value is None for value in group) else group,
    )


def plain(value: Any) -> Any:
    """Return a scalar of torch or numpy as a Python scalar."""
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else value.numpy()
    is_one = isinstance(value, (np.ndarray, np.generic)) and value.size == 1
    return value.item() if is_one else value


def read_items(dataset: Any, rows: list[int]) -> list[Any]:
    """Return some items of a data set, in one call if it supports that."""
    read = getattr(dataset, "__getitems__", None)
    return [dataset[row] for row in rows] if read is None else read(rows)
