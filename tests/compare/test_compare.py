"""compare_models: any two classifiers, and nothing that they do not tell."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from sk_prunefair import FairnessReport, FairPrunedClassifier, compare_models
from sk_prunefair.modules import MLP


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    groups = np.where(y < 5, "low", "high")
    return X[:900], y[:900], X[900:], y[900:], groups[900:]


@pytest.fixture(scope="module")
def pruned(digits):
    X, y, *_ = digits
    clf = FairPrunedClassifier(
        MLP,
        max_epochs=10,
        lr=0.01,
        optimizer=torch.optim.Adam,
        criterion=nn.CrossEntropyLoss,
        verbose=0,
        random_state=0,
    )
    return clf.fit(X, y).prune(0.8)


def same(found, expected):
    pd.testing.assert_frame_equal(
        found.by_group, expected.by_group, check_names=False, rtol=1e-5, atol=1e-6
    )


def test_compare_modules_equals_fairness_report_of_the_classifier(digits, pruned):
    *_, X, y, s = digits
    expected = pruned.fairness_report(X, y, sensitive_features=s)
    found = compare_models(
        pruned.dense_module_, pruned.module_, X, y, sensitive_features=s, batch_size=100
    )
    same(found, expected)
    assert found.fairness_violation == pytest.approx(expected.fairness_violation, rel=1e-5)
    np.testing.assert_allclose(
        found.outcomes[1].scores, expected.outcomes[1].scores, rtol=1e-4, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compare_kinds_of_models_of_the_same_net_agree(digits, pruned, tmp_path):
    *_, X, y, s = digits
    module = pruned.module_.eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        module, (torch.from_numpy(X[:4]),), dynamic_shapes=({0: batch},), strict=True
    )
    torch.export.save(program, tmp_path / "net.pt2")
    fixed = torch.export.export(module, (torch.from_numpy(X[:64]),), strict=True)
    kinds = {
        "estimator": pruned,
        "module": module,
        "scripted": torch.jit.trace(module, torch.from_numpy(X[:2])),
        "program": program,
        "program of a fixed batch": fixed,
        "file": tmp_path / "net.pt2",
        "function": pruned.predict_proba,
    }
    expected = compare_models(pruned.dense_module_, module, X, y, sensitive_features=s)
    for kind, model in kinds.items():
        found = compare_models(pruned.dense_module_, model, X, y, sensitive_features=s)
        np.testing.assert_array_equal(
            found.outcomes[1].labels, expected.outcomes[1].labels, err_msg=kind
        )
        same(found, expected)


@pytest.mark.slow
def test_compare_onnx_file_equals_the_net_that_it_is_of(digits, pruned, tmp_path):
    pytest.importorskip("onnxruntime")
    from sk_prunefair.export import to_onnx

    *_, X, y, s = digits
    to_onnx(pruned, tmp_path / "net.onnx")
    found = compare_models(pruned.dense_module_, tmp_path / "net.onnx", X, y, sensitive_features=s)
    same(found, pruned.fairness_report(X, y, sensitive_features=s))
    assert found.compression["bytes_stored"] == (tmp_path / "net.onnx").stat().st_size


def test_compare_pipelines_on_tables_of_strings(digits):
    X, y, X_test, y_test, s = digits
    names = [f"pixel {i}" for i in range(64)]
    words = np.array([f"digit {each}" for each in y])
    dense = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    dense.fit(pd.DataFrame(X, columns=names), words)
    weak = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4)).fit(
        pd.DataFrame(X, columns=names), words
    )
    table = pd.DataFrame(X_test, columns=names, index=np.arange(len(X_test)) + 7)
    truth = np.array([f"digit {each}" for each in y_test])
    report = compare_models(dense, weak, table, truth, sensitive_features=s)
    scores = dense.predict_proba(table)
    assert report.dense.overall["accuracy"] == pytest.approx(dense.score(table, truth))
    assert report.dense.overall["loss"] == pytest.approx(log_loss(truth, scores), rel=1e-6)
    assert report.accuracy_gap.index.tolist() == ["dense", "compressed"]


def test_compare_estimator_with_own_threshold_answers_by_predict(digits):
    X, y, X_test, y_test, s = digits
    dense = LogisticRegression(max_iter=300).fit(X, y < 5)
    never = FixedThresholdClassifier(dense, threshold=0.99999, pos_label=True).fit(X, y < 5)
    report = compare_models(dense, never, X_test, y_test < 5, sensitive_features=s)
    expected = never.predict(X_test) == (y_test < 5)
    assert report.pruned.overall["accuracy"] == pytest.approx(expected.mean())
    assert report.pruned.overall["accuracy"] < report.dense.overall["accuracy"] - 0.1


def test_compare_labels_alone_has_no_losses_and_makes_none_up(digits):
    X, y, X_test, y_test, s = digits
    dense = LogisticRegression(max_iter=300).fit(X, y)
    compressed = LinearSVC(max_iter=20000).fit(X, y)
    report = compare_models(dense, compressed, X_test, y_test, sensitive_features=s)
    assert report.excessive_risk is None
    assert report.fairness_violation is None
    assert report.outcomes[1].scores is None
    assert not [name for name in report.to_frame() if "loss" in name or "risk" in name]
    assert "loss" not in report.dense.by_group
    for text in (str(report), report._repr_html_()):
        assert "ξ" not in text
    figures = report.to_dict()
    assert figures["gaps"]["fairness_violation"] is None
    assert "loss" not in figures["overall"]
    assert "ξ =" not in report.to_model_card()
    assert report.plot().metric == "accuracy_drop"


class Noisy(Dataset):
    """Rows with noise that is drawn anew each time one is read, with label and group."""

    def __init__(self, X, y, s):
        self.X, self.y, self.s, self.reads = X, y, s, 0
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.reads += 1
        noise = self.rng.normal(0, 0.5, self.X.shape[1]).astype(np.float32)
        return self.X[i] + noise, int(self.y[i]), str(self.s[i])


def test_compare_over_a_data_set_reads_each_item_once_for_both_models(digits, pruned):
    *_, X, y, s = digits
    data = Noisy(X, y, s)
    report = compare_models(pruned, pruned.module_, data, batch_size=64)
    assert data.reads <= len(data) + 1  # the first is looked at
    assert report.accuracy_drop.abs().max() == 0
    assert set(report.accuracy_drop.index) == {"low", "high"}


def test_compare_over_pairs_equals_arrays(digits, pruned):
    *_, X, y, s = digits
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    nets = pruned.dense_module_, pruned.module_
    found = compare_models(*nets, data, sensitive_features=s, batch_size=50)
    same(found, compare_models(*nets, X, y, sensitive_features=s))


def test_compare_sparse_frame_and_list_equal_the_array(digits, pruned):
    *_, X, y, s = digits
    nets = pruned.dense_module_, pruned.module_
    expected = compare_models(*nets, X, y, sensitive_features=s)
    for given in (sparse.csr_matrix(X), pd.DataFrame(X), X.tolist(), torch.from_numpy(X)):
        same(compare_models(*nets, given, y, sensitive_features=s), expected)


def test_compare_module_in_training_mode_is_run_in_evaluation_and_left_as_it_was(digits):
    *_, X, y, s = digits
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.5), nn.Linear(32, 10)).train()
    module[2].eval()
    report = compare_models(module, module, X, y, sensitive_features=s)
    assert report.accuracy_drop.abs().max() == 0
    assert [part.training for part in module] == [True, True, False]


def test_compare_module_of_tokens_gets_integers():
    torch.manual_seed(0)
    module = nn.Sequential(nn.EmbeddingBag(20, 8), nn.Linear(8, 3))
    X = np.random.default_rng(0).integers(0, 20, (60, 5))
    y = module(torch.from_numpy(X)).argmax(1).numpy()
    report = compare_models(module, module, X, y, sensitive_features=y % 2)
    assert report.dense.overall["accuracy"] == 1


def test_compare_module_of_floats_gets_floats_of_integers():
    module = nn.Linear(2, 2)
    X = np.array([[0, 1], [1, 0], [2, 3]])
    compare_models(module, module, X, [0, 1, 0], sensitive_features=[0, 1, 0])


def test_compare_quantised_module_and_dict_inputs(digits, pruned):
    *_, X, y, s = digits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        int8 = torch.ao.quantization.quantize_dynamic(pruned.dense_module_, {nn.Linear})
    report = compare_models(pruned.dense_module_, int8, X, y, sensitive_features=s)
    assert report.pruned.overall["accuracy"] > 0.8
    assert report.compression["bytes_stored"] < 0.5 * report.compression["bytes_dense"]

    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = pruned.dense_module_

        def forward(self, left, right):
            return {"logits": self.net(torch.cat([left, right], dim=1))}

    halves = {"left": X[:, :32], "right": X[:, 32:]}
    found = compare_models(Halves(), Halves(), halves, y, sensitive_features=s)
    assert found.dense.overall["accuracy"] == report.dense.overall["accuracy"]


def test_compare_one_logit_is_two_classes():
    X = np.array([[-2.0], [3.0], [1.0], [-1.0]])
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(1.0)
    report = compare_models(module, module, X, [0, 1, 0, 0], sensitive_features=list("aabb"))
    assert report.dense.overall["accuracy"] == 0.75
    expected = np.log1p(np.exp([-2.0, -3.0, 1.0, -1.0])).mean()
    assert report.dense.overall["loss"] == pytest.approx(expected)


def test_compare_module_of_probabilities_is_not_softmaxed_twice(digits, pruned):
    *_, X, y, s = digits
    twice = nn.Sequential(pruned.dense_module_, nn.Softmax(dim=1))
    logs = nn.Sequential(pruned.dense_module_, nn.LogSoftmax(dim=1))
    for module in (twice, logs):
        report = compare_models(pruned.dense_module_, module, X, y, sensitive_features=s)
        assert report.excessive_risk.abs().max() < 1e-5


X4, Y4, S4 = np.eye(4, dtype=np.float32), [0, 1, 0, 1], ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (LogisticRegression, TypeError, "got the class LogisticRegression"),
        (3, TypeError, "dense must be a fitted estimator.*got int"),
        ("net.bin", ValueError, "got a file called 'net.bin'"),
        ("missing.onnx", FileNotFoundError, "there is no file 'missing.onnx'"),
        (LogisticRegression(), ValueError, "not fitted"),
        (Ridge(), ValueError, "dense must be a classifier, got Ridge"),
        (lambda X: np.ones((4, 2)), ValueError, "rows sum to 1.*softmax"),
        (lambda X: np.full(4, 0.3), ValueError, "probabilities have shape"),
        (lambda X: np.zeros((4, 2, 2)), ValueError, r"got shape \(4, 2, 2\)"),
        (lambda X: [0, 1], ValueError, "2 values, but y_true has 4"),
        (lambda X: list("abab"), ValueError, "y_true has integers, dense has strings"),
        (nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), ValueError, "logits or probabilities"),
        (nn.Linear(4, 3), None, None),
        (lambda X: np.full((4, 2), np.nan), ValueError, "not finite"),
    ],
)
def test_compare_bad_model_raises(model, error, message):
    good = lambda X: np.array(Y4)  # noqa: E731
    if error is None:  # integers from 0: the third column is a class that these rows lack
        report = compare_models(model, model, X4, Y4, sensitive_features=S4)
        assert report.labels.tolist() == [0, 1, 2]
        return
    with pytest.raises(error, match=message):
        compare_models(model, good, X4, Y4, sensitive_features=S4)


def test_compare_without_labels_or_groups_raises():
    good = lambda X: np.array(Y4)  # noqa: E731
    with pytest.raises(ValueError, match="y must be given"):
        compare_models(good, good, X4, sensitive_features=S4)
    with pytest.raises(ValueError, match="sensitive_features must be given"):
        compare_models(good, good, X4, Y4)
    with pytest.raises(ValueError, match="batch_size"):
        compare_models(good, good, X4, Y4, sensitive_features=S4, batch_size=0)


def test_compare_table_of_texts_for_a_module_raises():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(ValueError, match="column 'b' of dtype"):
        compare_models(nn.Linear(2, 2), nn.Linear(2, 2), frame, [0, 1], sensitive_features=[0, 1])


def test_compare_words_follow_the_names():
    one = lambda X: np.zeros(4, dtype=int)  # noqa: E731
    report = compare_models(
        lambda X: np.array(Y4), one, X4, Y4, sensitive_features=S4, names=("fp32", "int8")
    )
    assert isinstance(report, FairnessReport)
    assert report.findings == ["the int8 model gives every sample the label 0"]
    assert "accuracy_int8" in report.to_frame()
    assert "prun" not in str(report).lower()
    assert report.compressed is report.pruned


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_compare_module_of_rounded_probabilities_takes_them_as_such(dtype):
    X, y, groups = _small()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(1)).to(dtype)
    scores = net(torch.from_numpy(X).to(dtype)).detach().double().numpy()
    report = compare_models(net, net, X, y, sensitive_features=groups)
    expected = log_loss(y, scores / scores.sum(axis=1, keepdims=True), labels=[0, 1, 2])
    assert report.dense.overall["loss"] == pytest.approx(expected, rel=1e-6)


def test_compare_module_of_sigmoids_warns_that_they_are_taken_as_logits():
    X, y, groups = _small()
    net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    with pytest.warns(UserWarning, match=r"dense returned values in .* taken as logits"):
        compare_models(net, lambda X: y, X, y, sensitive_features=groups)


@pytest.mark.parametrize(
    "convert",
    [lambda t: t.assign(flag=t["flag"].astype(bool)), lambda t: t.convert_dtypes()],
    ids=["booleans", "nullable"],
)
def test_compare_module_takes_tables_of_mixed_dtypes_as_their_numbers(convert):
    X, y, groups = _small()
    table = pd.DataFrame(X, columns=list("abcd")).assign(flag=(X[:, 0] > 0).astype(int))
    net = nn.Linear(5, 3)
    expected = compare_models(net, net, table.to_numpy(), y, sensitive_features=groups)
    found = compare_models(net, net, convert(table), y, sensitive_features=groups)
    same(found, expected)


@pytest.mark.parametrize("X", [(row for row in np.eye(4)), iter(np.eye(4))])
def test_compare_of_a_stream_raises_and_says_what_is_taken(X):
    with pytest.raises(ValueError, match="X must be an array, a table"):
        compare_models(nn.Linear(4, 2), nn.Linear(4, 2), X, [0] * 4, sensitive_features=[0] * 4)


def test_compare_module_of_no_rows_or_no_numbers_raises_and_names_what():
    net = nn.Linear(4, 2)
    with pytest.raises(ValueError, match="X must hold at least one sample"):
        compare_models(net, net, np.zeros((0, 4)), [], sensitive_features=[])
    with pytest.raises(ValueError, match=r"dense is a torch module.*NoneType"):
        compare_models(net, net, None, [0], sensitive_features=[0])


class Plain:
    """A model that is none of scikit-learn's."""

    def __init__(self, scores, classes):
        self.scores, self.classes_ = scores, classes

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.asarray(self.classes_)[self.scores.argmax(axis=1)][:, None]

    def predict_proba(self, X):
        return self.scores


