"""What is said of a table of times: lines, figures, JSON, page."""

from __future__ import annotations

import json

import jsonschema
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.latency.reading import COLUMNS, check_table, latency_lines, one_sample
from sk_prunefair.report.document import schema
from sk_prunefair.report.markdown import comment
from tests.audit.pages import cells, make_report, section

ROWS = [
    ("dense", 1, 1, 0.004, 0.0035, 0.005, 1.0, 30),
    ("masked", 1, 1, 0.002, 0.001, 0.003, 2.04, 30),
    ("dense", 64, 2, 0.1, 0.09, 0.2, 1.0, 4),
    ("masked", 64, 2, 0.2, 0.1, 0.3, 0.5, 4),
]


@pytest.fixture
def table():
    frame = pd.DataFrame(ROWS, columns=list(COLUMNS))
    frame.attrs |= {"what": "a forward pass", "left_out": {"int8": "it needs <this|extra>"}}
    return frame


def test_latency_lines_by_hand(table):
    assert latency_lines(table) == [
        "median time of a forward pass for 1 sample, 1 thread, 30 rounds: dense 4 ms; masked 2 ms "
        "(2.04 × as fast)",
        "median time of a forward pass for 64 samples, 2 threads, 4 rounds: dense 100 ms; masked "
        "200 ms (0.50 × as fast)",
        "int8 was left out: it needs <this|extra>",
    ]
    assert latency_lines(None) == []


def test_one_sample_takes_the_first_number_of_threads(table):
    assert one_sample(table, "dense", "masked") == {"latency_dense": 0.004, "latency_pruned": 0.002}
    assert one_sample(table, "dense", "sparse") == {}
    assert one_sample(table[2:], "dense", "masked") == {}


def test_report_text_comment_and_card_hold_the_lines(table):
    report = make_report(["a", "b"], latency=table)
    assert report.compression is None
    for line in latency_lines(table):
        assert line in str(report)
    for text in (comment(report), report.to_model_card()):
        assert "dense 4 ms; masked 2 ms (2.04 × as fast)" in text
        assert r"it needs \<this\|extra\>" in text
    assert "× as fast" in report._repr_html_()


def test_page_has_a_table_of_times_with_names_escaped(table):
    page = make_report(["a", "b"], latency=table).to_html()
    said = section(page, "latency")
    rows = cells(page, "by-time")
    assert [row[:3] for row in rows][1] == ["<bdi>masked</bdi>", "1", "1"]
    assert rows[1][3:] == ["2 ms", "1 ms to 3 ms", "2.04", "30"]
    assert "<bdi>int8</bdi> was left out: <bdi>it needs &lt;this|extra&gt;</bdi>" in said
    assert "whose zeros are multiplied" in said
    assert 'href="#latency"' in page


def test_page_of_models_by_the_user_s_names_explains_none(table):
    table.attrs["what"] = "a prediction"
    assert "whose zeros are multiplied" not in make_report(["a", "b"], latency=table).to_html()
    assert 'id="latency"' not in make_report(["a", "b"]).to_html()


def test_json_holds_the_table_and_gives_it_back(table, tmp_path):
    report = make_report(["a", "b"], latency=table)
    found = json.loads(report.to_json(tmp_path / "report.json"))
    jsonschema.Draft202012Validator(schema()).validate(found)
    assert found["latency"]["rows"][0]["seconds"] == 0.004
    again = FairnessReport.from_json(tmp_path / "report.json")
    pd.testing.assert_frame_equal(again.latency, table)
    assert again.latency.attrs == table.attrs
    assert str(again) == str(report)


def test_json_of_a_clock_too_coarse_has_no_speedup(table):
    table.loc[1, "speedup"] = float("inf")
    again = FairnessReport.from_json(make_report(["a", "b"], latency=table).to_json())
    assert again.latency["speedup"].isna().tolist() == [False, True, False, False]


def test_json_of_a_report_before_times_were_written_is_read():
    found = make_report(["a", "b"]).to_dict(samples=True)
    assert found.pop("latency") is None
    assert FairnessReport.from_json(json.dumps(found)).latency is None


@pytest.mark.parametrize("table", [0.004, [0.004], pd.DataFrame({"seconds": [1.0]})])
def test_check_table_of_another_kind_raises(table):
    with pytest.raises(ValueError, match="latency must be a DataFrame as"):
        check_table(table)
