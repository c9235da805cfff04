"""ONNX files give the scores that torch, or hand-worked numbers, give."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax
from torch import nn
from torch.utils.data import TensorDataset

from sk_prunefair.export import to_onnx
from sk_prunefair.onnx_model import OnnxModel
from tests.conftest import classifier
from tests.onnx_model.graphs import FLOAT, INT64, STRING, linear, with_labels, write

pytest.importorskip("onnxruntime")

W = np.array([[1.0, -1.0, 0.5], [2.0, 0.0, -3.0]])
X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [0.0, 4.0], [-1.0, -1.0]])


@pytest.mark.slow
def test_onnx_model_of_a_classifier_scores_labels_and_kind(digits, tmp_path):
    data, y, _ = digits
    names = np.array(list("abcdefghij"))[y]
    clf = classifier(max_epochs=1, prune_rate=0.5).fit(data, names)
    to_onnx(clf, tmp_path / "net.onnx")
    model = OnnxModel(tmp_path / "net.onnx", batch_size=7)
    assert model.scores == "logits"
    assert model.classes.tolist() == clf.classes_.tolist()
    for n in (1, 7, 50):
        np.testing.assert_allclose(
            model.predict_proba(data[:n]), clf.predict_proba(data[:n]), atol=1e-6
        )
    found = model.run(data[:9])
    assert found.values.shape == (9, 10)
    assert found.classes[found.values.argmax(1)].tolist() == clf.predict(data[:9]).tolist()


@pytest.mark.slow
def test_onnx_model_of_a_classifier_of_named_columns_takes_them_in_any_order(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 3)).astype(np.float32), columns=["a", "b", "c"])
    clf = classifier(nn.Linear(3, 2), max_epochs=1).fit(frame, (frame["a"] > 0).to_numpy())
    to_onnx(clf, tmp_path / "net.onnx")
    model = OnnxModel(tmp_path / "net.onnx")
    assert model.features == ["a", "b", "c"]
    assert model.classes.tolist() == [False, True]
    expected = clf.predict_proba(frame)
    for form in (frame, frame[["c", "a", "b"]], frame.to_numpy(), pd.DataFrame(frame.to_numpy())):
        np.testing.assert_allclose(model.predict_proba(form), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"\['b'\] are missing, \['d'\] are unknown"):
        model.predict(frame.rename(columns={"b": "d"}))


@pytest.mark.slow
def test_onnx_model_of_a_classifier_that_returns_probabilities(digits, tmp_path):
    data, y, _ = digits
    net = nn.Sequential(nn.Linear(64, 10), nn.Softmax(dim=1))
    clf = classifier(net, criterion=nn.NLLLoss, max_epochs=1).fit(data, y)
    to_onnx(clf, tmp_path / "net.onnx")
    model = OnnxModel(tmp_path / "net.onnx")
    assert model.scores == "probabilities"
    np.testing.assert_allclose(model.predict(data[:9]), clf.predict_proba(data[:9]), atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(data[:9]).sum(1), 1, atol=1e-12)


@pytest.mark.slow
def test_onnx_model_one_logit_of_a_classifier_is_two_scores(digits, tmp_path):
    data, y, _ = digits
    clf = classifier(nn.Linear(64, 1), criterion=nn.BCEWithLogitsLoss, max_epochs=1)
    clf.fit(data, y % 2)
    to_onnx(clf, tmp_path / "net.onnx")
    found = OnnxModel(tmp_path / "net.onnx").run(data[:9])
    assert (found.values[:, 0] == 0).all()
    np.testing.assert_allclose(found.probabilities, clf.predict_proba(data[:9]), atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        X,
        X.astype(np.float32),
        X.tolist(),
        torch.from_numpy(X),
        csr_matrix(X),
        pd.DataFrame(X, index=[9, 9, 3, 1, 0], columns=["b", "a"]),
        {"X": X},
        (X,),
        TensorDataset(torch.from_numpy(X), torch.zeros(5)),
    ],
    ids=lambda form: type(form).__name__,
)
@pytest.mark.parametrize("batch_size", [2, 100])
def test_onnx_model_takes_rows_in_every_form(form, batch_size, tmp_path):
    model = OnnxModel(linear(tmp_path / "net.onnx", W), batch_size=batch_size)
    np.testing.assert_allclose(model.predict(form), X @ W, rtol=1e-6)
    assert model.run(form).kind == "logits"
    np.testing.assert_allclose(model.predict_proba(form), softmax(X @ W, axis=1), rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_onnx_model_fixed_number_of_rows_is_fed_and_padded(rows, tmp_path):
    model = OnnxModel(linear(tmp_path / "net.onnx", W, rows=rows), batch_size=3)
    assert model.batch_size == rows
    np.testing.assert_allclose(model.predict(X), X @ W, rtol=1e-6)


@pytest.mark.slow
def test_onnx_model_inputs_by_name_tokens_and_numbers(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.numbers = nn.Embedding(9, 4), nn.Linear(3, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, tokens, numbers):
            return self.head(self.embed(tokens).mean(1) + self.numbers(numbers))

    rng = np.random.default_rng(0)
    tokens, numbers = rng.integers(0, 9, (40, 5)), rng.normal(size=(40, 3))
    clf = classifier(Two, max_epochs=1)
    clf.fit({"tokens": tokens, "numbers": numbers.astype(np.float32)}, np.arange(40) % 2)
    to_onnx(clf, tmp_path / "net.onnx")
    model = OnnxModel(tmp_path / "net.onnx", batch_size=16)
    expected = clf.predict_proba({"tokens": tokens, "numbers": numbers.astype(np.float32)})
    by_name = {"numbers": numbers, "tokens": tokens.astype(np.int32), "labels": np.zeros(40)}
    in_order = tuple(by_name[each.name] for each in model.inputs)
    as_floats = by_name | {"tokens": tokens.astype(float)}
    for form in (by_name, in_order, as_floats):
        np.testing.assert_allclose(model.predict_proba(form), expected, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"values that int64 can represent for the input 'tokens', got \d\.5"
    ):
        model.predict(by_name | {"tokens": tokens + 0.5})
    with pytest.raises(ValueError, match=r"\['numbers'\] are missing, \['number'\] are unknown"):
        model.predict({"tokens": tokens, "number": numbers})
    with pytest.raises(ValueError, match="arrays of one length"):
        model.predict(by_name | {"tokens": tokens[:3]})
    with pytest.raises(ValueError, match="must be a dict or a tuple of arrays"):
        model.predict(numbers)
    with pytest.raises(ValueError, match="must be a tuple of 2 arrays, for the inputs"):
        model.predict((tokens,))
    with pytest.raises(ValueError, match=r"fails on a batch of shapes .*'tokens'"):
        model.predict(by_name | {"tokens": tokens + 100})


def test_onnx_model_one_input_for_each_column_takes_a_table_by_its_names(tmp_path):
    nodes = [
        ("Equal", ["city", "oslo"], ["is_oslo"], {}),
        ("Cast", ["is_oslo"], ["a"], {"to": FLOAT}),
        ("Cast", ["age"], ["b"], {"to": FLOAT}),
        ("Concat", ["a", "b"], ["both"], {"axis": 1}),
    ]
    inputs = [("city", STRING, ["n", 1]), ("age", INT64, ["n", 1])]
    path = write(
        tmp_path / "net.onnx",
        nodes,
        inputs,
        [("both", FLOAT, ["n", 2])],
        oslo=np.array(["oslo"], dtype=object),
    )
    frame = pd.DataFrame({"age": [30, 41], "city": ["rome", "oslo"], "left": [0, 0]}, index=[5, 5])
    assert OnnxModel(path).predict(frame).tolist() == [[0, 30], [1, 41]]
    assert OnnxModel(path).predict(dict(frame[["age", "city"]])).tolist() == [[0, 30], [1, 41]]
    with pytest.raises(ValueError, match=r"columns for the inputs .*: \['city'\] are missing"):
        OnnxModel(path).predict(frame[["age"]])
    with pytest.raises(ValueError, match="X must hold strings for the input 'city'"):
        OnnxModel(path).predict(frame.assign(city=[1, 2]))
    with pytest.raises(ValueError, match="X must hold numbers for the input 'age'"):
        OnnxModel(path).predict(frame.assign(age=["x", "y"]))


@pytest.mark.parametrize("labels", [[3, 5, 8], ["no", "so", "yes"]])
@pytest.mark.parametrize("as_dicts", [False, True])
def test_onnx_model_labels_beside_probabilities_as_skl2onnx_writes(labels, as_dicts, tmp_path):
    path = with_labels(tmp_path / "net.onnx", W, labels, as_dicts=as_dicts)
    found = OnnxModel(path, batch_size=2).run(X)
    assert found.kind == "probabilities"
    np.testing.assert_allclose(found.values, softmax(X @ W, axis=1), rtol=1e-5)
    if as_dicts:
        assert found.classes.tolist() == labels
    else:
        assert found.classes is None


def test_onnx_model_one_column_logits_or_said(tmp_path):
    w = W[:, :1]
    z = X @ w
    found = OnnxModel(linear(tmp_path / "z.onnx", w)).run(X)
    np.testing.assert_allclose(found.values, np.hstack([0 * z, z]), rtol=1e-6)
    np.testing.assert_allclose(found.probabilities[:, 1:], expit(z), rtol=1e-5)
    path = linear(tmp_path / "p.onnx", w, after="Sigmoid")
    with pytest.raises(ValueError, match=r"one column of numbers in .* pass scores="):
        OnnxModel(path).run(X)
    found = OnnxModel(path, scores="probabilities").run(X)
    np.testing.assert_allclose(found.values, np.hstack([1 - expit(z), expit(z)]), atol=1e-6)


def test_onnx_model_kind_that_is_not_clear_or_wrong_raises(tmp_path):
    path = linear(tmp_path / "net.onnx", W, after="Sigmoid")
    with pytest.raises(ValueError, match=r"rows that do not add up to one .* pass scores="):
        OnnxModel(path).run(X)
    assert OnnxModel(path, scores="logits").run(X).kind == "logits"
    with pytest.raises(ValueError, match="whose rows sum to"):
        OnnxModel(path, scores="probabilities").run(X)
    with pytest.raises(ValueError, match="scores must be one of"):
        OnnxModel(path, scores="margins")


def test_onnx_model_several_tables_are_told_apart_by_name_or_asked_for(tmp_path):
    def two(path, first, second):
        nodes = [("MatMul", ["X", "W"], [first], {}), ("Softmax", [first], [second], {"axis": 1})]
        outputs = [(first, FLOAT, ["n", 3]), (second, FLOAT, ["n", 3])]
        inputs = [("X", FLOAT, ["n", 2])]
        return write(path, nodes, inputs, outputs, W=W.astype(np.float32))

    path = two(tmp_path / "clear.onnx", "hidden", "probabilities")
    assert OnnxModel(path).run(X).kind == "probabilities"
    np.testing.assert_allclose(OnnxModel(path, output="hidden").predict(X), X @ W, rtol=1e-6)
    path = two(tmp_path / "unclear.onnx", "a", "b")
    with pytest.raises(ValueError, match=r"several outputs that may be scores.*pass output="):
        OnnxModel(path)
    with pytest.raises(ValueError, match=r"output='c' is not an output of unclear\.onnx"):
        OnnxModel(path, output="c")


def test_onnx_model_labels_alone_raises(tmp_path):
    nodes = [("ArgMax", ["X"], ["label"], {"axis": 1, "keepdims": 0})]
    path = write(tmp_path / "net.onnx", nodes, [("X", FLOAT, ["n", 2])], [("label", INT64, ["n"])])
    with pytest.raises(ValueError, match="must have an output of scores"):
        OnnxModel(path)


def test_onnx_model_metadata_that_is_of_others_is_left_alone(tmp_path):
    others = {"classes": "cat,dog", "scores": "high", "features": '["one"]'}
    model = OnnxModel(linear(tmp_path / "net.onnx", W, metadata=others))
    assert model.classes is None
    assert model.features is None
    assert model.scores is None
    told = linear(tmp_path / "two.onnx", W, metadata={"classes": "[0, 1]"})
    with pytest.raises(ValueError, match=r"names 2 labels, \[0, 1\], but gives 3 scores"):
        OnnxModel(told).predict(X)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (X[:, :1], r"shape \(n_samples, 2\) for the input 'X', got \(n_samples, 1\)"),
        (X[0], r"shape \(n_samples, 2\) for the input 'X', got \(n_samples\)"),
        (X[:0], "at least one sample"),
        (np.array([["a", "b"]]), "X must hold numbers for the input 'X'"),
        (
            np.full((2, 2), 1e300),
            r"X must hold values that float32 can represent for the input 'X', got 1e\+300",
        ),
        (np.full((2, 2), np.nan), "scores that are not finite for 2 of 2 rows, first row 0"),
        (3.0, "X must be an array of rows, got float"),
        ([[1.0, 2.0], [3.0]], "rows of one length"),
    ],
)
def test_onnx_model_rows_that_do_not_fit_raise(wrong, message, tmp_path):
    model = OnnxModel(linear(tmp_path / "net.onnx", W))
    with pytest.raises(ValueError, match=message):
        model.predict(wrong)


def test_onnx_model_without_file_or_package_raises(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*net\.onnx'"):
        OnnxModel(tmp_path / "net.onnx")
    (tmp_path / "net.onnx").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is not an ONNX file that ONNX Runtime can run"):
        OnnxModel(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="batch_size must be"):
        OnnxModel(tmp_path / "net.onnx", batch_size=0)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[onnx\]"):
        OnnxModel(tmp_path / "net.onnx")


def test_onnx_model_pickled_is_opened_anew(tmp_path):
    model = OnnxModel(linear(tmp_path / "net.onnx", W), batch_size=2, scores="logits")
    again = pickle.loads(pickle.dumps(model))
    assert (again.batch_size, again.scores) == (2, "logits")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert repr(again) == f"OnnxModel({str(tmp_path / 'net.onnx')!r})"
