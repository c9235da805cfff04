"""Criteria that depend on the groups."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from torch import nn

from sk_prunefair.nested import split, take
from sk_prunefair.pruning.criteria import Scope, ScorePruner, without_excluded
from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.masks import Masks
from sk_prunefair.pruning.saliency import Tensors, gradients, scoring_copy
from sk_prunefair.pruning.sample_gradients import SampleGradients

# Bytes for the gradients of single samples that are held at once.
_CHUNK_BYTES = 2**26


@torch.enable_grad()
def group_importance(module: nn.Module, data: PruningData, include: Iterable[str] = ()) -> Tensors:
    r"""Return the importance of each weight for each group, as in FairGRAPE.

    It is :math:`\sum_b (\theta_i \, \partial J_{a,b} / \partial \theta_i)^2` over the batches b,
    with :math:`J_{a,b}` the mean loss of group a's samples of the batch.

    Parameters
    ----------
    module : torch.nn.Module
        The net; not changed.
    data : PruningData
        Data with groups.
    include : iterable of str, default=()
        As for `sk_prunefair.pruning.prunable_parameters`.

    Returns
    -------
    dict of str to torch.Tensor
        By parameter name, of shape (n_groups, ...) followed by the shape of the weight.

    Examples
    --------
    >>> net = nn.Linear(2, 2, bias=False)
    >>> X, y = torch.eye(2), torch.tensor([0, 0])
    >>> importance = group_importance(net, PruningData([(X, y, torch.tensor([0, 1]))]))["weight"]
    >>> (importance > 0)[:, 0]
    tensor([[ True, False],
            [False,  True]])
    """
    net, weights = scoring_copy(module, include)
    n_groups = len(data.group_sizes)
    total = {name: weight.new_zeros(n_groups, *weight.shape) for name, weight in weights.items()}
    for X, y, group in data.batches():
        for code in group.unique().tolist():
            rows = group == code
            found = gradients(data.losses(net, take(X, rows), y[rows]).mean(), weights)
            for name, gradient in found.items():
                total[name][code] += (weights[name].detach() * gradient).square()
    return total


class FairGrapePruner(BaseEstimator):
    """Keep each group's share of the importance, layer by layer.

    Each layer starts empty. Repeatedly, the group whose share of the kept importance is
    furthest below its share in the dense layer gets its most important remaining weight, until
    the layer is full (Lin, Kim and Joo, *FairGRAPE: fairness-aware gradient pruning method for
    face attribute classification*, ECCV 2022). The paper prunes in many small steps with training
    between them: see `sk_prunefair.pruning.IterativePruning`.

    Parameters
    ----------
    exclude, include : iterable of str, default=()
        As for `sk_prunefair.pruning.ScorePruner`.
    max_turns : int, default=10_000
        Largest number of turns per layer; if more weights are kept, a turn adds several.

    Examples
    --------
    >>> net = nn.Linear(2, 2, bias=False)
    >>> batch = torch.eye(2), torch.tensor([0, 0]), torch.tensor([0, 1])
    >>> FairGrapePruner().masks(net, 0.5, PruningData([batch]))["weight"].sum(0)
    tensor([1, 1])
    """

    needs_data = True

    def __init__(
        self,
        *,
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        max_turns: int = 10_000,
    ) -> None:
        self.exclude = exclude
        self.include = include
        self.max_turns = max_turns

    def masks(self, module: nn.Module, rate: float, data: PruningData | None = None) -> Masks:
        """Return masks that keep the groups' shares of the importance.

        Parameters
        ----------
        module : torch.nn.Module
            The dense net; not changed.
        rate : float
            Share of each layer's weights to remove, in [0, 1).
        data : PruningData
            Data with groups.

        Returns
        -------
        dict of str to torch.Tensor
            Boolean masks by parameter name, True where a weight is kept.

        Raises
        ------
        ValueError
            If a parameter of the pruner is malformed, there is no data, or an importance is NaN.
        """
        if data is None:
            raise ValueError("data must be given: FairGRAPE computes importance scores by group")
        if self.max_turns < 1:
            raise ValueError(f"max_turns must be at least 1, got {self.max_turns!r}")
        masks: Masks = {}
        importance = group_importance(module, data, self.include)
        for name, found in without_excluded(module, importance, self.exclude).items():
            by_group = found.flatten(1).double().cpu().numpy()
            if np.isnan(by_group).any():
                raise ValueError("the importance scores contain NaN; did the training diverge?")
            n_weights = by_group.shape[1]
            kept = _keep_shares(by_group, n_weights - round(rate * n_weights), self.max_turns)
            masks[name] = torch.from_numpy(kept).view(found.shape[1:]).to(found.device)
        return masks


def _keep_shares(
    importance: npt.NDArray[np.float64], n_kept: int, max_turns: int
) -> npt.NDArray[np.bool_]:
    """Return which weights are kept, for importances of shape (n_groups, n_weights)."""
    n_groups, n_weights = importance.shape
    kept = np.zeros(n_weights, dtype=bool)
    totals = importance.sum(axis=1)
    target = totals / (totals.sum() or 1.0)
    order = np.argsort(-importance, axis=1, kind="stable")
    place, have = np.zeros(n_groups, dtype=int), np.zeros(n_groups)
    per_turn = max(1, n_kept // max_turns)
    missing = n_kept
    while missing:
        shares = have / have.sum() if have.any() else np.full(n_groups, 1 / n_groups)
        needy = np.argmin(shares - target)
        chosen = order[needy, place[needy] : place[needy] + per_turn]
        place[needy] += per_turn
        chosen = chosen[~kept[chosen]][:missing]
        kept[chosen] = True
        have += importance[:, chosen].sum(axis=1)
        missing -= len(chosen)
    return kept


def _fairprune_scores(
    module: nn.Module, data: PruningData, beta: float, include: Iterable[str]
) -> Tensors:
    net, weights = scoring_copy(module, include)
    fixed = {name: weight.detach() for name, weight in weights.items()}
    sample_gradients = SampleGradients(net, data, fixed)
    bytes_each = sum(weight.numel() * weight.element_size() for weight in fixed.values())
    n_each = max(1, _CHUNK_BYTES // bytes_each)
    sizes = data.group_sizes
    curvature = {
        name: weight.new_zeros(len(sizes), *weight.shape) for name, weight in fixed.items()
    }
    losses = torch.zeros(len(sizes), dtype=torch.float64)
    for X, y, group in data.batches():
        parts = zip(split(X, n_each), y.split(n_each), group.split(n_each), strict=True)
        for x, label, code in parts:
            found, value = sample_gradients(x, label)
            losses.index_add_(0, code.cpu(), value.detach().double().cpu())
            for name, gradient in found.items():
                curvature[name].index_add_(0, code, gradient.square())
    present = sizes > 0
    factors = _group_factors((losses / sizes)[present], beta) / sizes[present]
    return {
        name: 0.5
        * weight.square()
        * torch.einsum(
            "a,a...->...", factors.to(weight), curvature[name][present.to(weight.device)]
        )
        for name, weight in fixed.items()
    }


def _group_factors(losses: torch.Tensor, beta: float) -> torch.Tensor:
    """Return factors that decrease with the loss; the negative ones sum to -beta times the others.

    For two groups they are 1 and -beta.
    """
    spread = losses.max() - losses.min()
    if spread == 0:
        return torch.ones_like(losses)
    linear = 1 - (1 + beta) * (losses.max() - losses) / spread
    if beta == 0:
        return linear
    # Otherwise many well predicted groups would outweigh the few others.
    helped, others = linear.clamp(min=0), linear.clamp(max=0)
    return helped - beta * helped.sum() * others / others.sum()


class FairPrunePruner(ScorePruner):
    r"""Remove weights that matter little to badly predicted groups and much to well predicted ones.

    The score of a weight is :math:`\tfrac12 \theta_i^2 \sum_a c_a h_{a,i}`, with h the second
    derivative of group a's mean loss: the increase of the groups' losses, to second order at a
    minimum, when the weight is removed. For two groups, :math:`c` is 1 for the one with the larger
    loss and -β for the other (Wu, Zeng, Xu, Shi and Hu, *FairPrune: achieving fairness through
    pruning for dermatological disease diagnosis*, MICCAI 2022). For more groups (our extension) it
    falls linearly with the groups' mean losses from 1 to negative values, which are scaled to sum
    to -β times the positive ones, so that weights that all groups need are kept.

    The second derivatives are approximated by the mean squared gradients of single samples (the
    empirical Fisher information), as true ones can be negative far from a minimum. Memory: the
    gradients of as many samples as fit in 64 MiB, or of one, and one set of weights per group.

    Parameters
    ----------
    beta : float, default=0.3
        β, in [0, 1]; 0 ignores the groups with a smaller loss.
    scope, exclude, include, min_kept
        As for `sk_prunefair.pruning.ScorePruner`.

    Examples
    --------
    >>> net = nn.Linear(2, 2, bias=False)
    >>> net.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.5]])
    >>> batch = torch.eye(2), torch.tensor([0, 1]), torch.tensor([0, 1])
    >>> FairPrunePruner().masks(net, 0.5, PruningData([batch]))["weight"]  # sample 1 is wrong
    tensor([[False,  True],
            [False,  True]])
    """

    needs_data = True

    def __init__(
        self,
        *,
        beta: float = 0.3,
        scope: Scope = "global",
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        min_kept: float = 0.0,
    ) -> None:
        self.beta = beta
        self.scope = scope
        self.exclude = exclude
        self.include = include
        self.min_kept = min_kept

    def score(self, module: nn.Module, data: PruningData) -> Tensors:
        """Return the increase of the groups' losses without each weight, weighted by group."""
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta must be in [0, 1], got {self.beta!r}")
        return _fairprune_scores(module, data, self.beta, self.include)
