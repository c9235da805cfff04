"""What a file says of its net is checked, for itself and against what the file holds."""

from __future__ import annotations

import copy
import json
import warnings
import zipfile

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import MLP
from sk_prunefair.pruning import MagnitudePruner, apply_masks
from tests.conftest import classifier, weights
from tests.export.forging import rewrite, without_features

FIRST = "layers.0.weight"


def of_tensor(name="weight", **entries):
    return lambda header, parts: header["tensors"][name].update(entries)


def of_part(name, change):
    return lambda header, parts: parts.update({name: change(parts[name])})


def of_header(**entries):
    return lambda header, parts: header.update(entries)


def repeated(header, parts):
    return json.dumps(header).replace('"masks": ', '"masks": [], "masks": ').encode()


def raw(old, new):
    def change(header, parts):
        return json.dumps(header).replace(old, new).encode()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_part("values/weight", lambda part: part + b"\0" * 4), "'values/weight' does not have"),
        (of_part("values/weight", lambda part: part[:-1]), "damaged: 'values/weight' does not"),
        (
            of_part("bits/weight", lambda part: bytes([part[0] ^ 1]) + part[1:]),
            "damaged: the bit mask of 'weight' does not keep",
        ),
        (
            lambda h, parts: parts.pop("values/bias") and None,
            "not a complete compact file .*values/bias",
        ),
        (of_part("values/bias", lambda part: b"\xff" * len(part)), "'bias' holds values that are"),
        (lambda h, parts: parts.update(more=b"1"), r"has \['more'\], which"),
        (lambda h, parts: parts.update({"bits/bias": b"1"}), r"has \['bits/bias'\], which"),
        (of_tensor(shape=[10**6, 10**6]), "'bits/weight' does not have 125000000000 bytes"),
        (of_tensor(shape=[10**12, 10**12]), "sizes that a tensor can have"),
        (of_tensor(shape=[1] * 65), "a list of at most 64 sizes"),
        (of_tensor(shape=[5.0, 40]), "integers from 0"),
        (of_tensor(shape=[-5, -40]), "integers from 0"),
        (of_tensor(shape=[True, 200]), "integers from 0"),
        (of_tensor(shape=200), "a list of at most"),
        (of_tensor(shape=[40, 5]), r"does not fit .* shape \[40, 5\] in the file"),
        (of_tensor("bias", dtype="int32"), "'bias' is int32 of shape"),
        (of_tensor("bias", dtype="float64"), "'values/bias' does not have 40 bytes"),
        (of_tensor("bias", dtype="nn"), "a torch dtype"),
        (of_tensor("bias", dtype=["float32"]), "a torch dtype"),
        (of_tensor(kept="many"), "number of values"),
        (of_tensor(kept=201), "integers from 0 to 200"),
        (of_tensor(kept=True), "integers from 0 to 200"),
        (of_tensor(extra=1), r"has the unknown keys \['extra'\]"),
        (of_header(format="sk_prunefair compact 99"), "got 'sk_prunefair compact 99'"),
        (of_header(format=None), "format of the file must be .* got None"),
        (of_header(tensors=["weight", "bias"]), "tensors must be an object"),
        (of_header(tensors={}), r"has \['bits/weight', 'values/bias', 'values/weight'\], which"),
        (of_header(masks=["weight", "weight"]), "unique names"),
        (of_header(masks=["bias"]), "stored with a bit mask"),
        (of_header(masks=["absent"]), "stored with a bit mask"),
        (of_header(masks="weight"), "a list of strings"),
        (of_header(masks=[["weight"]]), "a list of strings"),
        (of_header(kept={"weight": [0, 0]}), "distinct dimensions"),
        (of_header(kept={"weight": 0}), "a list of dimensions"),
        (of_header(kept=[]), "kept must be an object"),
        (of_header(dense={}), "the net itself is dense"),
        (of_header(rate=0.5), r"has the unknown keys \['rate'\]"),
        (of_header(comment="hello"), r"has the unknown keys \['comment'\]"),
        (lambda h, parts: h.pop("masks") and None, r"lacks \['masks'\]"),
        (repeated, "the key 'masks' twice"),
        (raw('"shape": [5, 40]', '"shape": [5, NaN]'), "holds NaN where"),
        (raw('"shape": [5, 40]', '"shape": [5, Infinity]'), "holds Infinity where"),
        (raw('"shape": [5, 40]', '"shape": [5, 1e999]'), "holds 1e999 where"),
        (raw('"shape": [5, 40]', '"shape": [5, 1' + "0" * 400 + "]"), "holds 1000"),
        (raw('"shape": [5, 40]', '"shape": [5, 1' + "0" * 5000 + "]"), "holds 1000"),
        (lambda h, parts: b"[]", "must be an object"),
        (lambda h, parts: b"{", "not JSON"),
        (lambda h, parts: b"\xff\xfe{}", "not JSON"),
        (lambda h, parts: b"[" * 10**5, "not a complete compact file"),
    ],
)
def test_load_compact_forged_module_file_raises_and_changes_nothing(tmp_path, change, message):
    net = nn.Linear(40, 5)
    apply_masks(net, MagnitudePruner().masks(net, 0.8))
    path = tmp_path / "net.zip"
    save_compact(net, path)
    rewrite(path, change)
    target = nn.Linear(40, 5)
    before = weights(target)
    with pytest.raises(ValueError, match=message):
        load_compact(path, target)
    for name, value in weights(target).items():
        np.testing.assert_array_equal(value, before[name])


