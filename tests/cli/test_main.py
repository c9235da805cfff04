"""The command line: pages, tables, exit codes, and errors without a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sk_prunefair.cli import main
from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import TabularNet
from sk_prunefair.selection import drop_upper_bound
from tests.conftest import classifier

MODEL = """
from torch import nn
from sk_prunefair import FairPrunedClassifier
from tests.conftest import classifier

template = classifier(module__n_features=64, module__n_classes=10)

def make():
    return classifier(module__n_features=64, module__n_classes=10)

def useless():
    return 3

number = 3
"""
HOSTILE = {"round": "<script>alert(1)</script>", "other": '"x" & y'}


@pytest.fixture
def case(digits, tmp_path, monkeypatch):
    """Return the options of an audit: a module, a file with both nets, and a CSV of digits."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model.py").write_text(MODEL)
    X, y, group = digits
    clf = classifier().fit(X[:900], y[:900], sensitive_features=group[:900]).prune(0.5)
    save_compact(clf, "net.zip", dense=True)
    frame = pd.DataFrame(X[900:], columns=[f"pixel {i}" for i in range(64)])
    frame["digit"], frame["shape"] = y[900:], group[900:]
    frame["half"] = np.where(np.arange(len(frame)) % 2, "odd", "even")
    frame.to_csv("test.csv", index=False)
    yield clf, (X[900:], y[900:], group[900:])
    sys.modules.pop("my_model", None)


def audit(*options, estimator="my_model:make", net="net.zip", data="test.csv", label="digit"):
    given = ["--estimator", estimator, "--net", net, "--data", data, "--label", label]
    features = ["--features", *(f"pixel {i}" for i in range(64))]
    return main(["audit", *given, "--groups", "shape", *features, *map(str, options)])


def test_cli_file_of_both_nets_gives_the_same_report(case):
    clf, (X, y, group) = case
    loaded = load_compact("net.zip", classifier(module__n_features=64, module__n_classes=10))
    expected = clf.fairness_report(X, y, sensitive_features=group)
    found = loaded.fairness_report(X, y, sensitive_features=group)
    pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame())
    assert loaded.prune_rate_ == 0.5
    assert not torch.equal(
        loaded.dense_module_.get_submodule("layers.1").weight,
        loaded.module_.get_submodule("layers.1").weight,
    )


def test_cli_page_and_tables_are_those_of_the_report(case, capsys):
    pytest.importorskip("matplotlib").use("Agg")
    clf, (X, y, group) = case
    assert audit("--out", "page.html", "--tables", "tables", "--curve", 0.3, 0.9) == 0
    report = clf.fairness_report(X, y, sensitive_features=pd.Series(group, name="shape"))
    assert str(report) in capsys.readouterr().out
    groups = pd.read_csv("tables/groups.csv", index_col=0)
    np.testing.assert_allclose(groups["excessive_risk"], report.to_frame()["excessive_risk"])
    assert groups.index.tolist() == report.to_frame().index.tolist()
    summary = pd.read_csv("tables/summary.csv", index_col="quantity")["value"]
    assert summary["fairness_violation"] == pytest.approx(report.fairness_violation)
    assert summary["sparsity"] == pytest.approx(0.5, abs=1e-3)
    assert pd.read_csv("tables/curve.csv")["rate"].unique().tolist() == [0.3, 0.9]
    page = Path("page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "Other pruning rates" in page


@pytest.mark.slow
@pytest.mark.parametrize("drop", [0.02, 0.5])
def test_cli_max_accuracy_drop_is_the_test_of_the_search(case, capsys, drop):
    clf, (X, y, group) = case
    report = clf.fairness_report(X, y, sensitive_features=group)
    lost = report.samples["is_right_dense"].gt(report.samples["is_right_pruned"])
    won = report.samples["is_right_dense"].lt(report.samples["is_right_pruned"])
    bounds = {
        name: drop_upper_bound(len(rows), int(lost[rows].sum()), int(won[rows].sum()))
        for name, rows in report.samples.groupby("group").indices.items()
    }
    is_kept = max(bounds.values()) <= drop
    assert is_kept == (drop == 0.5)
    options = ("--max-accuracy-drop", drop, "--tables", "t", "--out", "p.html", "--no-pictures")
    assert audit(*options) == (0 if is_kept else 1)
    said = capsys.readouterr().out
    assert ("promise kept" if is_kept else "promise not kept") in said
    judged = pd.read_csv("t/promise.csv")
    of_accuracy = judged[judged["criterion"] == "accuracy"].set_index("group")["drop_bound"]
    assert of_accuracy.to_dict() == bounds
    assert judged["criterion"].str.startswith("recall of ").any()
    assert "Promise" in Path("p.html").read_text()
    if not is_kept:
        assert repr(max(bounds, key=bounds.get)) in said


@pytest.mark.slow
def test_cli_max_violation_is_kept_or_refused(case, capsys):
    assert audit("--max-accuracy-drop", 0.5, "--max-violation", 4.0) == 0
    assert "by more than 4 in loss beyond another group (ξ)" in capsys.readouterr().out
    assert audit("--max-accuracy-drop", 0.5, "--max-violation", 0.001) == 1
    assert "where 0.001 was promised" in capsys.readouterr().out


def test_cli_arrays_and_parquet_give_the_report(case, capsys):
    clf, (X, y, group) = case
    np.savez("test.npz", X=X.astype(np.float32), y=y, groups=group)
    options = ["--estimator", "my_model:template", "--net", "net.zip", "--data"]
    assert main(["audit", *options, "test.npz"]) == 0
    expected = clf.fairness_report(X, y, sensitive_features=pd.Series(group, name="group 0"))
    assert str(expected) in capsys.readouterr().out
    pd.read_csv("test.csv").to_parquet("test.parquet")
    assert audit(data="test.parquet") == 0


def test_cli_arrays_by_name_go_to_a_net_of_several_inputs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two_inputs.py").write_text(
        "from sk_prunefair.modules import TabularNet\n"
        "from tests.conftest import classifier\n"
        "def make():\n    return classifier(TabularNet, max_epochs=2)\n"
    )
    rng = np.random.default_rng(0)
    X = {"numbers": rng.normal(size=(200, 2)), "categories": rng.integers(0, 5, (200, 2))}
    y, group = (X["categories"][:, 0] > 2).astype(int), rng.integers(0, 2, 200)
    clf = classifier(TabularNet, max_epochs=2).fit(X, y, sensitive_features=group).prune(0.2)
    save_compact(clf, "net.zip", dense=True)
    np.savez("test.npz", **X, y=y, groups=group)
    given = ["--estimator", "two_inputs:make", "--net", "net.zip", "--data", "test.npz"]
    assert main(["audit", *given]) == 0
    report = clf.fairness_report(X, y, sensitive_features=group)
    summary = str(report).split("\n\n")[1].splitlines()[0]
    assert summary in capsys.readouterr().out
    np.savez("test.npz", numbers=X["numbers"], y=y)
    assert main(["audit", *given]) == 2
    assert "'groups' is missing" in capsys.readouterr().err
    sys.modules.pop("two_inputs", None)


