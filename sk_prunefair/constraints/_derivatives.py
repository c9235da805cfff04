"""The common part of the constraints on derivatives of the group losses (eq. 6)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from sk_prunefair import nested
from sk_prunefair.autodiff import flat_gradient
from sk_prunefair.checks import check_count, check_number
from sk_prunefair.constraints._autograd import (
    Layers,
    bounded,
    chosen_parameters,
    first_rows,
    flat_mask,
    group_weights,
)
from sk_prunefair.constraints.base import Constraint, Phase

if TYPE_CHECKING:
    from sk_prunefair.hooks import TrainingNet


class DerivativeConstraint(Constraint):
    """Push one number per group together, which is computed from derivatives of the group's loss.

    A subclass computes the numbers from the losses in `_group_values`, and defines in
    `_value_name` and `_history_key` the names under which they and their gap are recorded.

    Parameters
    ----------
    phase : {"before", "after", "both"}
        When the constraint is active.
    strength : float
        Factor of the penalty, at least 0; with 0 the numbers are only recorded.
    interval : int
        The penalty is computed every `interval` steps, and multiplied by `interval`.
    layers : int or "all"
        Weights that derivatives are taken with respect to.
    max_samples : int or None
        Rows per group and step, for a separate forward pass; None takes the batch's losses.
    max_ratio : float or None
        Bound on the length of the penalty's gradient relative to that of the loss.
    """

    takes_derivatives = True
    _value_name: str
    _history_key: str
    values_: pd.Series | None
    parameters_: list[nn.Parameter]
    mask_: torch.Tensor | None
    labels_: torch.Tensor | None
    step_values_: torch.Tensor | None
    epoch_: list[torch.Tensor]
    n_steps_: int

    def __init__(
        self,
        phase: Phase,
        strength: float,
        interval: int,
        layers: Layers,
        max_samples: int | None,
        max_ratio: float | None,
    ) -> None:
        super().__init__(phase)
        self.strength = strength
        self.interval = interval
        self.layers = layers
        self.max_samples = max_samples
        self.max_ratio = max_ratio

    def initialize(self) -> Any:
        """Check the parameters and reset the state; called by every new ``fit``."""
        super().initialize()
        check_number("strength", self.strength, least=0)
        check_count("interval", self.interval)
        if not (isinstance(self.layers, str) and self.layers == "all"):
            check_count("layers", self.layers, or_else=" or 'all'")
        if self.max_samples is not None:
            check_count("max_samples", self.max_samples, or_else=" or None")
        check_number("max_ratio", self.max_ratio, above=0, or_none=True)
        self.add_state("values_", None, lives="fit")
        self.add_state("parameters_", [])
        self.add_state("n_steps_", 0)
        self.add_state("epoch_", [], lives="epoch")
        for name in ("mask_", "labels_", "step_values_"):
            # A schedule may remove more weights before the first batch of an epoch.
            self.add_state(name, None, lives="epoch")
        return self

    def check(self, net: TrainingNet) -> None:
        """Raise ValueError if no weights are left to take derivatives with respect to."""
        chosen_parameters(net.module_, self.layers)

    def on_train_begin(self, net: TrainingNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Find the weights that derivatives are taken with respect to."""
        if self.is_active(net):
            named = chosen_parameters(net.module_, self.layers)
            self.parameters_ = list(named.values())

    def on_batch_begin(
        self, net: TrainingNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Keep the labels, which the separate forward pass needs."""
        self.labels_ = batch[1] if training else None
        self.step_values_ = None
        if self.mask_ is None and net.zeroed_ and self.is_active(net):
            named = chosen_parameters(net.module_, self.layers)
            self.mask_ = flat_mask(named, net.zeroed_)

    def penalty(
        self, net: TrainingNet, losses: torch.Tensor, batch: dict[str, Any]
    ) -> torch.Tensor | None:
        """Return the penalty of every ``interval``-th batch, else None."""
        if self.n_steps_ % self.interval:
            return None
        group = batch["group"]
        weight = batch.get("sample_weight", torch.ones(len(group), device=group.device))
        if self.max_samples is not None:
            rows = first_rows(group, self.max_samples)
            losses, group, weight = self._losses_of(net, batch, rows), group[rows], weight[rows]
        codes, shares = group_weights(group, weight)
        if not len(codes):
            return None
        shares = shares.to(losses)
        values = self._group_values(losses, shares, codes.tolist())
        record = torch.full((len(net.groups_),), torch.nan, device=values.device)
        self.step_values_ = record.index_copy(0, codes.to(values.device), values.detach().float())
        if not (self.strength and values.requires_grad):
            return None
        spread = (values - values.mean()).abs().mean()
        scale = values.detach().abs().mean().clamp(min=torch.finfo(values.dtype).tiny)
        weight = weight.to(losses)
        mean_loss = weight @ losses / weight.sum()
        level = mean_loss.detach().abs()
        penalty = self.strength * self.interval * level * spread / scale
        if self.max_ratio is None:
            return penalty
        return bounded(penalty, mean_loss, self.max_ratio, net.module_)

    def _losses_of(
        self, net: TrainingNet, batch: dict[str, Any], rows: torch.Tensor
    ) -> torch.Tensor:
        # The pass uses copies of the batch norm averages, so that these rows are not counted twice.
        buffers = {name: buffer.clone() for name, buffer in net.module_.named_buffers()}
        y = self.labels_
        assert y is not None
        X = nested.to(nested.take(batch["X"], rows), net.device, self.parameters_[0].dtype)
        args, kwargs = ((), dict(X)) if isinstance(X, Mapping) else ((X,), {})
        output = torch.func.functional_call(net.module_, buffers, args, kwargs)
        return net.sample_losses(output, y[rows].to(net.device))

    def _group_values(
        self, losses: torch.Tensor, shares: torch.Tensor, codes: list[int]
    ) -> torch.Tensor:
        """Return the number of each group, part of the graph.

        Row i of `shares` times the `losses` is the mean loss of the group ``codes[i]``.
        """
        raise NotImplementedError

    def _derivative(
        self, outputs: torch.Tensor, grad_outputs: torch.Tensor, create_graph: bool
    ) -> torch.Tensor:
        """Return ∇(outputs · grad_outputs) as a vector; zero for weights that are pruned.

        With losses and a group's shares it is its gradient; with a gradient and v, the Hessian
        times v.
        """
        flat = flat_gradient(
            outputs, self.parameters_, grad_outputs, create_graph=create_graph, retain_graph=True
        )
        return flat if self.mask_ is None else flat * self.mask_

    def on_batch_end(
        self, net: TrainingNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Keep the numbers of the step on their device, without synchronizing."""
        if not training:
            return
        self.n_steps_ += 1
        if self.step_values_ is not None:
            self.epoch_.append(self.step_values_)

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Record the relative gap between the groups' means over the epoch's steps."""
        gap = np.nan
        if self.n_steps_ and self.is_active(net):
            means = self._means(net)
            known = means[~np.isnan(means)]
            if known.size:
                gap = np.ptp(known).item() / max(abs(known.mean().item()), sys.float_info.min)
                self.values_ = pd.Series(means, index=net.groups_, name=self._value_name)
        net.history.record(self._history_key, float(gap))

    def _means(self, net: TrainingNet) -> npt.NDArray[np.float64]:
        """Return the mean of each group's numbers over the steps of all ranks."""
        none = torch.full((len(net.groups_),), torch.nan, device=net.device)
        steps = torch.stack([*self.epoch_, none]).cpu().double()
        total, count = net.ranks.sum(torch.stack([steps.nansum(0), (~steps.isnan()).sum(0)]))
        return (total / count).numpy()
