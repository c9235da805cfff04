"""The compact file: bit for bit the same net, small, and safe whoever wrote it."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.nn.utils import prune

from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.export.compact import holds_dense
from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.pruning import MagnitudePruner, apply_masks
from tests.conftest import assert_same_weights, classifier, weights
from tests.export.forging import rewrite, without_features


class Odd(nn.Module):
    """Tensors of many kinds."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5))
        for name, dtype in {"half16": torch.float16, "brain16": torch.bfloat16}.items():
            self.register_buffer(name, torch.linspace(-2, 2, 7).to(dtype))
        self.register_buffer("flags", torch.tensor([True, False, False] * 30))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("signed", torch.tensor([0.0, -0.0, torch.inf, torch.nan] + [0.0] * 60))


def bits(module):
    return {n: t.contiguous().reshape(-1).view(torch.uint8) for n, t in module.state_dict().items()}


def test_load_compact_module_of_all_dtypes_every_bit_comes_back(tmp_path):
    net, other = Odd(), Odd()
    for tensor in other.state_dict().values():
        tensor.fill_(1)
    assert load_compact(save_and_path(net, tmp_path), other) is other
    for name, value in bits(net).items():
        assert torch.equal(value, bits(other)[name]), name


def save_and_path(source, folder):
    path = folder / "net.zip"
    save_compact(source, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "share"), [(0.9, 0.10), (0.99, 0.015)])
def test_save_compact_pruned_resnet_small_file(tmp_path, rate, share):
    torch.manual_seed(0)
    net = ResNet18(n_classes=10, width=32)
    apply_masks(net, MagnitudePruner().masks(net, rate))
    dense = sum(t.numel() * t.element_size() for t in net.state_dict().values())
    path = save_and_path(net, tmp_path)
    assert path.stat().st_size < share * dense
    loaded = load_compact(path, ResNet18(n_classes=10, width=32))
    assert_same_weights(net, loaded)
    X = torch.randn(2, 3, 16, 16)
    assert torch.equal(net.eval()(X), loaded.eval()(X))


@pytest.fixture
def pruned(digits):
    X, y, group = digits
    names = np.array([f"digit {digit}" for digit in range(10)])
    clf = classifier(prune_rate=0.8, finetune_epochs=1)
    return clf.fit(X, names[y], sensitive_features=group)


def test_load_compact_fresh_classifier_labels_and_masks_come_back(pruned, digits, tmp_path):
    X, _, group = digits
    path = save_and_path(pruned, tmp_path)
    fresh = load_compact(path, clone(pruned))
    np.testing.assert_array_equal(fresh.predict_proba(X), pruned.predict_proba(X))
    np.testing.assert_array_equal(fresh.predict(X), pruned.predict(X))
    assert fresh.prune_rate_ == 0.8
    for name, mask in pruned.masks_.items():
        assert torch.equal(mask, fresh.masks_[name])
    fresh.partial_fit(X, pruned.predict(X), sensitive_features=group)
    assert fresh.sparsity_ == pruned.sparsity_
    assert all((fresh.module_.get_parameter(n)[~m] == 0).all() for n, m in fresh.masks_.items())
    used = load_compact(path, fresh)
    assert_same_weights(used.module_, pruned.module_)
    # Into a bare module too.
    bare = load_compact(path, type(pruned.module_)(64, 10))
    assert_same_weights(bare, pruned.module_)


def test_load_compact_kept_weight_of_zero_stays_kept(pruned, digits, tmp_path):
    name, mask = next(iter(pruned.masks_.items()))
    first = tuple(mask.nonzero()[0])
    with torch.no_grad():
        pruned.module_.get_parameter(name)[first] = 0.0
    loaded = load_compact(save_and_path(pruned, tmp_path), clone(pruned))
    assert loaded.masks_[name][first]


def test_load_compact_file_with_dense_net_both_nets_come_back(pruned, digits, tmp_path):
    X, _, group = digits
    y = pruned.predict(X)
    path = tmp_path / "both.zip"
    save_compact(pruned, path, dense=True)
    fresh = load_compact(path, clone(pruned))
    assert_same_weights(fresh.dense_module_, pruned.dense_module_)
    assert_same_weights(fresh.module_, pruned.module_)
    assert_same_weights(fresh.prune(0.5).module_, pruned.prune(0.5).module_)
    report = fresh.fairness_report(X, y, sensitive_features=group)
    expected = pruned.fairness_report(X, y, sensitive_features=group)
    assert report.excessive_risk.to_dict() == expected.excessive_risk.to_dict()


