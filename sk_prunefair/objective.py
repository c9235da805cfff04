"""The training objective of a batch, from its losses and the constraints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from skorch.utils import to_tensor

from sk_prunefair import losses as criteria
from sk_prunefair import nested
from sk_prunefair.constraints.base import Constraint
from sk_prunefair.outputs import check_losses, check_scores

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.hooks import TrainingNet
    from sk_prunefair.protocol import CoreNet


class Objective:
    """The active constraints of one training: their draws, factors and penalties.

    Parameters
    ----------
    net : TrainingNet
        The net in training.
    callbacks : iterable
        All of its callbacks; constraints that are active in this training are used.
    """

    def __init__(self, net: TrainingNet, callbacks: Iterable[Any]) -> None:
        self.net = net
        self.constraints = [
            callback
            for callback in callbacks
            if isinstance(callback, Constraint) and callback.is_active(net)
        ]

    @property
    def takes_derivatives(self) -> bool:
        """Whether a penalty is a function of derivatives, which training differentiates again."""
        return any(each.takes_derivatives for each in self.constraints)

    def draw_weights(self, data: GroupDataset) -> torch.Tensor | None:
        """Return how often each row is drawn in the next epoch; None for once each."""
        weights = [each.draw_weights(self.net, data) for each in self.constraints]
        given = [weight for weight in weights if weight is not None]
        return torch.stack(given).prod(0) if given else None

    def mixed(
        self,
        losses: torch.Tensor | None,
        y_pred: Any,
        y_true: torch.Tensor,
        columns: dict[str, Any],
    ) -> torch.Tensor:
        """Return the losses that the constraints use in place of the criterion's.

        Parameters
        ----------
        losses : torch.Tensor of shape (batch_size,) or None
            The criterion's losses, None if there are no labels.
        y_pred, y_true, columns
            As for `sk_prunefair.Constraint.mixed_losses`.
        """
        for constraint in self.constraints:
            found = constraint.mixed_losses(self.net, losses, y_pred, y_true, columns)
            losses = losses if found is None else found
        assert losses is not None
        return losses

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


def objective_loss(net: CoreNet, y_pred: Any, y_true: torch.Tensor, training: bool) -> torch.Tensor:
    """Return the criterion's mean loss, in training with the constraints.

    Parameters
    ----------
    net : CoreNet
        The net, with its criterion, constraints and current batch.
    y_pred : torch.Tensor or tuple
        Output of the module.
    y_true : torch.Tensor of shape (n_samples,), dtype int64
        Encoded labels.
    training : bool
        Whether to apply the constraints.

    Raises
    ------
    ValueError
        If the output does not fit the labels, or the batch is not the net's current one.
    """
    columns = {} if net.step_ is None else net.step_.columns
    y_true = labels_on(y_true, net.device)
    objective = net.objective_ if training else None
    is_first = training and not net.is_output_checked_
    if is_first:
        net.is_output_checked_ = True
        check_scores(net, criteria.first_output(y_pred), len(y_true), training=True)
    is_plain = "sample_weight" not in columns and not (objective and objective.constraints)
    if is_plain and not hasattr(criteria.plain_criterion(net.criterion_), "reduction"):
        # A user's criterion may return one number for all samples, as in skorch.
        loss = net.criterion_(y_pred, y_true)
        return loss if loss.ndim == 0 else loss.mean()
    if training and net.training_ is not None and not net.training_.has_labels:
        assert objective is not None
        trained = losses = objective.mixed(None, y_pred, y_true, columns)
    else:
        trained = losses = net.sample_losses(y_pred, y_true)
        if is_first:
            check_losses(net, losses, len(y_true))
        if objective is not None:
            trained = objective.mixed(losses, y_pred, y_true, columns)
    if net.step_ is not None:
        net.step_.losses = losses.detach()
    if columns and len(columns["group"]) != len(losses):
        raise ValueError(
            f"get_loss must get the whole batch of {len(columns['group'])} samples, got "
            f"{len(losses)}: do not split batches in train_step; use a smaller batch_size"
        )
    weighted = (objective or Objective(net, ())).weighted(trained, columns)
    part = columns.get("part")
    all_labels = None if part is None else labels_on(part.labels, net.device)
    reduced = _reduced(net, weighted, y_true, all_labels)
    return reduced if objective is None else objective.penalised(reduced, losses, columns)


def labels_on(y: Any, device: Any) -> Any:
    """Return the labels of a batch on a device, without synchronizing; arrays become tensors."""
    return nested.to(y, device) if isinstance(y, torch.Tensor) else to_tensor(y, device=device)


def _reduced(
    net: CoreNet, losses: torch.Tensor, y_true: torch.Tensor, all_labels: torch.Tensor | None
) -> torch.Tensor:
    # A user's get_loss that calls this one, and skorch's loss_scoring, need all losses.
    is_asked_for_all = net.has_own_loss or net.step_ is None
    if criteria.reduction(net.criterion_) == "none" and is_asked_for_all:
        return losses
    has_ignored = net.schema_ is not None and net.schema_.ignored is not None
    return criteria.reduced(net.criterion_, losses, y_true, has_ignored, all_labels)
