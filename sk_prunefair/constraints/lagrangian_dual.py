"""The Lagrangian dual of the equal-loss constraint, as the authors of the paper have it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class LagrangianDual:
    r"""One epoch of the literal method: :math:`J + \sum_a \lambda_a |J_a - J|` in each batch.

    What the gradient sees is the penalty of a batch; what moves the multipliers is the mean
    violation :math:`|J_a - J|` over the epoch's batches.

    Examples
    --------
    >>> dual = LagrangianDual()
    >>> losses, columns = torch.tensor([1.0, 3.0]), {"group": torch.tensor([0, 1])}
    >>> dual.penalty(torch.tensor([0.5, 0.5]), losses, columns)
    tensor(1.)
    >>> dual.end_batch()
    >>> dual.step(0.1)
    array([0.1, 0.1])
    """

    bounds = (0.0, np.inf)

    def __init__(self) -> None:
        self.violation: torch.Tensor | None = None
        self.violations: list[torch.Tensor] = []

    def penalty(
        self, multipliers: torch.Tensor, losses: torch.Tensor, columns: dict[str, Any]
    ) -> torch.Tensor:
        """Return Σ λ_a |J_a − J| of a batch, part of the graph.

        Parameters
        ----------
        multipliers : torch.Tensor of shape (n_groups,)
            λ, where the losses are.
        losses : torch.Tensor of shape (batch_size,)
            Of the samples.
        columns : dict
            ``group`` and maybe ``sample_weight`` of the batch.
        """
        group = columns["group"].to(losses.device, non_blocking=True)
        weight = columns.get("sample_weight", torch.ones(len(losses))).to(losses.device)
        none = torch.zeros_like(multipliers)
        sums = none.index_add(0, group, weight * losses)
        sizes = none.index_add(0, group, weight)
        tiny = torch.finfo(sizes.dtype).tiny
        overall = sums.sum() / sizes.sum().clamp(min=tiny)
        distances = (sums / sizes.clamp(min=tiny) - overall).abs() * (sizes > 0)
        self.violation = distances.detach()
        return multipliers @ distances

    def end_batch(self) -> None:
        """Count the violation of the last penalty."""
        if self.violation is not None:
            self.violations.append(self.violation)

    def step(self, step_size: float) -> npt.NDArray[np.float64]:
        """Return by how much the multipliers grow; nothing where a net has diverged."""
        step = step_size * torch.stack(self.violations).mean(0).cpu().double().numpy()
        return np.where(np.isfinite(step), step, 0.0)
