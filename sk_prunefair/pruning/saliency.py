"""Criteria based on data: the change of the loss without a weight."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn

from sk_prunefair.pruning.criteria import Scope, ScorePruner
from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.masks import prunable_parameters

Tensors = dict[str, torch.Tensor]


def scoring_copy(module: nn.Module, include: Iterable[str] = ()) -> tuple[nn.Module, Tensors]:
    """Return a copy for gradients, in evaluation mode, and its prunable weights.

    Frozen weights are scored like all others, dropout is off, and batch norm uses its averages.

    Parameters
    ----------
    module : torch.nn.Module
        The net; not changed.
    include : iterable of str, default=()
        As for `sk_prunefair.pruning.prunable_parameters`.

    Returns
    -------
    copy : torch.nn.Module
        Only its prunable weights require gradients.
    weights : dict of str to torch.Tensor
        The prunable weights, by parameter name.
    """
    net = copy.deepcopy(module).eval().requires_grad_(False)
    weights: Tensors = dict(prunable_parameters(net, include))
    for weight in weights.values():
        weight.requires_grad_()
    return net, weights


def gradients(objective: torch.Tensor, weights: Tensors) -> Tensors:
    """Return the derivatives of a scalar by each weight; zeros if it does not depend on it."""
    parts = torch.autograd.grad(
        objective, list(weights.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(weights, parts, strict=True))


@torch.enable_grad()
def taylor_scores(module: nn.Module, data: PruningData, include: Iterable[str] = ()) -> Tensors:
    r"""Return :math:`|\theta_i \, \partial J / \partial \theta_i|` of each prunable weight.

    Parameters
    ----------
    module : torch.nn.Module
        The net; not changed.
    data : PruningData
        Data over which J, the mean loss, is computed.
    include : iterable of str, default=()
        As for `sk_prunefair.pruning.prunable_parameters`.

    Returns
    -------
    dict of str to torch.Tensor
        Scores by parameter name: to first order, the change of J without the weight.

    Examples
    --------
    >>> net = nn.Linear(1, 2, bias=False)
    >>> net.weight.data = torch.tensor([[3.0], [3.0]])
    >>> data = PruningData([(torch.ones(1, 1), torch.tensor([0]), torch.tensor([0]))])
    >>> taylor_scores(net, data)["weight"]
    tensor([[1.5000],
            [1.5000]])
    """
    net, weights = scoring_copy(module, include)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    n_samples = 0
    for X, y, _ in data.batches():
        for name, gradient in gradients(data.losses(net, X, y).sum(), weights).items():
            total[name] += gradient
        n_samples += len(y)
    return {name: (weights[name] * total[name] / n_samples).detach().abs() for name in weights}


class TaylorPruner(ScorePruner):
    r"""Remove the weights with the smallest :math:`|\theta_i \, \partial J / \partial \theta_i|`.

    To first order that is the change of the mean loss J when the weight is set to zero
    (Molchanov, Mallya, Tyree, Frosio and Kautz, *Importance estimation for neural network
    pruning*, CVPR 2019).

    Parameters
    ----------
    scope, exclude, include, min_kept
        As for `sk_prunefair.pruning.ScorePruner`.

    Examples
    --------
    >>> net = nn.Linear(2, 2, bias=False)
    >>> data = PruningData([(torch.tensor([[0.0, 1.0]]), torch.tensor([0]), torch.tensor([0]))])
    >>> TaylorPruner().masks(net, 0.5, data)["weight"]
    tensor([[False,  True],
            [False,  True]])
    """

    def __init__(
        self,
        *,
        scope: Scope = "global",
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        min_kept: float = 0.0,
    ) -> None:
        self.scope = scope
        self.exclude = exclude
        self.include = include
        self.min_kept = min_kept

    def score(self, module: nn.Module, data: PruningData) -> Tensors:
        """Return the scores of `taylor_scores`."""
        return taylor_scores(module, data, self.include)


class SnipPruner(ScorePruner):
    r"""Remove the weights with the smallest connection sensitivity at initialisation.

    The score is the connection sensitivity :math:`|\theta_i \, \partial J / \partial \theta_i|`
    at the initial weights (Lee, Ajanthan and Torr, *SNIP: single-shot network pruning based on
    connection sensitivity*, ICLR 2019). The kept weights have their trained values, unless
    `FairPrunedClassifier` has ``rewind_epoch=0``: then the sparse net is trained from
    initialisation, as in the paper.

    Parameters
    ----------
    scope, exclude, include, min_kept
        As for `sk_prunefair.pruning.ScorePruner`.

    Examples
    --------
    >>> initial, trained = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    >>> batch = torch.tensor([[0.0, 1.0]]), torch.tensor([0]), torch.tensor([0])
    >>> SnipPruner().masks(trained, 0.5, PruningData([batch], initial=initial))["weight"]
    tensor([[False,  True],
            [False,  True]])
    """

    needs_initial = True

    def __init__(
        self,
        *,
        scope: Scope = "global",
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        min_kept: float = 0.0,
    ) -> None:
        self.scope = scope
        self.exclude = exclude
        self.include = include
        self.min_kept = min_kept

    def score(self, module: nn.Module, data: PruningData) -> Tensors:
        """Return the scores of `taylor_scores` at initialisation."""
        if data.initial is None:
            raise ValueError(
                "pruner='snip' scores the net at initialisation, which was not kept: fit with this "
                "pruner, or give PruningData an initial net"
            )
        return taylor_scores(data.initial, data, self.include)
