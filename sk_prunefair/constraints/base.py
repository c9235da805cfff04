"""The small base of all constraints: a skorch callback with a say in the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from skorch.callbacks import Callback

if TYPE_CHECKING:
    from sk_prunefair.net import GroupNet

Phase = Literal["before", "after", "both"]


class Constraint(Callback):
    """Base class of constraints on what a net may do to its groups.

    A subclass implements `penalty`, and any of skorch's ``on_…`` hooks to update its state. In
    ``on_batch_end``, ``net.batch_losses_`` holds the per-sample losses of the batch and
    ``batch[0]["group"]`` its groups. State lives in attributes with a trailing underscore and is
    reset by ``initialize``.

    Parameters
    ----------
    phase : {"before", "after", "both"}, default="both"
        When the constraint acts: in the training of the dense net ("before" pruning), in the
        fine-tuning of the pruned one ("after"), or in both.
    """

    def __init__(self, phase: Phase = "both") -> None:
        self.phase = phase

    def initialize(self) -> Constraint:
        """Check the parameters and forget all state; a new ``fit`` calls this."""
        if self.phase not in ("before", "after", "both"):
            raise ValueError(f"phase must be 'before', 'after' or 'both', got {self.phase!r}")
        return self

    def is_active(self, net: GroupNet) -> bool:
        """Tell whether the constraint acts in the present phase of the net."""
        return self.phase in (net.phase_, "both")

    def penalty(self, net: GroupNet, losses: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        """Return what to add to the mean loss of a training batch.

        Parameters
        ----------
        net : GroupNet
            The net that is being trained.
        losses : torch.Tensor of shape (batch_size,)
            Per-sample losses, part of the graph.
        batch : dict
            ``X``, ``group`` (int64) and, where there are weights, ``sample_weight`` of the batch,
            on the device that the data lives on; see `batch_weights`.

        Returns
        -------
        torch.Tensor
            A scalar, part of the graph.
        """
        raise NotImplementedError

    def rewind(self) -> None:
        """Go back to the state at the end of the dense training; ``prune`` calls this."""


def batch_weights(batch: dict[str, Any], losses: torch.Tensor) -> torch.Tensor:
    """Return a batch's sample weights where its losses are; ones where it has none.

    Parameters
    ----------
    batch : dict
        As `GroupDataset` yields it.
    losses : torch.Tensor of shape (batch_size,)
        Per-sample losses.

    Returns
    -------
    torch.Tensor of shape (batch_size,)
        Weights with mean 1 over the training data.

    Examples
    --------
    >>> import torch
    >>> batch_weights({}, torch.tensor([0.3, 0.7]))
    tensor([1., 1.])
    """
    weight = batch.get("sample_weight")
    if weight is None:
        return torch.ones_like(losses)
    return weight.to(losses.device, non_blocking=True)
