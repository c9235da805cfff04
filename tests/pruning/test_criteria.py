"""Masks against numpy arrays worked out by hand, and what counts as a weight."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.pruning import (
    MagnitudePruner,
    RandomPruner,
    ScorePruner,
    apply_masks,
    get_pruner,
    keep_largest,
    prunable_parameters,
    sparsity,
)
from tests.conftest import classifier


def naive_masks(scores, rate):
    """Remove the smallest scores one by one, the first of equals first."""
    ranked = sorted((v, place, i) for place, s in enumerate(scores) for i, v in np.ndenumerate(s))
    masks = [np.ones(s.shape, dtype=bool) for s in scores]
    for _, place, index in ranked[: round(rate * len(ranked))]:
        masks[place][index] = False
    return masks


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("n_levels", [3, 1000])
def test_keep_largest_with_ties_equals_the_naive_masks(rate, n_levels):
    rng = np.random.default_rng(0)
    scores = [rng.integers(0, n_levels, shape) / 7 for shape in ((5, 4), (3, 2, 2), (1, 40))]
    masks = keep_largest({str(i): torch.tensor(s) for i, s in enumerate(scores)}, rate)
    for mask, expected in zip(masks.values(), naive_masks(scores, rate), strict=True):
        np.testing.assert_array_equal(mask.numpy(), expected)


def test_magnitude_growing_rates_give_nested_masks():
    net = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10))
    masks = [MagnitudePruner().masks(net, rate) for rate in (0.2, 0.5, 0.9)]
    for larger, smaller in itertools.pairwise(masks):
        for name in larger:
            assert (larger[name] | ~smaller[name]).all()


def test_prunable_parameters_of_many_layers_are_weights_alone():
    net = nn.ModuleDict(
        {
            "conv": nn.Conv2d(3, 4, 3),
            "batch": nn.BatchNorm2d(4),
            "layer": nn.LayerNorm((4, 4)),
            "lstm": nn.LSTM(4, 5),
            "attention": nn.MultiheadAttention(4, 2),
            "embedding": nn.Embedding(7, 4),
        }
    )
    assert set(prunable_parameters(net)) == {
        "conv.weight",
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "embedding.weight",
    }


def test_magnitude_tied_weights_count_once():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[1].weight = net[0].weight
    masks = MagnitudePruner().masks(net, 0.5)
    apply_masks(net, masks)
    assert list(masks) == ["0.weight"]
    assert sparsity(masks) == 0.5
    assert int((net[1].weight == 0).sum()) == 8


def test_apply_masks_masked_nan_becomes_zero():
    net = nn.Linear(2, 1)
    net.weight.data[:] = torch.tensor([float("nan"), -1.0])
    apply_masks(net, {"weight": torch.tensor([[False, False]])})
    assert net.weight.tolist() == [[0.0, 0.0]]
    assert not torch.signbit(net.weight).any()


class FirstLayerOnly:
    def masks(self, module, rate):
        name, weight = next(iter(prunable_parameters(module).items()))
        return keep_largest({name: weight.abs()}, rate)


def test_classifier_pruner_of_the_users_is_used(digits):
    X, y, group = digits
    clf = classifier(pruner=FirstLayerOnly(), prune_rate=0.5).fit(X, y, sensitive_features=group)
    assert list(clf.masks_) == ["layers.1.weight"]
    assert clf.sparsity_ == 0.5
    assert isinstance(get_pruner("magnitude"), MagnitudePruner)


def test_magnitude_frozen_weights_are_pruned_too():
    net = nn.Linear(4, 1).requires_grad_(False)
    assert sparsity(MagnitudePruner().masks(net, 0.5)) == 0.5


def small_net():
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10), nn.Linear(10, 3))
    # The last layer is small in size and in weights: it would die first.
    net[3].weight.data *= 1e-3
    return net


@pytest.mark.parametrize("rate", [0.0, 0.33, 0.9, 0.999])
def test_layer_magnitude_each_layer_loses_its_share(rate):
    net = small_net()
    masks = get_pruner("layer_magnitude").masks(net, rate)
    for name, weight in prunable_parameters(net).items():
        (expected,) = naive_masks([weight.detach().abs().numpy()], rate)
        np.testing.assert_array_equal(masks[name].numpy(), expected)


def test_magnitude_min_kept_leaves_no_layer_empty():
    net = small_net()
    total = sum(weight.numel() for weight in prunable_parameters(net).values())
    assert not MagnitudePruner().masks(net, 0.9)["3.weight"].any()
    masks = MagnitudePruner(min_kept=0.05).masks(net, 0.9)
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.9 * total)
    # 5 % of 30 weights, rounded up, are the two largest of the layer.
    kept = net[3].weight.abs()[masks["3.weight"]]
    assert sorted(kept.tolist()) == sorted(net[3].weight.abs().flatten().tolist())[-2:]
    with pytest.raises(ValueError, match=r"min_kept=0\.2 keeps 186 of 930 weights, but the rate"):
        MagnitudePruner(min_kept=0.2).masks(net, 0.9)


def test_magnitude_excluded_layers_are_left_alone():
    net = small_net()
    masks = MagnitudePruner(exclude=["3", "0.weight"]).masks(net, 0.5)
    assert list(masks) == ["2.weight"]
    assert sparsity(masks) == 0.5


def test_random_growing_rates_give_nested_and_seeded_masks(digits):
    net = small_net()
    first, second = (RandomPruner(random_state=1).masks(net, rate) for rate in (0.5, 0.9))
    other = RandomPruner(random_state=2).masks(net, 0.5)
    for name in first:
        assert (first[name] | ~second[name]).all()
        assert (first[name] != other[name]).any()
    X, y, group = digits
    clfs = [classifier(pruner="random", prune_rate=0.7) for _ in range(2)]
    masks = [clf.fit(X, y, sensitive_features=group).masks_ for clf in clfs]
    for name in masks[0]:
        assert (masks[0][name] == masks[1][name]).all()
    assert clfs[0].sparsity_ == pytest.approx(0.7, abs=1e-3)
    nested = clfs[0].prune(0.9).masks_
    assert all((masks[0][name] | ~nested[name]).all() for name in nested)


def test_classifier_function_of_a_module_is_a_criterion(digits):
    X, y, group = digits

    def largest_go(module):
        return {name: -weight.abs() for name, weight in prunable_parameters(module).items()}

    clf = classifier(pruner=largest_go, prune_rate=0.5).fit(X, y, sensitive_features=group)
    for name, weight in prunable_parameters(clf.dense_module_).items():
        removed = weight.abs()[~clf.masks_[name]]
        assert removed.numel() == 0 or removed.max() >= weight.abs()[clf.masks_[name]].max()


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        (MagnitudePruner(scope="channel"), "scope must be 'global' or 'layer'"),
        (MagnitudePruner(exclude="0"), "exclude must be a list of names"),
        (MagnitudePruner(exclude=["head"]), r"exclude must name parameters .* \['head'\]"),
        (MagnitudePruner(exclude=["0", "2", "3"]), "leave no weight to prune"),
        (MagnitudePruner(min_kept=1.0), r"min_kept must be in \[0, 1\)"),
        (ScorePruner(lambda net: {"0.weight": torch.ones(2)}), "score must return one score per"),
        (ScorePruner(lambda net: {"weight": torch.ones(2)}), "score must return one score per"),
        (
            ScorePruner(lambda net: {"3.weight": torch.full((3, 10), torch.nan)}),
            "scores contain NaN",
        ),
    ],
)
def test_pruners_bad_parameters_or_scores_raise(pruner, message):
    with pytest.raises(ValueError, match=message):
        pruner.masks(small_net(), 0.5)


def test_score_pruner_needs_data_where_its_score_has_two_parameters():
    assert not ScorePruner(lambda module: {}).needs_data
    assert not ScorePruner(lambda module, scale=1.0: {}).needs_data
    assert ScorePruner(lambda module, data: {}).needs_data


def test_random_pruner_scores_of_many_weights_have_no_ties():
    # Of 300,000 numbers of 24 bits some 2,700 pairs would be equal.
    scores = RandomPruner(random_state=0).score(nn.Linear(1000, 300))["weight"]
    assert len(scores.unique()) == scores.numel()
