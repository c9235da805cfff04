"""Factors of the rows of each group in an epoch: by more frequent draws, by weights, or by both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from sk_prunefair.hooks import TrainingNet

Floats = npt.NDArray[np.float64]
By = Literal["auto", "resampling", "reweighting"]

# Average number of a group's rows in a batch below which they are drawn more often.
ROWS = 2


def draw_factors(factors: Floats, shares: Floats, batch_size: int) -> Floats:
    """Return how often rows of each group are drawn, relative to once; weights do the rest.

    A group with a larger factor is drawn more often until a batch holds two of its rows on average,
    and at most as often as its factor. With fewer rows a batch's gradient is mostly noise, the more
    so the larger their weight; more draws of the same few rows only make a net memorize them.

    Parameters
    ----------
    factors : ndarray of shape (n_groups,)
        Intended factor of a row of each group.
    shares : ndarray of shape (n_groups,)
        Each group's share of the rows.
    batch_size : int
        Number of rows of a batch.

    Examples
    --------
    >>> draw_factors(np.array([8.0, 0.9]), np.array([0.01, 0.99]), 50)
    array([4., 1.])
    """
    needed = np.divide(ROWS, batch_size * shares, out=np.ones_like(shares), where=shares > 0)
    return np.clip(needed, 1.0, np.maximum(factors, 1.0))


def rows_per_batch(net: TrainingNet, n_rows: int) -> int:
    """Return the number of rows in a batch of all ranks; a size of -1 means all rows."""
    size = net.get_params_for("iterator_train").get("batch_size", net.batch_size)
    return n_rows if size == -1 else size * net.ranks.batches


class RowFactors:
    """Factors of the rows of each group in one epoch.

    Parameters
    ----------
    factors : ndarray of shape (n_groups,)
        Factor of a row of each group, with mean 1 over the data.
    by : {"auto", "resampling", "reweighting"}
        Whether rows are drawn as in `draw_factors`, by their whole factor, or once.
    sizes : ndarray of shape (n_groups,)
        Number of rows of each group.
    batch_size : int
        Number of rows of a batch.
    device : torch.device or str
        Device of the losses.

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
        """Return how often each row is drawn; None if all are drawn equally often."""
        self.is_drawn = True
        return None if (self.drawn == self.drawn[0]).all() else self.drawn[group]

    def weights(self, group: torch.Tensor) -> torch.Tensor | None:
        """Return the factor of each sample divided by the part that its draws account for."""
        if not self.is_drawn:
            return self.factors[group]
        if self.by == "resampling":
            return None
        return self.left[group]