def test_compare_takes_a_plain_object_with_predict_and_its_order_of_classes():
    X, y, groups = _small()
    scores = np.random.RandomState(1).dirichlet(np.ones(3), len(y))
    turned = compare_models(
        Plain(scores, [0, 1, 2]),
        Plain(scores[:, ::-1], [2, 1, 0]),
        X,
        y,
        sensitive_features=groups,
    )
    assert turned.dense.overall["accuracy"] == np.mean(scores.argmax(axis=1) == y)
    assert (turned.accuracy_drop == 0).all()
    assert turned.excessive_risk.abs().max() < 1e-12


def test_compare_takes_probabilities_of_predict_where_there_is_no_predict_proba():
    X, y, groups = _small()
    scores = np.random.RandomState(1).dirichlet(np.ones(3), len(y))

    class Keras:
        def predict(self, X):
            return scores

    report = compare_models(Keras(), lambda X: scores, X, y, sensitive_features=groups)
    assert report.dense.overall["loss"] == pytest.approx(log_loss(y, scores))
    assert (report.excessive_risk == 0).all()


def _small():
    random = np.random.RandomState(0)
    X = random.normal(size=(60, 4)).astype(np.float32)
    return X, random.randint(3, size=60), np.where(random.rand(60) < 0.5, "a", "b")


