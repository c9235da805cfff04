"""The Lagrangian dual of the equal-loss constraint, as the authors of the paper use it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sk_prunefair.data.group_means import group_sums
from sk_prunefair.ranks import ALONE, Ranks


class LagrangianDual:
    r"""One epoch of the literal Lagrangian dual of the equal-loss constraint (eq. 7).

    The objective of a batch is

    .. math:: J + \sum_a \lambda_a |J_a - J|,

    and the multipliers are updated by the violation, averaged over the epoch's batches:
    :math:`\lambda_a \leftarrow \lambda_a + \eta\,\overline{|J_a - J|}`.

    Parameters
    ----------
    multipliers : ndarray of shape (n_groups,)
        λ, at least 0.
    device : str or torch.device, default="cpu"
        Device of the losses.
    ranks : Ranks, default=ALONE
        Ranks whose rows are averaged in a batch.

    Examples
    --------
    >>> dual = LagrangianDual(np.array([0.5, 0.5]))
    >>> dual.penalty(torch.tensor([1.0, 3.0]), {"group": torch.tensor([0, 1])})
    tensor(1.)
    >>> dual.end_batch()
    >>> dual.step(0.1)
    array([0.1, 0.1], dtype=float32)
    """

    bounds = (0.0, np.inf)

    def __init__(
        self, multipliers: npt.NDArray[np.float64], device: Any = "cpu", ranks: Ranks = ALONE
    ) -> None:
        self.ranks = ranks
        self.multipliers = torch.tensor(multipliers, dtype=torch.float32, device=device)
        self.violation: torch.Tensor | None = None
        self.violations: list[torch.Tensor] = []

    def penalty(self, losses: torch.Tensor, columns: dict[str, Any]) -> torch.Tensor:
        """Return Σ λ_a |J_a − J| of a batch, part of the graph.

        Parameters
        ----------
        losses : torch.Tensor of shape (batch_size,)
            Losses of the samples, without any weights.
        columns : dict
            ``group`` and, optionally, ``sample_weight`` of the batch.
        """
        group = columns["group"].to(losses.device, non_blocking=True)
        weight = columns.get("sample_weight")
        if weight is None:
            weight = torch.ones_like(losses)
        weight = weight.to(losses.device, non_blocking=True)
        sums, sizes = group_sums(losses, group, weight, len(self.multipliers))
        # Means are over the batch of all ranks; a rank's part of the penalty is linear in its own
        # losses, and the mean of the parts, weighted by their numbers of rows, is the penalty.
        all_sums, all_sizes = self.ranks.sum(torch.stack([sums.detach(), sizes]))
        tiny = torch.finfo(sizes.dtype).tiny
        all_sizes, total = all_sizes.clamp(min=tiny), all_sizes.sum().clamp(min=tiny)
        signed = (all_sums / all_sizes - all_sums.sum() / total) * (all_sizes > tiny)
        self.violation = signed.abs()
        part = columns.get("part")
        times = 1.0 if part is None else self.ranks.count / part.share
        own = times * (sums / all_sizes - sums.sum() / total)
        return self.multipliers.to(own.dtype) @ (signed.sign() * own)

    def end_batch(self) -> None:
        """Record the violation of the last penalty; an optimizer may compute several."""
        if self.violation is not None:
            self.violations.append(self.violation)

    def step(self, step_size: float) -> npt.NDArray[np.floating[Any]]:
        """Return the increase of the multipliers; zero if the net has diverged."""
        if not self.violations:
            return np.zeros(len(self.multipliers))
        step = step_size * torch.stack(self.violations).mean(0).cpu().numpy()
        return np.where(np.isfinite(step), step, 0.0)