def test_cli_parquet_without_reader_names_the_extra(case, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    Path("test.parquet").write_bytes(b"")
    assert audit(data="test.parquet") == 2
    assert "sk-prunefair[parquet]" in capsys.readouterr().err


def test_cli_two_group_columns_intersect_and_hostile_names_stay_text(case):
    frame = pd.read_csv("test.csv")
    frame["shape"] = frame["shape"].map(HOSTILE)
    frame.to_csv("hostile.csv", index=False)
    options = ("--groups", "shape", "half", "--out", "page.html", "--no-pictures")
    assert audit(*options, "--title", "<b>", data="hostile.csv") == 0
    page = Path("page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, odd" in page
    assert "<b>" not in page


def test_cli_without_features_takes_the_other_columns(case):
    frame = pd.read_csv("test.csv").drop(columns="half")
    frame.to_csv("plain.csv", index=False)
    given = ["--estimator", "my_model:make", "--net", "net.zip", "--data", "plain.csv"]
    assert main(["audit", *given, "--label", "digit", "--groups", "shape"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "my_model"}, "--estimator must be module:name, got 'my_model'"),
        ({"estimator": "no_such_module:make"}, "No module named 'no_such_module'"),
        ({"estimator": "my_model:absent"}, "module my_model has no 'absent'"),
        ({"estimator": "my_model:useless"}, "must be a FairPrunedClassifier, or a function"),
        ({"estimator": "my_model:number"}, "got int"),
        ({"net": "absent.zip"}, "No such file"),
        ({"net": "test.csv"}, "is not a complete compact file"),
        ({"data": "absent.csv"}, "No such file"),
        ({"data": "my_model.py"}, "--data must be a .csv, .parquet or .npz file"),
        ({"label": "absent"}, "--data has no column 'absent'"),
        ({"label": "half"}, "the labels of --data must be among"),
    ],
)
def test_cli_bad_options_exit_with_2_and_are_named(case, capsys, options, message):
    assert audit(**options) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--groups", "absent"], "--data has no column 'absent'"),
        (["--features", "pixel 0", "half"], "--features must be numeric columns"),
        (["--features", "pixel 0"], "X has 1 features"),
        (["--max-accuracy-drop", 1.5], "max_accuracy_drop must be a number in [0, 1)"),
        (
            ["--max-accuracy-drop", 0.1, "--confidence", 1],
            "confidence must be a number in [0.5, 1)",
        ),
        (["--max-violation", 0.1], "--max-violation needs --max-accuracy-drop"),
        (["--curve", 1.5], "rates"),
    ],
)
def test_cli_bad_features_or_numbers_exit_with_2_and_are_named(case, capsys, options, message):
    assert audit(*options) == 2
    assert message in capsys.readouterr().err


