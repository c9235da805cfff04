"""A report in Markdown: the comment on a pull request, and its tables."""

from __future__ import annotations

import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.report.figures import Figures
from sk_prunefair.report.markdown import cell, comment, gap_lines, groups_table, shown


def report(n_groups=2, **options):
    """Return one of two samples a group; the last group loses one of them."""
    truth = [0, 1] * n_groups
    given = {
        "dense_pred": truth,
        "pruned_pred": [*truth[:-1], 0],
        "sensitive_features": [f"g{i:02}" for i in range(n_groups) for _ in range(2)],
    }
    return FairnessReport(truth, **(given | options))


LOSSES = {"dense_losses": [0.25] * 4, "pruned_losses": [0.25, 0.25, 0.25, 1.25]}


def table_of(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_comment_has_title_groups_gaps_and_costs_in_this_order():
    text = comment(report(compression=pd.Series({"sparsity": 0.9})))
    parts = text.split("\n\n")
    assert parts[0] == "### What pruning did to each group"
    assert parts[1].startswith("| sensitive\\_feature | samples | accuracy dense |")
    assert parts[2].startswith("- accuracy gap, dense: 0.000 (")
    assert parts[3] == "- 90.0% of the prunable weights removed\n"
    assert len(parts) == 4
    assert comment(report(), title="A|B").startswith("### A\\|B\n")
    assert len(comment(report()).split("\n\n")) == 3


@pytest.mark.parametrize(("n_groups", "said"), [(12, False), (13, True)])
def test_comment_shows_twelve_groups_and_says_what_is_left_out(n_groups, said):
    text = comment(report(n_groups))
    rows = table_of(text)
    # Head, rule, twelve groups, all samples.
    assert len(rows) == 15
    assert rows[2].startswith(f"| g{n_groups - 1:02} ")
    left = f"The 12 of {n_groups} groups that lost most accuracy."
    assert (left in text.split("\n\n")) == said


@pytest.mark.parametrize(("bound", "mark"), [(0.99, "✅"), (0.02, "❌")])
def test_comment_verdict_comes_first_with_its_mark_and_findings_once(bound, mark):
    found = report(40, pruned_pred=[0, 1] * 40)
    verdict = found.promise(bound, criteria="accuracy")
    assert verdict.kept == (mark == "✅")
    text = comment(found, verdict)
    assert text.split("\n\n")[1] == f"{mark} {cell(verdict.sentence)}"
    constant = report(40, pruned_pred=[0] * 80)
    verdict = constant.promise(bound)
    text = comment(constant, verdict)
    assert text.split("\n\n")[1].startswith("❌ ")
    # The verdict says it already; without one it is there.
    assert "\n**the pruned net gives every sample" not in text
    assert "\n**the pruned net gives every sample" in comment(constant)


@pytest.mark.parametrize(("limit", "mark"), [(0.99, "✅"), (0.0, "❌")])
def test_comment_acceptance_has_a_line_for_each_criterion(limit, mark):
    found = report()
    criterion = {"metric": "accuracy_drop", "limit": limit, "test": "observed", "min_count": 1}
    acceptance = found.accept({"criteria": [criterion]})
    assert acceptance.kept == (mark == "✅")
    text = comment(found, acceptance=acceptance)
    parts = text.split("\n\n")
    assert parts[1] == f"{mark} {cell(acceptance.sentence)}"
    head, _, row = table_of(parts[2])
    assert head.startswith("| criterion | metric | test | limit | group that decides |")
    assert f"| {limit:g} | g01 | 0.5000 |" in row


def test_groups_table_by_hand():
    found = report(**LOSSES)
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in
            table_of(groups_table(found, Figures.of(found)))]  # fmt: skip
    assert rows[0][-3:] == ["accuracy lost", "answers changed", "excessive risk R"]
    assert rows[1] == ["---"] * 7
    assert [row[:2] for row in rows[2:]] == [["g01", "2"], ["g00", "2"], ["all", "4"]]
    # Of the accuracies before and after, the loss of accuracy, the answers and the risk.
    values = [[each.split()[0] for each in row[2:]] for row in rows[2:]]
    assert values == [
        ["1.000", "0.500", "0.500", "0.500", "0.500"],
        ["1.000", "1.000", "0.000", "0.000", "0.000"],
        ["1.000", "0.750", "0.250", "0.250", "0.250"],
    ]


def test_groups_table_without_losses_and_with_levels_has_less():
    plain = report()
    assert len(table_of(groups_table(plain, Figures.of(plain)))[0].split("|")) == 8
    levels = report(control_features=["u", "v"] * 2)
    rows = table_of(groups_table(levels, Figures.of(levels)))
    assert len(rows) == 2 + 4
    assert not any("all" in row for row in rows[2:])
    assert len(table_of(groups_table(levels, Figures.of(levels), 3))) == 2 + 3


def test_gap_lines_name_both_gaps_and_the_violation_where_losses_are_known():
    lines = gap_lines(Figures.of(report(**LOSSES)).gaps)
    assert lines[0].startswith("- accuracy gap, dense: 0.000 (")
    assert lines[0].endswith("equally good groups of these sizes would show 0.000")
    assert lines[1].startswith("- accuracy gap, pruned: 0.500 (")
    assert lines[2].startswith("- fairness violation ξ: 0.500 (")
    assert len(gap_lines(Figures.of(report()).gaps)) == 2


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.5, 0.25, 0.75, "0.500 (0.250 to 0.750)"),
        (0.5, None, 0.75, "0.500"),
        (0.5, 0.25, None, "0.500"),
        (None, None, None, "n/a"),
    ],
)
def test_shown_interval_only_where_both_ends_are_known(value, low, high, text):
    assert shown({"value": value, "n": 3, "low": low, "high": high}) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [("a  b\n c", "a b c"), (7, "7"), ("*x*_y_", "\\*x\\*\\_y\\_"), ("\\|", "\\\\\\|")],
)
def test_cell_is_one_line_without_markup(given, text):
    assert cell(given) == text
