"""What modules return: tensors, tuples, dicts, one logit; and what is refused."""

from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from skorch import NeuralNetBinaryClassifier
from torch import nn

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier, pruning_curve
from sk_prunefair.export import load_compact, save_compact, to_onnx
from sk_prunefair.losses import class_scores, first_output, sample_losses
from sk_prunefair.theory import (
    comparable,
    group_gradient_norms,
    group_hessian_eigenvalues,
    risk_attribution,
    risk_bounds,
)


class OneLogit(nn.Module):
    """A perceptron of one output per sample, flat or not."""

    def __init__(self, n_features, flat=True):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, 1))
        self.flat = flat

    def forward(self, X):
        z = self.layers(X)
        return z[:, 0] if self.flat else z


class TwoScores(OneLogit):
    """The same function as scores of two classes."""

    def forward(self, X):
        z = self.layers(X)
        return torch.cat([torch.zeros_like(z), z], dim=1)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    y = (X[:, 0] + 0.3 * rng.normal(size=300) > 0).astype(int)
    return X, np.where(y, "yes", "no"), np.where(X[:, 1] > 0, "a", "b")


def classifier(module, criterion=nn.BCEWithLogitsLoss, **params):
    defaults = {"lr": 0.3, "max_epochs": 5, "batch_size": 32, "verbose": 0, "random_state": 0}
    return FairPrunedClassifier(module, criterion=criterion, **defaults | params)


@pytest.fixture(scope="module", params=[True, False], ids=["flat", "column"])
def pair(request, data):
    """Return a net of one logit, and one of two scores trained on the same loss."""
    X, y, groups = data
    equal = [("equal", EqualLossConstraint())]
    one = classifier(OneLogit, module__flat=request.param, callbacks=equal)
    two = classifier(TwoScores, nn.CrossEntropyLoss, callbacks=equal)
    return [clf.fit(X, y, sensitive_features=groups) for clf in (one, two)]


def test_one_logit_trains_as_two_scores(pair, data):
    X, y, groups = data
    one, two = pair
    for clf in pair:
        clf.prune(0.5, X, y, sensitive_features=groups, finetune_epochs=2)
    for left, right in zip(one.module_.parameters(), two.module_.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-5)
    assert one.predict_proba(X).shape == (300, 2)
    assert one.score(X, y) > 0.85
    assert set(one.predict(X)) == {"no", "yes"}


def test_one_logit_trains_as_skorch_does(data):
    X, y, _ = data
    codes = (y == "yes").astype(np.float32)
    ours = classifier(OneLogit, train_split=None, iterator_train__shuffle=False).fit(X, y)
    theirs = NeuralNetBinaryClassifier(
        OneLogit,
        module__n_features=4,
        lr=0.3,
        max_epochs=5,
        batch_size=32,
        verbose=0,
        train_split=None,
    ).initialize()
    fresh = classifier(OneLogit, module__n_features=4).initialize()
    theirs.module_.load_state_dict(fresh.module_.state_dict())
    theirs.partial_fit(X, codes)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(
        ours.history[:, "train_loss"], theirs.history[:, "train_loss"], rtol=1e-5
    )


@pytest.mark.slow
def test_one_logit_report_theory_and_curve_are_those_of_two_scores(pair, data):
    X, y, groups = data
    one, two = pair
    two.prune(0.0).module_.load_state_dict(one.prune(0.0).module_.state_dict())
    reports = []
    for clf in pair:
        clf.prune(0.6)
        reports.append(clf.fairness_report(X, y, sensitive_features=groups, diagnostics=True))
    left, right = reports
    pd.testing.assert_frame_equal(left.to_frame(), right.to_frame(), rtol=1e-4, atol=1e-6)
    pd.testing.assert_frame_equal(left.diagnostics, right.diagnostics, rtol=1e-3, atol=1e-6)
    frames = [pruning_curve(c, X, y, sensitive_features=groups, rates=[0.3]) for c in pair]
    pd.testing.assert_frame_equal(*frames, rtol=1e-4, atol=1e-6)
    codes = (y == "yes").astype(int)
    dense, pruned, criterion = comparable(one)
    shares = risk_attribution(dense, pruned, X, codes, groups, criterion=criterion)
    risk = left.excessive_risk
    np.testing.assert_allclose(shares.sum(axis=1)[risk.index], risk, atol=1e-3)
    bounds = risk_bounds(dense, pruned, X, codes, groups, criterion=criterion)
    np.testing.assert_allclose(bounds["excessive_risk"][risk.index], risk, atol=1e-6)