def test_load_compact_renamed_tensor_raises(tmp_path):
    save_compact(nn.Linear(40, 5), tmp_path / "net.zip")

    def renamed(header, parts):
        header["tensors"]["head"] = header["tensors"].pop("bias")
        parts["values/head"] = parts.pop("values/bias")

    rewrite(tmp_path / "net.zip", renamed)
    with pytest.raises(ValueError, match=r"lacks \['bias'\] and has \['head'\]"):
        load_compact(tmp_path / "net.zip", nn.Linear(40, 5))


@pytest.fixture(scope="module")
def pruned(digits):
    X, y, group = digits
    clf = classifier(MLP, module__hidden=(32,), max_epochs=1, prune_rate=0.8)
    return clf.fit(X, y, sensitive_features=group)


def unlike_masks(header, parts):
    """Remove a further weight, and say so everywhere but in the rate."""
    bits = np.unpackbits(np.frombuffer(parts[f"bits/{FIRST}"], np.uint8), count=64 * 32)
    kept = np.flatnonzero(bits)
    values = np.frombuffer(parts[f"values/{FIRST}"], np.uint8).reshape(4, -1)
    bits[kept[:100]] = 0
    parts[f"bits/{FIRST}"] = np.packbits(bits).tobytes()
    parts[f"values/{FIRST}"] = values[:, 100:].tobytes()
    header["tensors"][FIRST]["kept"] -= 100


def with_dense(change):
    def changed(header, parts):
        header["dense"] = copy.deepcopy(header["tensors"])
        parts |= {f"dense/{name}": part for name, part in parts.items()}
        change(header, parts)

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_header(rate=0.2), "its rate is 0.2, but its masks remove"),
        (of_header(rate=0.79), "its rate is 0.79, but its masks remove"),
        (of_header(rate=0), "its rate is 0.0, but its masks remove"),
        (of_header(rate=1), r"a number in \[0, 1\)"),
        (of_header(rate=-0.1), r"a number in \[0, 1\)"),
        (of_header(rate="0.8"), r"a number in \[0, 1\)"),
        (of_header(rate=True), r"a number in \[0, 1\)"),
        (of_header(rate=None), r"a number in \[0, 1\)"),
        (raw('"rate": 0.8', '"rate": NaN'), "holds NaN"),
        (raw('"rate": 0.8', '"rate": -Infinity'), "holds -Infinity"),
        (raw('"rate": 0.8', '"rate": 1' + "0" * 400), "holds 1000"),
        (raw('"rate": 0.8', '"rate": 1e400'), "holds 1e400"),
        (of_header(removed=3), "says that 3 weights were removed"),
        (of_header(removed=-3), "removed must be"),
        (unlike_masks, "its masks remove"),
        (of_header(masks=[]), "0, for a net without masks"),
        (of_header(masks=[], rate=0), "LOADS"),
        (with_dense(of_header(masks=[], rate=0)), "the net itself is dense"),
        (with_dense(of_header(masks=[])), "the net itself is dense"),
        (with_dense(of_header(dense=3)), "dense must be an object"),
        (
            with_dense(lambda h, parts: h["dense"].pop(FIRST) and None),
            "which its header does not list",
        ),
        (of_header(kept={FIRST: [0]}), "must have masks or removed channels"),
        (of_header(classes=[0, 1]), "cannot be made|does not fit the target"),
        (of_header(classes=[*range(9), 8]), "labels must be unique"),
        (of_header(classes=[*range(9), 8.0]), "labels must be unique"),
        (of_header(classes=[*range(9), "9"]), "all strings, all numbers"),
        (of_header(classes=[*range(2, 11), True]), "all strings, all numbers"),
        (of_header(classes=[*range(9), None]), "all strings, all numbers"),
        (of_header(classes=[*range(9), [9]]), "all strings, all numbers"),
        (of_header(classes=[*range(9), 2**64]), "integers of 64 bits"),
        (of_header(classes=[-1, *range(8), 2**64 - 1], classes_dtype=None), "do not fit dtype"),
        (of_header(classes=[]), "all strings, all numbers"),
        (of_header(classes="0123456789"), "classes must be a list"),
        (of_header(classes=[*map(str, range(9)), "9" * 2**20]), "too many"),
        (
            of_header(classes=[*map(str, range(9)), "\ud800"], classes_dtype="str"),
            "surrogates not allowed",
        ),
        (of_header(classes_dtype="int8"), "LOADS"),
        (of_header(classes=[*range(9), 300], classes_dtype="int8"), "do not fit dtype int8"),
        (of_header(classes_dtype="bool"), "do not fit dtype bool"),
        (of_header(classes_dtype="str"), "do not fit dtype str"),
        (of_header(classes_dtype="U1000000000"), "unknown dtype"),
        (of_header(classes_dtype=["str"]), "unknown dtype"),
        (of_header(input_shape=[65]), "n_features must be"),
        (of_header(input_shape=[65], n_features=65), "does not fit the target"),
        (of_header(input_shape=[0], n_features=0), "integers from 1"),
        (of_header(input_shape=[-64], n_features=-64), "integers from 1"),
        (of_header(input_shape=64), "a list of at most 64 sizes"),
        (of_header(input_shape=[10**19]), "integers from 1"),
        (of_header(input_shape=[64, 10**18]), "sizes that a tensor can have"),
        (of_header(input_dtype="int64"), "takes int64 inputs, but the target.s"),
        (of_header(input_dtype=3), "input_dtype must be"),
        (of_header(feature_names=["a"] * 63), "64 names"),
        (of_header(feature_names=[1] * 64), "a list of strings"),
        (of_header(feature_names="a" * 64), "a list of strings"),
    ],
)
def test_load_compact_forged_classifier_file_raises_and_learns_nothing(
    pruned, tmp_path, change, message
):
    path = tmp_path / "net.zip"
    save_compact(pruned, path)
    rewrite(path, change)
    fresh = clone(pruned)
    before, learned = weights(pruned.module_), vars(clone(pruned)).keys()
    if message == "LOADS":
        load_compact(path, fresh)
        return
    for target in (fresh, pruned):
        with pytest.raises(ValueError, match=rf"{message}|labels of the file|in the file and"):
            load_compact(path, target)
    with pytest.raises(ValueError, match=message):
        load_compact(path, fresh)
    assert vars(fresh).keys() == learned
    assert not fresh.initialized_
    for name, value in weights(pruned.module_).items():
        np.testing.assert_array_equal(value, before[name])


