"""The command line on tables as people have them: nothing is guessed where a value is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sk_prunefair.cli import main

ANSWERS = ["--dense-pred", "d", "--compressed-pred", "c"]
SCORES = ["--dense-scores", "d0", "d1", "--compressed-scores", "c0", "c1"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return labels, groups, and what two models predict, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    y = random.randint(2, size=80)
    d1, c1 = (np.clip(0.6 * y + 0.4 * random.rand(80), 0.01, 0.99).round(3) for _ in range(2))
    columns = {"y": y, "s": random.choice(["01", "1"], 80), "d0": 1 - d1, "d1": d1, "c0": 1 - c1}
    return pd.DataFrame(columns | {"c1": c1, "d": y, "c": np.where(np.arange(80) < 8, 1 - y, y)})


def audit(frame, *options, **how):
    frame.to_csv("t.csv", index=False, **how)
    return main(["audit", "--predictions", "t.csv", "--label", "y", "--groups", "s", *options])


@pytest.mark.parametrize("options", [ANSWERS, SCORES], ids=["labels", "scores"])
@pytest.mark.parametrize("column", ["y", "s", "d"])
def test_cli_predictions_missing_value_exits_with_2(table, capsys, options, column):
    if options is SCORES and column == "d":
        column = "y"
    holes = table.assign(**{column: table[column].where(table.index > 3)})
    assert audit(holes, *options) == 2
    message = f"--predictions must have no missing values in '{column}', got 4"
    assert message in capsys.readouterr().err


def test_cli_predictions_labels_written_as_floats_are_the_same_integers(table):
    expected = table.groupby("s").apply(lambda part: (part["c"] != part["y"]).mean())
    for column in ("y", "c"):
        assert audit(table.astype({column: float}), *ANSWERS, "--json", "found.json") == 0
        found = json.loads(Path("found.json").read_text(encoding="utf-8"))
        drops = {each["group"]["s"]: each["accuracy_drop"]["value"] for each in found["groups"]}
        assert drops == pytest.approx(expected.to_dict())


def test_cli_predictions_labels_that_share_no_text_exit_with_2(table, capsys):
    assert audit(table.assign(c=table["c"] == 1), *ANSWERS) == 2
    assert "--compressed-pred must hold labels as --label does" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.csv must be a table of comma-separated values in UTF-8"),
        ("y,s\nno,\u00e9t\u00e9\n".encode("latin-1"), "t.csv must be a table"),
        (b"y,s,d,c\n", "--predictions must have at least one row"),
    ],
    ids=["empty", "encoding", "header"],
)
def test_cli_predictions_of_a_file_that_is_no_table_names_it(
    table, tmp_path, capsys, content, message
):
    (tmp_path / "t.csv").write_bytes(content)
    options = ["--predictions", "t.csv", "--label", "y", "--groups", "s", *ANSWERS]
    assert main(["audit", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--features", "--drop", "--preprocess", "--train"])
def test_cli_predictions_option_of_models_exits_with_2(table, capsys, option):
    assert audit(table, *ANSWERS, option, "c0") == 2
    assert f"{option} cannot be combined with --predictions" in capsys.readouterr().err


@pytest.fixture
def nets(table, tmp_path, monkeypatch):
    """Write features, labels in words, and two nets in a module."""
    monkeypatch.syspath_prepend(tmp_path)
    X = np.random.RandomState(1).normal(size=(80, 2)).round(3)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0, "s": table["s"], "word": "yes"})
    frame.loc[table["y"] == 0, "word"] = "no"
    frame.to_csv("x.csv", index=False)
    torch.manual_seed(0)
    net = nn.Linear(2, 2)
    torch.save(net.state_dict(), "net.pt")
    (tmp_path / "two_nets.py").write_text(
        "import torch\nnet = torch.nn.Linear(2, 2)\nnet.load_state_dict(torch.load('net.pt'))\n"
    )
    rows = np.c_[X[:, 0], X[:, 1] > 0]
    return frame, net(torch.tensor(rows, dtype=torch.float32)).argmax(1).numpy()


MODELS = ["audit", "--dense", "two_nets:net", "--compressed", "two_nets:net", "--data", "x.csv"]
MODELS += ["--label", "word", "--groups", "s", "--json", "found.json"]


@pytest.mark.parametrize("classes", [["no", "yes"], ["yes", "no"]])
def test_cli_models_get_the_classes_that_are_named_and_booleans_as_numbers(nets, classes):
    frame, codes = nets
    assert main([*MODELS, "--classes", *classes]) in (0, 1)
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    accuracy = found["overall"]["accuracy"]["dense"]["value"]
    assert accuracy == np.mean(np.array(classes)[codes] == frame["word"])


def test_cli_models_with_columns_of_predictions_exit_with_2(nets, capsys):
    assert main([*MODELS, "--dense-pred", "d"]) == 2
    assert "--dense-pred cannot be combined with models" in capsys.readouterr().err


def assert_same(found, expected):
    """Compare two documents; numbers to the last digits of a sum."""
    for key, each in expected.items():
        if isinstance(each, dict):
            assert_same(found[key], each)
        elif key in ("groups", "errors"):
            for one, other in zip(found[key], each, strict=True):
                assert_same(one, other)
        else:
            assert found[key] == (pytest.approx(each) if isinstance(each, float) else each)


def audit_twice(capsys, make, *options, n_rows="7"):
    """Return what is said of all rows at once, and of a few at a time."""
    said = []
    for chunked in ((), ("--chunk-rows", n_rows)):
        status = make(
            "--json", "found.json", "--tables", f"tables{len(chunked)}", *options, *chunked
        )
        said.append((status, capsys.readouterr().out, json.loads(Path("found.json").read_text())))
    (status, text, figures), (status_of_chunks, text_of_chunks, figures_of_chunks) = said
    assert (status, text) == (status_of_chunks, text_of_chunks)
    assert_same(figures_of_chunks, figures)
    assert Path("tables0/exemplars.csv").exists()
    assert not Path("tables2/exemplars.csv").exists()
    return figures


@pytest.mark.parametrize("options", [ANSWERS, SCORES], ids=["labels", "scores"])
def test_cli_chunked_predictions_equal_all_rows_at_once(table, capsys, options):
    figures = audit_twice(capsys, lambda *more: audit(table, *options, *more))
    assert figures["labels"] == [0, 1]
    assert {row["group"]["s"] for row in figures["groups"]} == {"01", "1"}


def test_cli_chunked_labels_are_integers_only_where_all_parts_hold_such(table, capsys):
    texts = table.assign(
        y=table["y"].astype(str), d=table["d"].astype(str), c=table["c"].astype(str)
    )
    texts.loc[70:, ["y", "d", "c"]] = "two"
    figures = audit_twice(capsys, lambda *more: audit(texts, *ANSWERS, *more))
    assert figures["labels"] == ["0", "1", "two"]


@pytest.mark.slow
def test_cli_chunked_promise_is_judged_by_counts(table, capsys):
    rows = pd.concat([table] * 4, ignore_index=True)
    promise = ["--max-accuracy-drop", "0.4", "--out", "page.html"]
    figures = audit_twice(capsys, lambda *more: audit(rows, *ANSWERS, *promise, *more))
    assert figures["promise"]["kept"]
    assert "Promise kept" in Path("page.html").read_text()
    assert audit(rows, *ANSWERS, *promise, "--criteria", "loss", "--chunk-rows", "9") == 2
    assert "pass all rows at once" in capsys.readouterr().err


def test_cli_chunked_parquet_equals_csv(table, capsys):
    pytest.importorskip("pyarrow")
    audit(table, *ANSWERS, "--json", "csv.json")
    table.to_parquet("t.parquet")
    given = ["audit", "--predictions", "t.parquet", "--label", "y", "--groups", "s", *ANSWERS]
    assert main([*given, "--json", "parquet.json", "--chunk-rows", "9"]) == 0
    csv, parquet = (json.loads(Path(f"{name}.json").read_text()) for name in ("csv", "parquet"))
    assert_same(parquet["overall"], csv["overall"])


def test_cli_chunk_rows_malformed_or_of_npz_exits_with_2(table, capsys):
    assert audit(table, *ANSWERS, "--chunk-rows", "0") == 2
    assert "--chunk-rows must be an integer >= 1, got 0" in capsys.readouterr().err
    np.savez("t.npz", y=[0, 1], dense=[0, 1], compressed=[0, 1], groups=[0, 1])
    given = ["audit", "--predictions", "t.npz", "--label", "y", "--groups", "s", *ANSWERS]
    assert main([*given, "--chunk-rows", "5"]) == 2
    assert "--chunk-rows reads .csv and .parquet files, got 't.npz'" in capsys.readouterr().err
    assert main(["audit", "--net", "n.zip", "--estimator", "a:b", "--data", "t.csv",
                 "--chunk-rows", "5"]) == 2  # fmt: skip
    assert "cannot be combined with --net" in capsys.readouterr().err


def test_cli_chunked_models_equal_all_rows_at_once(nets, capsys):
    options = MODELS[: MODELS.index("--json")]
    audit_twice(capsys, lambda *more: main([*options, *more]), "--classes", "no", "yes")
