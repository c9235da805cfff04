"""The command line on two models, and on tables of what they predict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sk_prunefair import FairnessReport, compare_models
from sk_prunefair.cli import main
from sk_prunefair.cli.data import Columns, joined, read_parts
from sk_prunefair.cli.labels import match_labels
from sk_prunefair.report.document import schema

MODULE = """
import joblib
dense, weak = joblib.load("models.joblib")

def labels_only(X):
    return dense.predict(X)

def encode(table):
    assert list(table) == ["a", "b", "color", "code"], list(table)
    return (table.assign(red=table["color"] == "red")[["a", "b", "red"]]).to_numpy(float)
"""


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Return a table with two models of its numbers, in the folder where the program runs."""
    import joblib

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    frame["color"] = rng.choice(["red", "blue"], n)
    frame["code"] = rng.choice(["01", "1", "NA"], n)
    X = np.c_[frame[["a", "b"]], frame["color"] == "red"].astype(float)
    y = (X @ [2.0, -1.0, 1.0] + rng.normal(size=n) > 0).astype(int)
    dense, weak = LogisticRegression().fit(X, y), LogisticRegression(C=0.003).fit(X, y)
    joblib.dump((dense, weak), "models.joblib")
    Path("two.py").write_text(MODULE)
    frame.assign(y=y).to_csv("test.csv", index=False)
    yield frame, X, y, dense, weak
    sys.modules.pop("two", None)


def run(*options):
    return main(["audit", *map(str, options)])


RAW = ("--dense", "two:dense", "--compressed", "two:weak", "--data", "test.csv", "--label", "y")
RAW += ("--groups", "code", "--preprocess", "two:encode")


def test_cli_two_models_on_a_raw_table_give_the_report(case, capsys):
    frame, X, y, dense, weak = case
    expected = compare_models(dense, weak, X, y, sensitive_features=frame["code"])
    assert run(*RAW, "--json", "a.json", "--tables", "t") == 0
    assert str(expected) in capsys.readouterr().out
    found = json.loads(Path("a.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(found)
    assert found["approved"] is True
    assert found["groups"] == expected.to_dict()["groups"]
    assert {row["group"]["code"] for row in found["groups"]} == {"01", "1", "NA"}
    changed = pd.read_csv("t/exemplars.csv")
    assert changed["row"].tolist() == expected.exemplars.index.tolist()


def test_cli_several_files_in_parts_equal_one(case, capsys):
    frame, _, y, *_ = case
    whole = frame.assign(y=y)
    whole[:250].to_csv("one.csv", index=False)
    whole[250:].to_csv("two.csv.gz", index=False)
    options = [*RAW]
    at = options.index("test.csv")
    assert run(*options) == 0
    expected = capsys.readouterr().out
    assert run(*options[:at], "one.csv", "two.csv.gz", *options[at + 1 :]) == 0
    assert capsys.readouterr().out == expected
    columns = Columns("y", ["code"], ["a", "b"])
    parts = list(read_parts([Path("one.csv"), Path("two.csv.gz")], columns, rows=100))
    assert [len(part.y) for part in parts] == [100, 100, 50, 100, 100, 100, 50]
    np.testing.assert_array_equal(joined(parts).X, frame[["a", "b"]])


def test_cli_promise_is_written_to_every_output(case, capsys):
    outputs = ("--json", "a.json", "--markdown", "a.md", "--junit", "a.xml", "--out", "a.html")
    promise = ("--max-accuracy-drop", 0.01, "--criteria", "accuracy", "--names", "fp32", "tiny")
    assert run(*RAW, *outputs, *promise, "--no-pictures") == 1
    sentence = next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("promise not kept")
    )
    found = json.loads(Path("a.json").read_text())
    assert found["approved"] is False
    assert found["promise"]["sentence"] == sentence
    comment = Path("a.md").read_text()
    assert comment.startswith("### What compression did to each group\n\n❌ promise not kept")
    assert "| code | samples | accuracy fp32 | accuracy tiny |" in comment
    suite = ElementTree.parse("a.xml").getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert len(failed) == int(suite.get("failures")) >= 1
    assert int(suite.get("tests")) == 4
    assert "romise not kept" in Path("a.html").read_text()


def test_cli_kept_promise_has_no_failure(case):
    assert run(*RAW, "--junit", "a.xml", "--max-accuracy-drop", 0.9, "--harmless", 0.9) == 0
    assert ElementTree.parse("a.xml").getroot().get("failures") == "0"


@pytest.mark.slow
def test_cli_net_and_its_files_agree(case, capsys):
    pytest.importorskip("onnxruntime")
    frame, _, y, *_ = case
    from sk_prunefair.export import to_onnx

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    to_onnx(net, "net.onnx", example=np.zeros((1, 2), dtype=np.float32))
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (torch.zeros(4, 2),), dynamic_shapes=(batch,), strict=True)
    torch.export.save(program, "net.pt2")
    given = ("--data", "test.csv", "--label", "y", "--groups", "code", "--features", "a", "b")
    assert run("--dense", "net.onnx", "--compressed", "net.pt2", *given) == 0
    X = frame[["a", "b"]].to_numpy(np.float32)
    expected = compare_models(net, net, X, y, sensitive_features=frame["code"])
    said = capsys.readouterr().out
    for row in expected.to_frame().itertuples():
        assert f"{row.accuracy_dense:.3f}          {row.accuracy_compressed:>15.3f}"[:5] in said
    assert f"accuracy {expected.dense.overall['accuracy']:.3f} → " in said


