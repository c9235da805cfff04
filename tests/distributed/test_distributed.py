"""Several processes train the net that one would; each trains in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier, Resume
from tests.distributed import script

SCRIPT = Path(script.__file__)

# Nets without noise of their own: several processes train them as one does.
EXACT = (
    "recipe",
    "class_weights",
    "single",
    "literal",
    "valid",
    "accuracy_gap",
    "own_constraint",
    "sampled",
    "tables",
    "items",
    "searched",
    "accumulated",
    "whole",
    "files",
    "resumed",
)
OTHERS = ("derivatives", "unseeded", "channels", "other_data")


def launch(n_ranks: int, folder: Path, *names: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(n_ranks), str(SCRIPT), str(folder), *names]
    path = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=env
    )


def launched(n_ranks: int, folder: Path, *names: str) -> dict[str, list[dict]]:
    # The last of them dies: one launch takes seconds, two take twice as many.
    ran = launch(n_ranks, folder, *names, "dies")
    assert "rank 1 has no memory left" in ran.stderr, ran.stderr[-4000:]
    assert ran.returncode != 0
    ranks = range(n_ranks)
    return {
        name: [json.loads((folder / f"{name}.{rank}.json").read_text()) for rank in ranks]
        for name in names
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder):
    return launched(2, folder, *EXACT, *OTHERS)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return {name: script.run(name, folder) for name in EXACT}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EXACT, "derivatives", "unseeded", "channels"])
def test_ranks_end_with_the_same_bits(two, name):
    first, second = two[name]
    assert first["n_ranks"] == 2
    assert first == second


def assert_same(found, expected, tolerance):
    assert len(found["history"]) == len(expected["history"])
    assert found["masks"] == expected["masks"]
    compare(found["history"], expected["history"], 1e-6)  # some of it is in single precision
    for key in ("weights", "risk", "predicted", "states"):
        compare(found[key], expected[key], tolerance)


def compare(found, expected, tolerance):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if not isinstance(expected, list):
        assert found == pytest.approx(expected, rel=0, abs=tolerance, nan_ok=True)
        return
    for one, other in zip(found, expected, strict=True):
        compare(one, other, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_two_processes_train_what_one_does(one, two, name):
    assert_same(two[name][0], one[name], 1e-6 if name == "single" else 1e-12)


@pytest.mark.slow
def test_three_processes_train_what_one_does(one, tmp_path):
    found = launched(3, tmp_path, *EXACT)
    for name, ranks in found.items():
        assert ranks[0] == ranks[1] == ranks[2]
        assert_same(ranks[0], one[name], 1e-6 if name == "single" else 1e-12)


@pytest.mark.slow
def test_what_is_compared_is_not_nothing(one):
    moved = one["recipe"]["states"]["EqualLossConstraint.multipliers_"]
    assert np.ptp(moved) > 0.1
    assert np.ptp(one["literal"]["states"]["EqualLossConstraint.multipliers_"]) > 0
    assert np.ptp(one["valid"]["states"]["EqualLossConstraint.multipliers_"]) > 0
    assert max(one["accuracy_gap"]["states"]["AccuracyGapConstraint.multipliers_"]) > 0
    assert not all(map(all, one["valid"]["masks"].values()))


@pytest.mark.slow
def test_hooks_of_all_ranks_see_each_row_of_an_epoch_once(two):
    # 203 rows, a fifth of them for validation; a fine-tuning splits them in the same way.
    assert set(two["own_constraint"][0]["states"]["OwnConstraint.rows_"]) == {203}


@pytest.mark.slow
def test_optimizer_and_module_are_plain_after_training(two):
    assert two["recipe"][0]["optimizer"] == "SGD"


@pytest.mark.slow
def test_main_rank_alone_writes_files(two, folder):
    written = {path.name for path in folder.glob("*.0.*")} - {f"{n}.0.json" for n in two}
    assert written == {"page.0.html", "report.0.json", "card.0.md", "net.0.zip"}
    assert not [*folder.glob("page.1*"), *folder.glob("report.1*"), *folder.glob("*1.zip")]


@pytest.mark.slow
def test_other_data_on_another_rank_is_an_error_on_all(two):
    said = [rank["said"] for rank in two["other_data"]]
    assert said[0] == said[1]
    assert "the same full data on every process" in said[0]
    assert "[203, 204] rows" in said[0]


@pytest.mark.slow
def test_rank_that_dies_ends_the_run_with_its_error(two, folder):
    # Its error and the exit code are looked at in `launched`; the others are not waited for.
    assert not [*folder.glob("dies.*")]


# ------------------------------------------------------------------ one process


@pytest.fixture
def accelerator():
    return script.Accelerator(cpu=True)


def test_one_process_is_a_plain_classifier(accelerator):
    X, y, s = script.data()
    options = {"callbacks": [("c", EqualLossConstraint())], "random_state": 3, "verbose": 0}
    plain = FairPrunedClassifier(script.noisy(), criterion=nn.CrossEntropyLoss, **options)
    torch.manual_seed(0)
    module = plain.module
    ours = script.OwnNet(module, criterion=nn.CrossEntropyLoss, accelerator=accelerator, **options)
    for clf in (plain, ours):
        clf.fit(X, y, sensitive_features=s)
        clf.prune(0.5, X, y, sensitive_features=s, finetune_epochs=2)
    assert (plain.predict_proba(X) == ours.predict_proba(X)).all()
    assert isinstance(ours.module_, nn.Sequential)


def test_clone_and_pickle_of_an_accelerated_net(accelerator):
    X, y, s = script.data()
    clf = script.classifier(accelerator, script.mlp(), EqualLossConstraint())
    fresh = clone(clf)
    assert fresh.get_params()["device"] is None
    fresh.fit(X, y, sensitive_features=s).prune(0.5)
    copied = pickle.loads(pickle.dumps(fresh))
    assert (copied.predict_proba(X) == fresh.predict_proba(X)).all()
    assert copied.sparsity_ == fresh.sparsity_
    assert copied.get_params()["device"] is None


def test_accelerator_keeps_nothing_of_trainings_that_are_over(accelerator):
    X, y, s = script.data()
    clf = script.classifier(accelerator, script.mlp()).fit(X, y, sensitive_features=s)
    before = len(accelerator._models), len(accelerator._optimizers)
    clf.prune(0.5, X, y, sensitive_features=s, finetune_epochs=1)
    assert (len(accelerator._models), len(accelerator._optimizers)) == before


def test_device_beside_an_accelerator_that_places_raises(accelerator):
    clf = script.classifier(accelerator, script.mlp(), device="cpu")
    with pytest.raises(ValueError, match="device must be None"):
        clf.initialize()


@pytest.mark.parametrize("wrong", [None, "cpu", getattr(script, "Accelerator", None)])
def test_accelerator_that_is_none_raises(wrong):
    module = importlib.import_module("sk_prunefair.distributed")
    clf = module.AcceleratedFairPrunedClassifier(nn.Linear, accelerator=wrong)
    with pytest.raises(TypeError, match=r"accelerator must be an accelerate\.Accelerator"):
        clf.fit(np.zeros((4, 2), dtype=np.float32), [0, 1, 0, 1])


def test_mixin_after_the_classifier_raises():
    mixin = importlib.import_module("skorch.hf").AccelerateMixin
    with pytest.raises(TypeError, match="AccelerateMixin must come before FairPrunedClassifier"):
        type("Net", (FairPrunedClassifier, mixin), {})


def test_resumed_finetuning_of_an_accelerated_net_is_known_again(accelerator, tmp_path):
    # An accelerator counts its steps: they say nothing of what is trained.
    def run():
        clf = script.classifier(accelerator, script.mlp(), random_state=0)
        clf.set_params(callbacks=[("resume", Resume(tmp_path))], max_epochs=1).fit(X, y)
        return clf.prune(0.5, X, y, finetune_epochs=1).history[:, "dur"]

    X, y, _ = script.data()

    assert run() == run()


def test_accelerator_that_shards_the_net_raises():
    class Sharding:
        class distributed_type:
            name = "FSDP"

        device = torch.device("cpu")
        device_placement = True

    clf = script.classifier(Sharding(), script.mlp())
    with pytest.raises(ValueError, match="got FSDP"):
        clf.initialize()


def test_missing_accelerate_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.delitem(sys.modules, "sk_prunefair.distributed")
    with pytest.raises(ImportError, match=r"pip install 'sk-prunefair\[distributed\]'"):
        importlib.import_module("sk_prunefair.distributed")


@pytest.mark.slow
def test_example_prints_one_report(capsys):
    runpy.run_path(
        str(SCRIPT.parents[2] / "examples" / "several_processes.py"), run_name="__main__"
    )
    printed = capsys.readouterr().out
    assert printed.startswith("1 process(es)")
    assert printed.count("Pruning by group") == 1
