"""mend_head: the last layer alone moves, on rows of every group alike."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from torch import nn

from sk_prunefair import FairPrunedClassifier, mend_head
from tests.conftest import classifier


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    group = (rng.random(900) < 0.1).astype(int)
    X = rng.normal(size=(900, 5)).astype(np.float32)
    y = (X[:, 0] * np.where(group, -1, 1) + 0.3 * rng.normal(size=900) > 0).astype(int)
    return np.c_[X, X[:, :1] * group[:, None]].astype(np.float32), y, group


def test_mend_head_of_a_pruned_net_moves_the_last_layer_alone_and_zeros_stay(rows):
    X, y, group = rows
    clf = classifier().fit(X[:400], y[:400], sensitive_features=group[:400]).prune(0.6)
    before = copy.deepcopy(clf.module_.state_dict())
    dense = copy.deepcopy(clf.dense_module_.state_dict())
    mend_head(clf, X[400:700], y[400:700], group[400:700])
    for name, value in clf.module_.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("layers.5"), name
    assert all(torch.equal(value, dense[k]) for k, value in clf.dense_module_.state_dict().items())
    mask = clf.masks_["layers.5.weight"]
    assert (clf.module_.layers[5].weight[~mask] == 0).all()
    assert clf.prune_rate_ == 0.6


def test_mend_head_without_strength_is_a_weighted_logistic_regression(rows):
    X, y, group = rows
    module = nn.Sequential(nn.Identity(), nn.Linear(6, 2))
    clf = classifier(module, max_epochs=1).fit(X[:100], y[:100])
    mend_head(clf, X, y, group, strength=0, max_iter=500)
    weight = 1 / np.bincount(group)[group]
    reference = LogisticRegression(C=1e6, max_iter=2000).fit(
        X, y, sample_weight=weight * len(y) / 2
    )
    np.testing.assert_allclose(clf.predict_proba(X), reference.predict_proba(X), atol=2e-3)


def test_mend_head_on_unseen_rows_improves_the_group_mean(rows):
    X, y, group = rows
    clf = classifier(max_epochs=8).fit(X[:300], y[:300]).prune(0.5)
    test = X[600:], y[600:]
    before = clf.fairness_report(*test, sensitive_features=group[600:]).pruned.by_group["accuracy"]
    mend_head(clf, X[300:600], y[300:600], group[300:600])
    after = clf.fairness_report(*test, sensitive_features=group[600:]).pruned.by_group["accuracy"]
    assert after.mean() > before.mean()


def test_mend_head_large_strength_moves_nothing(rows):
    X, y, group = rows
    clf = classifier(max_epochs=2).fit(X[:300], y[:300])
    before = clf.predict_proba(X)
    mend_head(clf, X[300:600], y[300:600], group[300:600], strength=1e6)
    np.testing.assert_allclose(clf.predict_proba(X), before, atol=1e-3)


class Probabilities(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, X):
        return self.head(X).softmax(1)


class OneLogit(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 1)

    def forward(self, X):
        return {"logits": self.head(X)[:, 0]}


@pytest.mark.parametrize(
    ("module", "criterion"), [(Probabilities, nn.NLLLoss), (OneLogit, nn.BCEWithLogitsLoss)]
)
def test_mend_head_of_probabilities_and_one_logit_equals_two_logits(rows, module, criterion):
    X, y, group = rows
    clf = classifier(module, criterion=criterion, max_epochs=1).fit(X[:100], y[:100])
    two = classifier(nn.Sequential(nn.Linear(6, 2)), max_epochs=1).fit(X[:100], y[:100])
    for each in (clf, two):
        mend_head(each, X, y, group, strength=0, max_iter=500)
    np.testing.assert_allclose(clf.predict_proba(X), two.predict_proba(X), atol=5e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sensitive_features": None}, "sensitive_features must be given"),
        ({"strength": -1}, "strength must be a finite number >= 0"),
        ({"max_iter": 0}, "max_iter must be an integer >= 1"),
        ({"y": np.full(900, 7)}, "labels that are not among the classes"),
    ],
)
def test_mend_head_bad_arguments_raise_and_the_net_stays(rows, arguments, message):
    X, y, group = rows
    clf = classifier(max_epochs=1).fit(X, y, sensitive_features=group)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        mend_head(clf, X, **{"y": y, "sensitive_features": group} | arguments)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_mend_head_unfitted_or_without_a_head_raises(rows):
    X, y, group = rows
    with pytest.raises(NotFittedError):
        mend_head(FairPrunedClassifier(nn.Linear(6, 2), verbose=0), X, y, group)

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 2)

        def forward(self, X):
            return self.head(X[:, :, None]).mean(1)

    clf = classifier(Pooled, max_epochs=1).fit(X, y)
    with pytest.raises(
        ValueError, match="last linear layer 'head' must return the output of the net"
    ):
        mend_head(clf, X, y, group)
