"""Parametrized layers, bare parameters, tied and frozen weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import weight_norm as old_weight_norm

from sk_prunefair.pruning import prunable_parameters
from sk_prunefair.pruning.prunable import check_prunable, warn_of_left_out
from tests.conftest import classifier


def net_of(layer, **more):
    """Return a net of two plain layers with one of the test's between them."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(64, 20)
            self.second = layer
            for name, value in more.items():
                setattr(self, name, value)
            self.last = nn.Linear(20, 10)

        def forward(self, X):
            X = self.first(X.flatten(1)).relu()
            return self.last(self.second(X).relu())

    return Net()


PARAMETRIZATIONS = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
}


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_prune_parametrized_layer_leaves_it_alone_and_names_it_once(name, digits):
    X, y, group = digits
    module = net_of(PARAMETRIZATIONS[name](nn.Linear(20, 20)))
    clf = classifier(module, max_epochs=1).fit(X, y, sensitive_features=group)
    with pytest.warns(
        UserWarning, match=r"not pruned, and not counted .*: second.weight\."
    ) as seen:
        clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert len(seen) == 1
    assert set(clf.masks_) == {"first.weight", "last.weight"}
    assert clf.sparsity_ == pytest.approx(0.5, abs=1e-3)
    for key, mask in clf.masks_.items():
        assert not clf.module_.get_parameter(key)[~mask].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.set_params(pruner__exclude=["second"]).prune(0.5)


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(20, 20))

    def forward(self, X):
        return X @ self.matrix


def test_prune_bare_parameter_is_named_and_pruned_where_it_is_included(digits):
    X, y, group = digits
    clf = classifier(net_of(Bare()), max_epochs=1).fit(X, y, sensitive_features=group)
    with pytest.warns(UserWarning, match=r"second.matrix.*pruner__include"):
        clf.prune(0.5)
    assert "second.matrix" not in clf.masks_
    clf.set_params(pruner__include=["second.matrix"])
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    mask = clf.masks_["second.matrix"]
    assert not mask.all()
    assert not clf.module_.second.matrix[~mask].any()


@pytest.mark.parametrize("pruner", ["taylor", "snip", "fairgrape", "fairprune", "random"])
def test_include_reaches_every_criterion(pruner, digits):
    X, y, group = digits
    clf = classifier(net_of(Bare()), max_epochs=1, pruner=pruner, pruner__include=["second"]).fit(
        X, y, sensitive_features=group
    )
    clf.prune(0.5, X, y, sensitive_features=group)
    assert not clf.masks_["second.matrix"].all()


def test_prune_tied_and_frozen_weights_are_pruned_once_and_stay_zero(digits):
    X, y, group = digits
    module = net_of(nn.Linear(20, 20))
    module.third = nn.Linear(20, 20)
    module.third.weight = module.second.weight
    module.first.weight.requires_grad_(False)
    clf = classifier(module, max_epochs=1).fit(X, y, sensitive_features=group)
    clf.prune(0.6, X, y, sensitive_features=group, finetune_epochs=1)
    assert set(clf.masks_) == {"first.weight", "second.weight", "last.weight"}
    assert clf.module_.third.weight is clf.module_.second.weight
    for name, mask in clf.masks_.items():
        assert not clf.module_.get_parameter(name)[~mask].any()
    kept = clf.masks_["first.weight"]
    torch.testing.assert_close(
        clf.module_.first.weight[kept], module.first.weight[kept], rtol=0, atol=0
    )


def test_prune_net_pruned_by_torch_is_refused_with_the_cure(digits):
    X, y, group = digits
    module = net_of(nn.Linear(20, 20))
    clf = classifier(module, max_epochs=1).fit(X, y, sensitive_features=group)
    prune.l1_unstructured(clf.module_.second, "weight", amount=0.5)
    with pytest.raises(ValueError, match=r"'second' was pruned .*prune\.remove\(layer, "):
        clf.prune(0.5)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_prune_net_with_old_weight_norm_is_refused_with_the_cure(digits):
    X, y, _ = digits
    module = net_of(nn.Linear(20, 20))
    clf = classifier(module, max_epochs=1).fit(X, y)
    old_weight_norm(clf.module_.second)
    with pytest.raises(ValueError, match=r"'second' .*remove_weight_norm\(layer, "):
        clf.prune(0.5)
    assert clf.prune_rate_ == 0


def test_prunable_parameters_leave_out_parametrizations():
    module = net_of(parametrizations.weight_norm(nn.Linear(20, 20)))
    assert list(prunable_parameters(module)) == ["first.weight", "last.weight"]
    bare = net_of(Bare())
    assert "second.matrix" in prunable_parameters(bare, include=["second"])
    assert np.prod(bare.second.matrix.shape) == 400


def bare_parameters(*names):
    """Return a net with a layer, and with bare matrices beside it."""
    net = nn.ModuleDict({"head": nn.Linear(2, 2), "part": nn.Module()})
    for name in names:
        owner, _, leaf = name.rpartition(".")
        net.get_submodule(owner).register_parameter(leaf, nn.Parameter(torch.ones(2, 2)))
    return net


def warned(net, masks, excluded=()):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_left_out(net, masks, excluded)
    return [str(each.message).partition(". P")[0].rpartition(": ")[2] for each in caught]


def test_warn_of_left_out_names_five_at_most_and_none_that_is_excluded_or_pruned():
    mask = torch.ones(2, 2, dtype=torch.bool)
    masks, names = {"head.weight": mask}, ["a", "b", "c", "d"]
    net = bare_parameters(*names, "part.e")
    assert warned(net, masks) == ["a, b, c, d, part.e"]
    assert warned(bare_parameters(*names, "e", "part.f"), masks) == ["a, b, c, d, e and others"]
    assert warned(net, masks, iter(["a", "part"])) == ["b, c, d"]
    assert warned(net, masks, ["par", "part.e", "b.c"]) == ["a, b, c, d"]
    assert warned(net, masks | {"a": mask, "part.e": mask}) == ["b, c, d"]
    assert warned(net, {"a": mask}) == ["b, c, d, part.e"]  # a plain weight is the user's choice
    assert warned(net, {}) == []
    assert warned(bare_parameters(), masks) == []


def test_check_prunable_names_that_only_look_like_masks_are_fine():
    net = bare_parameters("table_orig", "other", "part.weight_g", "part.other_v")
    net.register_buffer("other_mask", torch.ones(2, 2))
    check_prunable(net)
    net.register_buffer("table_mask", torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"module '' was pruned .*prune\.remove\(layer, 'table'"):
        check_prunable(net)
    net = bare_parameters("part.weight_g", "part.weight_v")
    with pytest.raises(ValueError, match=r"module 'part' .*remove_weight_norm\(layer, 'weight'"):
        check_prunable(net)
