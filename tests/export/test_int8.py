"""Files in int8 answer as those in floats do, and are small."""

from __future__ import annotations

import copy
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import nn
from torch.utils.data import TensorDataset

from sk_prunefair.export import to_onnx
from sk_prunefair.onnx_model import OnnxModel
from tests.conftest import assert_same_weights, classifier

MLP = nn.Sequential(
    *(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU()),
    *(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)),
)
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CONV = nn.Sequential(
    *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
    *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(16 * 16, 10)),
)


class Words(nn.Module):
    """Tokens of any length and numbers, by name."""

    def __init__(self):
        super().__init__()
        self.embed, self.numbers = nn.Embedding(50, 32), nn.Linear(3, 32)
        self.head = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, tokens, numbers):
        return self.head(self.embed(tokens).mean(1) + self.numbers(numbers))


def quantised_weights(path):
    """Return weights of a file in int8, and their zero points, by what dequantises them."""
    graph = onnx.load(path).graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    return {
        node.input[0]: (values[node.input[0]], values[node.input[2]])
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in values
        and values[node.input[0]].dtype == np.int8
    }


@pytest.fixture(scope="module", params=["mlp", "conv"])
def pair(request, digits, tmp_path_factory):
    """Return a pruned classifier and its files in floats and in int8."""
    X, y, _ = digits
    folder = tmp_path_factory.mktemp("int8")
    net = {"mlp": MLP, "conv": CONV}[request.param]
    clf = classifier(net, prune_rate=0.7, max_epochs=6).fit(X[:1000], y[:1000])
    to_onnx(clf, folder / "float.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_onnx(clf, folder / "int8.onnx", quantize="int8", calibration=X[:200])
    return clf, folder / "float.onnx", folder / "int8.onnx"


@pytest.mark.slow
def test_int8_file_is_smaller_and_as_accurate(pair, digits):
    X, y, _ = digits
    clf, whole, small = pair
    assert small.stat().st_size < 0.65 * whole.stat().st_size
    found = OnnxModel(small).run(X[1000:])
    accuracy = (found.classes[found.values.argmax(1)] == y[1000:]).mean()
    assert accuracy > 0.8
    assert accuracy > (clf.predict(X[1000:]) == y[1000:]).mean() - 0.02
    np.testing.assert_allclose(found.probabilities, clf.predict_proba(X[1000:]), atol=0.15)


@pytest.mark.slow
def test_int8_file_keeps_inputs_outputs_and_metadata(pair):
    whole, small = map(OnnxModel, pair[1:])
    assert small.inputs == whole.inputs
    assert small.inputs[0].n_fixed is None
    assert small.output == whole.output == "scores"
    assert small.scores == whole.scores == "logits"
    assert small.classes.tolist() == whole.classes.tolist()


def test_int8_rows_one_by_one_and_in_batches_agree(pair, digits):
    X = digits[0][1000:1064]
    one, many = (OnnxModel(pair[2], batch_size=n).predict(X) for n in (1, 64))
    np.testing.assert_allclose(one, many, atol=1e-5)


def test_int8_removed_weights_are_zero(pair):
    clf, _, small = pair
    masks = {tuple(mask.shape): mask.numpy() for mask in clf.pruned_.masks.values()}
    seen = set()
    for values, zero in quantised_weights(small).values():
        assert (zero == 0).all()
        if values.shape in masks:
            seen.add(values.shape)
            assert (values[~masks[values.shape]] == 0).all()
    assert seen == set(masks)


def test_int8_scores_are_not_rounded_to_eight_bits(pair, digits):
    assert len(np.unique(OnnxModel(pair[2]).predict(digits[0]))) > 1000


@pytest.mark.slow
def test_int8_leaves_classifier_and_folder_alone(digits, tmp_path):
    X, y, _ = digits
    clf = classifier(MLP, max_epochs=1).fit(X, y)
    before = copy.deepcopy(clf.module_)
    to_onnx(clf, tmp_path / "net.onnx", quantize="int8", calibration=X[:100])
    assert_same_weights(clf.module_, before)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.slow
def test_int8_tokens_stay_integers_of_any_length(tmp_path):
    rng = np.random.default_rng(0)
    X = {
        "tokens": rng.integers(0, 50, (400, 5)),
        "numbers": rng.normal(size=(400, 3)).astype(np.float32),
    }
    y = np.digitize(X["numbers"].sum(1), [-1, 1])
    clf = classifier(Words, max_epochs=8, prune_rate=0.5).fit(X, y)
    to_onnx(clf, tmp_path / "float.onnx")
    part = {name: values[:100] for name, values in X.items()}
    to_onnx(clf, tmp_path / "net.onnx", quantize="int8", calibration=part)
    assert (tmp_path / "net.onnx").stat().st_size < (tmp_path / "float.onnx").stat().st_size
    model = OnnxModel(tmp_path / "net.onnx")
    assert {each.name: each.dtype for each in model.inputs} == {
        "tokens": "int64",
        "numbers": "float32",
    }
    assert (model.predict(X).argmax(1) == clf.predict(X)).mean() > 0.95
    other = {"tokens": rng.integers(0, 50, (7, 11)), "numbers": X["numbers"][:7]}
    np.testing.assert_allclose(model.predict_proba(other), clf.predict_proba(other), atol=0.1)


@pytest.mark.slow
def test_int8_of_probabilities_and_of_one_logit(digits, tmp_path):
    X, y, _ = digits
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1))
    clf = classifier(net, criterion=nn.NLLLoss).fit(X, y)
    to_onnx(clf, tmp_path / "net.onnx", quantize="int8", calibration=X[:100])
    model = OnnxModel(tmp_path / "net.onnx")
    assert model.scores == "probabilities"
    assert model.predict(X).min() > 0
    np.testing.assert_allclose(model.predict(X).sum(1), 1, atol=1e-5)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    clf = classifier(net, criterion=nn.BCEWithLogitsLoss).fit(X, y % 2)
    to_onnx(clf, tmp_path / "net.onnx", quantize="int8", calibration=X[:100])
    found = OnnxModel(tmp_path / "net.onnx").predict_proba(X)
    np.testing.assert_allclose(found, clf.predict_proba(X), atol=0.1)


