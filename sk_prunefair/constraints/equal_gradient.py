"""The equal-gradient constraint: equal gradient norms of the groups' losses."""

from __future__ import annotations

import pandas as pd
import torch

from sk_prunefair.constraints._autograd import Layers
from sk_prunefair.constraints._derivatives import DerivativeConstraint
from sk_prunefair.constraints.base import Phase


class EqualGradientConstraint(DerivativeConstraint):
    r"""Push the gradient norms of all groups together: ‖g_a‖ = ‖g_b‖ for all groups a, b.

    A group whose loss has a large gradient at the dense net has a large excessive risk when
    weights are removed (Tran, Fioretto, Kim and Naidu, Theorem 1); this is the first half of
    their eq. 6. With the mean loss :math:`J_a` of each group in the batch, weighted by the sample
    weights, :math:`g_a = \nabla_\theta J_a` and means over the groups in the batch, the objective
    gets

    .. math:: \text{strength} \cdot \bar J \cdot
        \frac{\operatorname{mean}_a \bigl|\|g_a\| - \operatorname{mean}_b \|g_b\|\bigr|}
             {\operatorname{mean}_b \|g_b\|}

    where the mean loss :math:`\bar J` of the batch and the denominator count as constants: scaling
    the loss scales the penalty alike, so `strength` does not depend on the scale of the loss. The
    penalty is differentiated through the gradients (double backward).

    .. warning:: This is costly: each group in the batch needs a backward pass of its own, and the
       penalty another through each. With ten groups and a small MLP, a step takes 2.5 to 3 times
       as long as one without, and 7 to 9 times with ``layers="all"`` and ``interval=1``
       (``benchmarks/speed/constraint_cost.py``).

    Parameters
    ----------
    phase : {"before", "after", "both"}, default="both"
        When the constraint is active: training of the dense net, fine-tuning, or both.
    strength : float, default=1.0
        Weight of the penalty relative to the loss, at least 0. Beyond about 1 the gradient of the
        penalty is limited by `max_ratio`. With 0 the constraint only records.
    interval : int, default=2
        Number of steps from one computation of the penalty to the next, at least 1. It is
        multiplied by `interval`, so that its mean over the steps stays the same, as far as
        `max_ratio` allows.
    layers : int or "all", default=1
        Number of weight tensors that gradients are taken with respect to, counted from the last one
        in ``module.parameters()``, without biases and norms; "all" takes every parameter. The
        penalty itself trains the whole net. Frozen parameters are left out.
    max_samples : int, default=None
        At least 1: the penalty is computed from at most this many rows of each group in the batch,
        in a second forward pass; on small nets this saves little. None takes all rows,
        without a second pass.
    max_ratio : float, default=0.9
        Bound on the norm of the penalty's gradient, relative to that of the loss; a longer one is
        shortened; above 0. It keeps the loss dominant at a large `strength`.
        None sets no bound: the net may then collapse to equal predictions for all samples.

    Attributes
    ----------
    gradient_norms_ : pandas.Series
        Mean batch gradient norm by group in the last epoch in which the constraint acted; NaN for
        groups that were in no batch. The largest minus the smallest, relative to their mean,
        is recorded per epoch as ``gradient_norm_gap`` in ``net.history``; NaN where none was
        computed.

    Notes
    -----
    The gradients are those of a batch, with dropout on and batch norm using the batch's
    statistics, so that a group's gradient depends on other groups' rows. Gradients of few rows are
    noisy, and their norms too large: in small batches the gradient norms of small groups are
    overestimated. In a pruned net, only the remaining weights are used. The module must be twice
    differentiable and not compiled.

    References
    ----------
    C. Tran, F. Fioretto, J.-E. Kim, R. Naidu, "Pruning has a disparate impact on model accuracy",
    NeurIPS 2022.

    Examples
    --------
    >>> import torch
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair import EqualGradientConstraint
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = FairPrunedClassifier(
    ...     MLP,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=2,
    ...     callbacks=[("equal_gradient", EqualGradientConstraint())],
    ...     verbose=0,
    ...     random_state=0,
    ... ).fit(digits.data, digits.target, sensitive_features=digits.target)
    >>> dict(clf.callbacks_)["equal_gradient"].gradient_norms_.shape
    (10,)
    >>> len(clf.history[:, "gradient_norm_gap"])
    2
    """

    _value_name = "gradient_norm"
    _history_key = "gradient_norm_gap"

    def __init__(
        self,
        phase: Phase = "both",
        strength: float = 1.0,
        interval: int = 2,
        layers: Layers = 1,
        max_samples: int | None = None,
        max_ratio: float | None = 0.9,
    ) -> None:
        super().__init__(phase, strength, interval, layers, max_samples, max_ratio)

    @property
    def gradient_norms_(self) -> pd.Series | None:
        """Mean batch gradient norm by group; None before the first epoch."""
        return self.values_

    def _group_values(
        self, losses: torch.Tensor, shares: torch.Tensor, codes: list[int]
    ) -> torch.Tensor:
        gradients = (self._derivative(losses, s, self.strength > 0) for s in shares)
        # The derivative of vector_norm at zero is zero, not NaN.
        return torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
