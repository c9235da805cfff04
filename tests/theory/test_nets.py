"""`comparable`: with its nets and criterion, the theory gives the risks of the report."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.theory import (
    comparable,
    excessive_risk_by_layer,
    group_diagnostics,
    group_gradient_norms,
    group_hessian_eigenvalues,
    risk_attribution,
    risk_bounds,
)
from tests.conftest import SmallNet, assert_same_weights, classifier

N = 300


@pytest.fixture(scope="module")
def data(digits):
    X, y, group = digits
    return X[:N].astype(np.float32), y[:N], group[:N]


class Probabilities(nn.Sequential):
    def __init__(self, n_features, n_classes):
        layers = nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_classes), nn.Softmax(1)
        super().__init__(*layers)


class OneLayer(nn.Linear):
    """A net whose parameters are its own, below no submodule."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)


class Tuple(MLP):
    def forward(self, X):
        scores = super().forward(X)
        return scores, scores.softmax(1)


class HalvedInput(FairPrunedClassifier):
    def infer(self, x, **fit_params):
        return super().infer(0.5 * x, **fit_params)


def own_loss(scores, y):
    """Return one number: a criterion that cannot be asked for one loss per sample."""
    return nn.functional.cross_entropy(scores, y) + 0.1 * scores.square().mean()


class OwnLoss(nn.Module):
    def forward(self, scores, y):
        return own_loss(scores, y)


WEIGHT = torch.linspace(0.5, 2.0, 10)
KINDS = {
    "logits": {},
    "batch norm": {"module": SmallNet},
    "tuple": {"module": Tuple},
    "one layer": {"module": OneLayer},
    "probabilities": {"module": Probabilities, "criterion": nn.NLLLoss},
    "class weights": {"criterion__weight": WEIGHT},
    "class weights of probabilities": {
        "module": Probabilities,
        "criterion": nn.NLLLoss,
        "criterion__weight": WEIGHT,
    },
    "label smoothing": {"criterion__label_smoothing": 0.1},
    "sum": {"criterion__reduction": "sum", "lr": 0.002},
    "own criterion": {"criterion": OwnLoss},
}


def fitted_on(data, module=MLP, kind=classifier, **params):
    X, y, group = data
    return kind(module, max_epochs=3, **params).fit(X, y, sensitive_features=group)


def halved(module, **params):
    given = classifier(module, **params).get_params(deep=False)
    return HalvedInput(**given)


def assert_sums_to_report(clf, data):
    X, y, group = data
    report = clf.fairness_report(X, y, sensitive_features=group)
    assert report.fairness_violation > 0
    dense, pruned, criterion = comparable(clf)
    shares = risk_attribution(dense, pruned, X, y, group, criterion=criterion)
    np.testing.assert_allclose(shares.sum(axis=1), report.excessive_risk, atol=1e-4, rtol=1e-3)
    bounds = risk_bounds(dense, pruned, X, y, group, criterion=criterion)
    np.testing.assert_allclose(bounds.excessive_risk, report.excessive_risk, atol=1e-4)
    return shares


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", [classifier, halved], ids=["plain infer", "own infer"])
def test_comparable_of_any_kind_gives_the_risks_of_the_report(data, kind, base):
    clf = fitted_on(data, kind=base, **KINDS[kind]).prune(0.7)
    shares = assert_sums_to_report(clf, data)
    named = {name for name, _ in clf.dense_module_.named_parameters()}
    assert named <= set(shares.columns)
    assert not any("module" in name or "num_batches" in name for name in shares.columns)


@pytest.mark.parametrize("base", [classifier, halved], ids=["plain infer", "own infer"])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_comparable_of_a_net_that_lost_channels_gives_the_risks_of_the_report(data, kind, base):
    pytest.importorskip("torch_pruning")
    clf = fitted_on(data, kind=base, pruner="channel_magnitude", **KINDS[kind]).prune(0.5)
    sizes = [sum(p.numel() for p in net.parameters()) for net in (clf.dense_module_, clf.module_)]
    assert sizes[1] < sizes[0]
    assert_sums_to_report(clf, data)
    dense, pruned, _ = comparable(clf)
    shapes = [[value.shape for value in net.state_dict().values()] for net in (dense, pruned)]
    assert shapes[0] == shapes[1]


@pytest.mark.slow
def test_comparable_of_fine_tuned_convolutions_without_channels_gives_the_risks(data):
    pytest.importorskip("torch_pruning")
    X, y, group = data
    images = X.reshape(-1, 1, 8, 8)
    params = {"module__in_channels": 1, "module__width": 3, "lr": 0.05}
    clf = classifier(ResNet18, pruner="channel_magnitude", max_epochs=2, **params)
    clf.fit(images, y, sensitive_features=group)
    clf.prune(0.3, images, y, sensitive_features=group, finetune_epochs=1)
    report = clf.fairness_report(images, y, sensitive_features=group)
    dense, pruned, criterion = comparable(clf)
    bounds = risk_bounds(dense, pruned, images, y, group, criterion=criterion)
    np.testing.assert_allclose(bounds.excessive_risk, report.excessive_risk, atol=1e-4)


