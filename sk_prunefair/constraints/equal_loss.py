"""The equal-loss constraint: every group's loss equals the loss over all the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from sk_prunefair.checks import check_choice, check_flag, check_number
from sk_prunefair.constraints._average import WeightAverage
from sk_prunefair.constraints._best_group import BestGroupLimit
from sk_prunefair.constraints._epoch import EpochRecord
from sk_prunefair.constraints._factors import By, RowFactors, rows_per_batch
from sk_prunefair.constraints._multipliers import (
    explained_by_labels,
    multiplier_steps,
    overall_loss,
    row_factors,
)
from sk_prunefair.constraints.base import Constraint, Phase
from sk_prunefair.constraints.lagrangian_dual import LagrangianDual
from sk_prunefair.data.group_means import group_shares, group_sizes, label_entropies

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.hooks import TrainingNet


class EqualLossConstraint(Constraint):
    r"""Push the losses of all groups together: J(θ; D_a) = J(θ; D) for every group a.

    This is the mitigation of Tran, Fioretto, Kim and Naidu (*Pruning has a disparate impact on
    model accuracy*, NeurIPS 2022, eq. 7). Each group has a multiplier, updated once an epoch.

    With ``violation="signed"``, the default, the multipliers set how much more than its share of
    the data a group counts. With G groups, the weight of group a is proportional to

    .. math:: \text{share}_a + \lambda_a / G, \qquad \lambda_a \leftarrow \operatorname{clip}\left(
        \lambda_a + \eta\,\frac{J_a - J \mp 2 s_a}{\max(J, J^{(1)})},\ -1,\
        \mathtt{max\_multiplier}\right),

    where :math:`J^{(1)}` is the loss of the first epoch: the signed Lagrangian
    :math:`J + \sum_a \lambda_a (J_a - J) / G`, normalised.

    The following keep it stable, also on unseen data (``docs/mitigation.md`` measures each of
    them, and the alternatives that were tried):

    - Only ratios of losses are used, and no row counts more than 50 times as much as one of a group
      with :math:`\lambda = 0`. An epoch changes a multiplier by at most ½, or half the violation
      if that is above 1. Fine-tuning starts with the multipliers of the dense training.
    - Noise is ignored: a difference counts only beyond two standard errors :math:`s_a` of the
      group's mean, and differences that are small relative to :math:`J^{(1)}` stay small.
    - The part that label rates explain is ignored, too (``explained="labels"``): a group of more
      mixed labels has a larger loss with any net. :math:`J_a - J` is replaced by
      :math:`J_a - (J / \bar H) H_a`, with :math:`H_a` the entropy of the labels of group a in the
      training rows, the loss of the best prediction from the group alone, and :math:`\bar H` its
      mean over the data. If the group is the label, both agree.
    - Rows count by draws and weights (``by="auto"``): those of a group are drawn more often until
      a batch holds two of them on average, and the rest of its factor weights their losses. Fewer
      rows give a noisy gradient, and rows that are drawn very often are memorized. If the
      constraint cannot control the draws (a ``sampler``, ``shuffle=False`` or an iterator of the
      user), losses are weighted only.
    - The final net is the average of the last epoch's weights, with more weight on later
      ones: gradient steps circle around a saddle point, while their average converges.

    Recommended together with `sk_prunefair.Distillation`; neither has a setting to choose.

    With ``violation="absolute"`` this is the authors' literal Lagrangian-dual method, by
    `sk_prunefair.constraints.lagrangian_dual`: the objective of a batch is
    :math:`J + \sum_a \lambda_a |J_a - J|`, and λ grows by η times the mean violation over the
    epoch's batches. Of the parameters after `violation`, ``max_accuracy_loss`` is used, and
    ``multipliers_from`` for the data that it is measured on; the others are not used.

    .. warning:: The literal multipliers only ever grow, and the noise of a small group's batch
       mean is itself a violation. With many groups or a large step accuracy falls to chance, or
       the losses become equal because every prediction is unsure.

    Parameters
    ----------
    phase : {"before", "after", "both"}, default="both"
        When the constraint is active: training of the dense net, fine-tuning, or both.
    step_size : float, default=0.5
        η, at least 0. With 0 the multipliers stay at zero; ``loss_gap`` is recorded all the same.
    violation : {"signed", "absolute"}, default="signed"
        Measure of a group's distance from the equal loss, see above.
    max_multiplier : float, default=4.0
        Bound on λ, above 0; a group with 4 counts as much as four groups of average size.
    multipliers_from : {"train", "valid"}, default="train"
        Losses that update the multipliers: those of the training batches during training, or those
        of the validation set from ``train_split``.
    max_accuracy_loss : float, default=None
        Largest accepted loss of accuracy of the best group, in [0, 1]; 0.02 is two points.
        "Best" is the group with the highest accuracy after any epoch since ``fit`` (by Wilson's
        lower bound), measured on the data that updates the multipliers. Steps become shorter as
        it loses accuracy; while its loss exceeds the limit, the multipliers are halved after
        each epoch, and if it still does at the end of training, a warning is raised. On data that
        the net can memorize, use ``multipliers_from="valid"``.
    by : {"auto", "resampling", "reweighting"}, default="auto"
        Whether groups are weighted by draws and weights, by draws only, or by weights only.
    average : bool, default=True
        Whether training ends with the average of the last epoch's weights, if there is more
        than one group, for any step size. ``history`` has the losses of the unaveraged weights.
        A callback that restores the best weights when the training ends, such as skorch's
        ``Checkpoint(load_best=True)``, does so afterwards, in any order of the callbacks.
    explained : {"labels", None}, default="labels"
        Differences that are ignored, see above. None is eq. 7 as printed; the literal method
        ignores it.

    Attributes
    ----------
    multipliers_ : pandas.Series
        λ by group. ``net.history`` has each epoch's largest minus smallest mean group loss as
        ``loss_gap`` and, with ``max_accuracy_loss``, what the best group lost as
        ``best_group_loss``.

    Examples
    --------
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = FairPrunedClassifier(
    ...     MLP,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=2,
    ...     callbacks=[("equal_loss", EqualLossConstraint())],
    ...     verbose=0,
    ... ).fit(digits.data, digits.target, sensitive_features=digits.target)
    >>> dict(clf.callbacks_)["equal_loss"].multipliers_.shape, len(clf.history[:, "loss_gap"])
    ((10,), 2)
    """

    # Distances in standard errors that are ignored: a group's noise is the same in every epoch.
    _noise = 2.0
    multipliers_: pd.Series | None
    first_loss_: float | None
    limit_: BestGroupLimit | None
    weight_average_: WeightAverage | None
    dual_: LagrangianDual | None
    factors_: RowFactors | None
    entropies_: npt.NDArray[np.float64] | None
    shares_: npt.NDArray[np.float64]
    record_: EpochRecord | None

    def __init__(
        self,
        phase: Phase = "both",
        step_size: float = 0.5,
        violation: Literal["signed", "absolute"] = "signed",
        max_multiplier: float = 4.0,
        multipliers_from: Literal["train", "valid"] = "train",
        max_accuracy_loss: float | None = None,
        by: By = "auto",
        average: bool = True,
        explained: Literal["labels"] | None = "labels",
    ) -> None:
        super().__init__(phase)
        self.step_size = step_size
        self.violation = violation
        self.max_multiplier = max_multiplier
        self.multipliers_from = multipliers_from
        self.max_accuracy_loss = max_accuracy_loss
        self.by = by
        self.average = average
        self.explained = explained

    def initialize(self) -> Any:
        """Check the parameters and reset the multipliers; called by every new ``fit``."""
        super().initialize()
        check_number("step_size", self.step_size, least=0)
        check_number("max_multiplier", self.max_multiplier, above=0)
        check_number("max_accuracy_loss", self.max_accuracy_loss, least=0, most=1, or_none=True)
        check_choice("violation", self.violation, ("signed", "absolute"))
        check_choice("by", self.by, ("auto", "resampling", "reweighting"))
        check_choice("explained", self.explained, ("labels", None))
        check_flag("average", self.average)
        check_choice("multipliers_from", self.multipliers_from, ("train", "valid"))
        for name in ("multipliers_", "first_loss_", "limit_"):
            self.add_state(name, None, lives="fit")
        for name in ("weight_average_", "dual_", "factors_", "record_", "entropies_"):
            self.add_state(name, None, lives="epoch")
        self.add_state("shares_", np.empty(0), lives="epoch")
        return self

    def check(self, net: TrainingNet) -> None:
        """Raise ValueError if the rows for the multipliers are missing, or have no groups."""
        if self.multipliers_from == "valid" and not net.may_have_validation_groups:
            raise ValueError(
                "multipliers_from='valid' needs a validation set with groups, but "
                f"train_split={net.train_split!r} makes none; use skorch.dataset.ValidSplit"
            )

    def on_train_begin(self, net: TrainingNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Set the multipliers to zero, unless an earlier training set them."""
        if self.multipliers_ is None or not self.multipliers_.index.equals(net.groups_):
            self.multipliers_ = pd.Series(0.0, index=net.groups_, name="multiplier")
            if self.max_accuracy_loss is not None:
                self.limit_ = BestGroupLimit(self.max_accuracy_loss)

    def on_epoch_begin(
        self, net: TrainingNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Copy this epoch's multipliers to the device of the losses."""
        measured = dataset_train if self.multipliers_from == "train" else dataset_valid
        has_groups = getattr(measured, "has_groups", False)
        if self.is_active(net) and not has_groups:
            raise ValueError(
                f"multipliers_from={self.multipliers_from!r} needs groups, but the validation set "
                f"of train_split={net.train_split!r} has none"
            )
        assert self.multipliers_ is not None
        n_groups = len(net.groups_)
        self.shares_ = group_shares(dataset_train, n_groups)
        if has_groups:
            sizes = group_sizes(measured, n_groups)
            self.record_ = EpochRecord(sizes, self.limit_ is not None, net.ranks)
        multipliers = self.multipliers_.to_numpy()
        if self.violation == "absolute":
            self.dual_ = LagrangianDual(multipliers, net.device, net.ranks)
            return
        if self.explained is not None and self.is_active(net):
            self.entropies_ = label_entropies(dataset_train, n_groups)
        factors = row_factors(multipliers, self.shares_)
        sizes = group_sizes(dataset_train, n_groups)
        size = rows_per_batch(net, len(dataset_train))
        self.factors_ = RowFactors(factors, self.by, sizes, size, net.device)
        if self.average and n_groups > 1 and self.is_active(net):
            self.weight_average_ = WeightAverage(net.module_)

    def draw_weights(self, net: TrainingNet, data: GroupDataset) -> torch.Tensor | None:
        """Return how often each row is drawn; None if all are drawn equally often."""
        return None if self.factors_ is None else self.factors_.draws(data.group[data.rows])

    def weights(self, net: TrainingNet, batch: dict[str, Any]) -> torch.Tensor | None:
        """Return the factor of each sample's group, divided by how often it is drawn."""
        if self.factors_ is None:
            return None
        return self.factors_.weights(batch["group"].to(net.device, non_blocking=True))

    def penalty(
        self, net: TrainingNet, losses: torch.Tensor, batch: dict[str, Any]
    ) -> torch.Tensor | None:
        """Return the penalty of the literal method, else None."""
        return None if self.dual_ is None else self.dual_.penalty(losses, batch)

    def on_batch_end(
        self, net: TrainingNet, batch: Any, training: bool, losses: Any, y_pred: Any, **kwargs: Any
    ) -> None:
        """Record the batch's losses, without synchronizing."""
        if self.record_ is not None and training == (self.multipliers_from == "train"):
            self.record_.add(losses, batch, y_pred)
        if training and self.dual_ is not None:
            self.dual_.end_batch()
        if training and self.weight_average_ is not None:
            self.weight_average_.update()

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Record the gap between the groups' mean losses and step the multipliers."""
        assert self.multipliers_ is not None
        record, limit = self.record_, self.limit_
        if record is None or not record.batches:
            # While the constraint is not active, groups or a validation set may be missing.
            net.history.record("loss_gap", np.nan)
            return
        net.history.record("loss_gap", record.gap)
        if limit is not None:
            self.limit_ = limit = limit.after(record.accuracies, record.sizes)
            net.history.record("best_group_loss", float(limit.fallen))
        if self.is_active(net):
            if limit is None or limit.is_kept:
                self._step(record.means, record.errors)
            else:
                self.multipliers_ = self.multipliers_ / 2

    def _step(
        self, means: npt.NDArray[np.float64], errors: npt.NDArray[np.float64] | float = 0.0
    ) -> None:
        assert self.multipliers_ is not None
        if self.dual_ is not None:
            step, bounds = self.dual_.step(self.step_size), self.dual_.bounds
        else:
            overall = overall_loss(means, self.shares_)
            if self.first_loss_ is None:
                self.first_loss_ = overall
            unexplained = means - explained_by_labels(overall, self.entropies_, self.shares_)
            noise = self._noise * errors
            step = multiplier_steps(unexplained, noise, overall, self.first_loss_, self.step_size)
            bounds = (-1.0, self.max_multiplier)
        slack = 1.0 if self.limit_ is None else self.limit_.slack
        self.multipliers_ = (self.multipliers_ + slack * step).clip(*bounds)

    def on_train_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Load the average, and warn if the best group lost too much."""
        if self.weight_average_ is not None:
            self.weight_average_.load()
        if self.limit_ is not None and self.is_active(net):
            self.limit_.warn(net.groups_)
