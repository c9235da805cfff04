"""Two models timed, each with what it does to X before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sk_prunefair import compare_models
from sk_prunefair.compare.timing import models_latency
from sk_prunefair.onnx_model import OnnxModel

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
S = np.resize(["a", "b"], 20)
QUICK = {"n_rounds": 1, "batch_sizes": (1, 30), "threads": (1, 2)}


def test_compare_models_latency_has_both_names_in_turn():
    torch.manual_seed(0)
    dense, small = nn.Linear(4, 2), nn.Linear(4, 2)
    report = compare_models(
        dense, small, X, Y, sensitive_features=S, names=("fp32", "int8"), latency=QUICK
    )
    table = report.latency
    assert table["contender"].tolist() == ["fp32", "int8"] * 4
    assert table["batch_size"].tolist() == [1] * 4 + [30] * 4
    assert "including each model's conversion of X" in str(report)
    assert set(report.compression.index) == {
        "bytes_dense",
        "bytes_stored",
        "latency_dense",
        "latency_pruned",
    }
    first = table.set_index("contender")["seconds"]
    assert report.compression["latency_pruned"] == first.loc["int8"].iloc[0]


def test_compare_models_latency_of_functions_is_all_that_is_saved():
    functions = [lambda X: (np.asarray(X)[:, 0] > 0).astype(int)] * 2
    report = compare_models(*functions, X, Y, sensitive_features=S, latency=QUICK)
    assert set(report.compression.index) == {"latency_dense", "latency_pruned"}
    assert compare_models(*functions, X, Y, sensitive_features=S).latency is None


def test_models_latency_counts_the_preprocessing_of_a_pipeline():
    seen = []

    def note(X):
        seen.append((type(X), len(X)))
        return X

    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(20)[::-1])
    pipe = make_pipeline(FunctionTransformer(note), LogisticRegression()).fit(frame, Y)
    seen.clear()
    models_latency({"pipe": pipe, "step": pipe[-1]}, frame, **QUICK)
    assert set(seen) == {(pd.DataFrame, 1), (pd.DataFrame, 30)}


def test_models_latency_times_predict_alone():
    class Model:
        def predict(self, X):
            return np.zeros(len(X))

        def predict_proba(self, X):
            pytest.fail("predict is what is timed")

    table = models_latency({"model": Model()}, X, **QUICK)
    assert table["contender"].tolist() == ["model"] * 4


@pytest.mark.slow
def test_models_latency_opens_files_with_the_number_of_threads(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    from sk_prunefair.export import to_onnx

    path = tmp_path / "net.onnx"
    to_onnx(nn.Linear(4, 2), path, example=X[:2])
    seen = []
    opened = OnnxModel.with_threads
    monkeypatch.setattr(
        OnnxModel, "with_threads", lambda self, n: seen.append(n) or opened(self, n)
    )
    table = models_latency({"file": path, "model": OnnxModel(path)}, X, **QUICK)
    assert table["contender"].tolist() == ["file", "model"] * 4
    assert seen == [1, 1, 2, 2] * 2
    options = OnnxModel(path).with_threads(2)._session.get_session_options()
    assert options.intra_op_num_threads == 2
    with pytest.raises(ValueError, match="threads must be an integer >= 1 or None, got 0"):
        OnnxModel(path, threads=0)


def test_compare_models_latency_of_a_data_set_reads_items_before():
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, i):
            return X[i], Y[i], S[i]

    net = nn.Linear(4, 2)
    report = compare_models(net, net, Items(), latency=QUICK)
    assert report.latency["batch_size"].unique().tolist() == [1, 30]


@pytest.mark.parametrize("given", ["yes", {"contenders": ["dense"]}, 1])
def test_compare_models_latency_bad_request_raises(given):
    with pytest.raises(ValueError, match="latency must be True, False or a dict of some of"):
        compare_models(len, len, X, Y, sensitive_features=S, latency=given)


@pytest.mark.parametrize(
    ("compressed", "message"),
    [
        (lambda X: list("ab" * 10), "compressed must hold labels as y_true does"),
        (lambda X: np.zeros(3), "compressed has 3 values, but y_true has 20"),
        (lambda X: np.full((3, 2), 0.5), "compressed has 3 values, but y_true has 20"),
        (lambda X: np.ones((20, 1)) * 0.5, "compressed must hold labels"),
        (
            lambda X: pd.DataFrame(np.full((20, 2), 0.5), columns=[1, 2]),
            "compressed has no probability for the labels",
        ),
    ],
)
def test_compare_models_errors_name_the_model(compressed, message):
    with pytest.raises(ValueError, match=message):
        compare_models(lambda X: Y, compressed, X, Y, sensitive_features=S)


def test_compare_models_estimator_of_other_labels_is_named():
    words = LogisticRegression().fit(X, np.where(Y == 1, "yes", "no"))
    with pytest.raises(ValueError, match="dense"):
        compare_models(words, lambda X: Y, X, Y, sensitive_features=S)