def test_save_compact_twice_same_bytes(pruned, tmp_path):
    save_compact(pruned, tmp_path / "a")
    save_compact(pruned, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_save_compact_without_net_or_plain_labels_raises(tmp_path):
    with pytest.raises(NotFittedError):
        save_compact(classifier(), tmp_path / "net")
    clf = classifier(module=nn.Linear(4, 2), classes=[("a", 1), ("b", 2)]).initialize()
    with pytest.raises(TypeError, match="labels must be strings, numbers or booleans"):
        save_compact(clf, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_load_compact_damaged_or_foreign_file_raises(pruned, tmp_path):
    path = save_and_path(pruned, tmp_path)
    whole = path.read_bytes()
    target = clone(pruned)
    for content in (
        b"",
        b"not a zip archive",
        whole[:-100],
        whole[: len(whole) // 2],
        pickle.dumps({"weight": [1.0]}),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"not a complete compact file|damaged"):
            load_compact(path, target)
        assert not target.initialized_
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", "[" * 10**6)
    with pytest.raises(ValueError, match="not a complete compact file"):
        load_compact(path, target)
    with pytest.raises(FileNotFoundError):
        load_compact(tmp_path / "absent", target)


def mutated(content, rng):
    """Flip a bit, or overwrite, repeat, remove or swap some bytes."""
    place, length = rng.integers(len(content)), int(rng.integers(1, 40))
    before, part, after = (
        content[:place],
        content[place : place + length],
        content[place + length :],
    )
    kind = rng.integers(6)
    if kind <= 1:
        return before + bytes([content[place] ^ (1 << rng.integers(8))]) + content[place + 1 :]
    other = [rng.bytes(len(part)), part + part, b"", part[::-1]][kind - 2]
    return before + other + after


@pytest.mark.slow
@pytest.mark.parametrize("into", ["module", "classifier"])
def test_load_compact_600_random_mutations_refused_or_without_meaning(pruned, tmp_path, into):
    path = tmp_path / "net.zip"
    save_compact(pruned, path, dense=into == "classifier")
    whole, before = path.read_bytes(), weights(pruned.module_)
    rng = np.random.default_rng(0)
    n_found = 0
    for _ in range(600):
        path.write_bytes(mutated(whole, rng))
        target = clone(pruned) if into == "classifier" else type(pruned.module_)(64, 10)
        try:
            load_compact(path, target)
        except ValueError:
            n_found += 1
            assert into == "module" or vars(target).keys() == vars(clone(pruned)).keys()
        else:  # a date, say
            module = target.module_ if into == "classifier" else target
            for name, value in weights(module).items():
                np.testing.assert_array_equal(value, before[name])
    assert n_found > 500


def test_load_compact_file_that_does_not_fit_raises(pruned, digits, tmp_path):
    X, y, group = digits
    path = save_and_path(pruned, tmp_path)
    other = classifier().fit(X, y, sensitive_features=group)
    module = other.module_
    with pytest.raises(ValueError, match="labels of the file are"):
        load_compact(path, other)
    assert other.module_ is module
    wide = clone(pruned).set_params(module__hidden=99)
    with pytest.raises(ValueError, match="does not fit the target"):
        load_compact(path, wide)
    assert not wide.initialized_
    save_compact(pruned.module_, path)
    with pytest.raises(ValueError, match="bare module"):
        load_compact(path, clone(pruned))


# ------------------------------------------------------- what else the classifier knows


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 3)), columns=["age", "größe", "income"])
    return frame, (frame["age"] > 0).to_numpy().astype(int), np.where(frame["income"] > 0, "a", "b")


@pytest.fixture
def of_table(table):
    X, y, group = table
    return classifier(prune_rate=0.5).fit(X, y, sensitive_features=group)


def test_load_compact_fitted_to_table_feature_names_come_back(of_table, table, tmp_path):
    X = table[0]
    loaded = load_compact(save_and_path(of_table, tmp_path), clone(of_table))
    assert loaded.feature_names_in_.tolist() == ["age", "größe", "income"]
    assert loaded.feature_names_in_.dtype == object
    assert (loaded.n_features_in_, loaded.input_shape_) == (3, (3,))
    np.testing.assert_array_equal(loaded.predict_proba(X), of_table.predict_proba(X))
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(X[["income", "age", "größe"]])


def test_load_compact_fitted_to_array_no_feature_names(pruned, digits, tmp_path):
    loaded = load_compact(save_and_path(pruned, tmp_path), clone(pruned))
    assert loaded.n_features_in_ == 64
    assert not hasattr(loaded, "feature_names_in_")


@pytest.mark.parametrize(
    "labels",
    [
        np.array([False, True]),
        np.array([3, 5], dtype=np.int8),
        np.array([2**63, 2**64 - 1], dtype=np.uint64),
        np.array([0.1, 0.5], dtype=np.float32),
        np.array(["no", "ja"]),
        np.array(["no", "yes\0"], dtype=object),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_load_compact_labels_of_any_dtype_come_back(labels, tmp_path):
    clf = classifier(nn.Linear(4, 2), classes=labels).initialize()
    loaded = load_compact(save_and_path(clf, tmp_path), classifier(nn.Linear(4, 2)))
    assert loaded.classes_.dtype == labels.dtype
    assert loaded.classes_.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([1, "a"], dtype=object), "all strings, all numbers or all booleans"),
        (np.array([1, True], dtype=object), "all strings, all numbers or all booleans"),
        (np.array([0.0, np.nan]), "must be finite"),
        (np.array(["a", "b" * 2**22]), "too many"),
        (np.array([1, 1]), "unique"),
    ],
    ids=["mixed", "booleans", "nan", "long", "twice"],
)
def test_save_compact_labels_that_no_file_may_hold_raises(labels, message, tmp_path):
    clf = classifier(nn.Linear(4, 2), classes=labels).initialize()
    with pytest.raises(ValueError, match=message):
        save_compact(clf, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_save_compact_values_not_finite_raises(of_table, tmp_path):
    net = nn.Linear(4, 2)
    net.bias.data[1] = torch.nan
    with pytest.raises(ValueError, match="parameter 'bias' holds values that are not finite"):
        save_compact(net, tmp_path / "net")
    of_table.module_.get_buffer("layers.2.running_var")[0] = torch.nan
    with pytest.raises(ValueError, match=r"buffer 'layers.2.running_var' holds NaN"):
        save_compact(of_table, tmp_path / "net")


def test_load_compact_pruner_of_other_rate_than_asked_comes_back(digits, tmp_path):
    class Half:
        def masks(self, module, rate):
            return MagnitudePruner().masks(module, 0.5)

    X, y, group = digits
    clf = classifier(prune_rate=0.8, pruner=Half()).fit(X, y, sensitive_features=group)
    loaded = load_compact(save_and_path(clf, tmp_path), clone(clf))
    assert loaded.prune_rate_ == 0.8
    assert loaded.sparsity_ == clf.sparsity_
    assert 0.49 < loaded.sparsity_ < 0.51


@pytest.mark.parametrize("change", ["names", "count", "shape"])
def test_load_compact_target_fitted_to_other_features_raises(of_table, table, tmp_path, change):
    path = save_and_path(of_table, tmp_path)
    X, y, group = table
    if change == "names":
        X = X.rename(columns={"age": "years"})
    elif change == "count":
        X = X[["age", "income"]]
    else:
        X = X.to_numpy().reshape(-1, 3, 1)
    other = clone(of_table).fit(X, y, sensitive_features=group)
    before = weights(other.module_)
    with pytest.raises(ValueError, match="in the file and"):
        load_compact(path, other)
    assert all((before[n] == value).all() for n, value in weights(other.module_).items())


def test_load_compact_target_with_other_classes_parameter_raises(of_table, tmp_path):
    path = save_and_path(of_table, tmp_path)
    target = clone(of_table).set_params(classes=[1, 2])
    with pytest.raises(ValueError, match=r"labels of the file are \[0, 1\]"):
        load_compact(path, target)
    assert not target.initialized_


class Values(nn.Module):
    """A net that looks at values of tensors while it is made, which the meta device does not do."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        rates = [rate.item() for rate in torch.linspace(0, 0.5, 2)]
        self.layers = nn.Sequential(nn.Dropout(rates[1]), nn.Linear(n_features, n_classes))

    def forward(self, X):
        return self.layers(X)


def test_load_compact_module_that_needs_values_comes_back(table, tmp_path):
    X, y, _ = table
    clf = classifier(Values).fit(X, y).prune(0.5)
    state = torch.get_rng_state()
    loaded = load_compact(save_and_path(clf, tmp_path), clone(clf))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_weights(loaded.module_, clf.module_)
    path = tmp_path / "net.zip"
    rewrite(path, lambda h, _: without_features(h).update(input_shape=[20]))
    with pytest.raises(ValueError, match="initialize the target first"):
        load_compact(path, clone(clf))


# ------------------------------------------------------------ files of the version before

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(("kind", "rate"), [("weights", 0.5), ("channels", 0.5)])
def test_load_compact_file_of_version_before_same_output(kind, rate):
    expected = np.load(DATA / "outputs_before.npz")
    target = classifier(MLP, module__hidden=(8,))
    loaded = load_compact(DATA / f"{kind}_before.zip", target)
    assert loaded.prune_rate_ == rate
    assert 0.4 < loaded.sparsity_ < 0.6
    assert loaded.classes_.tolist() == ["no", "yes"]
    assert loaded.input_shape_ == (6,)
    np.testing.assert_allclose(loaded.predict_proba(expected["X"]), expected[kind], atol=1e-6)
    assert holds_dense(DATA / f"{kind}_before.zip") is (kind == "weights")


def test_load_compact_module_file_of_version_before_same_output():
    expected = np.load(DATA / "outputs_before.npz")
    module = load_compact(DATA / "module_before.zip", MLP(6, 2, hidden=(8,)))
    with torch.no_grad():
        output = module(torch.from_numpy(expected["X"])).numpy()
    np.testing.assert_allclose(output, expected["module"], atol=1e-6)


def test_save_compact_zeros_of_torchs_masks_take_no_space(tmp_path):
    net = nn.Linear(100, 100)
    prune.l1_unstructured(net, "weight", 0.9)
    prune.remove(net, "weight")
    assert torch.signbit(net.weight[net.weight == 0]).any()
    save_compact(net, tmp_path / "net.zip")
    with zipfile.ZipFile(tmp_path / "net.zip") as archive:
        assert json.loads(archive.read("header.json"))["tensors"]["weight"]["kept"] == 1000
    assert torch.equal(load_compact(tmp_path / "net.zip", nn.Linear(100, 100)).weight, net.weight)
