"""The report against numbers by hand, and what users hand it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate
from scipy.stats import binom
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import f1_score, log_loss

from sk_prunefair import FairnessReport
from sk_prunefair.metrics import (
    accuracy_drop,
    accuracy_gap,
    excessive_risk,
    fairness_violation,
)
from tests.conftest import classifier

BY_HAND = {
    "y_true": [0, 1, 0, 1, 1],
    "dense_pred": [0, 1, 0, 0, 1],
    "pruned_pred": [0, 0, 0, 1, 0],
    "dense_losses": [0.1, 0.3, 0.2, 0.9, 0.4],
    "pruned_losses": [0.2, 1.4, 0.2, 0.5, 1.0],
    "sensitive_features": ["a", "a", "b", "b", "b"],
}


def test_numbers_by_hand():
    report = FairnessReport(**BY_HAND)
    # a: (0.1 + 1.1) / 2 = 0.6; b: (0 − 0.4 + 0.6) / 3 = 1/15.
    np.testing.assert_allclose(report.excessive_risk, [0.6, 1 / 15])
    assert report.excessive_risk.index.tolist() == ["a", "b"]
    assert report.fairness_violation == pytest.approx(0.6 - 1 / 15)
    # dense: 1 and 2/3; pruned: 1/2 and 2/3.
    np.testing.assert_allclose(report.accuracy_gap, [1 / 3, 1 / 6])
    assert report.accuracy_gap.index.tolist() == ["dense", "pruned"]
    np.testing.assert_allclose(report.accuracy_drop, [0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(report.dense.by_group["loss"], [0.2, 0.5])
    assert report.pruned.by_group["count"].tolist() == [2, 3]
    frame = report.to_frame()
    assert frame.index.tolist() == ["a", "b"]
    assert frame.loc["a", "accuracy_pruned"] == 0.5


@pytest.fixture
def pruned(digits):
    X, y, group = digits
    return classifier(prune_rate=0.9).fit(X, y, sensitive_features=group)


def test_gap_floor_by_hand():
    # Two rows of one group, half of them right, and 30 of another, 24 of them right.
    right = np.repeat([1, 0, 1, 0], [1, 1, 24, 6])
    losses = np.ones(32)
    report = FairnessReport(
        np.ones(32),
        dense_pred=np.ones(32),
        pruned_pred=right,
        dense_losses=losses,
        pruned_losses=losses,
        sensitive_features=np.repeat(["a", "b"], [2, 30]),
    )
    # The mean of |K / 2 - M / 30|, K and M binomial with the accuracy of all 32, 25/32.
    k, m = np.arange(3)[:, np.newaxis], np.arange(31)
    chance = binom.pmf(k, 2, 25 / 32) * binom.pmf(m, 30, 25 / 32)
    floor = (chance * abs(k / 2 - m / 30)).sum()
    np.testing.assert_allclose(report.accuracy_gap_floor, [0, floor], atol=0.015)


def test_report_equals_metrics_and_scikit_learn(pruned, digits):
    X, y, _ = digits
    report = pruned.fairness_report(X, y, sensitive_features=y)
    proba = pruned.predict_proba(X)
    assert report.pruned.overall["loss"] == pytest.approx(log_loss(y, proba), rel=1e-5)
    dense = pruned.prune(0.0).predict_proba(X)
    one = np.arange(len(y)), y
    losses = -np.log(dense[one]), -np.log(proba[one])
    np.testing.assert_allclose(
        report.excessive_risk, excessive_risk(*losses, sensitive_features=y), atol=1e-5
    )
    xi = fairness_violation(*losses, sensitive_features=y)
    assert report.fairness_violation == pytest.approx(xi, rel=1e-4)
    frame = MetricFrame(
        metrics=lambda a, b: np.mean(b - a),
        y_true=losses[0],
        y_pred=losses[1],
        sensitive_features=y,
    )
    assert frame.difference(method="between_groups") == pytest.approx(xi)
    labels = dense.argmax(1), proba.argmax(1)
    for name, prediction in zip(("dense", "pruned"), labels, strict=True):
        gap = accuracy_gap(y, prediction, sensitive_features=y)
        assert report.accuracy_gap[name] == pytest.approx(gap)
    drop = accuracy_drop(y, *labels, sensitive_features=y)
    np.testing.assert_allclose(report.accuracy_drop, drop, atol=1e-12)


def test_unpruned_net_pays_nothing(fitted, digits):
    X, y, group = digits
    report = fitted.fairness_report(X, y, sensitive_features=group)
    assert report.fairness_violation == 0
    assert (report.accuracy_drop == 0).all()
    assert report.compression["bytes_dense"] == report.compression["bytes_stored"]


def test_bootstrap_is_metric_frames_own(pruned, digits):
    X, y, group = digits
    options = {"n_boot": 40, "ci_quantiles": [0.1, 0.9], "random_state": 0}
    report = pruned.fairness_report(X, y, sensitive_features=group, **options)
    low, high = report.change.by_group_ci
    risk = report.excessive_risk
    assert (low["excessive_risk"] < risk).all()
    assert (risk < high["excessive_risk"]).all()
    # Both nets see the same samples: pairs are less noisy than each net alone.
    alone = report.pruned.by_group_ci[1]["loss"] - report.pruned.by_group_ci[0]["loss"]
    assert len(alone) == 2
    frame = report.to_frame()
    assert {"excessive_risk_q0.1", "excessive_risk_q0.9", "accuracy_drop_q0.1"} <= set(frame)
    again = pruned.fairness_report(X, y, sensitive_features=group, **options)
    pd.testing.assert_frame_equal(frame, again.to_frame())


def test_more_metrics(pruned, digits):
    X, y, group = digits
    metrics = {"f1": lambda a, b: f1_score(a, b, average="macro")}
    report = pruned.fairness_report(X, y, sensitive_features=group, metrics=metrics)
    expected = f1_score(y, pruned.predict(X), average="macro")
    assert report.pruned.overall["f1"] == pytest.approx(expected)
    assert {"f1_dense", "f1_pruned"} <= set(report.to_frame())
    with pytest.raises(ValueError, match=r"metrics may not redefine \['loss'\]"):
        pruned.fairness_report(X, y, sensitive_features=group, metrics={"loss": f1_score})
    binary = FairnessReport(**BY_HAND, metrics={"fpr": false_positive_rate})
    assert binary.dense.overall["fpr"] == 0


def test_control_features(pruned, digits):
    X, y, group = digits
    half = np.where(np.arange(len(y)) % 2, "odd", "even")
    report = pruned.fairness_report(X, y, sensitive_features=group, control_features=half)
    assert report.excessive_risk.index.names == ["control_feature", "sensitive_feature"]
    risk = report.excessive_risk
    by_level = [abs(risk[level].iloc[0] - risk[level].iloc[1]) for level in ("even", "odd")]
    assert report.fairness_violation == pytest.approx(max(by_level))
    for level in ("even", "odd"):
        rows = half == level
        alone = pruned.fairness_report(X[rows], y[rows], sensitive_features=group[rows])
        np.testing.assert_allclose(risk[level], alone.excessive_risk)
    assert "within control levels" in str(report)


def test_gap_floor_is_the_largest_over_levels(pruned, digits):
    X, y, group = digits
    few = np.where(np.arange(len(y)) < 60, "few", "many")
    report = pruned.fairness_report(X, y, sensitive_features=group, control_features=few)
    alone = [
        pruned.fairness_report(X[rows], y[rows], sensitive_features=group[rows]).accuracy_gap_floor
        for rows in (few == "few", few == "many")
    ]
    np.testing.assert_allclose(report.accuracy_gap_floor, np.max(alone, axis=0))
    assert (alone[0] > 2 * alone[1]).all()


def test_columns_intersect_and_empty_cells_drop_out(pruned, digits):
    X, y, group = digits
    frame = pd.DataFrame({"shape": group, "digit": y}, index=np.zeros(len(y)))
    report = pruned.fairness_report(X, y, sensitive_features=frame)
    # Ten digits, each of one shape: half of the twenty intersections are empty.
    assert len(report.excessive_risk) == len(report.to_frame()) == 10
    assert report.excessive_risk.index.names == ["shape", "digit"]
    assert np.isfinite(report.fairness_violation)


def test_group_called_like_the_labels(pruned, digits):
    X, y, _ = digits
    frame = pd.DataFrame({"y_true": y, "y_pred": y % 2})
    report = pruned.fairness_report(X, y, sensitive_features=frame)
    assert report.excessive_risk.index.names == ["y_true (group)", "y_pred (group)"]


def test_text_and_html_show_what_matters_and_escape_names(pruned, digits):
    X, y, _ = digits
    names = np.where(y % 2, "<script>alert(1)</script>", "é & ü")
    report = pruned.fairness_report(X, y, sensitive_features=names)
    text = str(report)
    assert f"ξ = {report.fairness_violation:.3f}" in text
    assert "90.0% of the prunable weights removed" in text
    assert repr(report) == text
    html = report._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "é &amp; ü" in html


def test_the_text_says_who_paid():
    report = FairnessReport(
        [0, 0, 0, 0, 1, 1],
        dense_pred=[0, 0, 0, 1, 0, 1],
        pruned_pred=[1, 0, 0, 0, 0, 1],
        dense_losses=[0.1] * 6,
        pruned_losses=[0.2] * 6,
        sensitive_features=["a", "a", "b", "b", "c", "c"],
    )
    who = "best group before, a: accuracy 1.000 → 0.500; worst after, a: 1.000 → 0.500"
    assert who in str(report)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"pruned_losses": [0.1, 0.2]}, "pruned_losses has 2 values, but y_true has 5"),
        ({"dense_losses": [np.nan] * 5}, "dense_losses must be finite"),
        ({"dense_pred": [[0]] * 5}, "dense_pred must be one-dimensional"),
        ({"sensitive_features": ["a"]}, "sensitive_features"),
        ({"sensitive_features": None}, "sensitive_features"),
        ({"control_features": ["a"]}, "control_features"),
        ({"y_true": []}, "y_true must hold at least one"),
    ],
)
def test_bad_input(spoil, message):
    with pytest.raises(ValueError, match=message):
        FairnessReport(**(BY_HAND | spoil))


@pytest.mark.parametrize("name", ["dense_pred", "pruned_pred"])
@pytest.mark.parametrize(
    ("y_true", "predicted", "kinds"),
    [
        ([0, 1, 0, 1, 1], list("01011"), ("integers", "strings")),
        (list("01011"), [0, 1, 0, 1, 1], ("strings", "integers")),
        ([0, 1, 0, 1, 1], [0.1, 1.0, 0.0, 1.0, 1.0], ("integers", "fractions")),
        ([False, True, False, True, True], [0.1, 0.9, 0.2, 0.8, 1.0], ("booleans", "fractions")),
        (list("01011"), [False, True, False, True, True], ("strings", "booleans")),
    ],
)
def test_report_predictions_of_another_kind_raises(name, y_true, predicted, kinds):
    spoilt = {"y_true": y_true, "dense_pred": y_true, "pruned_pred": y_true, name: predicted}
    message = f"{name} must hold labels as y_true does: y_true has {kinds[0]}, {name} has "
    with pytest.raises(ValueError, match=message + kinds[1]):
        FairnessReport(**(BY_HAND | spoilt))


@pytest.mark.parametrize(
    "predicted",
    [
        [0.0, 1.0, 0.0, 0.0, 1.0],
        np.array([0, 1, 0, 0, 1], dtype=np.uint8),
        np.array([0, 1, 0, 0, 1], dtype=np.float32),
        np.array([0, 1, 0, 0, 1], dtype=bool),
        pd.Series([0, 1, 0, 0, 1], dtype="Int64"),
    ],
)
def test_report_whole_numbers_and_booleans_are_one_kind(predicted):
    report = FairnessReport(**(BY_HAND | {"dense_pred": predicted}))
    pd.testing.assert_frame_equal(report.to_frame(), FairnessReport(**BY_HAND).to_frame())


def test_report_labels_of_mixed_kinds_raises():
    with pytest.raises(ValueError, match="y_true must hold labels of one kind, got integers and"):
        FairnessReport(**(BY_HAND | {"y_true": [0, 1, "a", 1, 1]}))


def test_report_fractional_labels_take_whole_predictions():
    halves = {"y_true": [0.5, 1, 1, 1, 1], "dense_pred": [0.5, 1, 1, 1, 1], "pruned_pred": [1] * 5}
    assert FairnessReport(**(BY_HAND | halves)).pruned.overall["accuracy"] == 0.8


@pytest.mark.parametrize("kind", [np.array, pd.DataFrame])
def test_report_labels_as_a_column_are_a_vector_with_a_warning(kind):
    y = [0, 1, 0, 1]
    column = kind([[each] for each in y])
    with pytest.warns(DataConversionWarning, match=r"y_true is a column of shape \(4, 1\)"):
        found = FairnessReport(column, dense_pred=y, pruned_pred=y, sensitive_features=list("aabb"))
    assert found.accuracy_drop.to_dict() == {"a": 0, "b": 0}
    with pytest.raises(ValueError, match="y_true must be one-dimensional"):
        FairnessReport(kind([y, y]), dense_pred=y, pruned_pred=y, sensitive_features=list("aabb"))
