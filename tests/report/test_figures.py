"""Figures of a report with their intervals, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sk_prunefair import FairnessReport
from sk_prunefair.report.figures import (
    figure,
    gap_figures,
    group_figures,
    number,
    overall_figures,
    plain,
    sample_moments,
)
from sk_prunefair.stats.intervals import mean_interval, spread_interval
from sk_prunefair.stats.tango import tango_interval
from sk_prunefair.stats.wilson import wilson_interval

# Group a: 6 rows, 5 right before and 4 after, two lost and one won. Group b: 4 rows, 3 and 3.
TRUTH = np.zeros(10, dtype=int)
DENSE = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 1])
PRUNED = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 2])
GROUPS = list("aaaaaabbbb")
LOSSES = np.array([0.1, 0.2, 0.3, 0.1, 0.4, 1.5, 0.2, 0.2, 0.1, 1.0])
RISK = np.array([1.0, 0.8, 0.1, 0.0, -0.1, -1.0, 0.1, 0.0, 0.2, 0.5])


def report(**options):
    given = {
        "dense_pred": DENSE,
        "pruned_pred": PRUNED,
        "dense_losses": LOSSES,
        "pruned_losses": LOSSES + RISK,
        "sensitive_features": GROUPS,
    }
    return FairnessReport(TRUTH, **(given | options))


def ends(interval):
    return [pytest.approx(float(end)) for end in interval]


def assert_figure(found, value, n, interval):
    assert found["value"] == pytest.approx(value)
    assert found["n"] == n
    assert [found["low"], found["high"]] == ends(interval)


def test_group_figures_by_hand():
    first, second = group_figures(report())
    assert [first["group"], second["group"]] == [
        {"sensitive_feature": "a"},
        {"sensitive_feature": "b"},
    ]
    assert_figure(first["accuracy"]["dense"], 5 / 6, 6, wilson_interval(5 / 6, 6))
    assert_figure(first["accuracy"]["pruned"], 4 / 6, 6, wilson_interval(4 / 6, 6))
    assert_figure(first["accuracy_drop"], 1 / 6, 6, tango_interval(6, 2, 1))
    # The last answer of b changed from one wrong label to another.
    assert_figure(first["changed"], 3 / 6, 6, wilson_interval(3 / 6, 6))
    assert_figure(second["changed"], 1 / 4, 4, wilson_interval(1 / 4, 4))
    assert_figure(second["accuracy_drop"], 0, 4, tango_interval(4, 0, 0))
    own = RISK[:6]
    third = ((own - own.mean()) ** 3).mean() / own.std(ddof=1) ** 3
    expected = mean_interval(own.mean(), own.std(ddof=1), 6, skewness=third)
    assert_figure(first["excessive_risk"], own.mean(), 6, expected)
    assert first["loss"]["dense"]["value"] == pytest.approx(LOSSES[:6].mean())
    assert first["loss"]["pruned"]["value"] == pytest.approx((LOSSES + RISK)[:6].mean())
    assert "metrics" not in first


def test_overall_figures_are_those_of_one_group_of_all():
    found = overall_figures(report())
    [expected] = group_figures(report(sensitive_features=["all"] * 10))
    assert found == {name: expected[name] for name in found}
    assert_figure(found["accuracy_drop"], 1 / 10, 10, tango_interval(10, 2, 1))


def test_gap_figures_have_intervals_at_half_the_error_for_two_groups():
    found = gap_figures(report())
    z = norm.isf(0.05 / 2 / 2)
    lows, highs = zip(*(wilson_interval(p, n, z) for p, n in ((4 / 6, 6), (3 / 4, 4))), strict=True)
    gap = 3 / 4 - 4 / 6
    expected = spread_interval(np.array(lows), np.array(highs))
    assert_figure(found["accuracy_gap"]["pruned"], gap, 10, expected)
    moments = sample_moments(report())
    risks = moments["risk"], moments["risk_deviation"], moments["n"]
    expected = spread_interval(*mean_interval(*risks, 0.975, moments["risk_skewness"]))
    violation = RISK[6:].mean() - RISK[:6].mean()
    assert_figure(found["fairness_violation"], violation, 10, expected)
    assert set(found["accuracy_gap_floor"]) == {"dense", "pruned"}


def test_figures_of_labels_alone_and_within_levels_have_less():
    bare = report(dense_losses=None)
    assert gap_figures(bare)["fairness_violation"] is None
    assert "loss" not in group_figures(bare)[0]
    assert "excessive_risk" not in overall_figures(bare)
    levels = gap_figures(report(control_features=["u", "v"] * 5))
    for found in (*levels["accuracy_gap"].values(), levels["fairness_violation"]):
        assert found["value"] is not None
        assert (found["low"], found["high"]) == (None, None)


def test_group_figures_of_user_metrics_have_no_interval():
    share = {"share": lambda y_true, y_pred: float(np.mean(y_pred))}
    found = {
        each["group"]["sensitive_feature"]: each for each in group_figures(report(metrics=share))
    }
    assert found["a"]["metrics"]["share"]["dense"] == figure(1 / 6, 6)
    assert found["b"]["metrics"]["share"]["pruned"] == figure(2 / 4, 4)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (np.inf, None), (np.nan, None), (2, 2), (np.float32(0.5), 0.5), (np.int8(3), 3)],
)
def test_number_is_of_python_or_none(value, expected):
    found = number(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"), (np.str_("a"), "a"), (True, True), (np.bool_(False), False),
        (np.int8(3), 3), (0.5, 0.5), (np.inf, "inf"),
        (pd.Timestamp("2026-03-01"), "2026-03-01 00:00:00"),
    ],
)  # fmt: skip
def test_plain_is_what_json_has(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
