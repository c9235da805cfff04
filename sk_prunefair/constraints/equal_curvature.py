"""The equal-curvature constraint: equal top Hessian eigenvalues of the groups' losses."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from sk_prunefair.checks import check_count
from sk_prunefair.constraints._autograd import Layers, top_eigenvector
from sk_prunefair.constraints._derivatives import DerivativeConstraint
from sk_prunefair.constraints.base import Phase


class EqualCurvatureConstraint(DerivativeConstraint):
    r"""Push the top Hessian eigenvalues of all groups together: λ(H_a) = λ(H_b) for all a, b.

    A group whose loss is sharply curved at the dense net has a large excessive risk when weights
    are removed (Tran, Fioretto, Kim and Naidu, Theorem 1); this is the second half of their eq. 6.
    With the Hessian :math:`H_a = \nabla^2_\theta J_a` of each group's mean loss in the batch,
    weighted by the sample weights, a unit eigenvector :math:`v_a` of its largest (algebraic)
    eigenvalue, :math:`\lambda_a = v_a^\top H_a v_a`, and means over the groups in the batch, the
    objective gets

    .. math:: \text{strength} \cdot \bar J \cdot
        \frac{\operatorname{mean}_a |\lambda_a - \operatorname{mean}_b \lambda_b|}
             {\operatorname{mean}_b |\lambda_b|}

    where the mean loss :math:`\bar J` of the batch and the denominator count as constants, so that
    `strength` does not depend on the scale of the loss. The eigenvector counts as a constant
    too, as :math:`\partial\lambda/\partial\theta = v^\top (\partial H/\partial\theta) v`. It is
    computed by a few Lanczos iterations that start from the previous one.

    .. warning:: This is costly: each group in the batch needs two backward passes of its own, the
       penalty another through both, and a refresh `n_iter` Hessian-vector products. With ten groups
       and a small MLP, a step takes about 4 times as long as one without, and 20 to 25 times with
       ``layers="all"`` and ``interval=1`` (``benchmarks/speed/constraint_cost.py``).

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
        Number of weight tensors that derivatives are taken with respect to, counted from the last
        one in ``module.parameters()``, without biases and norms; "all" takes every parameter. The
        penalty itself trains the whole net. Frozen parameters are left out.
    max_samples : int, default=None
        At least 1: the penalty is computed from at most this many rows of each group in the batch,
        in a second forward pass; on small nets this saves little. None takes all rows,
        without a second pass.
    max_ratio : float, default=0.9
        Bound on the norm of the penalty's gradient, relative to that of the loss; a longer one is
        shortened; above 0. It keeps the loss dominant at a large `strength`.
        None sets no bound: the net may then collapse to equal predictions for all samples.
    refresh : int, default=10
        Number of penalties for which an eigenvector is used before it is updated, at least 1.
    n_iter : int, default=3
        Number of Hessian-vector products per update, at least 1.

    Attributes
    ----------
    eigenvalues_ : pandas.Series
        Mean of λ_a over the batches by group, in the last epoch in which the constraint acted; NaN
        for groups that were in no batch. The largest minus the smallest, relative to their
        mean, is recorded per epoch as ``curvature_gap`` in ``net.history``; NaN where none was
        computed.

    Notes
    -----
    The Hessians are those of a batch, with dropout on and batch norm using the batch's
    statistics, so that a group's Hessian depends on other groups' rows. With an outdated
    eigenvector λ_a is slightly too small. In a pruned net, only the remaining weights
    are used. The module must be three times differentiable, almost everywhere, and not compiled.

    References
    ----------
    C. Tran, F. Fioretto, J.-E. Kim, R. Naidu, "Pruning has a disparate impact on model accuracy",
    NeurIPS 2022.

    Examples
    --------
    >>> import torch
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair import EqualCurvatureConstraint
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = FairPrunedClassifier(
    ...     MLP,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=2,
    ...     callbacks=[("equal_curvature", EqualCurvatureConstraint())],
    ...     verbose=0,
    ...     random_state=0,
    ... ).fit(digits.data, digits.target, sensitive_features=digits.target)
    >>> dict(clf.callbacks_)["equal_curvature"].eigenvalues_.shape
    (10,)
    >>> len(clf.history[:, "curvature_gap"])
    2
    """

    eigenvectors_: dict[int, tuple[torch.Tensor, int]]
    _value_name = "eigenvalue"
    _history_key = "curvature_gap"

    def __init__(
        self,
        phase: Phase = "both",
        strength: float = 1.0,
        interval: int = 2,
        layers: Layers = 1,
        max_samples: int | None = None,
        max_ratio: float | None = 0.9,
        refresh: int = 10,
        n_iter: int = 3,
    ) -> None:
        super().__init__(phase, strength, interval, layers, max_samples, max_ratio)
        self.refresh = refresh
        self.n_iter = n_iter

    def initialize(self) -> Any:
        """Check the parameters and reset the state; called by every new ``fit``."""
        super().initialize()
        check_count("refresh", self.refresh)
        check_count("n_iter", self.n_iter)
        self.add_state("eigenvectors_", {})
        return self

    @property
    def eigenvalues_(self) -> pd.Series | None:
        """Mean top eigenvalue by group; None before the first epoch."""
        return self.values_

    def _group_values(
        self, losses: torch.Tensor, shares: torch.Tensor, codes: list[int]
    ) -> torch.Tensor:
        values = []
        for code, share in zip(codes, shares, strict=True):
            gradient = self._derivative(losses, share, create_graph=True)
            vector = self._eigenvector(code, gradient)
            image = self._derivative(gradient, vector, create_graph=self.strength > 0)
            values.append(vector @ image)
        return torch.stack(values)

    def _eigenvector(self, code: int, gradient: torch.Tensor) -> torch.Tensor:
        vector, n_uses = self.eigenvectors_.get(code, (None, 0))
        if vector is None or n_uses >= self.refresh:
            vector = top_eigenvector(
                lambda direction: self._derivative(gradient, direction, create_graph=False),
                self._random_vector(gradient) if vector is None else vector,
                self.n_iter,
            )
            n_uses = 0
        self.eigenvectors_[code] = (vector, n_uses + 1)
        return vector

    def _random_vector(self, like: torch.Tensor) -> torch.Tensor:
        # A separate generator, so that the constraint does not change which rows a batch holds.
        generator = torch.Generator().manual_seed(0)
        vector = torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
        return vector if self.mask_ is None else vector * self.mask_
