"""The command line with rows without label: the same promise as from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.cli import main

ANSWERS = ["--dense-pred", "d", "--compressed-pred", "c"]
SCORES = ["--dense-scores", "d0", "d1", "--compressed-scores", "c0", "c1"]


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Return rows with label and without, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    frames = []
    for n, every in ((240, 61), (3000, 100)):
        y = np.arange(n) % 2
        c = np.where(np.arange(n) % every == 0, 1 - y, y)
        scores = {"d0": 1.0 - y, "d1": y, "c0": 1.0 - c, "c1": c}
        frames.append(pd.DataFrame({"y": y, "s": np.arange(n) % 3, "d": y, "c": c} | scores))
    frames[1] = frames[1].drop(columns="y")
    for frame, name in zip(frames, ("t.csv", "u.csv"), strict=True):
        frame.to_csv(name, index=False)
    return frames


def audit(*options):
    promise = ["--max-accuracy-drop", "0.03", "--criteria", "accuracy", "--json", "a.json"]
    return main(["audit", "--groups", "s", "--label", "y", *promise, *options])


def promised(tables):
    rows, more = tables
    answers = {"dense_pred": rows["d"], "compressed_pred": rows["c"]}
    report = FairnessReport.from_predictions(rows["y"], **answers, sensitive_features=rows["s"])
    given = more["d"], more["c"], more["s"]
    return report.promise(0.03, criteria="accuracy", unlabelled=given)


@pytest.mark.parametrize("columns", [ANSWERS, SCORES], ids=["labels", "scores"])
def test_cli_unlabelled_predictions_prove_what_labels_alone_do_not(tables, capsys, columns):
    assert audit("--predictions", "t.csv", *columns) == 1
    assert audit("--predictions", "t.csv", *columns, "--unlabelled", "u.csv") == 0
    found = json.loads(Path("a.json").read_text())["promise"]
    expected = promised(tables).to_dict()["table"]
    same = [{**row, "group": int(row["group"])} for row in found["table"]]
    assert same == expected
    assert {row["evidence"] for row in found["table"]} == {"both"}
    assert "both" in capsys.readouterr().out


def test_cli_unlabelled_arrays_have_no_y(tables):
    rows, more = tables
    for frame, name in ((rows, "t.npz"), (more, "u.npz")):
        arrays = {"dense": frame["d"], "compressed": frame["c"], "groups": frame["s"]}
        np.savez(name, **arrays, **({"y": frame["y"]} if "y" in frame else {}))
    assert audit("--predictions", "t.npz", "--unlabelled", "u.npz") == 0


def test_cli_unlabelled_rows_of_two_models_are_answered_by_both(tables):
    # Both models read their answers from the features.
    answers = "lambda X, place: X[:, place].round().astype(int)"
    Path("of_features.py").write_text(
        f"answer = {answers}\n\ndef dense(X):\n    return answer(X, 0)\n\n"
        "def compressed(X):\n    return answer(X, 1)\n"
    )
    models = ["--dense", "of_features:dense", "--compressed", "of_features:compressed"]
    models += ["--features", "d1", "c1"]
    assert audit("--data", "t.csv", *models, "--unlabelled", "u.csv") == 0
    table = json.loads(Path("a.json").read_text())["promise"]["table"]
    expected = promised(tables).to_dict()["table"]
    assert [row["changed"] for row in table] == [row["changed"] for row in expected]
    assert [row["unlabelled"] for row in table] == [1000] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unlabelled", "missing.csv"], "missing.csv"),
        (["--unlabelled", "t.txt"], ".csv"),
        (["--unlabelled", "./t.csv"], "is among the labelled rows, which would count twice"),
    ],
)
def test_cli_unlabelled_file_that_is_none_exits_with_2(tables, capsys, options, message):
    Path("t.txt").write_text("x")
    assert audit("--predictions", "t.csv", *ANSWERS, *options) == 2
    assert message in capsys.readouterr().err


def test_cli_unlabelled_group_without_labels_fails_by_its_changes(tables):
    _, more = tables
    more.assign(s=more["s"].replace(2, 7), c=np.where(more["s"] == 2, 1 - more["d"], more["c"]))[
        ["s", "d", "c"]
    ].to_csv("u.csv", index=False)
    options = ["--unlabelled", "u.csv", "--junit", "j.xml"]
    assert audit("--predictions", "t.csv", *ANSWERS, *options) == 1
    assert "1.0000 of 1000 answers changed, at most 1.0000" in Path("j.xml").read_text()


def test_cli_unlabelled_without_a_promise_exits_with_2(tables, capsys):
    options = ["--predictions", "t.csv", "--label", "y", "--groups", "s", *ANSWERS]
    assert main(["audit", *options, "--unlabelled", "u.csv"]) == 2
    assert "--unlabelled needs --max-accuracy-drop" in capsys.readouterr().err


def test_cli_unlabelled_file_without_a_column_names_it(tables, capsys):
    tables[1].drop(columns="s").to_csv("u.csv", index=False)
    assert audit("--predictions", "t.csv", *ANSWERS, "--unlabelled", "u.csv") == 2
    assert "--unlabelled has no column 's'" in capsys.readouterr().err


def test_cli_unlabelled_rows_are_said_to_count_for_the_promise_alone(tables, capsys):
    Path("c.json").write_text('{"criteria": [{"metric": "accuracy", "limit": 0.5}]}')
    options = ["--unlabelled", "u.csv", "--accept", "c.json", "--out", "a.html"]
    assert audit("--predictions", "t.csv", *ANSWERS, *options) == 0
    said = "3,000 of u.csv, used for the promise only"
    assert f"rows without label: {said}" in capsys.readouterr().out
    assert json.loads(Path("a.json").read_text())["facts"]["Rows without label"] == said
    assert said in Path("a.html").read_text("utf-8")


def test_cli_unlabelled_rows_count_for_selection_rates_and_not_for_recalls_alone(tables, capsys):
    shared = ["--predictions", "t.csv", *ANSWERS, "--unlabelled", "u.csv", "--junit", "j.xml"]
    assert audit(*shared, "--criteria", "selection_rate:0", "selection_rate:1") == 0
    table = json.loads(Path("a.json").read_text())["promise"]["table"]
    assert {(row["count"], row["unlabelled"], row["evidence"]) for row in table} == {
        (80, 1000, "answers")
    }
    assert audit(*shared, "--criteria", "recall", "fpr:1") == 2
    assert "unlabelled needs a criterion that uses rows without labels" in capsys.readouterr().err
    rare = ["--criteria", "selection_rate:0", "--max-accuracy-drop", "0.001"]
    assert audit(*shared, *rare) == 1
    assert "over 80 rows and 1000 without label" in Path("j.xml").read_text()
