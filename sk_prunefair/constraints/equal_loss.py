"""The equal-loss constraint: every group's loss equals the loss over all the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from sk_prunefair.constraints.base import Constraint, Phase

if TYPE_CHECKING:
    from sk_prunefair.dataset import GroupDataset
    from sk_prunefair.net import GroupNet


class EqualLossConstraint(Constraint):
    r"""Push the losses of all groups together: J(θ; D_a) = J(θ; D) for every group a.

    This is the mitigation of Tran, Fioretto, Kim and Naidu (eq. 7). Each group has a multiplier,
    updated once an epoch from the mean loss of the group.

    With ``violation="signed"``, the default, a multiplier is the logarithm of how much more often
    than others a group is drawn: an epoch has as many draws as before, of which group a gets a
    share in proportion to :math:`e^{\lambda_a}` times its size, with

    .. math:: \lambda_a \leftarrow \operatorname{clip}\left(\lambda_a +
        \eta\,\frac{J_a - J}{\max(J, J^{(1)})},\ \pm\,\text{max\_log\_weight}\right),

    where :math:`J^{(1)}` is the loss of the first epoch. Four things make it stable. Only ratios
    of losses enter, so the step size does not depend on their scale. Bounded log-weights cannot run
    away. Differences between losses that have all become small, which are noise, move nothing:
    that is what :math:`J^{(1)}` is for. And multipliers carry over from the dense training into
    the fine-tuning. Drawing more often did better on held-out data than weighing more: see
    ``benchmarks/constraints.md``. Where the draws are not the constraint's to make (a ``sampler``,
    ``shuffle=False`` or an iterator of the user's own), losses are weighted by the same factor.

    With ``violation="absolute"`` this is the authors' literal Lagrangian-dual method: the batch
    objective is :math:`J + \sum_a \lambda_a |J_a - J|`, and
    :math:`\lambda_a \leftarrow \lambda_a + \eta\,\overline{|J_a - J|}` with the violation averaged
    over the epoch's batches.

    .. warning:: The literal multipliers only ever grow, and the noise of a small group's batch
       mean is itself a violation. With many groups or a large step the penalty drowns the loss:
       accuracy falls to chance, or the losses become equal because every prediction is unsure.

    Parameters
    ----------
    phase : {"before", "after", "both"}, default="both"
        When the constraint acts: training of the dense net, fine-tuning of the pruned net, both.
    step_size : float, default=0.5
        η, at least 0. With 0 the constraint only records ``loss_gap``.
    violation : {"signed", "absolute"}, default="signed"
        How a group's distance from the equal loss is measured, see above.
    max_log_weight : float, default=2.0
        Bound on the log-weights, above 0; with 2, no group is drawn more than e⁴ = 55 times as
        often as another of its size. Not used by ``violation="absolute"``.
    multipliers_from : {"train", "valid"}, default="train"
        Whose losses move the multipliers: those of the training batches, as they come, or those
        of the validation set that ``train_split`` makes.

    Attributes
    ----------
    multipliers_ : pandas.Series
        λ by group. Each epoch's largest minus smallest mean group loss stands as ``loss_gap`` in
        ``net.history``.

    References
    ----------
    C. Tran, F. Fioretto, J.-E. Kim, R. Naidu, "Pruning has a disparate impact on model accuracy",
    NeurIPS 2022.

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
    ...     callbacks=[("equal_loss", EqualLossConstraint())],
    ...     verbose=0,
    ...     random_state=0,
    ... ).fit(digits.data, digits.target, sensitive_features=digits.target)
    >>> dict(clf.callbacks_)["equal_loss"].multipliers_.shape
    (10,)
    >>> len(clf.history[:, "loss_gap"])
    2
    """

    multipliers_: pd.Series | None
    first_loss_: float | None
    factors_: torch.Tensor | None
    device_factors_: torch.Tensor | None
    batch_violation_: torch.Tensor | None

    def __init__(
        self,
        phase: Phase = "both",
        step_size: float = 0.5,
        violation: Literal["signed", "absolute"] = "signed",
        max_log_weight: float = 2.0,
        multipliers_from: Literal["train", "valid"] = "train",
    ) -> None:
        super().__init__(phase)
        self.step_size = step_size
        self.violation = violation
        self.max_log_weight = max_log_weight
        self.multipliers_from = multipliers_from

    def initialize(self) -> EqualLossConstraint:
        """Check the parameters and forget the multipliers; a new ``fit`` calls this."""
        super().initialize()
        if not (np.isfinite(self.step_size) and self.step_size >= 0):
            raise ValueError(f"step_size must be a finite number >= 0, got {self.step_size!r}")
        if not (np.isfinite(self.max_log_weight) and self.max_log_weight > 0):
            raise ValueError(f"max_log_weight must be finite and > 0, got {self.max_log_weight!r}")
        if self.violation not in ("signed", "absolute"):
            raise ValueError(f"violation must be 'signed' or 'absolute', got {self.violation!r}")
        if self.multipliers_from not in ("train", "valid"):
            raise ValueError(
                f"multipliers_from must be 'train' or 'valid', got {self.multipliers_from!r}"
            )
        self.multipliers_ = None
        self.first_loss_ = None
        self._forget_epoch()
        return self

    def on_train_begin(self, net: GroupNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start the multipliers at zero, unless there are some from an earlier training."""
        if self.multipliers_ is None:
            self.multipliers_ = pd.Series(0.0, index=net.groups_, name="multiplier")
            self._remember_dense()

    def on_epoch_begin(
        self, net: GroupNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Put this epoch's multipliers where the batches are."""
        if self.multipliers_from == "valid" and dataset_valid is None:
            raise ValueError("multipliers_from='valid' needs a validation set; train_split is None")
        self._forget_epoch()
        assert self.multipliers_ is not None
        self.shares_ = _shares(dataset_train, len(net.groups_))
        factors = self.multipliers_.to_numpy(copy=True)
        if self.violation == "signed":
            factors = np.exp(factors)
            factors /= self.shares_ @ factors
        self.factors_ = torch.as_tensor(factors, dtype=torch.float32)
        self.device_factors_ = self.factors_.to(net.device)

    def draw_weights(self, net: GroupNet, data: GroupDataset) -> torch.Tensor | None:
        """Return the factor of each row's group; None where all are equal, or never drawn by."""
        if self.violation == "absolute":
            return None
        self.is_drawn_ = True
        assert self.factors_ is not None
        if (self.factors_ == self.factors_[0]).all():
            return None
        return self.factors_[data.group[data.rows]]

    def weights(self, net: GroupNet, batch: dict[str, Any]) -> torch.Tensor | None:
        """Return the factor of each sample's group, where it was not drawn by that already."""
        if self.violation == "absolute" or self.is_drawn_:
            return None
        assert self.device_factors_ is not None
        return self.device_factors_[batch["group"].to(net.device, non_blocking=True)]

    def penalty(
        self, net: GroupNet, losses: torch.Tensor, batch: dict[str, Any]
    ) -> torch.Tensor | None:
        """Return Σ λ_a |J_a − J| of the batch for the literal method, else None."""
        if self.violation == "signed":
            return None
        assert self.device_factors_ is not None
        group = batch["group"].to(losses.device, non_blocking=True)
        weight = batch.get("sample_weight", torch.ones(len(losses))).to(losses.device)
        none = torch.zeros_like(self.device_factors_)
        sums = none.index_add(0, group, weight * losses)
        sizes = none.index_add(0, group, weight)
        tiny = torch.finfo(sizes.dtype).tiny
        overall = sums.sum() / sizes.sum().clamp(min=tiny)
        distances = (sums / sizes.clamp(min=tiny) - overall).abs() * (sizes > 0)
        self.batch_violation_ = distances.detach()
        return self.device_factors_ @ distances

    def on_batch_end(
        self, net: GroupNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Keep the batch's losses; nothing is computed, so nothing waits for the device."""
        if training == (self.multipliers_from == "train"):
            rows = (net.batch_losses_, batch[0]["group"], batch[0].get("sample_weight"))
            self.epoch_.append(rows)
        if training and self.batch_violation_ is not None:
            self.epoch_violations_.append(self.batch_violation_)

    def on_epoch_end(self, net: GroupNet, **kwargs: Any) -> None:
        """Record the gap between the groups' mean losses and step the multipliers."""
        means = self._group_means(len(net.groups_))
        net.history.record("loss_gap", float(np.nanmax(means) - np.nanmin(means)))
        if self.is_active(net):
            self._step(means)
        if net.phase_ == "before":
            self._remember_dense()

    def _group_means(self, n_groups: int) -> npt.NDArray[np.float64]:
        """Return the mean loss of each group over the epoch, NaN for a group without samples."""
        losses, groups, weights = zip(*self.epoch_, strict=True)
        loss = torch.cat(losses).cpu().numpy().astype(np.float64)
        group = torch.cat(groups).numpy()
        weight = np.ones_like(loss) if weights[0] is None else torch.cat(weights).numpy()
        sizes = np.bincount(group, weight, minlength=n_groups)
        sums = np.bincount(group, weight * loss, minlength=n_groups)
        return np.divide(sums, sizes, out=np.full(n_groups, np.nan), where=sizes > 0)

    def _step(self, means: npt.NDArray[np.float64]) -> None:
        assert self.multipliers_ is not None
        if self.violation == "absolute":
            step = torch.stack(self.epoch_violations_).mean(0).cpu().numpy()
            bound = np.inf
        else:
            seen = np.isfinite(means)
            overall = np.average(means[seen], weights=self.shares_[seen]) if seen.any() else 0.0
            if self.first_loss_ is None:
                self.first_loss_ = overall
            scale = max(overall, self.first_loss_)
            step = (means - overall) / scale if scale > 0 else np.zeros_like(means)
            bound = self.max_log_weight
        # Absent groups, and nets that diverged, have no finite loss to learn a multiplier from.
        step = np.where(np.isfinite(step), self.step_size * step, 0.0)
        self.multipliers_ = (self.multipliers_ + step).clip(-bound, bound)

    def on_train_end(self, net: GroupNet, **kwargs: Any) -> None:
        """Let go of the last epoch's tensors, so that they are not pickled with the net."""
        self._forget_epoch()

    def rewind(self) -> None:
        """Go back to the multipliers at the end of the dense training."""
        if self.multipliers_ is not None:
            self.multipliers_, self.first_loss_ = self.dense_[0].copy(), self.dense_[1]

    def _remember_dense(self) -> None:
        assert self.multipliers_ is not None
        self.dense_ = (self.multipliers_.copy(), self.first_loss_)

    def _forget_epoch(self) -> None:
        self.factors_ = self.device_factors_ = self.batch_violation_ = None
        self.is_drawn_ = False
        self.epoch_: list[tuple[Any, ...]] = []
        self.epoch_violations_: list[torch.Tensor] = []


def _shares(data: GroupDataset, n_groups: int) -> npt.NDArray[np.float64]:
    weights = None if data.sample_weight is None else data.sample_weight[data.rows].numpy()
    sizes = np.bincount(data.group[data.rows].numpy(), weights, minlength=n_groups)
    return sizes / sizes.sum()