class Tokens(nn.Module):
    """Classes of the mean embedding of tokens."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 4)
        self.linear = nn.Linear(4, 3)

    def forward(self, input_ids):
        return self.linear(self.embedding(input_ids).mean(1))


def _tokens():
    torch.manual_seed(0)
    random = np.random.RandomState(0)
    ids, y = random.randint(30, size=(40, 5)), random.randint(3, size=40)
    net, groups = Tokens(), np.where(np.arange(40) % 2, "a", "b")
    scores = torch.softmax(net(torch.tensor(ids)).double(), 1).detach()
    return ids, y, net, groups, log_loss(y, scores)


@pytest.mark.parametrize("convert", [np.uint8, np.int16, np.int32, list, "dict of lists"])
def test_compare_module_of_tokens_takes_integers_of_any_kind(convert):
    ids, y, net, groups, expected = _tokens()
    X = ids.tolist() if isinstance(convert, str) or convert is list else ids.astype(convert)
    X = {"input_ids": X} if isinstance(convert, str) else X
    report = compare_models(net, net, X, y, sensitive_features=groups)
    assert report.dense.overall["loss"] == pytest.approx(expected, rel=1e-5)


def test_compare_module_of_lists_of_several_lengths_raises_and_names_the_key():
    _, _, net, _, _ = _tokens()
    X = {"input_ids": [[1, 2], [3]]}
    with pytest.raises(ValueError, match=r"X\['input_ids'\] must hold rows of equal length"):
        compare_models(net, net, X, [0, 1], sensitive_features=[0, 1])


@pytest.mark.parametrize("name", ["label", "labels"])
def test_compare_arrow_data_set_gives_its_own_labels(name):
    datasets = pytest.importorskip("datasets")
    ids, y, net, groups, expected = _tokens()
    X = datasets.Dataset.from_dict({"input_ids": ids.tolist(), name: y.tolist()})
    report = compare_models(net, net, X, sensitive_features=groups, batch_size=16)
    assert report.dense.overall["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_compare_onnx_of_a_data_set_asks_all_batches_what_the_scores_are(tmp_path):
    pytest.importorskip("onnxruntime")
    from sk_prunefair.export import to_onnx

    X, y, groups = _small()
    net = nn.Linear(4, 3)
    torch.nn.init.eye_(net.weight)
    torch.nn.init.constant_(net.bias, 0.5)
    X[-1] = 0  # the logits of the last batch are all 0.5
    to_onnx(net, tmp_path / "net.onnx", example=torch.from_numpy(X[:2]))
    items = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    path = tmp_path / "net.onnx"
    found = compare_models(net, path, items, sensitive_features=groups, batch_size=59)
    assert found.excessive_risk.abs().max() < 1e-5
