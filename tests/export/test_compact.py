"""The compact file: bit for bit the same net, small, and safe whoever wrote it."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import ResNet18
from sk_prunefair.pruning import MagnitudePruner, apply_masks
from tests.conftest import assert_same_weights, classifier, weights


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


def test_every_bit_comes_back(tmp_path):
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


@pytest.mark.parametrize(("rate", "share"), [(0.9, 0.10), (0.99, 0.015)])
def test_a_pruned_resnet_is_small(tmp_path, rate, share):
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


def test_a_classifier_comes_back_with_labels_and_masks(pruned, digits, tmp_path):
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


def test_a_kept_weight_that_is_zero_stays_kept(pruned, digits, tmp_path):
    name, mask = next(iter(pruned.masks_.items()))
    first = tuple(mask.nonzero()[0])
    with torch.no_grad():
        pruned.module_.get_parameter(name)[first] = 0.0
    loaded = load_compact(save_and_path(pruned, tmp_path), clone(pruned))
    assert loaded.masks_[name][first]


def test_the_dense_net_comes_back_where_it_is_asked_for(pruned, digits, tmp_path):
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


def test_a_forged_dense_net_changes_nothing(pruned, tmp_path):
    save_compact(pruned, tmp_path / "both.zip", dense=True)
    name = next(iter(pruned.masks_))
    with zipfile.ZipFile(tmp_path / "both.zip") as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    header = json.loads(parts["header.json"])
    for change, message in (
        (lambda: header["dense"].pop(name), "it lacks"),
        (lambda: header["dense"].update({name: {"shape": [1], "dtype": "float32"}}), "of shape"),
        (lambda: header.update(dense=3), "not a whole compact file"),
    ):
        change()
        forged = parts | {"header.json": json.dumps(header).encode()}
        with zipfile.ZipFile(tmp_path / "forged.zip", "w") as archive:
            for part, content in forged.items():
                archive.writestr(part, content)
        before = weights(pruned.module_)
        with pytest.raises(ValueError, match=message):
            load_compact(tmp_path / "forged.zip", pruned)
        assert all((before[n] == value).all() for n, value in weights(pruned.module_).items())


def test_the_same_net_gives_the_same_file(pruned, tmp_path):
    save_compact(pruned, tmp_path / "a")
    save_compact(pruned, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save_compact(classifier(), tmp_path / "net")
    clf = classifier(module=nn.Linear(4, 2), classes=[("a", 1), ("b", 2)]).initialize()
    with pytest.raises(TypeError, match="labels must be strings, numbers or booleans"):
        save_compact(clf, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def rewrite(path, change):
    """Write the archive again with some of its parts changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts.pop("header.json"))
    change(header, parts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr("header.json", json.dumps(header))


def longer(header, parts):
    parts["values/weight"] += b"\0" * 4


def shorter(header, parts):
    parts["values/weight"] = parts["values/weight"][:-1]


def flipped(header, parts):
    parts["bits/weight"] = bytes([parts["bits/weight"][0] ^ 255]) + parts["bits/weight"][1:]


def lacking(header, parts):
    del parts["values/bias"]


def huge(header, parts):
    header["tensors"]["weight"]["shape"] = [10**6, 10**6]


def renamed(header, parts):
    header["tensors"]["head"] = header["tensors"].pop("bias")


def retyped(header, parts):
    header["tensors"]["bias"]["dtype"] = "float64"


def newer(header, parts):
    header["format"] = "sk_prunefair compact 99"


def listed(header, parts):
    header["tensors"] = ["weight", "bias"]


def counted(header, parts):
    header["tensors"]["weight"]["kept"] = "many"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (longer, "damaged: 'values/weight' does not have"),
        (shorter, "damaged: 'values/weight' does not have"),
        (flipped, "damaged: 'weight' has another number of values"),
        (lacking, "not a whole compact file .*values/bias"),
        (huge, r"does not fit .* shape \[1000000, 1000000\] in the file"),
        (renamed, r"lacks \['bias'\] and has \['head'\]"),
        (retyped, "'bias' is float64 of shape"),
        (newer, "format is 'sk_prunefair compact 99'"),
        (listed, "not a whole compact file"),
        (counted, "another number of values"),
    ],
)
def test_forged_files_change_nothing(tmp_path, change, message):
    net = nn.Linear(40, 5)
    apply_masks(net, MagnitudePruner().masks(net, 0.8))
    path = save_and_path(net, tmp_path)
    rewrite(path, change)
    target = nn.Linear(40, 5)
    before = weights(target)
    with pytest.raises(ValueError, match=message):
        load_compact(path, target)
    for name, value in weights(target).items():
        np.testing.assert_array_equal(value, before[name])


class Malicious:
    def __reduce__(self):
        raise AssertionError("executed")


def test_damaged_and_foreign_files(pruned, tmp_path):
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
        with pytest.raises(ValueError, match=r"not a whole compact file|damaged"):
            load_compact(path, target)
        assert not target.initialized_
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", "[" * 10**6)
    with pytest.raises(ValueError, match="not a whole compact file"):
        load_compact(path, target)
    with pytest.raises(FileNotFoundError):
        load_compact(tmp_path / "absent", target)


def test_a_flipped_bit_is_found_or_means_nothing(pruned, tmp_path):
    path = save_and_path(pruned, tmp_path)
    whole, before = path.read_bytes(), weights(pruned.module_)
    rng = np.random.default_rng(0)
    n_found = 0
    for place in rng.integers(0, len(whole), 300):
        flipped = bytes([whole[place] ^ (1 << rng.integers(8))])
        path.write_bytes(whole[:place] + flipped + whole[place + 1 :])
        target = type(pruned.module_)(64, 10)
        try:
            load_compact(path, target)
        except ValueError:
            n_found += 1
        else:  # a date, say
            for name, value in weights(target).items():
                np.testing.assert_array_equal(value, before[name])
    assert n_found > 200


def test_files_that_do_not_fit_a_classifier(pruned, digits, tmp_path):
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
