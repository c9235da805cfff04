"""Split a history into the rows of the dense training and of a fine-tuning, and join them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skorch.history import History


def own_rows(history: Sequence[dict[str, Any]], n_dense: int) -> History:
    """Return the rows after those of the dense training, numbered from 1.

    Examples
    --------
    >>> own_rows([{"epoch": 1}, {"epoch": 2}], n_dense=1)
    [{'epoch': 1}]
    """
    rows = list(history)[n_dense:]
    return History([row | {"epoch": epoch} for epoch, row in enumerate(rows, start=1)])


def joined_rows(dense: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]]) -> History:
    """Return the rows of a dense training and of a fine-tuning, numbered consecutively.

    Examples
    --------
    >>> joined_rows([{"epoch": 1}], [{"epoch": 1}])
    [{'epoch': 1}, {'epoch': 2}]
    """
    first = len(dense) + 1
    return History(
        [*dense, *(row | {"epoch": epoch} for epoch, row in enumerate(own, start=first))]
    )
