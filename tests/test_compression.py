"""What is counted, against numbers by hand."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.compression import compression_summary, count_macs
from sk_prunefair.pruning import MagnitudePruner, apply_masks
from tests.conftest import classifier


def test_compression_summary_of_a_conv_net_by_hand():
    torch.manual_seed(0)  # else a layer may keep all its weights, and is stored without a mask
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    pruned = copy.deepcopy(net)
    masks = MagnitudePruner().masks(net, 0.5)
    apply_masks(pruned, masks)
    summary = compression_summary(net, pruned, masks, torch.zeros(1, 2, 5, 5))
    weights = 4 * 2 * 9 + 4 * 3
    others = 4 + 8 + 3
    assert summary["parameters"] == weights + others
    # Biases of the norm start at zero.
    assert summary["nonzero"] == weights / 2 + others - 4
    assert summary["sparsity"] == 0.5
    buffers = 4 * 4 + 4 * 4 + 8
    assert summary["bytes_dense"] == 4 * (weights + others) + buffers
    mask_bytes = 72 // 8 + -(-12 // 8)
    assert summary["bytes_stored"] == 4 * (weights // 2 + others) + mask_bytes + buffers
    assert summary["macs_dense"] == 25 * 72 + 12
    kept = [int(mask.sum()) for mask in masks.values()]
    assert summary["macs_pruned"] == pytest.approx(25 * kept[0] + kept[1])


def test_count_macs_of_a_net_that_is_one_layer_by_hand():
    net = nn.Linear(6, 2)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    assert count_macs(net, {"weight": mask}, torch.zeros(1, 6)) == (12, 0)


def test_count_macs_leaves_the_net_alone():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).train()
    before = copy.deepcopy(net.state_dict())
    count_macs(net, {}, torch.ones(1, 3))
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_report_bytes_stored_shrink_with_the_rate(digits):
    X, y, group = digits
    clf = classifier(module__hidden=100).fit(X, y, sensitive_features=group)
    stored = [
        clf.prune(rate).fairness_report(X, y, sensitive_features=group).compression["bytes_stored"]
        for rate in (0.0, 0.5, 0.9, 0.95)
    ]
    assert (np.diff(stored) < 0).all()


class Slow(nn.Linear):
    def forward(self, X):
        time.sleep(2e-3)
        return super().forward(X)


def test_compression_summary_latency_is_of_each_net_and_leaves_modes_alone():
    dense, pruned = Slow(3, 2), nn.Linear(3, 2).eval()
    summary = compression_summary(dense, pruned, {}, torch.zeros(1, 3), latency=True)
    assert summary["latency_dense"] >= 2e-3
    assert 0 < summary["latency_pruned"] < summary["latency_dense"]
    assert dense.training
    assert not pruned.training


def test_report_latency_asked_for_is_there(fitted, digits):
    X, y, group = digits
    plain = fitted.fairness_report(X, y, sensitive_features=group).compression
    quick = {"contenders": ["dense"], "n_rounds": 1}
    timed = fitted.fairness_report(X, y, sensitive_features=group, latency=quick).compression
    assert set(timed.index) - set(plain.index) == {"latency_dense", "latency_pruned"}
