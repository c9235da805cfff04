"""The base class of all constraints: hooks that change the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from sk_prunefair.hooks import Hook

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.hooks import TrainingNet

Phase = Literal["before", "after", "both"]


class Constraint(Hook):
    """Base class of constraints on the effect of training on groups.

    A subclass implements `weights`, `penalty` or both, and any of skorch's ``on_…`` hooks to
    update its state, which is declared by `add_state`. In ``on_batch_end``, ``losses`` holds the
    per-sample losses of the batch and ``batch[0]["group"]`` its groups.

    Parameters
    ----------
    phase : {"before", "after", "both"}, default="both"
        When the constraint is active: in the training of the dense net ("before" pruning), in the
        fine-tuning of the pruned one ("after"), or in both.
    """

    needs_groups = True
    """Whether the constraint needs the group of each sample."""

    needs_labels = True
    """Whether it has no effect in a fine-tuning without labels."""

    takes_derivatives = False
    """Whether the penalty is a function of derivatives, which training differentiates again."""

    def __init__(self, phase: Phase = "both") -> None:
        self.phase = phase

    def initialize(self) -> Any:
        """Check the parameters and reset the state; called by every new ``fit``."""
        super().initialize()
        if self.phase not in ("before", "after", "both"):
            raise ValueError(f"phase must be 'before', 'after' or 'both', got {self.phase!r}")
        return self

    def check(self, net: TrainingNet) -> None:
        """Raise ValueError if the net's parameters do not allow the constraint.

        It is called before any training, so that an earlier fit is kept.

        Parameters
        ----------
        net : TrainingNet
            The net before training, with its module initialized.
        """

    def is_active(self, net: TrainingNet) -> bool:
        """Tell whether the constraint is active in the current training."""
        if self.needs_labels and not net.training_.has_labels:
            return False
        return self.phase in (net.training_.phase, "both")

    def draw_weights(self, net: TrainingNet, data: GroupDataset) -> torch.Tensor | None:
        """Return how often each row of the training data is drawn in the epoch that begins.

        Parameters
        ----------
        net : TrainingNet
            The net that is being trained.
        data : GroupDataset
            The training data.

        Returns
        -------
        torch.Tensor of shape (n_rows,) or None
            Relative frequencies, above 0; None draws every row once.
        """
        return None

    def weights(self, net: TrainingNet, batch: dict[str, Any]) -> torch.Tensor | None:
        """Return factors of the losses of a training batch.

        Parameters
        ----------
        net : TrainingNet
            The net that is being trained.
        batch : dict
            ``X``, ``group`` (int64) and, where there are weights, ``sample_weight`` of the batch,
            on the device of the data; the losses are on ``net.device``.

        Returns
        -------
        torch.Tensor of shape (batch_size,) or None
            Weights, preferably with mean 1 over the data; None for a constraint that does not
            reweight.
        """
        return None

    def mixed_losses(
        self,
        net: TrainingNet,
        losses: torch.Tensor | None,
        y_pred: Any,
        y_true: torch.Tensor,
        batch: dict[str, Any],
    ) -> torch.Tensor | None:
        """Return per-sample losses that replace the criterion's losses.

        Parameters
        ----------
        net : TrainingNet
            The net that is being trained.
        losses : torch.Tensor of shape (batch_size,) or None
            Per-sample losses, part of the graph; None where there are no labels.
        y_pred : torch.Tensor, tuple or mapping
            Output of the module.
        y_true : torch.Tensor of shape (batch_size,), dtype int64
            Encoded labels.
        batch : dict
            As for `weights`; ``row`` holds the positions of its samples in the data.

        Returns
        -------
        torch.Tensor of shape (batch_size,) or None
            Losses, which are then multiplied by the factors; None keeps the criterion's losses.
        """
        return None

    def penalty(
        self, net: TrainingNet, losses: torch.Tensor, batch: dict[str, Any]
    ) -> torch.Tensor | None:
        """Return the term added to the mean loss of a training batch.

        With several processes, this is the term of this process's rows of the batch; the objective
        is the mean over the processes, weighted by their numbers of rows.

        Parameters
        ----------
        net : TrainingNet
            The net that is being trained.
        losses : torch.Tensor of shape (batch_size,)
            Per-sample losses, part of the graph, without any weights.
        batch : dict
            As for `weights`.

        Returns
        -------
        torch.Tensor or None
            A scalar, part of the graph; None for a constraint that adds nothing.
        """
        return None