@pytest.mark.slow
def test_int8_net_that_ends_in_a_rectifier_stays_above_zero(digits, tmp_path):
    X = digits[0].astype(np.float32)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 10), nn.ReLU()).eval()
    to_onnx(net, tmp_path / "net.onnx", quantize="int8", calibration=X)
    found = OnnxModel(tmp_path / "net.onnx", scores="logits").predict(X)
    with torch.no_grad():
        expected = net(torch.from_numpy(X)).numpy()
    assert (expected == 0).any()
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.slow
def test_int8_calibration_in_every_form_gives_one_file(digits, tmp_path):
    X, y, _ = digits
    X = X.astype(np.float32)
    clf = classifier(MLP, max_epochs=1).fit(X, y)
    items = TensorDataset(torch.from_numpy(X[:64]), torch.from_numpy(y[:64]))
    frame = pd.DataFrame(X[:64], index=np.arange(64)[::-1])

    def scores(source, calibration):
        to_onnx(source, tmp_path / "net.onnx", quantize="int8", calibration=calibration)
        return OnnxModel(tmp_path / "net.onnx").predict(X)

    expected = scores(clf, X[:64])
    for form in (frame, items):
        np.testing.assert_array_equal(scores(clf, form), expected)
    for form in (X[:64].tolist(), items, csr_matrix(X[:64])):
        np.testing.assert_array_equal(scores(clf.module_, form), expected)


@pytest.mark.slow
def test_int8_other_answers_for_many_rows_are_warned_of(tmp_path):
    # One value so large that all others fall into one step of its range.
    X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    X[0] = 1e6
    net = nn.Linear(4, 2)
    with pytest.warns(
        UserWarning, match=r"changes the predicted label of \d\d% of the 200 calibration rows"
    ):
        to_onnx(net, tmp_path / "net.onnx", quantize="int8", calibration=X)
    assert OnnxModel(tmp_path / "net.onnx").predict(X).shape == (200, 2)


@pytest.mark.slow
def test_int8_calibration_that_does_not_fit_raises_and_writes_nothing(digits, tmp_path):
    X, y, _ = digits
    clf = classifier(MLP, max_epochs=1).fit(X, y)
    path = tmp_path / "net.onnx"
    with_nan = X[:20].copy()
    with_nan[3, 3] = np.nan
    items = TensorDataset(torch.from_numpy(with_nan.astype(np.float32)))
    for rows, message in (
        (None, "needs calibration"),
        (X[:9], "must hold at least 10 rows, got 9"),
        (with_nan, "NaN"),
        (items, "calibration must be finite, got NaN or infinity in 'X'"),
        (X[:20, :5], "5 features"),
        (np.full((20, 64), "a"), "arrays of bytes/strings"),
    ):
        with pytest.raises(ValueError, match=message):
            to_onnx(clf, path, quantize="int8", calibration=rows)
    with pytest.raises(ValueError, match=r"shape \(n_samples, 64\) for the input 'X'"):
        to_onnx(clf.module_, path, X[:2], quantize="int8", calibration=X[:20, :5])
    with pytest.raises(ValueError, match="calibration must be finite"):
        to_onnx(clf.module_, path, quantize="int8", calibration=with_nan)
    with pytest.raises(ValueError, match="quantize must be None or 'int8', got 'int4'"):
        to_onnx(clf, path, quantize="int4", calibration=X)
    with pytest.raises(ValueError, match="calibration is for quantize='int8'"):
        to_onnx(clf, path, calibration=X)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_int8_of_a_net_in_double_precision_raises(digits, tmp_path):
    net = nn.Linear(64, 10).double()
    with pytest.raises(ValueError, match="quantise"):
        to_onnx(net, tmp_path / "net.onnx", quantize="int8", calibration=digits[0][:20])


def test_int8_without_onnxruntime_names_the_extra(digits, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[onnx\]"):
        to_onnx(nn.Linear(64, 2), tmp_path / "n.onnx", quantize="int8", calibration=digits[0])
