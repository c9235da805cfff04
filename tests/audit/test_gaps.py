"""Gaps between groups and the table of a curve, as the page has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.audit import audit_page
from sk_prunefair.audit._gaps import curve_table, gap_table
from sk_prunefair.metrics import accuracy_gap_floor
from tests.audit.pages import cells, make_curve, make_report


def test_gap_table_measured_gaps_are_those_of_the_report():
    report = make_report(["a", "b", "c"], harmed="b")
    gaps = gap_table(report, n_shuffles=9).set_index("gap")["measured"]
    assert gaps["accuracy gap, dense net"] == pytest.approx(report.accuracy_gap["dense"])
    assert gaps["accuracy gap, pruned net"] == pytest.approx(report.accuracy_gap["pruned"])
    assert gaps["difference of accuracy drops"] == pytest.approx(np.ptp(report.accuracy_drop))
    assert gaps["fairness violation ξ"] == pytest.approx(report.fairness_violation)


def test_gap_table_labels_alone_has_the_names_and_no_violation():
    report = make_report(["a", "b"], losses=False, names=("fp32", "int8"))
    assert gap_table(report, n_shuffles=9)["gap"].tolist() == [
        "accuracy gap, fp32 model",
        "accuracy gap, int8 model",
        "difference of accuracy drops",
    ]


def test_gap_table_control_features_have_gaps_of_their_own():
    control = np.repeat(["x<", "y"], 300)
    report = make_report(["a", "b"], harmed="b", control_features=control)
    gaps = gap_table(report, n_shuffles=9)
    assert gaps["level"].tolist() == ["x<"] * 4 + ["y"] * 4
    largest = gaps[gaps["gap"] == "fairness violation ξ"]["measured"].max()
    assert largest == pytest.approx(report.fairness_violation)
    assert "fairness violation ξ, x&lt;" in audit_page(report)


def test_page_gaps_are_those_of_the_report_in_points():
    report = make_report(["a", "b"], harmed="b")
    rows = {row[0]: row[1] for row in cells(audit_page(report), "by-gap")}
    dense, pruned = 100 * report.accuracy_gap
    assert rows["<bdi>accuracy gap, dense net</bdi>"] == f"{dense:.1f} points"
    assert rows["<bdi>accuracy gap, pruned net</bdi>"] == f"{pruned:.1f} points"
    assert rows["<bdi>fairness violation ξ</bdi>"] == f"{report.fairness_violation:.3f}"


def test_curve_table_repeats_are_averaged_and_the_worst_group_named():
    curve = make_curve(["low", "high"])
    table = curve_table(pd.concat([curve.assign(repeat=0), curve.assign(repeat=1)]))
    assert table["worst_group"].tolist() == ["low", "low"]
    np.testing.assert_allclose(table["worst_accuracy"], [0.5 - 0.5 / 3, 0.5 - 0.3])
    np.testing.assert_allclose(table["expected_gap"][1], accuracy_gap_floor(0.4, [100, 100]))


def test_curve_table_equal_accuracies_names_the_larger_loss():
    curve = make_curve(["a", "b"]).assign(accuracy=0.5, loss=[1.0, 2.0, 2.0, 1.0])
    assert curve_table(curve)["worst_group"].tolist() == ["b", "a"]
    assert curve_table(curve.drop(columns="loss"))["worst_group"].tolist() == ["a", "a"]


def test_curve_table_mean_of_perfect_accuracies_is_no_error():
    curve = pd.concat([make_curve(["a", "b"]).assign(accuracy_overall=1 + 2e-16)])
    assert curve_table(curve)["expected_gap"].tolist() == [0, 0]


@pytest.mark.slow
def test_curve_table_many_groups_floor_is_near_that_of_more_draws():
    groups = [f"g{i}" for i in range(500)]
    found = curve_table(make_curve(groups))["expected_gap"][0]
    assert found == pytest.approx(accuracy_gap_floor(0.7 - 0.5 / 3, [100] * 500), abs=0.005)
