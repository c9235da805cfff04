"""Sizes and shares of groups, means by group with standard errors, correct predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from sk_prunefair.losses import class_scores

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.ranks import Ranks


def group_sizes(data: GroupDataset, n_groups: int) -> npt.NDArray[np.int64]:
    """Return the number of rows of each group, shape (n_groups,)."""
    return np.bincount(data.group_codes, minlength=n_groups)


def group_shares(data: GroupDataset, n_groups: int) -> npt.NDArray[np.float64]:
    """Return each group's share of the data's weight, shape (n_groups,), sum 1."""
    weights = None if data.sample_weight is None else data.sample_weight[data.rows].numpy()
    sizes = np.bincount(data.group_codes, weights, minlength=n_groups)
    return sizes / sizes.sum()


def label_entropies(data: GroupDataset, n_groups: int) -> npt.NDArray[np.float64]:
    """Return the entropy of the labels of each group in nats, shape (n_groups,); 0 without rows."""
    weights = None if data.sample_weight is None else data.sample_weight[data.rows].numpy()
    y = np.unique(data.y, return_inverse=True)[1]
    n_classes = int(y.max(initial=0)) + 1
    cells = np.bincount(data.group_codes * n_classes + y, weights, minlength=n_groups * n_classes)
    counts = cells.reshape(n_groups, n_classes)
    totals = counts.sum(axis=1, keepdims=True)
    p = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return special.entr(p).sum(axis=1)


def group_means(
    values: npt.NDArray[Any],
    group: npt.NDArray[np.int64],
    weight: npt.NDArray[Any] | None,
    n_groups: int,
) -> npt.NDArray[np.float64]:
    """Return the weighted mean of the values in each group, NaN for a group without weight."""
    values = values.astype(np.float64, copy=False)
    sizes = np.bincount(group, weight, minlength=n_groups)
    weighted = values if weight is None else weight * values
    sums = np.bincount(group, weighted, minlength=n_groups)
    return np.divide(sums, sizes, out=np.full(n_groups, np.nan), where=sizes > 0)


def group_sums(
    values: torch.Tensor, group: torch.Tensor, weight: torch.Tensor, n_groups: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted sums of the values in each group and the sums of the weights.

    Both have shape (n_groups,) and at least single precision; the first is part of the graph of the
    values.
    """
    dtype = torch.promote_types(values.dtype, torch.float32)
    none = torch.zeros(n_groups, dtype=dtype, device=values.device)
    weight = weight.to(dtype)
    return none.index_add(0, group, weight * values), none.index_add(0, group, weight)


@dataclass(frozen=True)
class GroupMoments:
    """Sums over the rows of each group, which can be added over parts of the data and processes.

    Parameters
    ----------
    weights, squares : ndarray of shape (n_groups,)
        Sums of the weights, and of their squares.
    first, second : ndarray of shape (n_columns, n_groups)
        Weighted sums of each column of values, and of their squares.

    Examples
    --------
    >>> group = np.array([0, 0, 1])
    >>> moments = GroupMoments.of([np.array([1.0, 3.0, 5.0])], group, None, 2)
    >>> moments.means(0), moments.errors(0, np.array([2, 1]))
    (array([2., 5.]), array([ 1., inf]))
    """

    weights: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]
    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        columns: Sequence[npt.NDArray[Any]],
        group: npt.NDArray[np.int64],
        weight: npt.NDArray[Any] | None,
        n_groups: int,
    ) -> GroupMoments:
        """Return the sums of the given rows; None as a weight means 1 for each."""
        weight = np.ones(len(group)) if weight is None else weight.astype(np.float64)

        def total(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.bincount(group, values, minlength=n_groups).astype(np.float64)

        values = [column.astype(np.float64) for column in columns]
        return cls(
            total(weight),
            total(weight**2),
            np.stack([total(weight * each) for each in values]),
            np.stack([total(weight * each**2) for each in values]),
        )

    def __add__(self, other: GroupMoments) -> GroupMoments:
        return GroupMoments(
            self.weights + other.weights,
            self.squares + other.squares,
            self.first + other.first,
            self.second + other.second,
        )

    def summed(self, ranks: Ranks) -> GroupMoments:
        """Return the sums over all processes, in one collective operation."""
        rows = np.vstack([self.weights, self.squares, self.first, self.second])
        rows = ranks.sum(torch.from_numpy(rows)).numpy()
        n = len(self.first)
        return GroupMoments(rows[0], rows[1], rows[2 : 2 + n], rows[2 + n :])

    def means(self, column: int) -> npt.NDArray[np.float64]:
        """Return the weighted mean in each group, NaN for a group without weight."""
        return self._over_weights(self.first[column])

    def errors(self, column: int, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the standard error of each group's mean, inf for a group of fewer than two.

        A row that was drawn more than once counts once, as repetitions add no information: a group
        has at most ``sizes`` independent values. Unequal weights reduce their number (Kish's
        effective size).
        """
        with np.errstate(invalid="ignore"):  # if the net has diverged
            variance = self._over_weights(self.second[column]) - self.means(column) ** 2
        variance = np.maximum(variance, 0.0)
        n_groups = len(sizes)
        effective = np.divide(
            self.weights**2, self.squares, out=np.zeros(n_groups), where=self.squares > 0
        )
        free = np.minimum(effective, sizes) - 1
        return np.sqrt(np.divide(variance, free, out=np.full(n_groups, np.inf), where=free > 1e-9))

    def _over_weights(self, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.divide(sums, self.weights, out=np.full(len(sums), np.nan), where=self.weights > 0)


def is_right(y_pred: Any, y: torch.Tensor) -> torch.Tensor:
    """Return which predictions of a batch are correct, on the device of the predictions."""
    output = class_scores(y_pred).detach()
    return output.argmax(1) == y.to(output.device, non_blocking=True)
