"""Group gradients of many groups: those that go through the net together, and the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.theory import gradients as gradients_file
from sk_prunefair.theory import group_gradient_norms
from sk_prunefair.theory.gradients import group_gradients
from sk_prunefair.theory.grouped import GroupedNet
from tests.theory.test_hessians import smooth_net

SIZES = (3, 1, 40, 2, 5, 1, 9, 4, 2)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(len(SIZES)), SIZES)
    rng.shuffle(group)
    return rng.normal(size=(len(group), 4)), rng.integers(0, 3, len(group)), group


def one_by_one(net):
    return torch.stack([net.gradient(net.rows(code)) for code in range(len(net.groups))])


@pytest.fixture
def n_together(monkeypatch):
    """Count the groups that go through the net together."""
    counts = []

    class Counting(gradients_file.RunGradients):
        def __call__(self, X, y, lengths, row_weights):
            found = super().__call__(X, y, lengths, row_weights)
            counts.append(0 if found is None else len(lengths))
            return found

    monkeypatch.setattr(gradients_file, "RunGradients", Counting)
    return counts


@pytest.mark.parametrize(("batch_size", "expected"), [(None, 9), (20, 4), (2, 0)])
def test_group_gradients_of_small_groups_together_equal_one_by_one(
    data, n_together, batch_size, expected
):
    net = GroupedNet(smooth_net(), *data, batch_size=batch_size)
    found = group_gradients(net)
    torch.testing.assert_close(found, one_by_one(net))
    assert sum(n_together) == expected
    norms = group_gradient_norms(smooth_net(), *data, batch_size=batch_size)
    np.testing.assert_allclose(norms, found.norm(dim=1).numpy())


def test_group_gradients_of_a_net_with_a_loose_parameter_equal_one_by_one(data, n_together):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.net = nn.Parameter(torch.full((4,), 2.0)), smooth_net()

        def forward(self, X):
            return self.net(self.scale * X)

    net = GroupedNet(Scaled().double(), *data)
    torch.testing.assert_close(group_gradients(net), one_by_one(net))
    assert sum(n_together) == 0


@pytest.mark.parametrize(("n_groups", "expected"), [(12, 12), (3, 0)])
def test_group_gradients_of_a_residual_net_equal_one_by_one(n_together, n_groups, expected):
    torch.manual_seed(0)
    net = ResNet18(3, in_channels=1, width=2).double()
    rng = np.random.default_rng(0)
    group = np.arange(40) % n_groups
    bound = GroupedNet(net, rng.normal(size=(40, 1, 8, 8)), rng.integers(0, 3, 40), group)
    torch.testing.assert_close(group_gradients(bound), one_by_one(bound))
    # Convolutions pay only where the groups are small.
    assert sum(n_together) == expected


def test_group_gradients_of_single_precision_and_pruned_weights_equal_one_by_one(data, n_together):
    torch.manual_seed(0)
    module = MLP(4, 3, hidden=(8, 8))
    with torch.no_grad():
        for value in module.parameters():
            value[value.abs() < 0.2] = 0
    net = GroupedNet(module, *data)
    torch.testing.assert_close(group_gradients(net), one_by_one(net), rtol=1e-4, atol=1e-6)
    assert sum(n_together) == len(SIZES)


def test_group_gradients_memory_bound_splits_the_groups(data, n_together, monkeypatch):
    net = GroupedNet(smooth_net(), *data)
    expected = one_by_one(net)
    monkeypatch.setattr(gradients_file, "CHUNK_BYTES", 4 * 32 * net.n_parameters)
    torch.testing.assert_close(group_gradients(net), expected)
    assert n_together == [4, 4]


def test_group_gradient_norms_of_groups_of_one_and_one_group_are_exact(data):
    X, y, _ = data
    net = smooth_net()
    alone = group_gradient_norms(net, X, y, np.arange(len(y)))
    np.testing.assert_allclose(
        alone, one_by_one(GroupedNet(net, X, y, np.arange(len(y)))).norm(dim=1).numpy()
    )
    whole = GroupedNet(net, X, y, np.zeros(len(y)))
    assert group_gradient_norms(net, X, y, np.zeros(len(y))).item() == pytest.approx(
        float(whole.gradient(whole.rows(0)).norm())
    )
