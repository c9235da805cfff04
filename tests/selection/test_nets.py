"""The net that is judged is the net that was asked for, or an error says so."""

from __future__ import annotations

import pytest

from sk_prunefair import PruneRateSearchCV, pruning_curve
from sk_prunefair.selection._nets import check_rate_of
from tests.conftest import classifier


@pytest.fixture
def half(fitted):
    return fitted.prune(0.5)


def test_check_rate_of_true_net_passes(half):
    check_rate_of(half, 0.5)
    check_rate_of(half.prune(0.0), 0.0)


def test_check_rate_of_net_with_fewer_channels_passes(digits):
    pytest.importorskip("torch_pruning")
    X, y, _ = digits
    clf = classifier(pruner="channel_magnitude", max_epochs=1).fit(X, y)
    check_rate_of(clf.prune(0.5), 0.5)


def test_check_rate_of_other_rate_raises(half):
    with pytest.raises(RuntimeError, match=r"another net than rate=0.9: prune_rate_ is 0.5"):
        check_rate_of(half, 0.9)


def test_check_rate_of_weights_that_came_back_raises(half):
    half.module_.load_state_dict(half.dense_module_.state_dict())
    with pytest.raises(RuntimeError, match=r"rate=0.5 is not fully pruned: \d+ weights of layers"):
        check_rate_of(half, 0.5)


def test_check_rate_of_other_sparsity_raises(half, monkeypatch):
    monkeypatch.setattr(type(half), "sparsity_", 0.1)
    with pytest.raises(RuntimeError, match=r"sparsity_ is 0.1, but its masks remove"):
        check_rate_of(half, 0.5)


@pytest.fixture
def comes_back(fitted, monkeypatch):
    """Return a classifier whose ``prune`` leaves the dense weights, as a callback once did."""
    prune = type(fitted).prune

    def prune_and_undo(self, rate, **options):
        prune(self, rate, **options)
        self.module_.load_state_dict(self.dense_module_.state_dict())
        return self

    monkeypatch.setattr(type(fitted), "prune", prune_and_undo)
    return fitted


def test_search_net_that_is_not_pruned_raises(comes_back, digits):
    X, y, group = digits
    search = PruneRateSearchCV(comes_back, rates=[0.5], cv="prefit", max_accuracy_drop=0.5)
    with pytest.raises(RuntimeError, match="is not fully pruned"):
        search.fit(X, y, sensitive_features=group)
    assert not hasattr(search, "best_estimator_")


def test_curve_net_that_is_not_pruned_raises(comes_back, digits):
    X, y, group = digits
    with pytest.raises(RuntimeError, match="is not fully pruned"):
        pruning_curve(comes_back, X, y, sensitive_features=group, rates=[0.5], verbose=0)
