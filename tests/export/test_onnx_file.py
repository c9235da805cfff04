"""ONNX files give what torch gives."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.export import to_onnx
from sk_prunefair.modules import VGG19, ResNet18
from tests.conftest import classifier, weights

onnxruntime = pytest.importorskip("onnxruntime")


def run(path, X):
    session = onnxruntime.InferenceSession(path)
    return session.run(["scores"], {"X": X})[0]


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


def test_to_onnx_several_outputs_first_is_taken(tmp_path):
    net = Two(4, 2)
    X = np.eye(4, dtype=np.float32)
    to_onnx(net, tmp_path / "net.onnx", example=X)
    expected = net(torch.from_numpy(X))[0].detach().numpy()
    np.testing.assert_allclose(run(tmp_path / "net.onnx", X), expected, atol=1e-6)


def test_to_onnx_without_example_or_package_raises(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="example must hold a few samples"):
        to_onnx(nn.Linear(4, 2), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[onnx\]"):
        to_onnx(nn.Linear(4, 2), tmp_path / "net.onnx", example=np.zeros((1, 4)))
