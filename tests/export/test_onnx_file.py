"""ONNX files give what torch gives."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sk_prunefair.export import to_onnx
from sk_prunefair.modules import VGG19, ResNet18
from tests.conftest import classifier, weights

onnxruntime = pytest.importorskip("onnxruntime")


def run(path, X):
    session = onnxruntime.InferenceSession(path)
    return session.run(["scores"], {"X": X})[0]


@pytest.mark.slow
def test_to_onnx_pruned_classifier_any_batch_size(digits, tmp_path):
    X, y, group = digits
    clf = classifier(prune_rate=0.8).fit(X, y, sensitive_features=group)
    before = weights(clf.module_)
    path = tmp_path / "net.onnx"
    to_onnx(clf, path)
    for n in (1, 2, 57):
        batch = X[:n].astype(np.float32)
        clf.module_.eval()
        with torch.no_grad():
            expected = clf.module_(torch.from_numpy(batch)).numpy()
        np.testing.assert_allclose(run(path, batch), expected, atol=1e-4)
    for name, value in weights(clf.module_).items():
        np.testing.assert_array_equal(value, before[name])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_to_onnx_file_tells_nothing_of_the_machine(tmp_path):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, X):
            return torch.cond(X.sum() > 0, self.layer, lambda X: -self.layer(X), (X,))

    for net in (nn.Linear(4, 2), Branches()):
        to_onnx(net, tmp_path / "net.onnx", example=np.zeros((3, 4)))
        content = (tmp_path / "net.onnx").read_bytes()
        assert b".py" not in content
        assert b"stack_trace" not in content


@pytest.mark.slow
@pytest.mark.parametrize("net", [ResNet18, VGG19])
def test_to_onnx_image_net_same_scores(net, tmp_path):
    torch.manual_seed(0)
    module = net(n_classes=3, width=4)
    module.train()
    X = torch.randn(5, 3, 32, 32)
    to_onnx(module, tmp_path / "net.onnx", example=X[:1])
    assert module.training
    with torch.no_grad():
        expected = module.eval()(X).numpy()
    np.testing.assert_allclose(run(tmp_path / "net.onnx", X.numpy()), expected, atol=1e-4)


class Two(nn.Linear):
    def forward(self, X):
        return super().forward(X), X


@pytest.mark.slow
def test_to_onnx_several_outputs_first_is_taken(tmp_path):
    net = Two(4, 2)
    X = np.eye(4, dtype=np.float32)
    to_onnx(net, tmp_path / "net.onnx", example=X)
    expected = net(torch.from_numpy(X))[0].detach().numpy()
    np.testing.assert_allclose(run(tmp_path / "net.onnx", X), expected, atol=1e-6)


def test_to_onnx_without_example_or_package_raises(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="example \\(a few samples\\) must be given"):
        to_onnx(nn.Linear(4, 2), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[onnx\]"):
        to_onnx(nn.Linear(4, 2), tmp_path / "net.onnx", example=np.zeros((1, 4)))


@pytest.mark.slow
def test_to_onnx_tokens_of_any_length_and_numbers_by_name(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.numbers = nn.Embedding(9, 4), nn.Linear(3, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, tokens, numbers):
            return {"logits": self.head(self.embed(tokens).mean(1) + self.numbers(numbers))}

    rng = np.random.default_rng(0)
    X = {
        "tokens": rng.integers(0, 9, (40, 5)),
        "numbers": rng.normal(size=(40, 3)).astype(np.float32),
    }
    clf = classifier(Two, max_epochs=1).fit(X, np.arange(40) % 2).prune(0.3)
    to_onnx(clf, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    inputs = {each.name: (each.type, each.shape[0]) for each in session.get_inputs()}
    assert inputs["tokens"] == ("tensor(int64)", "n_samples")
    assert inputs["numbers"] == ("tensor(float)", "n_samples")
    for n, length in ((1, 5), (7, 3), (3, 11)):
        part = {"tokens": rng.integers(0, 9, (n, length)), "numbers": X["numbers"][:n]}
        [scores] = session.run(["scores"], part)
        expected = clf.predict_proba(part)
        np.testing.assert_allclose(torch.from_numpy(scores).softmax(1), expected, atol=1e-6)
    assert session.get_modelmeta().custom_metadata_map["classes"] == "[0, 1]"


@pytest.mark.slow
def test_to_onnx_integers_of_an_array_stay_integers(tmp_path):
    net = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2))
    tokens = np.random.default_rng(0).integers(0, 9, (40, 5))
    clf = classifier(net, max_epochs=1).fit(tokens, np.arange(40) % 2)
    to_onnx(clf, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    assert session.get_inputs()[0].type == "tensor(int64)"
    [scores] = session.run(["scores"], {"X": tokens})
    np.testing.assert_allclose(
        torch.from_numpy(scores).softmax(1), clf.predict_proba(tokens), atol=1e-6
    )


@pytest.mark.slow
def test_to_onnx_pipeline_writes_the_last_step_and_says_so(digits, tmp_path):
    X, y, _ = digits
    pipe = make_pipeline(StandardScaler(), classifier(max_epochs=1)).fit(X, y)
    with pytest.warns(
        UserWarning, match="the file holds only the last step 'fairprunedclassifier'"
    ):
        to_onnx(pipe, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    [scores] = session.run(["scores"], {"X": pipe[:-1].transform(X[:9]).astype(np.float32)})
    np.testing.assert_array_equal(scores.argmax(1), pipe.predict(X[:9]))
