"""Displays of curves, risks, trade-offs and effects: the numbers stand in the axes."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_prunefair import EqualLossConstraint
from sk_prunefair.metrics import accuracy_gap
from sk_prunefair.plotting import (
    ConstraintEffectDisplay,
    GroupRiskDisplay,
    PruningCurveDisplay,
    TradeoffDisplay,
    tradeoff_row,
)
from sk_prunefair.plotting._common import group_name, plain_text, style
from sk_prunefair.stats.wilson import wilson_interval
from tests.conftest import classifier

pyplot = pytest.importorskip("matplotlib.pyplot")
RATES = [0.5, 0.7, 0.9]


@pytest.fixture(autouse=True)
def _close():
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


def make_curve(n_groups, n_repeats=1, seed=0):
    rng = np.random.default_rng(seed)
    names = [("f" if i % 2 else "m", f"g{i}") for i in range(n_groups)]
    parts = [
        pd.DataFrame(
            {
                "rate": rate,
                "group": names,
                "count": rng.integers(20, 90, n_groups),
                "accuracy": rng.random(n_groups),
                "accuracy_drop": rng.random(n_groups),
                "accuracy_overall": rng.random(),
                "accuracy_gap": rng.random(),
                "fairness_violation": rng.random(),
                "repeat": repeat,
            }
        )
        for repeat in range(n_repeats)
        for rate in RATES
    ]
    curve = pd.concat(parts, ignore_index=True)
    return curve.drop(columns="repeat") if n_repeats == 1 else curve


def drawn_bands(axis):
    """Return the lowest and the highest point of each band at each rate."""
    bands = []
    for band in axis.collections:
        points = pd.DataFrame(band.get_paths()[0].vertices, columns=["rate", "y"]).groupby("rate")
        bands.append((points["y"].min().to_numpy(), points["y"].max().to_numpy()))
    return bands


# ------------------------------------------------------------------ names, colours, intervals


def test_group_name_hostile_text_is_one_line_and_no_formula():
    assert group_name("$a$") == r"\$a\$"
    assert group_name("x" * 200) == "x" * 31 + "…"
    assert plain_text("a\nb\x00\u202ec\ud800") == "a b\ufffd\ufffdc\ufffd"
    assert plain_text("👩‍🦰") == "👩‍🦰"


def test_style_of_twelve_groups_is_different_for_each():
    looks = [style(i) for i in range(12)]
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 12
    assert len({look["marker"] for look in looks}) == 12


# ------------------------------------------------------------------ curves


def test_pruning_curve_display_measured_once_has_intervals():
    curve = make_curve(2)
    display = PruningCurveDisplay.from_frame(curve)
    at_last = curve[curve["rate"] == 0.9].sort_values("accuracy", ascending=False)
    *lines, overall = display.ax_.lines
    for line, band, group in zip(lines, drawn_bands(display.ax_), at_last["group"], strict=True):
        rows = curve[[other == group for other in curve["group"]]]
        np.testing.assert_allclose(line.get_xdata(), RATES)
        np.testing.assert_allclose(line.get_ydata(), rows["accuracy"])
        np.testing.assert_allclose(band, wilson_interval(rows["accuracy"], rows["count"]))
        assert line.get_label() == f"{', '.join(group)} ({rows['count'].iloc[-1]})"
    np.testing.assert_allclose(overall.get_ydata(), curve["accuracy_overall"].unique())
    assert "Wilson" in display.ax_.get_title(loc="left")


def test_pruning_curve_display_of_repeats_has_means_and_ranges():
    curve = make_curve(2, n_repeats=3)
    display = PruningCurveDisplay.from_frame(curve)
    line, (low, high) = display.ax_.lines[0], drawn_bands(display.ax_)[0]
    group = curve.groupby(["rate", "group"])["accuracy"].mean()[0.9].idxmax()
    by_rate = curve[[other == group for other in curve["group"]]].groupby("rate")["accuracy"]
    np.testing.assert_allclose(line.get_ydata(), by_rate.mean())
    np.testing.assert_allclose(low, by_rate.min())
    np.testing.assert_allclose(high, by_rate.max())
    assert display.ax_.get_title(loc="left") == "mean and range of 3 repeats"


def test_pruning_curve_display_rows_in_any_order_are_the_same():
    curve = make_curve(3)
    first = PruningCurveDisplay.from_frame(curve)
    second = PruningCurveDisplay.from_frame(curve.sample(frac=1, random_state=0))
    for left, right in zip(first.ax_.lines, second.ax_.lines, strict=True):
        np.testing.assert_allclose(left.get_xydata(), right.get_xydata())


@pytest.mark.slow
def test_pruning_curve_display_twelve_groups_have_a_panel_each():
    curve = make_curve(12)
    display = PruningCurveDisplay.from_frame(curve)
    assert len(display.ax_) == 12
    accuracies = curve[curve["rate"] == 0.9]["accuracy"]
    last = [axis.lines[0].get_ydata()[-1] for axis in display.ax_]
    np.testing.assert_allclose(last, sorted(accuracies, reverse=True))
    titles = {axis.get_title() for axis in display.ax_}
    assert len(titles) == 12
    display.figure_.canvas.draw()


def test_pruning_curve_display_twelve_groups_share_axes_that_are_given():
    _, axis = pyplot.subplots()
    display = PruningCurveDisplay(make_curve(12)).plot(ax=axis)
    assert display.ax_ is axis
    assert len(axis.lines) == 13
    assert not axis.collections


def test_pruning_curve_display_other_metric_has_no_intervals():
    display = PruningCurveDisplay.from_frame(make_curve(2), metric="accuracy_drop")
    assert not display.ax_.collections
    assert display.ax_.get_title(loc="left") == "measured once"


def test_pruning_curve_display_of_an_estimator_equals_its_report(fitted, digits):
    X, y, group = digits
    display = PruningCurveDisplay.from_estimator(
        fitted, X, y, sensitive_features=group, rates=RATES, verbose=0
    )
    report = fitted.prune(0.9).fairness_report(X, y, sensitive_features=group)
    last = sorted(line.get_ydata()[-1] for line in display.ax_.lines[:-1])
    np.testing.assert_allclose(last, sorted(report.pruned.by_group["accuracy"]))


# ------------------------------------------------------------------ risks


def test_group_risk_display_has_intervals_where_there_are_some(fitted, digits):
    X, y, group = digits
    fitted.prune(0.8)
    display = GroupRiskDisplay.from_estimator(
        *(fitted, X, y),
        sensitive_features=group,
        n_boot=10,
        ci_quantiles=[0.95, 0.5, 0.05],
        random_state=0,
    )
    report = fitted.fairness_report(
        *(X, y),
        sensitive_features=group,
        n_boot=10,
        ci_quantiles=[0.95, 0.5, 0.05],
        random_state=0,
    )
    frame = report.to_frame().sort_values("excessive_risk")
    np.testing.assert_allclose(display.ax_.lines[-1].get_xdata(), frame["excessive_risk"])
    ends = np.array([path.vertices[:, 0] for path in display.ax_.collections[0].get_paths()])
    np.testing.assert_allclose(ends, frame[["excessive_risk_q0.05", "excessive_risk_q0.95"]])
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == [f"{name} ({n:,})" for name, n in frame["count"].items()]
    bare = GroupRiskDisplay.from_frame(frame[["count", "excessive_risk"]])
    assert not bare.ax_.collections


# ------------------------------------------------------------------ trade-offs


def test_tradeoff_display_draws_curves_repeats_and_single_points():
    curve = make_curve(3, n_repeats=2)
    point = {"method": "fairlearn", "accuracy": 0.7, "accuracy_gap": 0.1}
    frame = pd.concat([curve.assign(method="magnitude"), pd.DataFrame([point])])
    display = TradeoffDisplay.from_frame(frame, violation="accuracy_gap")
    line, other = (line for line in display.ax_.lines if not line.get_label().startswith("_"))
    expected = curve.groupby("rate")[["accuracy_gap", "accuracy_overall"]].mean()
    np.testing.assert_allclose(line.get_xydata(), expected)
    np.testing.assert_allclose(other.get_xydata(), [[0.1, 0.7]])
    assert {text.get_text() for text in display.ax_.texts} == {"0.5", "0.9"}
    # ξ is not defined for a model that is not pruned.
    only = TradeoffDisplay.from_frame(frame)
    assert [text.get_text() for text in only.ax_.get_legend().get_texts()] == ["magnitude"]


def test_tradeoff_display_bars_reach_from_the_smallest_to_the_largest():
    frame = pd.DataFrame(
        {"rate": 0.5, "repeat": [0, 1, 2], "accuracy": [0.5, 0.6, 1.0], "accuracy_gap": [0, 0, 0.3]}
    )
    display = TradeoffDisplay.from_frame(frame, violation="accuracy_gap")
    horizontal, vertical = (bars.get_segments()[0] for bars in display.ax_.collections)
    np.testing.assert_allclose(horizontal, [[0, 0.7], [0.3, 0.7]], atol=1e-12)
    np.testing.assert_allclose(vertical, [[0.1, 0.5], [0.1, 1.0]])


def test_tradeoff_display_models_of_fairlearn_become_points(digits):
    X, y, group = digits
    labels = np.asarray(y) % 2
    model = ThresholdOptimizer(
        estimator=LogisticRegression(max_iter=500),
        constraints="equalized_odds",
        predict_method="predict_proba",
    ).fit(X, labels, sensitive_features=group)
    row = tradeoff_row("odds", model, X, labels, sensitive_features=group)
    predicted = model.predict(X, sensitive_features=group, random_state=0)
    gap = accuracy_gap(labels, predicted, sensitive_features=group)
    assert row == {"method": "odds", "accuracy": np.mean(predicted == labels), "accuracy_gap": gap}


def test_tradeoff_display_of_estimators_equals_their_metrics(fitted, digits):
    X, y, group = digits
    plain = LogisticRegression(max_iter=500).fit(X, y)
    display = TradeoffDisplay.from_estimators(
        {"net": fitted, "pipe": make_pipeline(FunctionTransformer(), fitted), "logistic": plain},
        *(X, y),
        sensitive_features=group,
        rates=RATES,
        verbose=0,
    )
    net, pipe, logistic = display.ax_.lines
    np.testing.assert_allclose(net.get_xydata(), pipe.get_xydata())
    assert logistic.get_ydata() == [plain.score(X, y)]
    report = fitted.prune(0.9).fairness_report(X, y, sensitive_features=group)
    expected = report.accuracy_gap["pruned"], report.pruned.overall["accuracy"]
    np.testing.assert_allclose(net.get_xydata()[-1], expected)


# ------------------------------------------------------------------ a constraint's effect


@pytest.mark.slow
def test_constraint_effect_display_of_estimators_equals_their_diagnostics(fitted, digits):
    X, y, group = digits
    held = classifier(callbacks=[("equal_loss", EqualLossConstraint(phase="before"))])
    held.fit(X, y, sensitive_features=group).prune(0.5)
    display = ConstraintEffectDisplay.from_estimators(
        {"none": fitted, "equal losses": held}, X, y, sensitive_features=group
    )
    report = held.fairness_report(X, y, sensitive_features=group, diagnostics=True)
    order = display.frames["none"].sort_values("accuracy").index
    for axis, values in zip(
        display.ax_,
        (
            report.dense.by_group["accuracy"],
            report.diagnostics["gradient_norm"],
            report.diagnostics["boundary_closeness"],
        ),
        strict=True,
    ):
        np.testing.assert_allclose(axis.lines[1].get_xdata(), values[order], rtol=1e-5)
    labels = [label.get_text() for label in display.ax_[0].get_yticklabels()]
    assert labels == list(order)
    ends = [path.vertices[:, 0] for path in display.ax_[0].collections[-1].get_paths()]
    sizes = report.dense.by_group["count"][order]
    interval = wilson_interval(report.dense.by_group["accuracy"][order], sizes)
    np.testing.assert_allclose(ends, np.transpose(interval))


def test_constraint_effect_display_groups_in_another_order_are_matched():
    columns = ["accuracy", "gradient_norm", "boundary_closeness"]
    first = pd.DataFrame(np.arange(6.0).reshape(2, 3), ["a", "b"], columns)
    _, axes = pyplot.subplots(1, 3)
    display = ConstraintEffectDisplay.from_frame({"x": first, "y": first[::-1]}, ax=axes)
    for axis in display.ax_:
        np.testing.assert_allclose(axis.lines[0].get_xdata(), axis.lines[1].get_xdata())
    with pytest.raises(ValueError, match=r"same groups, got \['a'\] for 'y'"):
        ConstraintEffectDisplay.from_frame({"x": first, "y": first[:1]})
    with pytest.raises(TypeError, match="frames must map methods to DataFrames, got a DataFrame"):
        ConstraintEffectDisplay.from_frame(first)
    with pytest.raises(ValueError, match="at least one method"):
        ConstraintEffectDisplay.from_frame({})


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("display", "frame", "column", "option"),
    [
        (PruningCurveDisplay, make_curve(2), "accuracy", {"metric": "auc"}),
        (GroupRiskDisplay, make_curve(2).assign(excessive_risk=0.0), "count", {"metric": "auc"}),
        (TradeoffDisplay, make_curve(2), "fairness_violation", {"violation": "xi"}),
    ],
)
def test_displays_bad_input_raises_and_names_it(display, frame, column, option, monkeypatch):
    with pytest.raises(ValueError, match=f"got no column '{column}'"):
        display.from_frame(frame.drop(columns=column))
    with pytest.raises(ValueError, match="at least one row"):
        display.from_frame(frame[:0])
    with pytest.raises(TypeError, match="must be a DataFrame, got dict"):
        display.from_frame({})
    with pytest.raises(ValueError, match=r"must be one of \["):
        display.from_frame(frame, **option)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[plot\]"):
        display.from_frame(frame)


def test_tradeoff_display_without_any_value_is_refused():
    frame = pd.DataFrame({"accuracy": [0.5], "fairness_violation": [np.nan]})
    with pytest.raises(ValueError, match="missing values only"):
        TradeoffDisplay.from_frame(frame)


def test_constraint_effect_display_groups_of_booleans_are_not_taken_for_a_mask():
    columns = ["accuracy", "gradient_norm", "boundary_closeness"]
    frame = pd.DataFrame(np.arange(6.0).reshape(2, 3), [True, False], columns)
    display = ConstraintEffectDisplay.from_frame({"x": frame, "y": frame[::-1]})
    for axis, column in zip(display.ax_, columns, strict=True):
        np.testing.assert_allclose(axis.lines[0].get_xdata(), frame[column])
        np.testing.assert_allclose(axis.lines[1].get_xdata(), frame[column])