def test_one_logit_gradient_norms_by_hand(data):
    X, y, groups = data
    codes = (y == "yes").astype(int)
    net = nn.Linear(4, 1)
    found = group_gradient_norms(net, X, codes, groups, criterion=nn.BCEWithLogitsLoss())
    for group in "ab":
        rows = groups == group
        z = net(torch.from_numpy(X[rows]))[:, 0].detach()
        error = (z.sigmoid() - torch.from_numpy(codes[rows])).numpy()
        by_hand = np.r_[(error[:, None] * X[rows]).mean(0), error.mean()]
        assert found[group] == pytest.approx(np.linalg.norm(by_hand), rel=1e-5)
    values = group_hessian_eigenvalues(net, X, codes, groups, criterion=nn.BCEWithLogitsLoss())
    assert (values["eigenvalue"] > 0).all()


@pytest.mark.parametrize(
    "pruner",
    ["taylor", "snip", "fairgrape", "fairprune", "channel_magnitude", "channel_taylor"],
)
def test_one_logit_every_pruner_removes_its_share(data, pruner):
    X, y, groups = data
    clf = classifier(OneLogit, pruner=pruner, module__flat=False, max_epochs=2)
    clf.fit(X, y, sensitive_features=groups).prune(0.4, X, y, sensitive_features=groups)
    assert clf.sparsity_ > 0.3


@pytest.mark.slow
def test_one_logit_files_give_the_same_predictions(pair, data, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    X = data[0]
    clf = pair[0].prune(0.5)
    save_compact(clf, tmp_path / "net.zip")
    fresh = load_compact(tmp_path / "net.zip", classifier(OneLogit, module__flat=clf.module_.flat))
    np.testing.assert_array_equal(fresh.predict_proba(X), clf.predict_proba(X))
    to_onnx(clf, tmp_path / "net.onnx")
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"))
    [scores] = session.run(["scores"], {"X": X})
    np.testing.assert_allclose(torch.from_numpy(scores).softmax(1), clf.predict_proba(X), atol=1e-6)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == ["no", "yes"]
    assert metadata["scores"] == "logits"


def test_one_logit_pos_weight_counts(data):
    X, y, _ = data
    weight = torch.tensor([3.0])
    clf = classifier(OneLogit, criterion__pos_weight=weight).fit(X, y)
    codes = torch.from_numpy((y == "yes").astype(np.float32))
    with torch.no_grad():
        z = clf.module_(torch.from_numpy(X))
    expected = nn.functional.binary_cross_entropy_with_logits(z, codes, pos_weight=weight)
    report = clf.fairness_report(X, y, sensitive_features=data[2])
    assert report.dense.overall["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_one_logit_pretrained_needs_no_fit(data):
    X, y, groups = data
    codes = (y == "yes").astype(int)
    torch.manual_seed(0)
    clf = classifier(OneLogit(4), classes=[0, 1], pruner="layer_magnitude").initialize().prune(0.5)
    with torch.no_grad():
        expected = (clf.module_(torch.from_numpy(X)) > 0).numpy().astype(int)
    np.testing.assert_array_equal(clf.predict(X), expected)
    assert 0 < clf.predict(X).mean() < 1
    report = clf.fairness_report(X, codes, sensitive_features=groups)
    assert report.pruned.overall["accuracy"] == (expected == codes).mean()


# ----------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("module", "criterion", "message"),
    [
        (lambda: nn.Linear(4, 2), nn.BCEWithLogitsLoss, "takes one logit per sample"),
        (lambda: nn.Linear(4, 1), nn.CrossEntropyLoss, "criterion=torch.nn.BCEWithLogitsLoss"),
    ],
)
def test_outputs_that_do_not_fit_the_criterion_raise(data, module, criterion, message):
    X, y, groups = data
    codes = (y == "yes").astype(int)
    with pytest.raises(ValueError, match=message):
        classifier(module(), criterion).fit(X, codes)
    pretrained = classifier(module(), criterion, classes=[0, 1]).initialize().prune(0.5)
    with pytest.raises(ValueError, match=message):
        pretrained.fairness_report(X, codes, sensitive_features=groups)
    with pytest.raises(ValueError, match=message):
        pretrained.predict(X)


def test_one_logit_of_three_classes_raises(data):
    X = data[0]
    with pytest.raises(ValueError, match="BCEWithLogitsLoss needs two classes, got 3"):
        classifier(OneLogit).fit(X, np.arange(300) % 3)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros((300, 3), dtype=int), "one label per sample; several"),
        (np.linspace(0, 1, 300), "Unknown label type"),
    ],
)
def test_one_logit_multi_label_and_regression_targets_are_refused(data, y, message):
    with pytest.raises(ValueError, match=message):
        classifier(OneLogit).fit(data[0], y)


