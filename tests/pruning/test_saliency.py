"""Criteria that look at data, against loops over single weights and samples."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.pruning import (
    FairGrapePruner,
    FairPrunePruner,
    PruningData,
    ScorePruner,
    SnipPruner,
    TaylorPruner,
    get_pruner,
    prunable_parameters,
    sparsity,
)
from sk_prunefair.pruning.group_aware import _group_factors, group_importance
from sk_prunefair.pruning.saliency import taylor_scores
from tests.conftest import classifier

DATA_DRIVEN = ["taylor", "snip", "fairgrape", "fairprune"]


def small_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    net[1].running_mean += 0.3
    return net


def small_data(n_samples=40, batch_size=16, n_groups=3, **kwargs):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(n_samples, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (n_samples,), generator=generator)
    group = torch.randint(n_groups, (n_samples,), generator=generator)
    parts = [t.split(batch_size) for t in (X, y, group)]
    return X, y, group, PruningData(list(zip(*parts, strict=True)), **kwargs)


def gradient_of(net, X, y):
    """Return the gradient of the mean loss over some samples, by parameter name."""
    net = copy.deepcopy(net).eval()
    nn.functional.cross_entropy(net(X), y).backward()
    return {name: value.grad for name, value in prunable_parameters(net).items()}


def test_taylor_scores_are_weight_times_gradient_of_the_mean_loss():
    net, (X, y, _, data) = small_net(), small_data()
    expected = gradient_of(net, X, y)
    for name, score in taylor_scores(net, data).items():
        truth = (net.get_parameter(name) * expected[name]).abs()
        torch.testing.assert_close(score, truth, rtol=1e-10, atol=1e-14)


def test_taylor_scores_are_what_the_loss_changes_by_to_first_order():
    net, (X, y, _, data) = small_net(), small_data()
    score = taylor_scores(net, data)["3.weight"][1, 2].item()
    shrunk, step = copy.deepcopy(net).eval(), 1e-5
    before = nn.functional.cross_entropy(shrunk(X), y)
    shrunk[3].weight.data[1, 2] *= 1 - step
    change = (nn.functional.cross_entropy(shrunk(X), y) - before).item()
    assert abs(change) / step == pytest.approx(score, rel=1e-3)


def test_snip_of_a_trained_net_looks_at_the_initial_one():
    trained, (_, _, _, data) = small_net(), small_data(initial=small_net())
    trained[0].weight.data += 1.0
    masks = SnipPruner().masks(trained, 0.5, data)
    expected = TaylorPruner().masks(data.initial, 0.5, data)
    other = TaylorPruner().masks(trained, 0.5, data)
    assert all(torch.equal(masks[name], expected[name]) for name in masks)
    assert any(not torch.equal(masks[name], other[name]) for name in masks)
    with pytest.raises(ValueError, match="net at initialisation, which was not kept"):
        SnipPruner().masks(trained, 0.5, small_data()[3])


# --------------------------------------------------------------- group-aware


def naive_importance(net, data, n_groups):
    total = {name: [0.0] * n_groups for name in prunable_parameters(net)}
    for X, y, group in data.batches():
        for a in range(n_groups):
            if (group == a).any():
                found = gradient_of(net, X[group == a], y[group == a])
                for name, gradient in found.items():
                    product = net.get_parameter(name).detach() * gradient
                    total[name][a] = total[name][a] + product**2
    return {name: torch.stack(parts) for name, parts in total.items()}


def naive_fairgrape(importance, n_kept):
    """Hand out one weight at a time, in plain lists."""
    groups = range(len(importance))
    total = sum(map(sum, importance))
    target = [sum(importance[a]) / total for a in groups]
    have, chosen = [0.0 for _ in groups], []
    while len(chosen) < n_kept:
        have_all = sum(have)
        lack = [target[a] - (have[a] / have_all if have_all else 1 / len(have)) for a in groups]
        needy = lack.index(max(lack))
        left = [i for i in range(len(importance[0])) if i not in chosen]
        best = max(left, key=lambda i: importance[needy][i])
        chosen.append(best)
        have = [have[a] + importance[a][best] for a in groups]
    return sorted(chosen)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8, 0.999])
def test_fairgrape_any_rate_equals_the_naive_one(rate):
    net, (_, _, _, data) = small_net(), small_data()
    importance = naive_importance(net, data, 3)
    for name, found in group_importance(net, data).items():
        torch.testing.assert_close(found, importance[name], rtol=1e-10, atol=1e-16)
    for name, mask in FairGrapePruner().masks(net, rate, data).items():
        expected = naive_fairgrape(
            importance[name].flatten(1).tolist(), mask.numel() - round(rate * mask.numel())
        )
        assert mask.flatten().nonzero().flatten().tolist() == expected


def test_fairgrape_weights_of_the_few_keep_shares_that_taylor_loses():
    # Everything matters to the many but the last weights, which alone matter to the few.
    generator = torch.Generator().manual_seed(0)
    net = nn.Linear(40, 2, bias=False).double()
    X = torch.rand(100, 40, generator=generator, dtype=torch.float64)
    group = (torch.arange(100) >= 90).long()
    X[group == 0, 20:] = 0
    X[group == 1, :20] = 0
    X[group == 1] *= 0.2
    data = PruningData([(X, torch.zeros(100, dtype=torch.int64), group)])
    importance = group_importance(net, data)["weight"]
    target = importance.sum((1, 2)) / importance.sum()
    error = {}
    for name in ("taylor", "fairgrape"):
        mask = get_pruner(name).masks(net, 0.9, data)["weight"]
        kept = (importance * mask).sum((1, 2))
        error[name] = float((kept / kept.sum() - target).abs().max())
    assert error["fairgrape"] < 0.5 * error["taylor"]


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("n_groups", [1, 2, 5])
def test_fairprune_any_beta_and_groups_equals_the_naive_one(beta, n_groups):
    net, (X, y, group, data) = small_net(), small_data(n_groups=n_groups)
    losses, fisher = [], []
    for a in range(n_groups):
        rows = (group == a).nonzero().flatten().tolist()
        each = [gradient_of(net, X[i : i + 1], y[i : i + 1]) for i in rows]
        fisher.append({k: sum(g[k] ** 2 for g in each) / len(rows) for k in each[0]})
        output = copy.deepcopy(net).eval()(X[rows])
        losses.append(nn.functional.cross_entropy(output, y[rows]).item())
    factors = np.ones(n_groups)
    if n_groups > 1:
        factors = np.interp(losses, [min(losses), max(losses)], [-beta, 1])
    if beta > 0 and n_groups > 1:
        negative = factors < 0
        factors[negative] *= beta * factors[~negative].sum() / -factors[negative].sum()
        assert factors.sum() == pytest.approx((1 - beta) * factors[~negative].sum())
    for name, score in FairPrunePruner(beta=beta).score(net, data).items():
        mixed = sum(c * f[name] for c, f in zip(factors, fisher, strict=True))
        truth = 0.5 * net.get_parameter(name).detach() ** 2 * mixed
        torch.testing.assert_close(score, truth, rtol=1e-8, atol=1e-14)


def test_fairprune_weight_that_all_groups_need_is_kept():
    """One group is badly served, nine are not; the first weight matters to all of them alike."""
    net = nn.Linear(2, 2, bias=False).double()
    net.weight.data = torch.tensor([[2.0, 0.01], [-2.0, -0.01]], dtype=torch.float64)
    X = torch.ones(20, 2, dtype=torch.float64)
    group = torch.arange(20) % 10
    # Half of each group is wrong, so that all gradients are alike; the first group has an outlier.
    y = (torch.arange(20) >= 10).long()
    X[0] *= 1.1
    losses = torch.tensor([1.0, *[0.0] * 9], dtype=torch.float64)
    assert _group_factors(losses, 0.3).tolist() == pytest.approx([1, *[-0.3 / 9] * 9])
    assert _group_factors(losses[:2], 0.3).tolist() == pytest.approx([1, -0.3])
    mask = FairPrunePruner().masks(net, 0.5, PruningData([(X, y, group)]))["weight"]
    assert mask.tolist() == [[True, False], [True, False]]


def test_group_aware_pruners_empty_group_changes_nothing():
    net, (X, y, group, data) = small_net(), small_data(n_groups=2)
    moved = PruningData([(X, y, group * 2)])  # group 1 is empty now, group 2 is what it was
    plain = PruningData([(X, y, group)])
    for name in ("fairgrape", "fairprune"):
        one, two = (get_pruner(name).masks(net, 0.5, d) for d in (plain, moved))
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert data.group_sizes.tolist() == plain.group_sizes.tolist()


# ------------------------------------------------------------ what all share


@pytest.mark.parametrize("name", DATA_DRIVEN)
@pytest.mark.parametrize("rate", [0.0, 0.37, 0.999])
def test_saliency_pruners_remove_the_exact_share_and_leave_the_net_alone(name, rate):
    net, (_, _, _, data) = small_net(), small_data(initial=small_net())
    net[0].weight.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        masks = get_pruner(name).masks(net, rate, data)
    n_weights = [mask.numel() for mask in masks.values()]
    if name == "fairgrape":
        removed = sum(round(rate * n) for n in n_weights)
    else:
        removed = round(rate * sum(n_weights))
    assert sparsity(masks) == pytest.approx(removed / sum(n_weights), abs=1e-12)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.training
    assert all(value.grad is None for value in net.parameters())
    assert not net[0].weight.requires_grad


@pytest.mark.parametrize("name", DATA_DRIVEN)
def test_saliency_pruners_tied_weights_are_scored_once(name):
    net = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)).double()
    net[1].weight = net[0].weight
    data = small_data(initial=net)[3]
    masks = get_pruner(name).masks(net, 0.4, data)
    assert list(masks) == ["0.weight"]
    assert int(masks["0.weight"].sum()) == 15


@pytest.mark.parametrize("name", DATA_DRIVEN)
def test_saliency_pruners_in_the_classifier_remove_their_share(name, digits):
    X, y, group = digits
    kwargs = {"sensitive_features": group}
    clf = classifier(pruner=name, prune_rate=0.8, finetune_epochs=1).fit(X, y, **kwargs)
    assert clf.sparsity_ == pytest.approx(0.8, abs=2e-3)
    weight = next(iter(clf.masks_))
    assert not clf.module_.get_parameter(weight)[~clf.masks_[weight]].any()
    before = clf.masks_
    with pytest.raises(ValueError, match=f"pruner='{name}' scores the weights on data: pass X"):
        clf.prune(0.5)
    assert clf.masks_ is before
    with pytest.raises(ValueError, match="requires y"):
        clf.prune(0.5, X, recalibrate=True)
    clf.prune(0.0)
    assert clf.sparsity_ == 0.0


def test_classifier_function_of_net_and_data_is_a_criterion(digits):
    X, y, group = digits
    seen = []

    def score(module, data):
        seen.append((len(data.group_sizes), data.example.shape))
        return taylor_scores(module, data)

    clf = classifier(pruner=score).fit(X, y, sensitive_features=group)
    clf.prune(0.5, X, y, sensitive_features=group)
    assert seen == [(2, (1, 64))]
    other = classifier(pruner="taylor").fit(X, y, sensitive_features=group)
    other.prune(0.5, X, y, sensitive_features=group)
    assert all(torch.equal(mask, other.masks_[name]) for name, mask in clf.masks_.items())


def test_snip_set_after_fit_raises(fitted, digits):
    X, y, group = digits
    fitted.set_params(pruner="snip")
    with pytest.raises(ValueError, match="fit with this pruner"):
        fitted.prune(0.5, X, y, sensitive_features=group)


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        (TaylorPruner(scope="all"), "scope must be"),
        (TaylorPruner(exclude=["head"]), "exclude must name"),
        (FairGrapePruner(exclude="0"), "exclude must be a list"),
        (FairGrapePruner(max_turns=0), "max_turns must be at least 1, got 0"),
        (FairPrunePruner(beta=1.5), r"beta must be in \[0, 1\], got 1\.5"),
    ],
)
def test_saliency_pruners_bad_parameters_raise(pruner, message):
    with pytest.raises(ValueError, match=message):
        pruner.masks(small_net(), 0.5, small_data()[3])


@pytest.mark.parametrize("pruner", [TaylorPruner(), FairGrapePruner(), FairPrunePruner()])
def test_saliency_pruners_no_data_or_diverged_net_raises(pruner):
    with pytest.raises(ValueError, match="data must be given"):
        pruner.masks(small_net(), 0.5)
    net = small_net()
    net[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="contain NaN"):
        pruner.masks(net, 0.5, small_data()[3])


def test_pruning_data_iterator_raises():
    with pytest.raises(ValueError, match="iterated only once"):
        PruningData(iter([]))
    assert ScorePruner(lambda net, data, scale=1: {}).needs_data
    assert not ScorePruner(lambda net, *, scale=1: {}).needs_data


def test_taylor_scores_of_weights_that_the_loss_does_not_depend_on_are_zero():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(5, 3).double(), nn.Linear(5, 3).double()

        def forward(self, X):
            return self.used(X)

    scores = taylor_scores(Unused(), small_data()[3])
    assert (scores["unused.weight"] == 0).all()
    assert (scores["used.weight"] > 0).all()