def test_cli_data_that_no_net_can_take_exits_with_2(case, capsys):
    frame = pd.read_csv("test.csv")
    frame.loc[3, "pixel 7"] = np.nan
    frame.to_csv("nan.csv", index=False)
    assert audit(data="nan.csv") == 2
    assert "NaN" in capsys.readouterr().err
    np.savez("half.npz", X=np.zeros((2, 64)))
    given = ["audit", "--estimator", "my_model:make", "--net", "net.zip", "--data"]
    assert main([*given, "half.npz"]) == 2
    assert "'y' is missing" in capsys.readouterr().err
    Path("broken.npz").write_bytes(b"PK\x03\x04 nothing")
    assert main([*given, "broken.npz"]) == 2
    assert "error:" in capsys.readouterr().err
    np.savez("objects.npz", X=np.zeros((2, 64)), y=np.array([{}, 1], dtype=object), groups=[0, 1])
    assert main([*given, "objects.npz"]) == 2
    assert "allow_pickle" in capsys.readouterr().err
    assert main([*given, "test.csv"]) == 2
    assert "--label and --groups must name columns" in capsys.readouterr().err


@pytest.fixture
def named(case, digits):
    """Return a CSV of digits, on whose named columns the net of a file was fitted."""
    X, y, group = digits
    names = [f"pixel {i}" for i in range(64)]
    clf = classifier().fit(pd.DataFrame(X[:900], columns=names), y[:900]).prune(0.3)
    save_compact(clf, "net.zip", dense=True)
    report = clf.fairness_report(
        pd.DataFrame(X[900:], columns=names),
        y[900:],
        sensitive_features=pd.Series(group[900:], name="shape"),
    )
    return names, pd.read_csv("test.csv").drop(columns="half"), report


def audit_by_names(frame, groups=("shape",), features=()):
    frame.to_csv("named.csv", index=False)
    given = ["--estimator", "my_model:make", "--net", "net.zip", "--data", "named.csv"]
    chosen = ["--features", *features] if features else []
    return main(["audit", *given, "--label", "digit", "--groups", *groups, *chosen])


def test_cli_columns_in_another_order_are_put_in_order(named, capsys):
    names, frame, report = named
    assert audit_by_names(frame[["shape", *names[::-1], "digit"]]) == 0
    assert str(report) in capsys.readouterr().out


def test_cli_group_column_may_be_a_feature(named):
    _, frame, _ = named
    assert audit_by_names(frame.drop(columns="shape"), groups=("pixel 0",)) == 0


def test_cli_missing_and_extra_columns_are_listed(named, capsys):
    names, frame, _ = named
    assert audit_by_names(frame.rename(columns={"pixel 3": "Pixel 3"}).assign(age=1)) == 2
    said = capsys.readouterr().err
    assert "missing ['pixel 3'], 2 are extra ['Pixel 3', 'age']" in said
    assert audit_by_names(frame, features=names[:-1]) == 2
    assert "missing ['pixel 63'], 0 are extra" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_cli_constant_net_exits_with_1_without_a_promise(case, capsys):
    clf, _ = case
    save_compact(clf.prune(0.999), "net.zip", dense=True)
    assert audit() == 1
    assert "not approved: the pruned net gives every sample the label" in capsys.readouterr().out


def test_cli_file_of_the_pruned_net_alone_exits_with_2(case, capsys):
    clf, _ = case
    save_compact(clf, "alone.zip")
    assert audit(net="alone.zip") == 2
    assert "save_compact(clf, path, dense=True)" in capsys.readouterr().err
    save_compact(clf.prune(0.0), "dense.zip")
    assert audit("--max-accuracy-drop", 0.02, net="dense.zip") == 0


@pytest.mark.slow
def test_cli_as_a_program_has_version_and_usage(case):
    command = [sys.executable, "-W", "error", "-m", "sk_prunefair"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:13]) == (0, "sk_prunefair ")
    done = subprocess.run([*command, "audit"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "one of --net, --dense and --compressed" in done.stderr


@pytest.mark.slow
def test_cli_latency_of_a_saved_net_times_its_forms(case, capsys):
    assert audit("--latency", 4, "--tables", "t") == 0
    assert "masked" in capsys.readouterr().out
    table = pd.read_csv("t/latency.csv")
    assert {"dense", "masked", "sparse"} <= set(table["contender"])
    assert set(table["batch_size"]) == {4}
