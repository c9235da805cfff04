"""From the losses of a batch to the number that training makes small."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from sk_prunefair.constraints.base import Constraint

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.hooks import TrainingNet


class Objective:
    """The constraints that act in one training: which rows are drawn, and what is minimised.

    Parameters
    ----------
    net : TrainingNet
        The net that is trained.
    callbacks : iterable
        All of its callbacks; those that are constraints and act in this training count.
    """

    def __init__(self, net: TrainingNet, callbacks: Iterable[Any]) -> None:
        self.net = net
        self.constraints = [
            callback
            for callback in callbacks
            if isinstance(callback, Constraint) and callback.is_active(net)
        ]

    def draw_weights(self, data: GroupDataset) -> torch.Tensor | None:
        """Return how often each row is drawn in the epoch that begins; None for once each."""
        weights = [each.draw_weights(self.net, data) for each in self.constraints]
        given = [weight for weight in weights if weight is not None]
        return torch.stack(given).prod(0) if given else None

    def weighted(self, losses: torch.Tensor, columns: dict[str, Any]) -> torch.Tensor:
        """Return the losses times the factors of constraints and samples.

        Parameters
        ----------
        losses : torch.Tensor of shape (batch_size,)
            The criterion's losses.
        columns : dict
            ``X``, ``group`` and, where there are weights, ``sample_weight`` of the batch.
        """
        factors = [each.weights(self.net, columns) for each in self.constraints]
        factors.append(columns.get("sample_weight"))
        for factor in factors:
            if factor is not None:
                losses = losses * factor.to(losses.device, non_blocking=True)
        return losses

    def penalised(
        self, objective: torch.Tensor, losses: torch.Tensor, columns: dict[str, Any]
    ) -> torch.Tensor:
        """Return the objective plus the penalties of the constraints.

        Parameters
        ----------
        objective : torch.Tensor
            A scalar.
        losses : torch.Tensor of shape (batch_size,)
            The criterion's losses, without any factors.
        columns : dict
            As for `weighted`.
        """
        for constraint in self.constraints:
            penalty = constraint.penalty(self.net, losses, columns)
            if penalty is not None:
                objective = objective + penalty
        return objective
