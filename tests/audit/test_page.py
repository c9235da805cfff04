"""What the page says below its first screen: groups, slices, rates, reasons, facts, words."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.audit import audit_page
from tests.audit.pages import (
    Promise,
    bars,
    cells,
    make_curve,
    make_diagnostics,
    make_report,
    make_slices,
    section,
)

# ------------------------------------------------------------------ groups


def test_groups_drawn_rows_and_table_are_those_of_the_report():
    report = make_report(["a", "b", "c"], harmed="b")
    page, frame = audit_page(report), report.by_group
    drawn, table = bars(page), cells(page, "by-group")
    assert [row[0] for row in drawn] == ["All samples", *(f"<bdi>{g}</bdi>" for g in frame.index)]
    assert [row[0] for row in table] == [row[0] for row in drawn[1:]]
    for bar, cell, (_, row) in zip(drawn[1:], table, frame.iterrows(), strict=True):
        assert bar[1] == "200"
        assert bar[2] == f"{row['accuracy_dense']:.1%} → {row['accuracy_pruned']:.1%}"
        change = 100 * row["accuracy_drop"]
        word = "lost" if change > 0 else "gained"
        assert bar[3] == (f"{word} {abs(change):.1f}" if change else "unchanged")
        assert [text.replace("−", "-") for text in cell[1:]] == [
            "200",
            f"{row['accuracy_dense']:.1%}",
            f"{row['accuracy_pruned']:.1%}",
            f"{row['loss_dense']:.3f}",
            f"{row['loss_pruned']:.3f}",
            f"{100 * row['changed']:z.1f}",
            f"{change:z.1f}",
            f"{row['excessive_risk']:.3f}",
        ]


def test_groups_intervals_are_those_of_the_bootstrap_and_few_samples_flagged():
    report = make_report(["a", "b", "c"], n=95, harmed="b", n_boot=5, ci_quantiles=[0.1, 0.9])
    page = audit_page(report, min_count=32)
    first, table = report.by_group.iloc[0], cells(page, "by-group")
    for column, cell, factor, digits in (
        ("accuracy_drop", table[0][-2], 100, 1),
        ("excessive_risk", table[0][-1], 1, 3),
    ):
        values = (first[f"{column}{end}"] * factor for end in ("", "_q0.1", "_q0.9"))
        point, low, high = (f"{value:z.{digits}f}".replace("-", "−") for value in values)
        assert cell == f"{point} ({low} to {high})"
    assert {row[0]: row[1] for row in table}["<bdi>c</bdi>"] == "31 (few)"
    assert {row[0]: row[1] for row in bars(page)}["<bdi>c</bdi>"] == "31 (few)"
    assert "fewer than 32 samples: <bdi>c</bdi> (31)" in page
    assert "bootstrap quantiles 0.1 to 0.9" in section(page, "groups")
    assert 'class="whisker"' in section(page, "groups")
    assert 'class="whisker"' not in audit_page(make_report(["a", "b"]))


def test_groups_many_are_drawn_in_part_and_all_in_the_table():
    names = [f"group {i:03}" for i in range(500)]
    report = make_report(names, n=2000, diagnostics=make_diagnostics(names))
    page = audit_page(report, curve=make_curve(names))
    assert "The 24 of 500 groups that lost most." in page
    assert [row[0] for row in bars(page)[1:]] == [
        f"<bdi>{name}</bdi>" for name in report.by_group.index[:24]
    ]
    assert len(cells(page, "by-group")) == len(cells(page, "by-reason")) == 500
    assert "<details>\n<summary>All numbers of the 500 groups" in page
    assert "and 460 more" in section(page, "limits")
    assert len(page.encode()) < 300_000


def test_groups_of_user_metrics_have_the_names_of_the_models():
    def rate(y_true, y_pred):
        return float(np.mean(np.asarray(y_pred) == 1))

    report = make_report(
        ["a", "b"], losses=False, metrics={"selection_rate": rate}, names=("fp32", "int8")
    )
    page = audit_page(report)
    assert '<th scope="col"><bdi>selection rate, int8</bdi></th>' in page
    assert (
        cells(page, "by-group")[0][5] == f"{report.by_group['selection_rate_pruned'].iloc[0]:.3f}"
    )


@pytest.mark.parametrize(
    ("columns", "worst"), [(["samples", "loss"], "b, y"), (["samples"], "b")], ids=len
)
def test_groups_of_several_columns_called_like_ours(columns, worst):
    groups = pd.DataFrame({"samples": ["a", "b"] * 40, "loss": np.repeat(["x", "y"], 40)})
    report = FairnessReport(
        [0] * 80,
        dense_pred=[0] * 80,
        pruned_pred=[0] * 80,
        dense_losses=np.zeros(80),
        pruned_losses=np.arange(80.0),
        sensitive_features=groups[columns],
    )
    page = audit_page(report, facts={"Samples": "mine"})
    assert f'<th scope="col"><bdi>{", ".join(columns)}</bdi></th>' in page
    assert cells(page, "by-group")[0][0] == f"<bdi>{worst}</bdi>"
    assert f"Largest rise in loss: group <bdi>{worst}</bdi>" in page
    assert "<dd><bdi>mine</bdi></dd>" in page


def test_groups_within_control_levels_are_named_by_both():
    control = pd.Series(np.repeat(["young", "old"], 300), name="age")
    page = audit_page(make_report(["a", "b"], harmed="b", control_features=control))
    assert {row[0] for row in bars(page)[1:]} == {
        f"<bdi>{level}, {group}</bdi>" for level in ("young", "old") for group in "ab"
    }


def test_names_that_look_like_numbers_stay_names():
    page = audit_page(make_report([2015, 2016]))
    assert "<bdi>2015</bdi>" in page
    assert "2,015" not in page


# ------------------------------------------------------------------ slices


def test_slices_are_sorted_and_have_their_numbers():
    page = audit_page(make_report(["a", "b"]), slices=make_slices())
    assert bars(page, "slices") == [
        ("<bdi>hours &gt; 50</bdi>", "1,310", "8.0 to 16.0", "lost 12.0"),
        ("<bdi>age &lt; 25 &amp; &lt;b&gt;</bdi>", "1,310", "1.0 to 9.0", "lost 5.0"),
    ]
    assert cells(page, "by-slice")[0][1:] == ["1,310", "12.0", "8.0 to 16.0", "0.004"]


def test_slices_none_found_is_said_and_none_asked_for_is_absent():
    page = audit_page(make_report(["a", "b"]), slices=make_slices().head(0))
    assert "No rule over the features was found" in section(page, "slices")
    assert "Slices" not in audit_page(make_report(["a", "b"]))


def test_slices_without_interval_have_no_line():
    page = audit_page(make_report(["a", "b"]), slices=make_slices().assign(upper=np.nan))
    assert "nan" not in section(page, "slices")
    assert 'class="whisker"' not in section(page, "slices")
    assert "1.0 to —" in section(page, "slices")


# ------------------------------------------------------------------ rates, reasons, facts


def test_rates_are_drawn_and_the_worst_group_is_a_name():
    page = audit_page(make_report(["a", "b"]), curve=make_curve(["<i>", "b"]))
    rows = cells(page, "by-rate")
    assert [row[0] for row in rows] == ["50%", "90%"]
    assert [row[5] for row in rows] == ["<bdi>&lt;i&gt;</bdi>"] * 2
    assert rows[1][1] == "40.0%"
    assert rows[1][6] == "20.0%"
    said = section(page, "rates")
    assert "Dashed: group <bdi>&lt;i&gt;</bdi>, the lowest at 90%." in said
    assert "accuracy of all samples goes from 53.3% to 40.0%" in said
    assert said.count("<polyline") == 3
    assert "&lt;bdi&gt;" not in page


def test_rates_one_rate_or_a_group_that_is_missing_at_another():
    curve = make_curve(["a", "b"])
    assert "<polyline" not in audit_page(make_report(["a", "b"]), curve=curve[curve["rate"] == 0.5])
    assert "nan" not in section(audit_page(make_report(["a", "b"]), curve=curve[1:]), "rates")


def test_rates_without_violation_have_no_such_column():
    curve = make_curve(["a", "b"]).drop(columns="fairness_violation")
    page = audit_page(make_report(["a", "b"], losses=False), curve=curve)
    assert "ξ" not in page
    assert len(cells(page, "by-rate")[0]) == 6


def test_reasons_are_in_the_order_of_the_groups():
    report = FairnessReport(
        [1, 0] * 3,
        dense_pred=[1, 0] * 3,
        pruned_pred=[1, 0, 1, 0, 1, 1],
        dense_losses=np.zeros(6),
        pruned_losses=np.repeat([0.9, 0.5, 0.1], 2),
        sensitive_features=np.repeat(["a", "b", "c"], 2),
        diagnostics=make_diagnostics(["a", "b", "c"]),
    )
    page = audit_page(report)
    for key in ("by-group", "by-reason"):
        assert [row[0] for row in cells(page, key)] == [f"<bdi>{g}</bdi>" for g in "cab"]


def test_facts_have_units_and_the_names_of_the_models():
    compression = pd.Series(
        {"parameters": 12345.0, "sparsity": 0.9, "latency_dense": 0.00123, "bytes_stored": 1e4}
    )
    report = make_report(["a", "b"], compression=compression)
    said = section(audit_page(report, facts={"Data": "<i>held out</i>"}), "facts")
    for term, value in (
        ("Data", "<bdi>&lt;i&gt;held out&lt;/i&gt;</bdi>"),
        ("Parameters", "12,345"),
        ("Share of the prunable weights removed", "90.0%"),
        ("Latency of one sample, dense", "1.23 ms"),
        ("Bytes, pruned", "10,000 bytes"),
        ("Samples", "600"),
    ):
        assert f"<dt><bdi>{term}</bdi></dt><dd>{value}</dd>" in said


# ------------------------------------------------------------------ words


@pytest.mark.parametrize("losses", [True, False])
def test_words_follow_names_where_nothing_was_pruned(losses):
    report = make_report(["a", "b"], harmed="b", losses=losses, names=("fp32", "int8"))
    page = audit_page(
        report, curve=make_curve(["a", "b"]), slices=make_slices(), promise=Promise(True)
    )
    said = re.sub("(?s)<style>.*?</style>", "", page)
    assert re.search(r"\b(pruned|unpruned|dense|nets?)\b", said) is None
    assert "What compression did to each group" in said
    assert "fp32 model</bdi> → <bdi>int8 model" in said
    assert "Compression harmed groups unequally" in said
    assert "Other rates" in said


def test_words_of_pruning_stay_where_a_net_was_pruned():
    page = audit_page(make_report(["a", "b"]), curve=make_curve(["a", "b"]))
    assert "What pruning did to each group" in page
    assert "Other pruning rates" in page
    assert "compression" not in page


def test_labels_alone_have_nothing_that_needs_losses():
    report = make_report(["a", "b"], losses=False, n_boot=3, ci_quantiles=[0.1, 0.9])
    page = audit_page(report, pictures=True)
    for absent in ("loss", "ξ", "risk", "nats", "<img"):
        assert absent not in re.sub("(?s)<style>.*?</style>", "", page), absent
    assert len(cells(page, "by-group")[0]) == 6


def test_sections_of_what_is_not_known_are_absent():
    page = audit_page(make_report(["a", "b"]))
    for key in ("slices", "promise", "rates", "pictures", "reasons"):
        assert section(page, key) is None
        assert f'href="#{key}"' not in page
    for key in ("groups", "gaps", "facts", "method", "limits"):
        assert section(page, key) is not None
        assert f'href="#{key}"' in page


def test_page_without_intervals_makes_no_frame_of_changes():
    report = make_report(["a", "b"], n=40)
    assert "No intervals were computed" in report.to_html()
    assert "change" not in vars(report)