def test_cli_drop_leaves_columns_out(case):
    frame, _, y, *_ = case
    frame.assign(y=y, red=(frame["color"] == "red").astype(int)).to_csv("more.csv", index=False)
    given = ("--dense", "two:dense", "--compressed", "two:weak", "--data", "more.csv")
    given += ("--label", "y", "--groups", "code")
    assert run(*given) == 2
    assert run(*given, "--drop", "color") == 0


def test_cli_labels_alone_have_no_losses(case, capsys):
    options = [each.replace("two:weak", "two:labels_only") for each in RAW]
    assert run(*options, "--json", "a.json") == 0
    assert "ξ" not in capsys.readouterr().out
    assert json.loads(Path("a.json").read_text())["gaps"]["fairness_violation"] is None


def test_cli_predictions_of_scores_give_the_report(case, capsys):
    frame, X, y, dense, weak = case
    table = frame.assign(y=y)
    table[["a0", "a1"]], table[["b0", "b1"]] = dense.predict_proba(X), weak.predict_proba(X)
    table.to_csv("answers.csv", index=False)
    table.to_parquet("answers.parquet")
    expected = FairnessReport.from_predictions(
        y, dense.predict_proba(X), weak.predict_proba(X), sensitive_features=frame["code"]
    )
    columns = ("--label", "y", "--groups", "code")
    columns += ("--dense-scores", "a0", "a1", "--compressed-scores", "b0", "b1")
    for name in ("answers.csv", "answers.parquet"):
        assert run("--predictions", name, *columns) == 0
        assert str(expected) in capsys.readouterr().out
    np.savez("a.npz", y=y, groups=frame["code"].to_numpy(str), dense=dense.predict_proba(X),
             compressed=weak.predict_proba(X))  # fmt: skip
    assert run("--predictions", "a.npz") == 0
    assert f"ξ = {expected.fairness_violation:.3f}" in capsys.readouterr().out


def test_cli_predictions_of_labels_are_matched_as_integers(case, capsys):
    frame, X, y, dense, weak = case
    pairs = {"y": y, "before": dense.predict(X), "after": weak.predict(X)}
    frame.assign(**pairs).to_csv("answers.csv", index=False)
    columns = ("--label", "y", "--groups", "code", "color")
    columns += ("--dense-pred", "before", "--compressed-pred", "after")
    assert run("--predictions", "answers.csv", *columns) == 0
    expected = FairnessReport.from_predictions(
        *pairs.values(), sensitive_features=frame[["code", "color"]]
    )
    assert str(expected) in capsys.readouterr().out


