"""Nets bound to data: their views, and criteria of all kinds."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.theory import group_gradient_norms, risk_attribution, risk_bounds
from sk_prunefair.theory.grouped import GroupedNet
from tests.theory.test_hessians import smooth_net


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    group = np.repeat(["few", "many"], [5, 30])
    rng.shuffle(group)
    return rng.normal(size=(35, 4)), rng.integers(0, 3, 35), group


def squared_error(scores, y):
    """Return one number for a whole batch."""
    return ((scores.softmax(1) - nn.functional.one_hot(y, scores.shape[1])) ** 2).sum(1).mean()


class SquaredError(nn.Module):
    """The same with one number per sample."""

    def forward(self, scores, y):
        return ((scores.softmax(1) - nn.functional.one_hot(y, scores.shape[1])) ** 2).sum(1)


def test_sampled_leaves_the_net_as_it_is(data):
    net = GroupedNet(smooth_net(), *data)
    X, sizes = net.X.clone(), net.sizes.copy()
    view = net.sampled(7, random_state=0)
    assert view.sizes.tolist() == [5, 7]
    assert view.starts.tolist() == [0, 5, 12]
    np.testing.assert_array_equal(net.sizes, sizes)
    assert torch.equal(net.X, X)
    # The rows of the view are rows of the same group.
    for code in range(2):
        own, drawn = set(net.order[net.rows(code)]), set(view.order[view.rows(code)])
        assert drawn <= own
    assert net.sampled(None, random_state=0) is net


def test_sampled_malformed_max_samples_raises(data):
    net = GroupedNet(smooth_net(), *data)
    with pytest.raises(ValueError, match="max_samples must be an integer >= 1 or None, got 0"):
        net.sampled(0, random_state=0)


def test_with_module_and_with_criterion_leave_the_net_as_it_is(data):
    net = GroupedNet(smooth_net(), *data)
    losses, module = net.group_losses(), net.module
    zero = copy.deepcopy(module)
    with torch.no_grad():
        for value in zero.parameters():
            value.zero_()
    np.testing.assert_allclose(net.with_module(zero).group_losses(), np.log(3))
    np.testing.assert_allclose(
        net.with_module(zero).with_criterion(squared_error).group_losses(), 2 / 3
    )
    assert net.module is module
    np.testing.assert_array_equal(net.group_losses(), losses)


def test_with_module_derives_by_the_parameters_of_that_module(data):
    net, other = GroupedNet(smooth_net(), *data), smooth_net()
    with torch.no_grad():
        other[2].weight *= 2
    rows = net.rows(0)
    expected = GroupedNet(other, *data).gradient(rows)
    torch.testing.assert_close(net.with_module(other).gradient(rows), expected)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_criterion_of_one_number_equals_one_per_sample(data, batch_size):
    net, pruned = smooth_net(), smooth_net()
    with torch.no_grad():
        pruned[0].weight[pruned[0].weight.abs() < 0.2] = 0
    options = {"batch_size": batch_size}
    for function, nets in (
        (group_gradient_norms, [net]),
        (risk_bounds, [net, pruned]),
        (risk_attribution, [net, pruned]),
    ):
        found = function(*nets, *data, criterion=squared_error, **options)
        expected = function(*nets, *data, criterion=SquaredError, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_criterion_function_with_its_default_reduction_equals_module(data):
    net = smooth_net()
    found = group_gradient_norms(net, *data, criterion=nn.functional.cross_entropy)
    np.testing.assert_allclose(found, group_gradient_norms(net, *data))


def test_criterion_keeps_its_reduction(data):
    criterion = nn.CrossEntropyLoss(reduction="sum")
    found = group_gradient_norms(smooth_net(), *data, criterion=criterion)
    np.testing.assert_allclose(found, group_gradient_norms(smooth_net(), *data))
    assert criterion.reduction == "sum"
