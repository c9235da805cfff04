"""Batch norm measured again after pruning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.pruning import recalibrate_batch_norm
from tests.conftest import classifier, weights


def test_recalibrate_statistics_are_those_of_the_data():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.5), nn.BatchNorm1d(7), nn.Linear(7, 2))
    X = torch.randn(60, 5) * 3 + 1
    before = weights(net)
    net.train()
    recalibrate_batch_norm(net, X.split(20))
    inner = net[0](X).detach()
    np.testing.assert_allclose(net[2].running_mean, inner.mean(0), rtol=1e-4, atol=1e-5)
    variances = torch.stack([part.var(0) for part in inner.split(20)]).mean(0)
    np.testing.assert_allclose(net[2].running_var, variances, rtol=1e-4)
    assert net.training
    assert net[1].training
    assert net[2].momentum == 0.1
    after = weights(net)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ["2.running_mean", "2.running_var", "2.num_batches_tracked"]


def test_recalibrate_without_labels_repairs_a_pruned_net(digits):
    X, y, group = digits
    clf = classifier(batch_size=64, max_epochs=8).fit(X, y, sensitive_features=group)
    plain = clf.prune(0.8).score(X, y)
    sparsity = clf.sparsity_
    recalibrated = clf.prune(0.8, X, recalibrate=True).score(X, y)
    assert recalibrated > plain + 0.02
    assert clf.sparsity_ == sparsity
    again = weights(clf.prune(0.8, X, recalibrate=True).module_)
    for name, value in weights(clf.prune(0.8, X, recalibrate=True).module_).items():
        np.testing.assert_array_equal(value, again[name])
    dense = clf.prune(0.0).score(X, y)
    assert clf.prune(0.0, X, recalibrate=True).score(X, y) == dense


def test_recalibrate_before_fine_tuning_counts_and_without_data_raises(digits):
    X, y, group = digits
    clf = classifier(batch_size=64).fit(X, y, sensitive_features=group)
    data = {"X": X, "y": y, "sensitive_features": group}
    tuned = weights(clf.prune(0.9, **data, finetune_epochs=1).module_)
    both = weights(clf.prune(0.9, **data, finetune_epochs=1, recalibrate=True).module_)
    assert any(not np.array_equal(tuned[name], both[name]) for name in tuned)
    with pytest.raises(ValueError, match="recalibrate=True needs data"):
        clf.prune(0.5, recalibrate=True)
    with pytest.raises(ValueError, match="requires y"):
        clf.prune(0.5, X, finetune_epochs=1, recalibrate=True)
    assert clf.prune_rate_ == 0.9


def test_recalibrate_error_puts_the_mode_back_and_no_graph_is_made():
    net, found = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1, momentum=0.3)), []
    net[0].eval()

    def infer(module, X):
        found.append((module[0].training, module[1].training, module(X).requires_grad))
        if len(found) == 2:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        recalibrate_batch_norm(net, torch.ones(4, 1).split(2), infer)
    assert found == [(False, True, False)] * 2
    assert (net.training, net[0].training, net[1].training) == (True, False, True)
    assert net[1].momentum == 0.3


def test_recalibrate_nets_without_averages_are_not_run():
    plain = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1, track_running_stats=False))
    recalibrate_batch_norm(plain, iter([torch.ones(2, 1)]), infer=None)


def test_recalibrate_without_batches_or_on_one_sample_raises_and_changes_nothing(fitted, digits):
    net = nn.BatchNorm1d(1)
    net.running_mean.fill_(3.0)
    with pytest.raises(ValueError, match="batches must hold two samples or more to measure on"):
        recalibrate_batch_norm(net, iter([]))
    assert net.running_mean.item() == 3.0
    before = weights(fitted.prune(0.5).module_)
    with pytest.raises(ValueError, match="batches must hold two samples or more to measure on"):
        fitted.prune(0.8, digits[0][:1], recalibrate=True)
    assert fitted.prune_rate_ == 0.5
    assert all((weights(fitted.module_)[name] == value).all() for name, value in before.items())