def test_cli_label_that_no_model_of_labels_predicts_is_a_label_all_the_same(case, capsys):
    frame, _, y, *_ = case
    frame.assign(y=np.where(np.arange(len(y)) < 5, 2, y)).to_csv("test.csv", index=False)
    options = [each.replace("two:weak", "two:labels_only") for each in RAW]
    options[1] = "two:labels_only"
    assert run(*options) == 0
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "test.csv"), "one of --net"),
        ((*RAW, "--net", "n.zip"), "one of --net"),
        ((*RAW, "--curve", "0.5"), "--curve prunes a saved net"),
        ((*RAW, "--harmless", "0.1"), "--harmless needs --max-accuracy-drop"),
        (RAW[2:], "--dense must be given, as two models"),
        (("--dense", "a", *RAW[2:]), "--dense must be an .onnx or .pt2 file, or module:name"),
        (("--dense", "a.onnx", *RAW[2:]), "--dense: there is no file 'a.onnx'"),
        (("--dense", "two:encode", *RAW[2:]), "error: AssertionError"),
        ((*RAW[:-1], "two:absent"), "module two has no 'absent'"),
        (RAW[:4], "--data must be given"),
        (RAW[:-2], "--features must be numeric columns"),
        (("--predictions", "test.csv"), "needs one of --dense-pred and --dense-scores"),
        (
            ("--predictions", "test.csv", "--dense-pred", "a", "--compressed-pred", "b"),
            "--label and --groups must name columns of --predictions",
        ),
        (
            ("--predictions", "test.csv", "--dense-scores", "a", "--compressed-pred", "b"),
            "must name a column for each class",
        ),
        (("--predictions", "test.csv", *RAW[4:6]), "--data cannot be combined with --predictions"),
        ((*RAW, "--max-accuracy-drop", "0.1", "--criteria", "speed"), "speed"),
    ],
)
def test_cli_bad_options_exit_with_2_and_are_named(case, capsys, options, message):
    assert run(*options) == 2
    assert message in capsys.readouterr().err


def test_cli_missing_group_or_label_exits_with_2(case, capsys):
    frame, _, y, *_ = case
    for column in ("code", "y"):
        table = frame.assign(y=y).astype({column: object})
        table.loc[7, column] = None
        table.to_csv("test.csv", index=False)
        assert run(*RAW) == 2
        assert f"no missing values in '{column}', got 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("y", "classes", "expected"),
    [
        (["0", "1"], [0, 1], [0, 1]),
        (["0.0", "1.0"], [0, 1], [0, 1]),
        ([0, 1], ["0", "1"], ["0", "1"]),
        (["a", "b"], ["b", "a"], ["a", "b"]),
        (["True", "False"], [False, True], [True, False]),
        (["0", "1"], None, [0, 1]),
        (["01", "1"], None, ["01", "1"]),
        (["-1", "1"], [-1, 1], [-1, 1]),
    ],
)
def test_match_labels_texts_mean_the_labels_of_the_model(y, classes, expected):
    given = None if classes is None else np.array(classes)
    found = match_labels(np.array(y, dtype=object), given)
    assert found.tolist() == expected
    assert [type(each) for each in found.tolist()] == [type(each) for each in expected]


def test_match_labels_unknown_label_raises():
    with pytest.raises(
        ValueError, match=r"must be among the classes of the net, \[0, 1\]; got \['2'\]"
    ):
        match_labels(np.array(["0", "2"], dtype=object), np.array([0, 1]))