# --------------------------------------------------------------- tuples and dicts


class Wrapped(nn.Module):
    """The same logits in several forms."""

    def __init__(self, n_features, form):
        super().__init__()
        self.head = nn.Linear(n_features, 2)
        self.form = form

    def forward(self, X):
        logits = self.head(X)
        return {
            "tensor": logits,
            "tuple": (logits, X),
            "dict": {"hidden": X, "logits": logits},
            "ordered": OrderedDict(logits=logits, hidden=(X, X)),
            "other": {"scores": logits},
        }[self.form]


@pytest.mark.parametrize("form", ["tuple", "dict", "ordered"])
def test_outputs_of_other_forms_do_the_same(data, form):
    X, y, groups = data
    clf, plain = (
        classifier(
            Wrapped,
            nn.CrossEntropyLoss,
            module__form=each,
            callbacks=[("equal", EqualLossConstraint())],
        ).fit(X, y, sensitive_features=groups)
        for each in (form, "tensor")
    )
    for each in (clf, plain):
        each.set_params(pruner="taylor")
        each.prune(0.4, X, y, sensitive_features=groups, finetune_epochs=1)
    np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    left, right = (
        each.fairness_report(X, y, sensitive_features=groups, diagnostics=True)
        for each in (clf, plain)
    )
    pd.testing.assert_frame_equal(left.to_frame(), right.to_frame())
    pd.testing.assert_frame_equal(left.diagnostics, right.diagnostics)


def test_dict_without_logits_raises(data):
    X, y, _ = data
    with pytest.raises(ValueError, match=r"scores under the key 'logits', got a dict of \['sc"):
        classifier(Wrapped, nn.CrossEntropyLoss, module__form="other").fit(X, y)


def test_first_output_and_class_scores_by_hand():
    z = torch.tensor([1.0, -2.0])
    assert first_output((z, None)) is z
    assert class_scores(z.bfloat16()).dtype == torch.float32
    assert class_scores(z).tolist() == [[0.0, 1.0], [0.0, -2.0]]
    two = torch.tensor([[3.0, 4.0]])
    assert class_scores(two) is two
    criterion, y = nn.BCEWithLogitsLoss(), torch.tensor([0, 1])
    by_hand = torch.log1p(torch.exp(torch.tensor([1.0, 2.0])))
    for output in (z, z[:, None], class_scores(z)):
        torch.testing.assert_close(sample_losses(criterion, output, y), by_hand)
