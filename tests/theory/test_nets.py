"""The nets of a classifier: what the theory says of them equals what the classifier reports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP
from sk_prunefair.theory import comparable, risk_attribution, risk_bounds
from tests.conftest import assert_same_weights, classifier, weights

WEIGHT = torch.tensor([3.0] + [1.0] * 8 + [0.25])


class Probabilities(nn.Module):
    """Its output is what NLLLoss takes in skorch: probabilities."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, 16)
        self.out = nn.Linear(16, n_classes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden(X).relu()).softmax(1)


class Scaled(FairPrunedClassifier):
    """Scales its input where the module is run, and nowhere else."""

    def infer(self, x, **fit_params):
        return super().infer(x / 16, **fit_params)


def build_logits(**params):
    return classifier(MLP, **params)


def build_probabilities(**params):
    return classifier(Probabilities, criterion=nn.NLLLoss, **params)


def build_channels(**params):
    return classifier(MLP, pruner="channel_magnitude", **params)


def build_infer(**params):
    return Scaled(**classifier(MLP, **params).get_params(deep=False))


def build_weighted(**params):
    return classifier(MLP, criterion__weight=WEIGHT, **params)


CASES = {
    "logits": build_logits,
    "probabilities": build_probabilities,
    "channels": build_channels,
    "infer": build_infer,
    "weighted": build_weighted,
}


@pytest.fixture(scope="module")
def data():
    digits = load_digits()
    X = np.asarray(digits.data).reshape(len(digits.target), -1).astype(np.float32)
    y = np.asarray(digits.target)
    return X, y, np.where(np.isin(y, [0, 6, 8, 9]), "round", "other")


@pytest.fixture(scope="module", params=CASES)
def case(request, data):
    if request.param == "channels":
        pytest.importorskip("torch_pruning")
    X, y, group = data
    clf = CASES[request.param](lr=0.05).fit(X, y, sensitive_features=group).prune(0.6)
    return request.param, clf


def test_risk_attribution_comparable_nets_sum_to_reported_risk(case, data):
    X, y, group = data
    _, clf = case
    dense, pruned, criterion = comparable(clf)
    shares = risk_attribution(dense, pruned, X, y, group, criterion=criterion, tol=1e-5)
    reported = clf.fairness_report(X, y, sensitive_features=group).excessive_risk
    assert reported.abs().max() > 1e-3
    np.testing.assert_allclose(shares.sum(axis=1), reported, atol=1e-4)
    assert shares.index.tolist() == reported.index.tolist()


def test_risk_bounds_comparable_nets_equal_reported_risk(case, data):
    X, y, group = data
    _, clf = case
    dense, pruned, criterion = comparable(clf)
    frame = risk_bounds(dense, pruned, X, y, group, criterion=criterion, tol=0.1)
    reported = clf.fairness_report(X, y, sensitive_features=group).excessive_risk
    np.testing.assert_allclose(frame["excessive_risk"], reported, atol=1e-4)


def test_comparable_parameter_names_are_those_of_the_module(case, data):
    name, clf = case
    dense, pruned, _ = comparable(clf)
    expected = {key: tuple(v.shape) for key, v in clf.dense_module_.named_parameters()}
    for net in (dense, pruned):
        assert {key: tuple(v.shape) for key, v in net.named_parameters()} == expected
    lost_channels = [
        key for key, v in clf.module_.named_parameters() if tuple(v.shape) != expected[key]
    ]
    assert bool(lost_channels) == (name == "channels")


def test_comparable_classifier_is_left_as_it_was(case, data):
    X, y, group = data
    _, clf = case
    before = weights(clf.module_), weights(clf.dense_module_)
    training = clf.module_.training, clf.dense_module_.training
    dense, pruned, criterion = comparable(clf)
    risk_bounds(dense, pruned, X[:200], y[:200], group[:200], criterion=criterion, tol=0.1)
    for net, known in zip((clf.module_, clf.dense_module_), before, strict=True):
        for name, value in weights(net).items():
            np.testing.assert_array_equal(value, known[name])
    assert (clf.module_.training, clf.dense_module_.training) == training


def test_comparable_infer_of_its_own_is_applied(data):
    X, y, group = data
    clf = build_infer(lr=0.05).fit(X, y, sensitive_features=group).prune(0.6)
    dense, _, _ = comparable(clf)
    inputs = torch.from_numpy(X[:5])
    with torch.no_grad():
        torch.testing.assert_close(dense(inputs), clf.dense_module_.eval()(inputs / 16))
    assert_same_weights(dense, clf.dense_module_)
