"""The equal-loss constraint: every group's loss equals the loss over all the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from sk_prunefair.constraints.base import Constraint, Phase

if TYPE_CHECKING:
    from sk_prunefair.net import GroupNet


class EqualLossConstraint(Constraint):
    r"""Push the losses of all groups together: J(θ; D_a) = J(θ; D) for every group a.

    This is the mitigation of Tran, Fioretto, Kim and Naidu (eq. 7). Each group has a multiplier,
    updated once an epoch from the group's mean training loss.

    With ``violation="signed"``, the default, the multipliers are log-weights. A group's samples
    weigh :math:`w_a \propto e^{\lambda_a}`, scaled so that the mean weight over the data is 1, and

    .. math:: \lambda_a \leftarrow
        \operatorname{clip}(\lambda_a + \eta (J_a / J - 1), \pm\,\text{max\_log\_weight}).

    Only ratios of losses enter, so the step size does not depend on the scale of the loss, and
    the bounded weights cannot run away however large it is. Multipliers carry over from the
    dense training into the fine-tuning.

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
    step_size : float, default=0.2
        η, at least 0. With 0 the constraint only records ``loss_gap``.
    violation : {"signed", "absolute"}, default="signed"
        How a group's distance from the equal loss is measured, see above.
    max_log_weight : float, default=2.0
        Bound on the log-weights, above 0; 2 lets a group weigh 7.4 times its share at most,
        before scaling. Not used by ``violation="absolute"``.

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
    factors_: torch.Tensor | None
    batch_violation_: torch.Tensor | None

    def __init__(
        self,
        phase: Phase = "both",
        step_size: float = 0.2,
        violation: Literal["signed", "absolute"] = "signed",
        max_log_weight: float = 2.0,
    ) -> None:
        super().__init__(phase)
        self.step_size = step_size
        self.violation = violation
        self.max_log_weight = max_log_weight

    def initialize(self) -> EqualLossConstraint:
        """Check the parameters and forget the multipliers; a new ``fit`` calls this."""
        super().initialize()
        if not (np.isfinite(self.step_size) and self.step_size >= 0):
            raise ValueError(f"step_size must be a finite number >= 0, got {self.step_size!r}")
        if not (np.isfinite(self.max_log_weight) and self.max_log_weight > 0):
            raise ValueError(f"max_log_weight must be finite and > 0, got {self.max_log_weight!r}")
        if self.violation not in ("signed", "absolute"):
            raise ValueError(f"violation must be 'signed' or 'absolute', got {self.violation!r}")
        self.multipliers_ = None
        self._forget_epoch()
        return self

    def on_train_begin(self, net: GroupNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start the multipliers at zero, unless there are some from an earlier training."""
        if self.multipliers_ is None:
            self.multipliers_ = pd.Series(0.0, index=net.groups_, name="multiplier")
            self.shares_ = pd.Series(1 / len(net.groups_), index=net.groups_, name="share")
            self._remember_dense()

    def on_epoch_begin(self, net: GroupNet, **kwargs: Any) -> None:
        """Put this epoch's multipliers where the batches are."""
        self._forget_epoch()
        assert self.multipliers_ is not None
        factors = self.multipliers_.to_numpy(copy=True)
        if self.violation == "signed":
            weights = np.exp(factors)
            factors = weights / (self.shares_ @ weights)
        self.factors_ = torch.as_tensor(factors, dtype=torch.float32, device=net.device)

    def weights(self, net: GroupNet, batch: dict[str, Any]) -> torch.Tensor | None:
        """Return the weight of each sample's group; None for the literal method."""
        if self.violation == "absolute":
            return None
        assert self.factors_ is not None
        return self.factors_[batch["group"].to(net.device, non_blocking=True)]

    def penalty(
        self, net: GroupNet, losses: torch.Tensor, batch: dict[str, Any]
    ) -> torch.Tensor | None:
        """Return Σ λ_a |J_a − J| of the batch for the literal method, else None."""
        if self.violation == "signed":
            return None
        assert self.factors_ is not None
        group = batch["group"].to(losses.device, non_blocking=True)
        weight = batch.get("sample_weight", torch.ones(len(losses))).to(losses.device)
        none = torch.zeros_like(self.factors_)
        sums = none.index_add(0, group, weight * losses)
        sizes = none.index_add(0, group, weight)
        tiny = torch.finfo(sizes.dtype).tiny
        overall = sums.sum() / sizes.sum().clamp(min=tiny)
        distances = (sums / sizes.clamp(min=tiny) - overall).abs() * (sizes > 0)
        self.batch_violation_ = distances.detach()
        return self.factors_ @ distances

    def on_batch_end(
        self, net: GroupNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Keep the batch's losses; nothing is computed, so nothing waits for the device."""
        if not training:
            return
        self.epoch_.append((net.batch_losses_, batch[0]["group"], batch[0].get("sample_weight")))
        if self.batch_violation_ is not None:
            self.epoch_violations_.append(self.batch_violation_)

    def on_epoch_end(self, net: GroupNet, **kwargs: Any) -> None:
        """Record the gap between the groups' mean losses and step the multipliers."""
        losses, group, weight = self._epoch_columns()
        n_groups = len(net.groups_)
        sizes = np.bincount(group, weight, minlength=n_groups)
        present = sizes > 0
        sums = np.bincount(group, weight * losses, minlength=n_groups)
        means = sums[present] / sizes[present]
        net.history.record("loss_gap", float(np.ptp(means)))
        self.shares_[:] = sizes / sizes.sum()
        if self.is_active(net):
            self._step(means / (sums.sum() / sizes.sum()), present)
        if net.phase_ == "before":
            self._remember_dense()

    def _epoch_columns(self) -> tuple[npt.NDArray[Any], ...]:
        losses, groups, weights = zip(*self.epoch_, strict=True)
        loss = torch.cat(losses).cpu().numpy().astype(np.float64)
        weight = np.ones_like(loss) if weights[0] is None else torch.cat(weights).numpy()
        return loss, torch.cat(groups).numpy(), weight

    def on_train_end(self, net: GroupNet, **kwargs: Any) -> None:
        """Let go of the last epoch's tensors, so that they are not pickled with the net."""
        self._forget_epoch()

    def _step(
        self, relative_means: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]
    ) -> None:
        assert self.multipliers_ is not None
        if self.violation == "absolute":
            step = torch.stack(self.epoch_violations_).mean(0).cpu().numpy()
            bound = np.inf
        else:
            step = np.zeros(len(present))
            step[present] = relative_means - 1
            bound = self.max_log_weight
        # A diverged net has no finite losses to learn a multiplier from.
        step = np.where(np.isfinite(step), self.step_size * step, 0.0)
        self.multipliers_ = (self.multipliers_ + step).clip(-bound, bound)

    def rewind(self) -> None:
        """Go back to the multipliers at the end of the dense training."""
        if self.multipliers_ is not None:
            self.multipliers_, self.shares_ = (series.copy() for series in self.dense_)

    def _remember_dense(self) -> None:
        assert self.multipliers_ is not None
        self.dense_ = (self.multipliers_.copy(), self.shares_.copy())

    def _forget_epoch(self) -> None:
        self.factors_ = None
        self.batch_violation_ = None
        self.epoch_: list[tuple[Any, ...]] = []
        self.epoch_violations_: list[torch.Tensor] = []