def test_load_compact_forged_dense_net_raises(pruned, tmp_path):
    path = tmp_path / "net.zip"
    save_compact(pruned, path, dense=True)
    nan = np.full(32, np.nan, np.float32).reshape(-1, 1).view(np.uint8).T.tobytes()
    rewrite(path, of_part("dense/values/layers.0.bias", lambda _: nan))
    with pytest.raises(ValueError, match=r"'layers.0.bias' holds values that are not finite"):
        load_compact(path, clone(pruned))


def test_load_compact_nan_in_buffer_raises_for_classifier(digits, tmp_path):
    X, y, group = digits
    clf = classifier(max_epochs=1).fit(X, y, sensitive_features=group)
    path = tmp_path / "net.zip"
    save_compact(clf, path)
    nan = np.full(24, np.nan, np.float32).reshape(-1, 1).view(np.uint8).T.tobytes()
    rewrite(path, of_part("values/layers.2.running_var", lambda _: nan))
    with pytest.raises(ValueError, match=r"buffer 'layers.2.running_var' holds NaN"):
        load_compact(path, clone(clf))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.9])
def test_load_compact_rate_unlike_channels_raises(digits, tmp_path, rate):
    X, y, group = digits
    clf = classifier(
        MLP, module__hidden=(40, 20), max_epochs=1, prune_rate=0.5, pruner="channel_magnitude"
    ).fit(X, y, sensitive_features=group)
    path = tmp_path / "net.zip"
    save_compact(clf, path)
    rewrite(path, of_header(rate=rate))
    target = clone(clf)
    with pytest.raises(ValueError, match="but its removed channels remove"):
        load_compact(path, target)
    assert not target.initialized_


@pytest.mark.parametrize("rate", [0.1, 0.37, 0.5, 0.85, 0.97])
@pytest.mark.parametrize(
    "pruner", ["magnitude", "layer_magnitude", "fairgrape", "channel_magnitude", "random"]
)
def test_load_compact_every_pruner_and_rate_comes_back(digits, tmp_path, pruner, rate):
    X, y, group = digits
    clf = classifier(MLP, module__hidden=(13, 5), max_epochs=1, pruner=pruner)
    clf.fit(X[:300], y[:300], sensitive_features=group[:300])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that lose all of their weights
        clf.prune(rate, X[:300], y[:300], sensitive_features=group[:300], finetune_epochs=0)
    path = tmp_path / "net.zip"
    save_compact(clf, path)
    with zipfile.ZipFile(path) as archive:
        assert "removed" not in json.loads(archive.read("header.json"))
    loaded = load_compact(path, clone(clf))
    assert (loaded.prune_rate_, loaded.sparsity_) == (rate, clf.sparsity_)
    rewrite(path, lambda header, parts: without_features(header) and None)  # the version before
    loaded = load_compact(path, clone(clf))
    assert torch.equal(loaded.module_.layers[0].weight, clf.module_.layers[0].weight)