def test_cli_latency_times_both_models_into_every_output(case, capsys):
    written = ("--json", "a.json", "--tables", "t", "--out", "a.html", "--markdown", "a.md")
    assert run(*RAW, "--latency", 2, 3, *written) == 0
    assert "for 3 samples, 1 thread, " in capsys.readouterr().out
    found = json.loads(Path("a.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(found)
    rows = found["latency"]["rows"]
    assert {row["contender"] for row in rows} == {"dense", "compressed"}
    assert {row["batch_size"] for row in rows} == {2, 3}
    assert pd.read_csv("t/latency.csv")["contender"].tolist() == [r["contender"] for r in rows]
    assert 'id="latency"' in Path("a.html").read_text()
    assert "for 2 samples, 1 thread" in Path("a.md").read_text()


def test_cli_latency_without_numbers_is_of_one_and_64_samples(case):
    assert run(*RAW, "--latency", "--json", "a.json") == 0
    rows = json.loads(Path("a.json").read_text())["latency"]["rows"]
    assert {row["batch_size"] for row in rows} == {1, 64}


def test_cli_latency_that_makes_no_sense_is_an_error(case, capsys):
    assert run(*RAW, "--latency", 0) == 2
    assert "batch_sizes must be an integer >= 1" in capsys.readouterr().err
    pd.DataFrame({"y": [0, 1], "g": ["a", "b"], "p": [0, 1]}).to_csv("p.csv", index=False)
    told = ("--predictions", "p.csv", "--label", "y", "--groups", "g")
    assert run(*told, "--dense-pred", "p", "--compressed-pred", "p", "--latency") == 2
    assert "--latency times models" in capsys.readouterr().err


LIMITS = {"metric": "accuracy_drop", "groups": ["01", "1"], "min_count": 50}


def limits(path, *criteria):
    Path(path).write_text(json.dumps({"criteria": [LIMITS | each for each in criteria]}))
    return "--accept", path


def test_cli_accept_verdicts_are_in_every_output(case, capsys):
    outputs = ("--json", "a.json", "--markdown", "a.md", "--junit", "a.xml", "--out", "a.html")
    asked = limits("c.json", {"limit": 0.9, "name": "loose"}, {"limit": 0.001, "name": "<tight>"})
    assert run(*RAW, *asked, *outputs, "--tables", "t") == 1
    said = capsys.readouterr().out
    assert "acceptance criteria not kept: 1 of 2: '<tight>' is broken in group" in said
    found = json.loads(Path("a.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(found)
    assert found["approved"] is found["acceptance"]["kept"] is False
    verdicts = {row["name"]: row["verdict"] for row in found["acceptance"]["criteria"]}
    assert verdicts == {"loose": "kept", "<tight>": "broken"}
    suite = ElementTree.parse("a.xml").getroot()
    kinds = {c.get("classname"): c.find("failure") is not None for c in suite}
    assert kinds["sk_prunefair.acceptance.loose"] is False
    assert kinds["sk_prunefair.acceptance.<tight>"] is True
    assert "| \\<tight\\> | accuracy\\_drop | proven | 0.001 |" in Path("a.md").read_text()
    page = Path("a.html").read_text()
    assert 'href="#acceptance"' in page
    assert "<bdi>&lt;tight&gt;</bdi>" in page
    assert "<tight>" not in page
    assert pd.read_csv("t/acceptance.csv")["name"].tolist() == ["loose"] * 2 + ["<tight>"] * 2


def test_cli_accept_kept_exits_with_0_and_beside_a_broken_promise_with_1(case, capsys):
    asked = limits("c.json", {"limit": 0.9})
    assert run(*RAW, *asked, "--junit", "a.xml") == 0
    assert "acceptance criteria kept: all 1" in capsys.readouterr().out
    assert ElementTree.parse("a.xml").getroot().get("failures") == "0"
    assert run(*RAW, *asked, "--max-accuracy-drop", 0.001) == 1


def test_cli_accept_criterion_that_nobody_can_keep_fails_junit_too(case):
    asked = limits("c.json", {"limit": 0.9, "min_count": 10_000, "small_groups": "skip"})
    assert run(*RAW, *asked, "--junit", "a.xml") == 1
    assert ElementTree.parse("a.xml").getroot().get("failures") == "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "c.json must be a JSON document"),
        ('{"criteria": [{"metric": "x"}]}', "criteria[0].metric must be one of accuracy_drop"),
        (
            '{"criteria": [{"metric": "accuracy", "limit": 1, "groups": ["9"]}]}',
            "no group of the data has",
        ),
    ],
)
def test_cli_accept_malformed_file_exits_with_2(case, capsys, text, message):
    Path("c.json").write_text(text)
    assert run(*RAW, "--accept", "c.json") == 2
    assert message in capsys.readouterr().err


def test_cli_documents_are_written_into_a_folder(case):
    assert run(*RAW, "--documents", "d", "--title", "credit") == 0
    assert sorted(path.name for path in Path("d").iterdir()) == [
        "accuracy_by_group.md",
        "model.cdx.json",
    ]
    bom = json.loads(Path("d/model.cdx.json").read_text("utf-8"))
    assert bom["components"][0]["name"] == "credit"


def test_cli_documents_of_sex_have_impact_ratios(case):
    frame = pd.DataFrame({"y": [0, 1] * 30, "Sex": ["f", "m"] * 30, "d": [0, 1] * 30})
    frame.assign(c=[0, 1, 1, 1] * 15).to_csv("p.csv", index=False)
    options = ("--predictions", "p.csv", "--label", "y", "--groups", "Sex", "--dense-pred", "d")
    assert run(*options, "--compressed-pred", "c", "--documents", "d") == 0
    assert "| f | 30 | 15 | 0.500 | 0.500 (" in Path("d/impact_ratios.md").read_text("utf-8")


def test_cli_junit_layers_without_weights_fail_nothing_as_the_exit_status(case):
    from sk_prunefair.cli.outputs import junit

    y = [0, 1, 0, 1]
    report = FairnessReport(
        y, dense_pred=y, pruned_pred=y, sensitive_features=list("aabb"), empty_layers=["fc"]
    )
    suite = ElementTree.fromstring(junit(report, None))
    assert suite.get("failures") == "0"
    assert "no weight is left of fc" in suite[0].findtext("system-out")
