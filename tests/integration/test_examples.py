"""The examples run as they stand, on real data, with warnings as errors."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sk_prunefair.hooks import Training
from tests.conftest import data_home

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def assert_near(found, expected):
    np.testing.assert_allclose([float(n) for n in found], [float(n) for n in expected], atol=0.06)


@pytest.mark.slow
def test_example_quickstart_prints_what_the_readme_says():
    done = run("examples/quickstart.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Pruning by group") == 3
    assert done.stdout.count("fairness violation ξ = ") == 3
    # What the README says of it, but for what another processor makes of the last digits.
    summary = r"accuracy (\S+) → (\S+), accuracy gap (\S+) → (\S+), fairness violation ξ = (\S+)"
    printed = re.findall(summary, done.stdout)
    readme = (ROOT / "README.md").read_text()
    assert_near(re.findall(summary, readme)[0], printed[0])
    told = r"back to (\S+), with a gap of (\S+) and ξ = (\S+);[^;]*it is (\S+), (\S+) and"
    assert_near(
        re.findall(told, readme)[0],
        [*np.array(printed[1])[[1, 3, 4]], *np.array(printed[2])[[1, 3]]],
    )


@pytest.mark.slow
def test_own_constraint_declared_state_starts_every_prune_from_the_dense_net(capsys):
    ran = runpy.run_path(str(ROOT / "examples" / "own_constraint.py"))
    assert capsys.readouterr().out.count("Pruning by group") == 2
    # Σ q_a J_a of the groups' mean losses, whatever their shares of the batch.
    dro = ran["GroupDRO"]().initialize()
    net = SimpleNamespace(groups_=[0, 1], device="cpu", training_=Training("before", epochs=1))
    batch = {"group": torch.tensor([0, 0, 0])}
    assert dro.weights(net, batch).tolist() == [0.5] * 3
    losses = torch.tensor([1.0, 2.0, 6.0])
    dro.on_batch_end(net, batch=(batch, None), training=True, losses=losses)
    assert dro.log_weights_.tolist() == pytest.approx([0.03, 0.0])
    dro.log_weights_ = torch.tensor([0.25, 0.75]).log()
    group = torch.tensor([0] * 18 + [1] * 2)
    weights = dro.weights(net, {"group": group})
    assert float((weights * group).mean()) == pytest.approx(0.75)
    assert float(weights.mean()) == pytest.approx(1.0)
    clf, X, y = ran["clf"], ran["X"], ran["y"]
    given = {"sensitive_features": y, "finetune_epochs": 1}
    at_once = clf.prune(0.8, X, y, **given).predict_proba(X)
    clf.prune(0.5, X, y, **given)
    np.testing.assert_array_equal(clf.prune(0.8, X, y, **given).predict_proba(X), at_once)
    # A pretrained net needs no fit.
    params = clf.get_params(deep=False) | {"module": clf.dense_module_}
    pretrained = type(clf)(**params | {"classes": list(range(10))}).initialize()
    first = pretrained.prune(0.8, X, y, **given).predict_proba(X)
    assert pretrained.sparsity_ == pytest.approx(0.8, abs=0.001)
    pretrained.prune(0.5, X, y, **given)
    np.testing.assert_array_equal(pretrained.prune(0.8, X, y, **given).predict_proba(X), first)
    assert (dict(pretrained.callbacks_)["dro"].log_weights_ > 0).all()


@pytest.mark.slow
def test_example_adult_pipeline_chooses_and_reports():
    done = run("examples/adult_pipeline.py", data_home())
    assert done.returncode == 0, done.stderr
    assert "chosen by accuracy" in done.stdout
    assert "Amer-Indian-Eskimo" in done.stdout


@pytest.mark.slow
def test_example_tabular_fine_tuning_makes_up_for_the_pruning():
    done = run("examples/tabular.py", data_home())
    assert done.returncode == 0, done.stderr
    assert "6 numbers, 110 categories" in done.stdout
    # Two epochs of fine-tuning make up for what the pruning took.
    found = re.findall(r"accuracy (\S+) → (\S+), accuracy gap", done.stdout)
    (dense, pruned), (_, finetuned) = [[float(n) for n in each] for each in found]
    assert dense > 0.85
    assert pruned < finetuned
    assert finetuned > dense - 0.01


@pytest.mark.slow
def test_example_theory_writes_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    done = run("examples/theory.py", "--data", data_home(), "--picture", tmp_path / "why.png")
    assert done.returncode == 0, done.stderr
    assert "rows sum to R(a)" in done.stdout
    assert (tmp_path / "why.png").stat().st_size > 10_000


@pytest.mark.slow
def test_example_how_far_names_the_group_that_binds():
    done = run("examples/how_far.py", data_home())
    assert done.returncode == 0, done.stderr
    assert "binds" in done.stdout
    assert "refused" in done.stdout


@pytest.mark.slow
def test_example_monitor_names_the_group_after_the_sensor_failed():
    done = run("examples/monitor.py")
    assert done.returncode == 0, done.stderr
    (alarm,) = re.findall(r"hour (\d+): (\w+), accuracy", done.stdout)
    assert alarm[1] == "west"
    assert 50 < int(alarm[0]) < 200
    assert "the same alarms: 1" in done.stdout


@pytest.mark.slow
def test_example_audit_page_writes_a_page(tmp_path):
    pytest.importorskip("matplotlib")
    done = run("examples/audit_page.py", tmp_path / "audit.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "audit.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.slow
def test_example_pretrained_files_predict_the_same():
    for name in ("transformers", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass
    except RuntimeError as error:
        pytest.skip(f"transformers imports torchvision, which does not fit this torch: {error}")
    done = run("examples/pretrained.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("100% of the predictions are equal") == 2
    assert "ms for one sample" in done.stdout


@pytest.mark.slow
def test_example_transformer_loses_heads_and_writes_onnx(tmp_path):
    for package in ("transformers", "torch_pruning", "onnxscript"):
        pytest.importorskip(package)
    done = run("examples/transformer.py", tmp_path / "net.onnx")
    assert done.returncode == 0, done.stderr
    assert "4 heads, feed-forward width 128 → 2 heads, feed-forward width 64" in done.stdout
    found = re.findall(r"accuracy (\S+) → (\S+), accuracy gap", done.stdout)
    (dense, by_heads), (_, by_weights) = [[float(n) for n in each] for each in found]
    assert dense > 0.85
    assert min(by_heads, by_weights) > dense - 0.08
    assert (tmp_path / "net.onnx").stat().st_size > 100_000


@pytest.mark.slow
def test_example_faces_without_files_says_what_to_download(tmp_path):
    pytest.importorskip("PIL")
    done = run("examples/faces.py", tmp_path)
    assert done.returncode == 1
    assert "UTKFace project page" in done.stderr
    assert "data_home" in done.stderr


@pytest.mark.slow
def test_example_audit_int8_compares_the_files_that_are_shipped():
    pytest.importorskip("onnxruntime")
    done = run("examples/audit_int8.py", data_home())
    assert done.returncode == 0, done.stderr
    for changed in re.findall(r"^int8: .* answers changed (\S+)%", done.stdout, re.M):
        assert float(changed) < 3
    sizes = [int(size) for size in re.findall(r"(\d+) kB on disk", done.stdout)]
    assert len(sizes) == 6
    assert max(sizes[0], sizes[2]) < 0.5 * sizes[1]
    assert len(re.findall(r"^pruned \+ int8: promise", done.stdout, re.M)) == 2


def test_example_of_a_gate_gives_options_that_there_are():
    from sk_prunefair.cli.parser import make_parser

    text = (ROOT / "examples" / "ci" / "audit.yml").read_text()
    command = text.split("sk-prunefair audit")[1].split("- name")[0].split()
    args = make_parser().parse_args(["audit", *command])
    assert args.groups == ["race", "sex"]
    assert args.junit == Path("audit.xml")
    assert args.accept == Path("acceptance.yaml")


@pytest.mark.slow
def test_example_dask_sweep_prints_each_rate_and_seed():
    pytest.importorskip("distributed")
    done = run("examples/dask_sweep.py")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^0\.[589] +(\S+) +(\S+) +(\S+)$", done.stdout, re.M)
    assert len(rows) == 3
    assert np.array(rows, dtype=float).mean() > 0.4


@pytest.mark.slow
def test_example_ray_sweep_finds_a_rate():
    pytest.importorskip("ray")
    done = run("examples/ray_sweep.py")
    assert done.returncode == 0, done.stderr
    assert "prune 60%; beyond it, False binds" in done.stdout


@pytest.mark.slow
def test_example_ray_tune_prints_all_trials():
    pytest.importorskip("ray.tune")
    done = run("-W", "default", "examples/ray_tune.py")
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^ +0\.\d+ +0\.\d ", done.stdout, re.M)) == 4


@pytest.mark.slow
def test_example_optuna_search_stops_trials_and_prints_nets_that_none_beats():
    pytest.importorskip("optuna")
    done = run("examples/optuna_search.py", 8)
    assert done.returncode == 0, done.stderr
    assert int(re.findall(r"8 trials, (\d+) stopped early", done.stdout)[0]) > 0
    found = [
        [float(n) for n in row]
        for row in re.findall(r"^ +\d+ +(\S+) +\S+ +\S+ +(\S+), (\S+)$", done.stdout, re.M)
    ]
    assert len(found) > 1
    for left, accuracy, xi in found:  # none beats another in all three, up to how they are printed
        assert not any(other[0] < left and other[1] > accuracy and other[2] < xi for other in found)


def test_example_of_acceptance_criteria_is_read():
    jsonschema = pytest.importorskip("jsonschema")
    yaml = pytest.importorskip("yaml")
    from sk_prunefair.acceptance import read_criteria, schema

    path = ROOT / "examples" / "ci" / "acceptance.yaml"
    assert [each.min_count for each in read_criteria(path)] == [100] * 6
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(path.read_text("utf-8")))
