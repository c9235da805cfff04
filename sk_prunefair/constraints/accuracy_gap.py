"""The accuracy-gap constraint: no group's accuracy falls much more than the overall accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from sk_prunefair.checks import check_count, check_number
from sk_prunefair.constraints.base import Constraint, Phase
from sk_prunefair.data.group_means import group_means, group_shares, group_sizes, is_right

if TYPE_CHECKING:
    from sk_prunefair.hooks import TrainingNet


class AccuracyGapConstraint(Constraint):
    r"""Bound how much more accuracy a group loses by pruning than all the data together.

    With :math:`A_a` and :math:`\bar A_a` the accuracies of the dense and of the pruned net on
    group a, and :math:`A`, :math:`\bar A` those on all the data, the constraint asks of every
    group that

    .. math:: \psi_a = (A_a - \bar A_a) - (A - \bar A) \le \text{tolerance}.

    It is active while a pruned net is fine-tuned. Accuracy has no gradient, so the net descends on
    the losses instead, :math:`J + \sum_a \lambda_a (J_a - J)`, while the multipliers follow
    the true violation, :math:`\lambda_a \leftarrow \max(0, \lambda_a + \eta(\psi_a -
    \text{tolerance}))`, after each batch and up to a bound. A batch rarely holds
    enough rows of a small group, so :math:`\bar A_a` is computed over the last ``memory``
    predictions for the group during training, and a group is left out until its memory is full or
    holds the whole group.
    The dense net's accuracies are measured on the training data when the fine-tuning begins.
    Sample weights enter the losses and a group's share of the data; accuracies are
    unweighted. A group with a total weight of zero is left out.

    The Lagrangian is a reweighting. Its multipliers are divided by :math:`1 + \sum_a \lambda_a`,
    which keeps their ratios, so that no sample has a negative weight for any multipliers.

    Parameters
    ----------
    tolerance : float, default=0.01
        Largest accepted excess of a group's accuracy drop over the overall drop, in [0, 1].
    step_size : float, default=0.5
        η, at least 0, for one epoch; the step of a batch is its share of the epoch.
    memory : int, default=40
        Number of predictions kept for each group, at least 1.
    max_multiplier : float, default=1.0
        Bound on the multipliers, above 0; with 1, a single violating group has at most
        as much weight as all the data.

    Attributes
    ----------
    multipliers_ : pandas.Series
        λ by group, after the last epoch. They are reset to zero by every ``prune``. The largest ψ
        of each epoch, from the predictions during training, is recorded as
        ``accuracy_gap_violation`` in ``net.history``.
    dense_accuracy_ : pandas.Series or None
        The dense net's accuracy on each group of the training data; None before any fine-tuning.

    References
    ----------
    M. Hashemizadeh, J. Ramirez, R. Sukumaran, G. Farnadi, S. Lacoste-Julien, J. Gallego-Posada,
    "Balancing Act: Constraining Disparate Impact in Sparse Models", ICLR 2024.

    Examples
    --------
    >>> import torch
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = FairPrunedClassifier(
    ...     MLP,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=2,
    ...     callbacks=[("accuracy_gap", AccuracyGapConstraint(tolerance=0.02))],
    ...     prune_rate=0.8,
    ...     finetune_epochs=1,
    ...     verbose=0,
    ...     random_state=0,
    ... ).fit(digits.data, digits.target, sensitive_features=digits.target)
    >>> constraint = dict(clf.callbacks_)["accuracy_gap"]
    >>> constraint.dense_accuracy_.shape, bool((constraint.multipliers_ >= 0).all())
    ((10,), True)
    """

    # Not a parameter: before pruning there is no second net to compare with.
    phase: Phase = "after"
    multipliers_: pd.Series | None
    dense_accuracy_: pd.Series | None
    tracker_: _Tracker | None

    def __init__(
        self,
        tolerance: float = 0.01,
        step_size: float = 0.5,
        memory: int = 40,
        max_multiplier: float = 1.0,
    ) -> None:
        self.tolerance = tolerance
        self.step_size = step_size
        self.memory = memory
        self.max_multiplier = max_multiplier

    def initialize(self) -> Any:
        """Check the parameters and reset the state; called by every new ``fit``."""
        super().initialize()
        check_number("tolerance", self.tolerance, least=0, most=1)
        check_number("step_size", self.step_size, least=0)
        check_count("memory", self.memory)
        check_number("max_multiplier", self.max_multiplier, above=0)
        self.add_state("multipliers_", None, lives="fit")
        self.add_state("dense_accuracy_", None, lives="fit")
        self.add_state("tracker_", None, lives="training")
        return self

    def on_epoch_begin(self, net: TrainingNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Measure the dense net on the training data, once per fine-tuning."""
        if not self.is_active(net) or self.tracker_ is not None:
            return
        groups, n_groups = pd.Index(net.groups_), len(net.groups_)
        [dense] = net.outcomes(dataset_train, net.dense_module_)
        accuracy = group_means(dense.is_right, dataset_train.group_codes, None, n_groups)
        self.dense_accuracy_ = pd.Series(accuracy, index=groups, name="accuracy")
        if self.multipliers_ is None or not self.multipliers_.index.equals(groups):
            self.multipliers_ = pd.Series(0.0, index=groups, name="multiplier")
        self.tracker_ = _Tracker(
            self.multipliers_.to_numpy(),
            accuracy,
            group_shares(dataset_train, n_groups),
            group_sizes(dataset_train, n_groups),
            self.memory,
            net.device,
        )

    def weights(self, net: TrainingNet, batch: dict[str, Any]) -> torch.Tensor | None:
        """Return (1 + λ_a / share_a) / (1 + Σ λ) for each sample of group a."""
        assert self.tracker_ is not None
        return self.tracker_.factors()[batch["group"].to(net.device, non_blocking=True)]

    def on_batch_end(
        self,
        net: TrainingNet,
        batch: Any = None,
        training: bool | None = None,
        y_pred: Any = None,
        **kwargs: Any,
    ) -> None:
        """Record which predictions were correct and step, without synchronizing."""
        if not training or self.tracker_ is None:
            return
        right = is_right(y_pred, batch[1])
        group = batch[0]["group"].to(right.device, non_blocking=True)
        # Predictions of all ranks, which keep the same ones and take the same step.
        group, right = net.ranks.concatenate(torch.stack([group, right.long()], dim=1)).unbind(1)
        self.tracker_.remember(group, right)
        self.tracker_.step(self.tolerance, self.step_size, self.max_multiplier)

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Record the largest violation and copy the multipliers from the device."""
        if self.tracker_ is None:
            return
        assert self.multipliers_ is not None
        self.multipliers_[:] = self.tracker_.multipliers.cpu().numpy()
        largest = self.tracker_.violations().nan_to_num(-torch.inf).max()
        net.history.record("accuracy_gap_violation", float(largest))


class _Tracker:
    """Multipliers and last predictions of the groups in one fine-tuning, on the device."""

    def __init__(
        self,
        multipliers: npt.NDArray[np.float64],
        dense_accuracy: npt.NDArray[np.float64],
        shares: npt.NDArray[np.float64],
        sizes: npt.NDArray[np.int64],
        memory: int,
        device: str,
    ) -> None:
        def place(values: npt.NDArray[Any]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self.multipliers, self.shares = place(multipliers), place(shares)
        self.dense_accuracy = place(np.nan_to_num(dense_accuracy))
        self.sizes = place(sizes)
        self.n_rows = int(sizes.sum())
        self.n_new = 0
        # The last column receives the predictions of a batch that exceed the memory.
        self.right = torch.zeros(len(sizes), memory + 1, device=device)
        self.seen = torch.zeros(len(sizes), dtype=torch.int64, device=device)

    def factors(self) -> torch.Tensor:
        # A group without weight has no mean loss.
        more = (self.multipliers / self.shares).where(self.shares > 0, 0.0)
        return (1 + more) / (1 + self.multipliers.sum())

    def remember(self, group: torch.Tensor, right: torch.Tensor) -> None:
        """Keep the last predictions of each group; the oldest are overwritten first."""
        memory = self.right.shape[1] - 1
        order = group.argsort(stable=True)
        group, right = group[order], right[order]
        counts = torch.zeros_like(self.seen).index_add(0, group, torch.ones_like(group))
        first = counts.cumsum(0) - counts
        rank = torch.arange(len(group), device=group.device) - first[group]
        slot = (self.seen[group] + rank) % memory
        slot = slot.where(rank >= counts[group] - memory, memory)
        self.right[group, slot] = right.to(self.right.dtype)
        self.seen += counts
        self.n_new += len(group)

    def violations(self) -> torch.Tensor:
        """Return ψ by group, NaN where too few predictions are kept."""
        memory = self.right.shape[1] - 1
        known = (self.seen >= self.sizes.clamp(max=memory)) & (self.shares > 0)
        accuracy = self.right[:, :memory].sum(1) / self.seen.clamp(min=1, max=memory)
        drop = self.dense_accuracy - accuracy
        share = self.shares * known
        overall = (share @ drop) / share.sum()
        return (drop - overall).where(known, torch.nan)

    def step(self, tolerance: float, step_size: float, bound: float) -> None:
        """Step the multipliers, by the share of an epoch that was added since the last step."""
        excess = (self.violations() - tolerance).nan_to_num(0.0)
        size = step_size * self.n_new / self.n_rows
        self.multipliers = (self.multipliers + size * excess).clamp(0, bound)
        self.n_new = 0
