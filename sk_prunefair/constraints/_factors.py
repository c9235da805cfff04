"""How much the rows of each group count in an epoch: by being drawn, by being weighted, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from sk_prunefair.hooks import TrainingNet

Floats = npt.NDArray[np.float64]
By = Literal["auto", "resampling", "reweighting"]

# Rows of a group that a batch has in the mean before its rows are weighted.
ROWS = 2


def draw_factors(factors: Floats, shares: Floats, batch_size: int) -> Floats:
    """Return how often the rows of each group are drawn beside once, where the rest is weighted.

    A group that counts more is drawn more often until it has two rows of a batch in the mean, and
    never more often than it counts. With fewer rows a batch's gradient is mostly noise, the more
    so the larger their weight; more of the same few rows teach a net nothing but these.

    Parameters
    ----------
    factors : ndarray of shape (n_groups,)
        How much a row of each group is to count.
    shares : ndarray of shape (n_groups,)
        Each group's share of the rows.
    batch_size : int
        Rows of a batch.

    Examples
    --------
    >>> draw_factors(np.array([8.0, 0.9]), np.array([0.01, 0.99]), 50)
    array([4., 1.])
    """
    needed = np.divide(ROWS, batch_size * shares, out=np.ones_like(shares), where=shares > 0)
    return np.clip(needed, 1.0, np.maximum(factors, 1.0))


def rows_per_batch(net: TrainingNet, n_rows: int) -> int:
    """Return how many of `n_rows` rows a batch of all ranks has, all of them for a size of -1."""
    size = net.get_params_for("iterator_train").get("batch_size", net.batch_size)
    return n_rows if size == -1 else size * net.ranks.batches


class RowFactors:
    """What the rows of each group count in one epoch.

    Parameters
    ----------
    factors : ndarray of shape (n_groups,)
        How much a row of each group counts, mean 1 over the data.
    by : {"auto", "resampling", "reweighting"}
        Whether rows are drawn more often, as in `draw_factors` or by all of their factor, or once.
    sizes : ndarray of shape (n_groups,)
        Rows of each group.
    batch_size : int
        Rows of a batch.
    device : torch.device or str
        Where the losses are.

    Examples
    --------
    >>> rows = RowFactors(np.array([8.0, 0.93]), "auto", np.array([1, 99]), 50, "cpu")
    >>> drawn, group = rows.draws(torch.tensor([0, 1])), torch.tensor([0, 1])
    >>> drawn * rows.weights(group)
    tensor([8.0000, 0.9300])
    """

    def __init__(
        self,
        factors: Floats,
        by: By,
        sizes: npt.NDArray[np.int64],
        batch_size: int,
        device: Any,
    ) -> None:
        draws = factors if by == "resampling" else np.ones_like(factors)
        if by == "auto":
            shares = sizes / max(sizes.sum(), 1)
            draws = draw_factors(factors, shares, batch_size)
            draws = draws / (shares @ draws)
        self.by = by
        self.is_drawn = False
        self.factors = torch.as_tensor(factors, dtype=torch.float32, device=device)
        self.drawn = torch.as_tensor(draws, dtype=torch.float32)
        self.left = self.factors / self.drawn.to(self.factors)

    def draws(self, group: torch.Tensor) -> torch.Tensor | None:
        """Return how often each row is drawn; None where all are drawn alike."""
        self.is_drawn = True
        return None if (self.drawn == self.drawn[0]).all() else self.drawn[group]

    def weights(self, group: torch.Tensor) -> torch.Tensor | None:
        """Return what is left of the factor of each sample, once it was drawn by a part of it."""
        if not self.is_drawn:
            return self.factors[group]
        if self.by == "resampling":
            return None
        return self.left[group]
