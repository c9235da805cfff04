"""The benchmarks run, their pages are what their CSVs say, committed numbers come out again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from benchmarks.lib.harness import committed
from tests.conftest import BENCHMARKS

PAGES = {
    "studies/collapse/page": "studies.collapse.run.write_page",
    "studies/mend/page": "studies.mend.run.write_page",
    "studies/mitigation/page": "studies.mitigation.page.write_page",
    "studies/constraints/page": "studies.constraints.page.write_tables",
    "speed/compact": "speed.compact.write_table",
    "studies/compressions/page": "studies.compressions.page.write_page",
    "speed/constraint_cost": "speed.constraint_cost.write_table",
    "studies/decide/page": "studies.decide.page.write_page",
    "studies/decide/page_procedures": "studies.decide.procedures.write_page",
    "studies/fairlearn_baselines/page": "studies.fairlearn_baselines.page.write_page",
    "studies/field/page": "studies.field.page.write_page",
    "studies/fresh_rows/page": "studies.fresh_rows.run.write_page",
    "studies/intervals/page": "studies.intervals.run.write_page",
    "studies/poster/page": "studies.poster.page.write_page",
    "studies/poster/page_default": "studies.poster.page.write_default",
    "studies/poster/page_dual": "studies.poster.page.write_dual",
    "studies/monitor/page": "studies.monitor.run.write_page",
    "studies/nets/page": "studies.nets.page.write_page",
    "studies/promise/page": "studies.promise.run.write_page",
    "studies/promise_verdict/page": "studies.promise_verdict.run.write_page",
    "studies/promise_violation/page": "studies.promise_violation.run.write_page",
    "studies/pruners/page": "studies.pruners.run.write_table",
    "studies/recalibration/page": "studies.recalibration.run.write_table",
    "speed/report_cost": "speed.report_cost.write_page",
    "speed/scale": "speed.scale_page.write_page",
    "speed/scale_processes": "speed.scale_processes.write_page",
    "speed/scale_sweeps": "speed.scale_sweeps.write_page",
    "studies/slices/page": "studies.slices.run.write_page",
    "speed/sparse": "speed.sparse.write_page",
    "speed/theory": "speed.theory.write_page",
    "studies/unlabelled/page": "studies.unlabelled.run.write_page",
    "speed/training_overhead": "speed.training_overhead.write_page",
}


def run_quick(name: str, *options: str | Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", *map(str, options)]
    root = BENCHMARKS.parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_pages_from_committed_rows_equal_committed_pages(benchmark_module, tmp_path, name):
    module, function = PAGES[name].rsplit(".", 1)
    rows = pd.read_csv(BENCHMARKS / f"{name.replace('page', 'rows')}.csv")
    getattr(benchmark_module(module), function)(rows, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (BENCHMARKS / f"{name}.md").read_text()


@pytest.mark.slow
def test_results_from_committed_rows_equal_the_committed_page(benchmark_module, tmp_path):
    benchmark_module("results.run").main(["--out", str(tmp_path / "results.md")])
    page = BENCHMARKS.parent / "docs" / "results.md"
    assert (tmp_path / "results.md").read_text() == page.read_text()


@pytest.mark.slow
def test_field_committed_cell_is_reproduced(benchmark_module):
    field = benchmark_module("studies.field.run")
    cell = {"task": "digits", "seed": 0, "method": "ours"}
    found = pd.DataFrame(field.work(cell))
    rows = committed("field")
    expected = rows[np.logical_and.reduce([rows[key] == value for key, value in cell.items()])]
    # Sums of another order on another machine may turn a few of the 719 test rows.
    for name in ("accuracy", "balanced"):
        np.testing.assert_allclose(found[name], expected[name], atol=0.03)
    assert found["rate"].tolist() == expected["rate"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sparse_blocks", "sparse_memory"])
def test_sparse_quick_runs_leave_committed_rows(name):
    path = BENCHMARKS / "speed" / f"{name}.csv"
    before = path.read_bytes()
    run_quick(f"speed.{name}")
    assert path.read_bytes() == before


@pytest.mark.slow
def test_sparse_quick_run_writes_rows_and_page(tmp_path):
    run_quick("speed.sparse", "--out", tmp_path / "sparse.csv")
    rows = pd.read_csv(tmp_path / "sparse.csv")
    assert set(rows["contender"]) >= {"dense", "masked", "sparse module", "channels"}
    assert "## Side by side" in (tmp_path / "sparse.md").read_text()


@pytest.mark.slow
def test_field_quick_run_writes_rows_and_page(tmp_path):
    run_quick("studies.field.run", "--out", tmp_path / "field.csv")
    rows = pd.read_csv(tmp_path / "field.csv")
    assert set(rows["method"]) > {"none", "ours", "recipe", "group dro", "blakeney, attention"}
    assert rows["accuracy"].between(0, 1).all()
    assert "The recipe is on neither front" in (tmp_path / "field.md").read_text()


@pytest.mark.slow
def test_decide_quick_run_writes_rows_and_page(tmp_path):
    run_quick("studies.decide.run", "--out", tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv").set_index(["cost", "way"])
    assert rows[["bytes", "macs"]].stack().between(0, 1).all()
    # No way is cheaper than knowing the population, and keeps the promise.
    kept = rows[rows["broken"] == 0]
    for cost in ("bytes", "macs", "latency"):
        least = rows.loc[(cost, "knowing the population"), cost]
        assert (kept.loc[cost][cost] >= least).all()
    assert "## Multiply-accumulates" in (tmp_path / "page.md").read_text()


@pytest.mark.slow
def test_intervals_quick_run_writes_rows_and_page(tmp_path):
    run_quick("studies.intervals.run", "--out", tmp_path / "intervals.csv")
    rows = pd.read_csv(tmp_path / "intervals.csv")
    assert set(rows["n"]) == {5, 10, 20, 50, 200}
    assert rows["covers"].between(0, 1).all()
    assert "ξ of four groups" in (tmp_path / "intervals.md").read_text()


@pytest.mark.slow
def test_unlabelled_quick_run_writes_rows_and_page(tmp_path):
    run_quick("studies.unlabelled.run", "--out", tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert rows[["changes", "labels", "both"]].stack().between(0, 1).all()
    assert (rows.loc[rows["kind"] == "edge", ["changes", "labels", "both"]] <= 0.25).all(axis=None)
    assert "how often each passes" in (tmp_path / "page.md").read_text()


@pytest.mark.slow
def test_constraints_quick_run_writes_rows_and_page(tmp_path):
    methods = ("none", "ours", "literal 1", "ours, step 10", "equal gradient")
    run_quick("studies.constraints.run", "--out", tmp_path / "rows.csv", "--methods", *methods)
    rows = pd.read_csv(tmp_path / "rows.csv")
    # Rates of 0 and 0.9, the latter with and without fine-tuning, on validation and test rows.
    assert set(rows.groupby("method").size()) == {6}
    assert set(rows["method"]) == set(methods)
    assert "Never collapses" in (tmp_path / "page.md").read_text()


def test_out_path_quick_run_is_not_the_committed_file(benchmark_module):
    harness = benchmark_module("lib.harness")
    folder = BENCHMARKS / "studies" / "field"
    for script, rows in (("run", "rows"), ("other", "other")):
        path = str(folder / f"{script}.py")
        assert harness.out_path(path, None, False) == folder / f"{rows}.csv"
        assert harness.out_path(path, None, True) == folder / f"{rows}_quick.csv"
    for path in BENCHMARKS.rglob("*.py"):
        text = path.read_text()
        if '"--quick"' in text and '"--out"' in text:
            assert "out_path(" in text, path
    poster, folder = benchmark_module("studies.poster.run"), BENCHMARKS / "studies" / "poster"
    full = ["--width", "64", "--size", "48", "--device", "cuda"]
    for options in (full, ["--quick"], ["--dual"], ["--dual", "--quick"]):
        args = poster.parse(options)
        assert args.out.parent == args.pictures == folder
        assert args.out.name != "rows.csv"
    assert poster.parse([]).out == folder / "rows.csv"
    assert poster.parse(["--dual"]).out == folder / "rows_dual.csv"


def test_constraints_rows_dense_nets_are_of_one_machine():
    """The accuracy gap does nothing before pruning: its dense nets are those without constraint."""
    rows = committed("constraints")
    dense = rows[(rows["rate"] == 0) & (rows["split"] == "test")]
    by_method = dense.pivot(index=["task", "seed"], columns="method", values="accuracy")
    both = by_method[["none", "accuracy gap"]].dropna()
    assert len(both) == 24
    assert both["none"].tolist() == both["accuracy gap"].tolist()


@pytest.mark.slow
def test_fairlearn_baselines_quick_run_writes_rows_and_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    run_quick(
        *("studies.fairlearn_baselines.run", "--out", tmp_path / "peers.csv"),
        *("--picture", tmp_path / "peers.png"),
    )
    rows = pd.read_csv(tmp_path / "peers.csv")
    assert rows.groupby("method").size().to_dict() == dict.fromkeys(rows["method"].unique(), 7)
    assert (rows.loc[rows["rate"] == 0, "xi"] == 0).all()
    assert not rows.isna().any(axis=None)
    assert "needed" not in (tmp_path / "peers.md").read_text().split("##")[1]
    assert (tmp_path / "peers.png").stat().st_size > 10_000


@pytest.mark.slow
def test_fairlearn_reduction_is_pruned_net_by_net(benchmark_module):
    methods = benchmark_module("studies.fairlearn_baselines.methods")
    tasks = benchmark_module("lib.tasks")
    task = tasks.BINARY_TASKS["parity"]
    train, _, test = task.load(0)
    train, test = (split.take(np.arange(300)) for split in (train, test))
    method = methods.Reduction(task, 0, methods.error_rate_parity)
    method.fit(train)
    dense = method.probabilities(test)
    mixture = sum(
        share * net.predict_proba(test.X)[:, 1]
        for share, net in zip(method.shares, method.nets, strict=True)
    )
    np.testing.assert_allclose(dense, mixture)
    assert method.shares.sum() == pytest.approx(1)
    drawn = method.labels(test)
    method.prune(0.8, 0)
    assert all(net.sparsity_ == pytest.approx(0.8, abs=1e-3) for net in method.nets)
    assert method.n_bytes(test) == pytest.approx(
        len(method.nets) * methods_bytes(method.nets[0], test)
    )
    assert (method.labels(test) != drawn).any()  # the reduction predicts by the pruned nets
    method.prune(0.0, 0)
    np.testing.assert_array_equal(method.labels(test), drawn)
    # Each net goes on with the weights that it was trained with, not with the rows as they are.
    weights = [np.asarray(net.given_["sample_weight"]) for net in method.reduction.predictors_]
    assert all(len(w) == 300 for w in weights)
    assert any(np.ptp(w) > 0 for w in weights)
    tuned = clone(method.nets[0]).fit(**method.nets[0].given_)
    tuned.prune(0.8, **method.nets[0].given_, finetune_epochs=1)
    method.prune(0.8, 1)
    np.testing.assert_array_equal(tuned.predict_proba(test.X), method.nets[0].predict_proba(test.X))


def test_fairlearn_methods_for_rows_of_numbers_take_images(benchmark_module):
    methods = benchmark_module("studies.fairlearn_baselines.methods")
    tasks = benchmark_module("lib.tasks")
    faces = tasks.BINARY_TASKS["faces"]
    task = tasks.Task(None, False, faces.params | {"module__width": 2, "max_epochs": 1})
    rows = tasks.parity(0)[2].take(np.arange(200))
    images = tasks.Split(np.tile(rows.X.reshape(-1, 1, 8, 8), (1, 3, 1, 1)), rows.y, rows.group)
    removed = methods.Decorrelated(task, 0)
    adversarial = methods.Adversarial(task, 0)
    for method in (removed, adversarial):
        method.fit(images)
        dense = method.probabilities(images)
        method.prune(0.8, 1)
        assert method.nets[0].sparsity_ == pytest.approx(0.8, abs=0.01)
        assert (method.probabilities(images) != dense).any()
        assert set(method.labels(images)) <= {0, 1}
    # No pixel tells the groups apart on average any more.
    kept = removed.inputs(images)
    assert kept.shape == images.X.shape
    before, after = (
        np.abs(X[images.group == 0].mean(axis=0) - X[images.group == 1].mean(axis=0)).max()
        for X in (images.X, kept)
    )
    assert before > 0.1
    assert after < 1e-4
    # The net of one score as a net of two: their difference is that score.
    clf = adversarial.nets[0]
    logits = clf.forward(adversarial.inputs(images))
    scores = clf.module_.net(torch.as_tensor(adversarial.inputs(images)))
    assert logits.shape == (200, 2)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], scores[:, 0])


def methods_bytes(net, split):
    report = net.fairness_report(split.X, split.y, sensitive_features=split.group)
    return report.compression["bytes_stored"]


@pytest.mark.slow
def test_poster_quick_run_writes_rows_page_and_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    run_quick("studies.poster.run", "--out", tmp_path / "poster.csv", "--pictures", tmp_path)
    rows = pd.read_csv(tmp_path / "poster.csv")
    assert set(rows["model"]) == {"none", "before", "after", "both"}
    # Both dense nets are the same for two models each; rate 0 changes nothing.
    assert (rows.loc[rows["rate"] == 0, "excessive_risk"] == 0).all()
    assert "Claim by claim" in (tmp_path / "poster.md").read_text()
    assert (tmp_path / "poster_digits_tail_VGG19.png").stat().st_size > 10_000


def test_poster_measures_by_hand(benchmark_module):
    page = benchmark_module("studies.poster.page")
    keys = {"task": "t", "net": "n", "seed": 0, "model": "none", "finetuned": False, "rate": 0.5}
    rows = pd.DataFrame(
        [
            keys | {"count": 30, "accuracy": 0.9, "excessive_risk": 0.1},
            keys | {"count": 10, "accuracy": 0.5, "excessive_risk": 0.4},
        ]
    )
    net = page.summarise(rows).iloc[0]
    assert net[["accuracy", "balanced", "worst", "gap", "xi"]].tolist() == pytest.approx(
        [0.8, 0.7, 0.5, 0.4, 0.3]
    )
    # The mean is t = 0.2 / (0.1 / √3) = 3.46 errors off, the bound 2.92; of two values 6.31.
    assert page.verdict(pd.Series([0.1, 0.2, 0.3]), 1) == "+0.20 ± 0.10 agrees"
    assert page.verdict(pd.Series([0.1, 0.2, 0.3]), -1) == "+0.20 ± 0.10 disagrees"
    assert page.verdict(pd.Series([0.1, 0.2]), 1).endswith("undecided")


def test_pareto_front_by_hand(benchmark_module):
    page = benchmark_module("studies.field.page")
    means = pd.DataFrame(
        {"accuracy": [0.9, 0.8, 0.7, 0.8], "worst": [0.1, 0.5, 0.4, 0.5], "excess": [0.3] * 4},
        index=["a", "b", "c", "d"],
    )
    # c is beaten by b and d, which are alike; a has the largest accuracy.
    assert page.on_front(means, "worst").tolist() == [True, True, False, True]
    assert page.on_front(means, "excess").tolist() == [True, False, False, False]


def test_pareto_front_of_three_measures_by_hand(benchmark_module):
    page = benchmark_module("studies.field.page")
    means = pd.DataFrame(
        {
            "accuracy": [0.9, 0.8, 0.8, 0.95],
            "balanced": [0.9, 0.8, 0.8, 0.7],
            "worst": 0.5,
            "excess": [0.3, 0.3, 0.3, 0.3],
            "xi": [0.2, 0.1, 0.15, 0.2],
        },
        index=["none", "recipe", "jtt", "equal losses"],
    )
    assert page.on_front(means, "excess", "xi").tolist() == [False, True, False, True]
    assert page.on_front(means, "excess", "xi", first="balanced").tolist() == [
        *(True, True, False, False)
    ]
    # Ours are not compared with each other: none is beaten by what is no published method alone.
    shares = page.shares_on_front([means])
    assert shares["accuracy, excess gap, ξ"].to_dict() == {
        **{"recipe": 1.0, "equal losses": 1.0, "none": 1.0, "jtt": 0.0}
    }


def test_balanced_subset_has_as_many_of_each_group(benchmark_module):
    peers, tasks = benchmark_module("studies.field.peers"), benchmark_module("lib.tasks")
    group = np.repeat([0, 1, 3], [20, 3, 7])
    split = tasks.Split(np.arange(30), np.zeros(30, int), group)
    found = peers.balanced_subset(split, 0)
    assert len(found.X) == 30
    rows, times = np.unique(found.X, return_counts=True)
    assert np.bincount(group[rows]).tolist() == [3, 3, 0, 3]
    assert set(times) == {3, 4}


def test_attention_maps_by_hand(benchmark_module):
    peers = benchmark_module("studies.field.peers")
    net = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.ReLU())
    maps = peers.Maps(net)
    X = torch.tensor([[[[1.0, -1.0]], [[2.0, 3.0]]]])  # two channels of two pixels
    net(X)
    # Means of squares over channels: (1 + 4) / 2 and (0 + 9) / 2; what comes after is left out.
    (found,) = maps.take()
    expected = torch.tensor([[2.5, 4.5]])
    torch.testing.assert_close(found, expected / expected.norm())
    maps.remove()
    net(X)
    assert maps.take() == []


def test_field_losses_equal_loops_by_hand(benchmark_module):
    import torch

    field = benchmark_module("studies.field.run")
    generator = torch.Generator().manual_seed(0)
    scores, dense = torch.randn(2, 50, 3, generator=generator).unbind()
    y = torch.randint(0, 3, (50,), generator=generator)
    p, q = dense.softmax(1), scores.softmax(1)
    expected = 0.0
    for row in range(50):
        target, best = p[row].clone(), int(p[row].argmax())
        target[[best, int(y[row])]] = target[[int(y[row]), best]]
        weight = 0.3 + 0.7 * (1 - p[row, y[row]])
        expected -= float(weight * (target * q[row].log()).sum()) / 50
    assert float(field.performance_weighted(scores, dense, y)) == pytest.approx(expected, rel=1e-5)
    same = field.distillation(dense, dense, y)
    assert float(same) == pytest.approx(0.5 * float(torch.nn.functional.cross_entropy(dense, y)))


def test_image_tasks_cifar_and_svhn_load_where_present(benchmark_module, monkeypatch, tmp_path):
    from scipy.io import savemat

    monkeypatch.setenv("SK_PRUNEFAIR_DATA", str(tmp_path))
    images = benchmark_module("lib.image_tasks")
    with pytest.raises(FileNotFoundError, match="CIFAR-10"):
        images.IMAGES["cifar10"](0, 20)
    rng = np.random.default_rng(0)
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "svhn").mkdir()
    pixels = rng.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 4)
    records = np.concatenate([labels[:, np.newaxis], pixels.reshape(40, -1)], axis=1)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        records.tofile(tmp_path / "cifar10" / name)
    content = {"X": pixels.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)}
    for name in ("train", "test"):
        savemat(tmp_path / "svhn" / f"{name}_32x32.mat", content)
    for task in ("cifar10", "svhn"):
        train, test = images.IMAGES[task](0, 20)
        assert np.bincount(train.y).tolist() == [2] * 10
        assert test.X.shape == (20, 3, 32, 32)
        whole = {tuple(image.ravel()): label for image, label in zip(pixels, labels, strict=True)}
        for image, label in zip(test.X, test.y, strict=True):
            assert whole[tuple((image.ravel() * 255).round().astype(int))] == label


def test_slices_condition_rows_are_those_of_the_text(benchmark_module):
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0], "c": ["a", "b", "b"]})
    rows = np.array([False, False, True])
    is_match = benchmark_module("studies.slices.run").is_match
    assert is_match(frame, 'x > 2 and c = "b"', rows)
    assert is_match(frame, "1.5 < x <= 3", rows)
    assert is_match(frame, "x is known", np.array([True, False, True]))
    assert not is_match(frame, "x is missing", rows)