def test_comparable_of_plain_logits_is_the_nets_of_the_classifier(data):
    X, y, group = data
    clf = fitted_on(data).prune(0.7)
    dense, pruned, criterion = comparable(clf)
    assert dense is clf.dense_module_
    assert pruned is clf.module_
    assert isinstance(criterion, nn.CrossEntropyLoss)
    # The README's line without comparable is the same for these.
    plain = risk_attribution(clf.dense_module_, clf.module_, X, y, group)
    shares = risk_attribution(dense, pruned, X, y, group, criterion=criterion)
    np.testing.assert_array_equal(shares, plain)


def test_comparable_of_a_dense_classifier_gives_no_risk(data):
    X, y, group = data
    dense, pruned, criterion = comparable(fitted_on(data, **KINDS["probabilities"]))
    assert (risk_attribution(dense, pruned, X, y, group, criterion=criterion) == 0).all(axis=None)


@pytest.mark.parametrize("base", [classifier, halved], ids=["plain infer", "own infer"])
def test_comparable_of_one_layer_names_the_layer_by_its_class(data, base):
    X, y, group = data
    dense, pruned, _ = comparable(fitted_on(data, OneLayer, base).prune(0.7))
    path = excessive_risk_by_layer(dense, pruned, X, y, group)
    assert path.by_tensor.columns.tolist() == ["weight", "bias"]
    assert path.by_layer.columns.tolist() == ["OneLayer"]


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_comparable_leaves_the_classifier_as_it_is(data, kind):
    X, y, group = data
    clf = fitted_on(data, kind=halved, **KINDS[kind]).prune(0.7)
    clf.module_.train()
    other = fitted_on(data, kind=halved, **KINDS[kind]).prune(0.7)
    before = clf.predict_proba(X)
    clf.module_.train()
    names, grads = set(vars(clf)), [value.grad for value in clf.dense_module_.parameters()]
    dense, pruned, criterion = comparable(clf)
    risk_bounds(dense, pruned, X, y, group, criterion=criterion)
    risk_attribution(dense, pruned, X, y, group, criterion=criterion, tol=0.1)
    assert clf.module_.training
    assert all(value.requires_grad for value in clf.dense_module_.parameters())
    found = [value.grad for value in clf.dense_module_.parameters()]
    assert all(own is kept for own, kept in zip(found, grads, strict=True))
    assert set(vars(clf)) == names
    for own, expected in (
        (clf.module_, other.module_),
        (clf.dense_module_, other.dense_module_),
    ):
        assert_same_weights(own, expected)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_comparable_of_an_own_infer_has_the_parameters_of_the_net(data):
    clf = fitted_on(data, kind=halved).prune(0.7)
    dense, _, _ = comparable(clf)
    shapes = [
        {name: value.shape for name, value in net.named_parameters()}
        for net in (dense, clf.dense_module_)
    ]
    assert shapes[0] == shapes[1]
    assert_same_weights(dense, clf.dense_module_)
    inputs = torch.from_numpy(data[0][:5])
    with torch.no_grad():
        torch.testing.assert_close(dense(inputs), clf.dense_module_(0.5 * inputs))


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_comparable_of_a_scaled_input_equals_plain_nets_on_that_input(data, kind):
    X, y, group = data
    clf = fitted_on(data, kind=halved, **KINDS[kind]).prune(0.7)
    dense, _, criterion = comparable(clf)
    # The logits of the same weights, on the input that infer makes.
    logits = clf.dense_module_
    if kind == "probabilities":
        logits = nn.Sequential(*list(clf.dense_module_)[:-1])
    given = (X, y, group)
    norms = group_gradient_norms(dense, *given, criterion=criterion)
    np.testing.assert_allclose(norms, group_gradient_norms(logits, 0.5 * X, y, group), rtol=1e-3)
    tops = group_hessian_eigenvalues(dense, *given, criterion=criterion)["eigenvalue"]
    expected = group_hessian_eigenvalues(logits, 0.5 * X, y, group)["eigenvalue"]
    np.testing.assert_allclose(tops, expected, rtol=1e-2)


def test_diagnostics_of_a_report_of_an_own_infer_are_those_of_comparable(data):
    X, y, group = data
    clf = fitted_on(data, kind=halved, **KINDS["probabilities"]).prune(0.7)
    report = clf.fairness_report(X, y, sensitive_features=group, diagnostics=True)
    np.testing.assert_allclose(report.diagnostics.excessive_risk, report.excessive_risk, atol=1e-4)
    dense, pruned, criterion = comparable(clf)
    frame = group_diagnostics(dense, pruned, X, y, group, criterion=criterion)
    np.testing.assert_allclose(report.diagnostics, frame, rtol=1e-3, atol=1e-5)


def test_comparable_of_a_compiled_criterion_is_the_criterion(data):
    clf = fitted_on(data, **KINDS["probabilities"]).prune(0.7)

    class Compiled(nn.Module):
        """What torch.compile returns, as far as it is asked."""

        def __init__(self, original):
            super().__init__()
            self._orig_mod = original

        def forward(self, *args):
            return self._orig_mod(*args)

    X, y, group = data
    expected = clf.fairness_report(X, y, sensitive_features=group).excessive_risk
    clf.criterion_ = Compiled(clf.criterion_)
    dense, pruned, criterion = comparable(clf)
    assert isinstance(criterion, nn.NLLLoss)
    shares = risk_attribution(dense, pruned, X, y, group, criterion=criterion)
    np.testing.assert_allclose(shares.sum(axis=1), expected, atol=1e-4, rtol=1e-3)
