"""A forged file costs no more than it holds: each is refused within little memory and time."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import MLP
from tests.conftest import classifier
from tests.export.forging import rewrite, without_features

FIRST = "layers.0.weight"
_MIB = 2**20
_LIMIT = 192 * _MIB  # of address space, beyond what the process has; the attacks took gigabytes
_SECONDS = 5.0

# Loads each file under a limit of the address space, and prints what came of it.
_PROGRAM = """
import json, resource, sys, time
import torch
from sk_prunefair.export import load_compact
from sk_prunefair.export.compact import holds_dense
from sk_prunefair.modules import MLP
from tests.conftest import classifier

def make(kind):
    return MLP(64, 2, hidden=(128,)) if kind == "module" else classifier(MLP, module__hidden=(128,))

good, *paths = sys.argv[2:]
for kind in ("module", "classifier"):
    load_compact(good, make(kind))  # what is imported late, and threads
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
size = int(status["VmSize"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]), -1))
found = {}
for path in paths:
    for kind in ("module", "classifier", "dense"):
        began = time.perf_counter()
        try:
            holds_dense(path) if kind == "dense" else load_compact(path, make(kind))
            outcome = "loaded"
        except Exception as error:
            outcome = type(error).__name__
        found[f"{path} {kind}"] = outcome, time.perf_counter() - began
print(json.dumps(found))
"""


def bomb(header, parts):
    return b" " * (16 * _MIB)


def many_lists(header, parts):
    return b"[" + b"[]," * 300_000 + b"0]"


def many_keys(header, parts):
    return b"{" + b",".join(b'"%x":{}' % number for number in range(90_000)) + b"}"


def long_number(header, parts):
    return b'{"rate": 1' + b"0" * 900_000 + b"}"


def many_inputs(header, parts):
    without_features(header)["input_shape"] = [20_000_000]


def some_inputs(header, parts):
    without_features(header)["input_shape"] = [1_000_000]


def many_labels(header, parts):
    header["classes"] = list(range(1_000_000))


def some_labels(header, parts):
    header["classes"] = list(range(8_000))


def zeros(n_features):
    """Tell of a layer of zeros, one bit for each, which deflate makes a thousandth of."""

    def change(header, parts):
        without_features(header)["input_shape"] = [n_features]
        header["tensors"][FIRST] = {"shape": [128, n_features], "dtype": "float32", "kept": 0}
        header["rate"] = 0.99
        parts[f"bits/{FIRST}"] = bytes(16 * n_features)
        parts[f"values/{FIRST}"] = b""

    return change


def large_part(header, parts):
    header["tensors"]["layers.0.bias"]["shape"] = [64 * _MIB]
    parts["values/layers.0.bias"] = bytes(256 * _MIB)


def unknown_part(header, parts):
    parts["more"] = bytes(256 * _MIB)


ATTACKS = {
    "bz2": (bomb, zipfile.ZIP_BZIP2),
    "lzma": (bomb, zipfile.ZIP_LZMA),
    "deflate": (bomb, zipfile.ZIP_DEFLATED),
    "stored": (bomb, zipfile.ZIP_STORED),
    "lists": (many_lists, zipfile.ZIP_DEFLATED),
    "keys": (many_keys, zipfile.ZIP_DEFLATED),
    "number": (long_number, zipfile.ZIP_DEFLATED),
    "inputs": (many_inputs, zipfile.ZIP_DEFLATED),
    "some_inputs": (some_inputs, zipfile.ZIP_DEFLATED),
    "labels": (many_labels, zipfile.ZIP_DEFLATED),
    "some_labels": (some_labels, zipfile.ZIP_DEFLATED),
    "zeros": (zeros(10_000_000), zipfile.ZIP_DEFLATED),
    "some_zeros": (zeros(500_000), zipfile.ZIP_DEFLATED),
    "part": (large_part, zipfile.ZIP_DEFLATED),
    "unknown": (unknown_part, zipfile.ZIP_DEFLATED),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return the file of a pruned classifier for 64 features and two labels."""
    X = np.random.default_rng(0).normal(size=(100, 64))
    clf = classifier(MLP, module__hidden=(128,), max_epochs=1).fit(X, (X[:, 0] > 0).astype(int))
    path = tmp_path_factory.mktemp("costs") / "good.zip"
    save_compact(clf.prune(0.5), path)
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
def test_load_compact_forged_files_under_memory_limit_raise_value_error(good):
    for name, (change, compression) in ATTACKS.items():
        path = good.with_name(f"{name}.zip")
        path.write_bytes(good.read_bytes())
        rewrite(path, change, compression)
    paths = [str(good.with_name(f"{name}.zip")) for name in ATTACKS]
    command = [sys.executable, "-c", _PROGRAM, str(_LIMIT), str(good), *paths]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 3 * len(ATTACKS)
    for attack, (outcome, seconds) in found.items():
        path, kind = attack.split()
        # Whether a file has a dense net is known without its shapes being compared with anything.
        is_told = kind == "dense" and Path(path).stem in {
            *("inputs", "some_inputs", "some_labels", "zeros", "some_zeros", "part")
        }
        # The labels and the shape of X do not matter to a bare module.
        is_told |= kind == "module" and Path(path).stem in {"inputs", "some_inputs", "some_labels"}
        assert outcome == ("loaded" if is_told else "ValueError"), attack
        assert seconds < _SECONDS, attack


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bz2", "lzma", "deflate", "inputs", "zeros", "unknown"])
def test_load_compact_forged_file_python_memory_small(good, tmp_path, name):
    path = tmp_path / "forged.zip"
    path.write_bytes(good.read_bytes())
    rewrite(path, *ATTACKS[name])
    target = classifier(MLP, module__hidden=(128,))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            load_compact(path, target)
        assert tracemalloc.get_traced_memory()[1] < 4 * _MIB
    finally:
        tracemalloc.stop()
    assert not target.initialized_


@pytest.mark.slow
def test_load_compact_large_net_of_zeros_into_initialized_target_comes_back(tmp_path):
    net = nn.Linear(2_000_000, 10)
    net.weight.data.zero_()
    path = tmp_path / "net.zip"
    clf = classifier(net, classes=list(range(10))).initialize()
    save_compact(clf, path)
    assert path.stat().st_size < 2**16
    assert not load_compact(path, clone(clf)).module_.weight.any()


@pytest.mark.slow
def test_header_of_many_tensors_within_its_limit(tmp_path):
    net = nn.Module()
    for number in range(12_000):
        name = f"backbone_of_a_net_with_a_long_name_for_each_of_its_parts_{number}_weight"
        net.register_buffer(name, torch.ones(1))
    save_compact(net, tmp_path / "net.zip")
    with zipfile.ZipFile(tmp_path / "net.zip") as archive:
        assert archive.getinfo("header.json").file_size > _MIB
    load_compact(tmp_path / "net.zip", net)
