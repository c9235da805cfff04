"""Nets that lose channels, from the classifier to the file."""

from __future__ import annotations

import copy
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sk_prunefair import EqualGradientConstraint, EqualLossConstraint
from sk_prunefair.export import load_compact, save_compact, to_onnx
from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.pruning import IterativePruning, apply_masks, expand_module
from sk_prunefair.theory import risk_attribution
from tests.conftest import assert_same_weights, classifier, weights

pytest.importorskip("torch_pruning")


def images(n_samples=60):
    X = np.random.default_rng(0).random((n_samples, 1, 8, 8), dtype=np.float32)
    return X, np.arange(n_samples) % 3, np.arange(n_samples) % 2


@pytest.fixture
def shrunk(digits):
    X, y, group = digits
    clf = classifier(MLP, pruner="channel_magnitude")
    clf.fit(X, y, sensitive_features=group)
    return clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)


def test_channel_pruned_net_is_smaller_and_training_goes_on(shrunk, digits):
    X, y, group = digits
    hidden = [layer.out_features for layer in linear_layers(shrunk.dense_module_)]
    left = [layer.out_features for layer in linear_layers(shrunk.module_)]
    assert left == [size // 2 for size in hidden[:-1]] + hidden[-1:]
    # The optimizer has the new tensors: training changes them.
    trained = {id(p) for part in shrunk.optimizer_.param_groups for p in part["params"]}
    assert trained == {id(p) for p in shrunk.module_.parameters()}
    before = weights(shrunk.module_)
    shrunk.partial_fit(X, y, sensitive_features=group)
    assert all((value != before[name]).any() for name, value in weights(shrunk.module_).items())
    assert shrunk.score(X, y) > 0.8


def linear_layers(module):
    return [part for part in module.modules() if isinstance(part, torch.nn.Linear)]


def test_channel_pruned_net_pruned_again_starts_from_the_dense_net(shrunk):
    dense = weights(shrunk.dense_module_)
    once = weights(shrunk.prune(0.8).module_)
    assert weights(shrunk.prune(0.0).module_).keys() == dense.keys()
    assert all((value == dense[name]).all() for name, value in weights(shrunk.module_).items())
    assert all((v == once[name]).all() for name, v in weights(shrunk.prune(0.8).module_).items())
    shrunk.set_params(pruner="magnitude")
    assert shrunk.prune(0.5).pruned_.kept is None
    assert shrunk.sparsity_ == pytest.approx(0.5, abs=1e-3)


def test_channel_pruned_net_expanded_does_what_the_smaller_one_does():
    X, y, group = images()
    clf = classifier(ResNet18, module__width=8, pruner="channel_taylor", max_epochs=1)
    clf.set_params(
        module__in_channels=1
    ) if "in_channels" in ResNet18.__init__.__code__.co_varnames else None
    clf.fit(X, y, sensitive_features=group).prune(0.5, X, y, sensitive_features=group)
    full = expand_module(clf.dense_module_, clf.module_, clf.pruned_.kept)
    with torch.no_grad():
        small, same = (m.eval()(torch.from_numpy(X)) for m in (clf.module_, full))
    torch.testing.assert_close(small, same, rtol=1e-4, atol=1e-5)
    # Without fine-tuning it is the dense net with the masks on.
    masked = copy.deepcopy(clf.dense_module_)
    apply_masks(masked, clf.masks_)
    for name, value in masked.named_parameters():
        assert torch.equal(value, full.get_parameter(name)), name


def test_channel_pruned_net_report_counts_what_is_there(shrunk, digits):
    X, y, group = digits
    report = shrunk.fairness_report(X, y, sensitive_features=group, diagnostics=True)
    n_small = sum(p.numel() for p in shrunk.module_.parameters())
    n_dense = sum(p.numel() for p in shrunk.dense_module_.parameters())
    c = report.compression
    assert c["parameters"] == n_small < n_dense
    assert c["bytes_stored"] == 4 * n_small
    assert c["bytes_dense"] == 4 * n_dense
    assert c["macs_pruned"] == sum(layer.weight.numel() for layer in linear_layers(shrunk.module_))
    assert c["macs_dense"] > 2 * c["macs_pruned"]
    np.testing.assert_allclose(
        report.diagnostics["excessive_risk"], report.excessive_risk.to_numpy(), rtol=1e-4
    )


def test_channel_pruned_net_expanded_has_the_risks_of_the_report(shrunk, digits):
    X, y, group = digits
    full = expand_module(shrunk.dense_module_, shrunk.module_, shrunk.pruned_.kept)
    X = X.astype(np.float32)
    frame = risk_attribution(shrunk.dense_module_, full, X, y, group, tol=1e-3)
    report = shrunk.fairness_report(X, y, sensitive_features=group)
    risk = report.excessive_risk
    np.testing.assert_allclose(frame.sum(axis=1), risk.loc[frame.index], rtol=1e-2, atol=1e-4)


# ------------------------------------------------------------ copies and files


def test_channel_pruned_net_copies_are_the_same(shrunk, digits):
    X = digits[0]
    for other in (pickle.loads(pickle.dumps(shrunk)), copy.deepcopy(shrunk)):
        np.testing.assert_array_equal(other.predict_proba(X), shrunk.predict_proba(X))
        assert other.sparsity_ == shrunk.sparsity_


def test_channel_pruned_net_save_params_keeps_what_was_kept(shrunk, digits, tmp_path):
    X, y, group = digits
    shrunk.save_params(f_params=tmp_path / "net.pt")
    expected, sparsity = shrunk.predict_proba(X), shrunk.sparsity_
    fresh = clone(shrunk).fit(X, y, sensitive_features=group)
    for other in (fresh, shrunk.prune(0.8), shrunk.prune(0.0)):
        other.load_params(f_params=tmp_path / "net.pt")
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert other.sparsity_ == sparsity
        assert other.prune_rate_ == 0.5
    fresh.partial_fit(X, y, sensitive_features=group)
    assert fresh.prune(0.0).sparsity_ == 0.0


def test_channel_pruned_net_compact_file_comes_back(shrunk, digits, tmp_path):
    X, y, group = digits
    save_compact(shrunk, tmp_path / "net.zip")
    save_compact(shrunk, tmp_path / "both.zip", dense=True)
    both = load_compact(tmp_path / "both.zip", clone(shrunk))
    assert_same_weights(both.module_, shrunk.module_)
    assert_same_weights(both.dense_module_, shrunk.dense_module_)
    fresh = load_compact(tmp_path / "net.zip", clone(shrunk))
    np.testing.assert_array_equal(fresh.predict_proba(X), shrunk.predict_proba(X))
    assert fresh.sparsity_ == shrunk.sparsity_
    assert fresh.pruned_.kept.keys() == shrunk.pruned_.kept.keys()
    fresh.partial_fit(X, y, sensitive_features=group)
    dense = copy.deepcopy(shrunk.dense_module_)
    module = load_compact(tmp_path / "net.zip", dense).eval()
    with torch.no_grad():
        scores = module(torch.from_numpy(X.astype(np.float32)))
        assert torch.equal(scores, shrunk.module_.eval()(torch.from_numpy(X.astype(np.float32))))
    assert linear_layers(dense)[0].out_features == 2 * linear_layers(module)[0].out_features
    other = MLP(n_features=64, n_classes=10, hidden=(5,))
    with pytest.raises(ValueError, match=r"kept|does not fit"):
        load_compact(tmp_path / "net.zip", other)
    assert linear_layers(other)[0].out_features == 5


def forge(path, header=None, parts=None):
    """Write the file anew with another header, or other contents of some of its parts."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    if header is not None:
        known = json.loads(content["header.json"])
        header(known)
        content["header.json"] = json.dumps(known).encode()
    content |= parts or {}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)


@pytest.mark.parametrize(
    "change",
    [
        {"header": lambda h: h["kept"].update({"no.weight": [0]})},
        {"header": lambda h: h["kept"].update({"layers.0.weight": [5]})},
        {"header": lambda h: h["kept"].update({"layers.0.weight": ["0"]})},
        {"header": lambda h: h["kept"].update({"layers.0.weight": []})},
        {"header": lambda h: h.update(kept=[1])},
        {"header": lambda h: h["kept"].pop("layers.0.weight")},
        {"parts": {"kept/0/layers.0.weight": bytes(16)}},
        {"parts": {"kept/0/layers.0.weight": b"\xff" * 16}},
        {"parts": {"kept/0/layers.0.weight": b"\xff"}},
        {"parts": {"kept/0/layers.0.weight": b"\xff" * 10**6}},
    ],
)
def test_channel_pruned_net_forged_file_is_refused(shrunk, tmp_path, change):
    path = tmp_path / "net.zip"
    save_compact(shrunk, path)
    forge(path, **change)
    target = clone(shrunk)
    module = copy.deepcopy(shrunk.dense_module_)
    for into in (target, module):
        with pytest.raises(ValueError, match=r"file|kept|cut"):
            load_compact(path, into)
    assert not target.initialized_
    before = weights(shrunk.dense_module_)
    assert all((value == before[name]).all() for name, value in weights(module).items())


@pytest.mark.slow
def test_channel_pruned_net_onnx_file_has_the_same_scores(shrunk, digits, tmp_path):
    for name in ("onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    import onnxruntime

    X = digits[0].astype(np.float32)
    to_onnx(shrunk, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (scores,) = session.run(None, {"X": X})
    with torch.no_grad():
        expected = shrunk.module_.eval()(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


# ----------------------------------------------------------------- other ways


@pytest.mark.parametrize("constraint", [EqualLossConstraint(), EqualGradientConstraint()])
def test_channel_pruned_net_with_constraint_and_rewinding_is_fine_tuned(digits, constraint):
    X, y, group = digits
    clf = classifier(
        MLP,
        pruner="channel_magnitude",
        prune_rate=0.5,
        finetune_epochs=2,
        rewind_epoch=1,
        callbacks=[("constraint", constraint)],
    )
    clf.fit(X, y, sensitive_features=group)
    assert clf.pruned_.kept
    assert len(clf.history) == 4 + 2
    assert clf.score(X, y) > 0.7


def test_channel_pruned_net_in_a_grid_search_is_found(digits):
    X, y, group = digits
    clf = classifier(MLP, pruner="channel_magnitude", max_epochs=2)
    search = GridSearchCV(clf, {"prune_rate": [0.2, 0.6]}, cv=2, error_score="raise")
    search.fit(X, y, sensitive_features=group)
    assert search.best_estimator_.pruned_.kept


def test_channel_pruned_net_pretrained_without_x_raises(digits):
    X, y, group = digits
    clf = classifier(
        MLP(n_features=64, n_classes=10), classes=list(range(10)), pruner="channel_magnitude"
    ).initialize()
    with pytest.raises(ValueError, match="shape is not known: pass X"):
        clf.prune(0.5)
    clf.prune(0.5, X, y, sensitive_features=group)
    assert clf.pruned_.kept


def test_channel_pruned_net_with_a_schedule_raises(digits):
    X, y, group = digits
    clf = classifier(MLP, pruner="channel_magnitude", callbacks=[IterativePruning(2)])
    clf.fit(X, y, sensitive_features=group)
    with pytest.raises(ValueError, match="removes channels, all in one step"):
        clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=2)
    assert clf.prune(0.5).pruned_.kept  # one-shot
