"""Metrics of practice against scikit-learn and fairlearn, and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fl
from sklearn import metrics as sk

from sk_prunefair.metrics.practice import practice_frame, practice_summary
from sk_prunefair.outcome import Outcome

FIGURES = ["dense", "compressed", "change", "low", "high", "count"]
RATES = ["selection_rate", "true_positive_rate", "false_positive_rate", "precision"]
OF_SCORES = ["auc", "calibration_error", "brier_score"]


def outcome(truth, labels, scores=None):
    made = Outcome(None, labels, truth)
    object.__setattr__(made, "scores", scores)
    return made


def drawn(n, n_labels, seed=0, noise=0.7):
    """Return truth, outcomes of two classifiers of which the second is noisier, and groups."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_labels, size=n)
    logits = rng.normal(size=(n, n_labels)) + 1.5 * np.eye(n_labels)[truth]
    outcomes = []
    for extra in (0.0, noise):
        z = logits + extra * rng.normal(size=logits.shape)
        scores = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        # Coarse, so that there are ties.
        scores = (scores * 20).round() + 0.01
        scores /= scores.sum(axis=1, keepdims=True)
        outcomes.append(outcome(truth, scores.argmax(axis=1), scores))
    return truth, *outcomes, rng.choice(["a", "b", "c"], size=n, p=[0.6, 0.3, 0.1])


def naive_calibration_error(scores, labels, truth):
    confidence = scores[np.arange(len(truth)), labels]
    total = 0.0
    for k in range(15):
        rows = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if rows.any():
            gap = (labels == truth)[rows].mean() - confidence[rows].mean()
            total += rows.mean() * abs(gap)
    return total


@pytest.mark.parametrize("pos_label", [None, "no"])
def test_practice_frame_binary_is_that_of_scikit_learn_and_fairlearn(pos_label):
    truth, dense, compressed, groups = drawn(400, 2)
    frame = practice_frame(dense, compressed, ["no", "yes"], groups, pos_label=pos_label, n_boot=50)
    assert list(frame.columns) == FIGURES
    assert frame.index.names == ["group", "metric"]
    positive = 1 if pos_label is None else 0
    for name, each in (("dense", dense), ("compressed", compressed)):
        for group in "abc":
            rows = groups == group
            y, given = truth[rows] == positive, each.labels[rows] == positive
            scores = each.scores[rows]
            expected = {
                "selection_rate": fl.selection_rate(y, given),
                "true_positive_rate": fl.true_positive_rate(y, given),
                "false_positive_rate": fl.false_positive_rate(y, given),
                "precision": sk.precision_score(y, given),
                "auc": sk.roc_auc_score(y, scores[:, positive]),
                "brier_score": ((scores[:, positive] - y) ** 2).mean(),
                "calibration_error": naive_calibration_error(
                    scores, each.labels[rows], truth[rows]
                ),
            }
            found = frame.loc[group, name].dropna()
            pd.testing.assert_series_equal(
                found, pd.Series(expected), check_like=True, check_names=False
            )
    change = frame["compressed"] - frame["dense"]
    np.testing.assert_allclose(frame["change"][change.index][change.notna()], change.dropna())
    changed = pd.Series(dense.labels != compressed.labels).groupby(groups).mean()
    np.testing.assert_allclose(frame["change"].xs("disagreement_rate", level="metric"), changed)
    counts = frame["count"].unstack()
    sizes = pd.Series(truth == positive).groupby(groups).agg(["size", "sum"])
    assert counts["precision"].tolist() == sizes["size"].tolist()
    assert counts["true_positive_rate"].tolist() == sizes["sum"].tolist()
    assert counts["false_positive_rate"].tolist() == (sizes["size"] - sizes["sum"]).tolist()


def test_practice_frame_several_labels_are_macro_means_of_scikit_learn():
    truth, dense, compressed, groups = drawn(500, 4)
    frame = practice_frame(dense, compressed, list("wxyz"), groups, n_boot=20)
    assert "selection_rate" not in frame.index.get_level_values("metric")
    for group in "ab":
        rows = groups == group
        y, given, scores = truth[rows], compressed.labels[rows], compressed.scores[rows]
        one_hot = np.eye(4)[y]
        specificity = [sk.recall_score(y != k, given != k) for k in range(4)]
        expected = {
            "true_positive_rate": sk.balanced_accuracy_score(y, given),
            "false_positive_rate": 1 - np.mean(specificity),
            "precision": sk.precision_score(y, given, average="macro"),
            "auc": sk.roc_auc_score(y, scores, multi_class="ovr", average="macro"),
            "brier_score": ((scores - one_hot) ** 2).sum(axis=1).mean(),
            "calibration_error": naive_calibration_error(scores, given, y),
        }
        found = frame.loc[group, "compressed"].dropna()
        pd.testing.assert_series_equal(
            found, pd.Series(expected), check_like=True, check_names=False
        )


def test_practice_frame_pos_label_of_several_is_against_the_rest():
    truth, dense, compressed, groups = drawn(300, 3)
    frame = practice_frame(dense, compressed, [10, 20, 30], groups, pos_label=20, n_boot=20)
    rows = groups == "a"
    found = frame.loc["a", "dense"]
    assert found["selection_rate"] == pytest.approx((dense.labels[rows] == 1).mean())
    assert found["auc"] == pytest.approx(
        sk.roc_auc_score(truth[rows] == 1, dense.scores[rows][:, 1])
    )


def test_practice_frame_absent_labels_are_left_out_of_macro_means():
    truth, given = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 2])
    one = outcome(truth, given)
    frame = practice_frame(one, one, [0, 1, 2], ["a"] * 4, n_boot=10)
    found = frame.loc["a", "dense"]
    # Label 2 does not occur; 1 occurs and is never given.
    assert found["true_positive_rate"] == pytest.approx((1 + 0) / 2)
    assert found["precision"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["false_positive_rate"] == pytest.approx((1 / 2 + 0) / 2)


def test_practice_frame_labels_alone_have_no_rows_of_scores():
    truth, dense, compressed, groups = drawn(60, 2)
    bare = outcome(truth, compressed.labels)
    frame = practice_frame(dense, bare, [0, 1], groups, n_boot=20)
    assert set(frame.index.get_level_values("metric")) == {*RATES, "disagreement_rate"}


def test_practice_frame_group_without_positives_is_nan_where_it_is_not_defined():
    truth, given = np.array([0, 1, 0, 0]), np.array([0, 1, 0, 0])
    scores = np.array([[0.8, 0.2], [0.3, 0.7], [0.9, 0.1], [0.6, 0.4]])
    one = outcome(truth, given, scores)
    frame = practice_frame(one, one, [0, 1], ["a", "a", "b", "c"], n_boot=20)
    for group in "bc":
        part = frame.loc[group]
        for name in ("true_positive_rate", "precision", "auc"):
            assert part.loc[name, ["dense", "compressed", "change", "low"]].isna().all()
        assert part.loc["true_positive_rate", "count"] == 0
        assert part.loc["false_positive_rate", "dense"] == 0
        # One sample: the interval of a rate is wide, a bootstrap says nothing.
        assert part.loc["selection_rate", "high"] > 0.7
        assert part.loc[["calibration_error", "brier_score"], ["low", "high"]].isna().all(axis=None)


def test_practice_frame_nothing_changed_has_intervals_of_rates_alone():
    _, dense, _, groups = drawn(200, 2)
    frame = practice_frame(dense, dense, [0, 1], groups, n_boot=50)
    change = frame.drop("disagreement_rate", level="metric")
    assert (change["change"] == 0).all()
    has_interval = frame["low"].notna().groupby("metric").all()
    assert has_interval[has_interval].index.tolist() == [
        "disagreement_rate",
        "false_positive_rate",
        "selection_rate",
        "true_positive_rate",
    ]


def test_practice_frame_same_seed_same_intervals_whatever_the_index():
    _, dense, compressed, groups = drawn(100, 2)
    first = practice_frame(dense, compressed, [0, 1], groups, n_boot=30, random_state=4)
    odd = pd.Series(groups, index=np.full(100, 3), name="group")
    again = practice_frame(dense, compressed, [0, 1], odd, n_boot=30, random_state=4)
    pd.testing.assert_frame_equal(first, again)
    other = practice_frame(dense, compressed, [0, 1], groups, n_boot=30, random_state=5)
    assert not np.array_equal(first["low"].dropna(), other["low"].dropna())


def test_practice_frame_two_columns_and_names():
    _, dense, compressed, groups = drawn(100, 2)
    table = pd.DataFrame({"race": groups, "old": np.arange(100) % 2 == 0})
    frame = practice_frame(dense, compressed, [0, 1], table, n_boot=10, names=("float32", "int8"))
    assert frame.index.names == ["race", "old", "metric"]
    assert list(frame.columns[:2]) == ["float32", "int8"]
    assert frame.index.is_unique
    assert len(frame) == 6 * 8


@pytest.mark.slow
def test_practice_frame_bootstrap_is_that_of_a_loop_over_draws():
    truth, dense, compressed, _ = drawn(150, 2)
    frame = practice_frame(dense, compressed, [0, 1], ["a"] * 150, n_boot=3000).loc["a"]
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(400):
        rows = rng.integers(150, size=150)
        pair = []
        for each in (dense, compressed):
            y, given, scores = truth[rows], each.labels[rows], each.scores[rows]
            pair.append(
                [
                    sk.precision_score(y, given),
                    sk.roc_auc_score(y, scores[:, 1]),
                    naive_calibration_error(scores, given, y),
                    ((scores[:, 1] - y) ** 2).mean(),
                ]
            )
        draws.append(np.subtract(*pair))
    spread = np.std(draws, axis=0, ddof=1)
    names = ["precision", "auc", "calibration_error", "brier_score"]
    width = (frame["high"] - frame["low"])[names].to_numpy() / (2 * 1.96)
    np.testing.assert_allclose(width, spread, rtol=0.15)


@pytest.mark.slow
def test_practice_intervals_hold_the_change_about_as_often_as_they_say():
    # 20,000 samples stand for the population.
    truth, dense, compressed, _ = drawn(20_000, 2, noise=1.0)
    whole = practice_frame(dense, compressed, [0, 1], ["a"] * 20_000, n_boot=2).loc["a", "change"]
    rng, held = np.random.default_rng(0), []
    for _ in range(150):
        rows = rng.integers(20_000, size=300)
        part = [
            outcome(truth[rows], each.labels[rows], each.scores[rows])
            for each in (dense, compressed)
        ]
        frame = practice_frame(*part, [0, 1], ["a"] * 300, n_boot=100).loc["a"]
        held.append((frame["low"] <= whole) & (whole <= frame["high"]))
    share = pd.DataFrame(held).mean()
    # The plug-in calibration error of 300 samples is biased, which no interval mends.
    assert share.drop("calibration_error").between(0.89, 0.99).all(), share
    assert share["calibration_error"] > 0.8


@pytest.mark.parametrize("n_labels", [2, 3])
def test_practice_summary_is_that_of_fairlearn(n_labels):
    truth, dense, compressed, groups = drawn(600, n_labels, seed=3)
    frame = practice_summary(dense, compressed, list(range(n_labels)), groups, n_boot=50)
    for name, each in (("dense", dense), ("compressed", compressed)):
        by_label = [
            [
                metric(truth == k, each.labels == k, sensitive_features=groups)
                for metric in (
                    fl.demographic_parity_difference,
                    fl.equalized_odds_difference,
                    fl.demographic_parity_ratio,
                )
            ]
            for k in ([1] if n_labels == 2 else range(3))
        ]
        parity, odds, impact = zip(*by_label, strict=True)
        expected = [max(parity), max(odds), min(impact)]
        np.testing.assert_allclose(frame[name].dropna(), expected)
    change = (frame["compressed"] - frame["dense"]).dropna()
    np.testing.assert_allclose(frame["change"][:3], change)
    assert (frame["low"] < frame["change"]).all()
    assert (frame["change"] < frame["high"]).all()
    changed = pd.Series(dense.labels != compressed.labels).groupby(groups).mean()
    assert frame.loc["disagreement_rate_difference", "change"] == pytest.approx(np.ptp(changed))


def test_practice_summary_draws_within_groups_as_a_loop_does():
    _, dense, compressed, groups = drawn(300, 2, seed=5)
    frame = practice_summary(dense, compressed, [0, 1], groups, n_boot=3000)
    rng, draws = np.random.default_rng(0), []
    members = [np.flatnonzero(groups == group) for group in "abc"]
    for _ in range(1000):
        sampled = [rng.choice(each, len(each)) for each in members]
        pair = []
        for each in (dense, compressed):
            rates = [(each.labels[rows] == 1).mean() for rows in sampled]
            pair.append([max(rates) - min(rates), min(rates) / max(rates)])
        draws.append(np.subtract(*pair))
    spread = np.std(draws, axis=0, ddof=1)
    names = ["demographic_parity_difference", "impact_ratio"]
    width = (frame["high"] - frame["low"])[names].to_numpy() / (2 * 1.96)
    np.testing.assert_allclose(width, spread, rtol=0.12)


def test_practice_summary_one_group_has_no_difference():
    _, dense, compressed, _ = drawn(50, 2)
    frame = practice_summary(dense, compressed, [0, 1], ["a"] * 50, n_boot=10)
    assert frame["dense"].dropna().tolist() == [0, 0, 1]
    assert frame["low"].isna().all()


def test_practice_summary_group_without_positives_is_left_out_of_true_positive_rates():
    truth, given = np.array([0, 1, 0, 0, 1, 1]), np.array([0, 1, 0, 0, 1, 0])
    one = outcome(truth, given)
    frame = practice_summary(one, one, [0, 1], list("aabbcc"), n_boot=10)
    # TPR: a 1, c 1/2; FPR: 0 and 0.
    assert frame.loc["equalized_odds_difference", "dense"] == 0.5
    assert frame.loc["impact_ratio", "dense"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pos_label": "maybe"}, "pos_label must be one of the labels"),
        ({"n_boot": 1}, "n_boot must be"),
        ({"confidence": 0}, "confidence must be"),
        ({"groups": ["a"]}, "groups has 1 rows"),
        ({"groups": [None] * 40}, "missing values"),
    ],
)
@pytest.mark.parametrize("function", [practice_frame, practice_summary])
def test_practice_bad_input_raises(function, options, words):
    _, dense, compressed, groups = drawn(40, 2)
    given = {"groups": groups} | options
    with pytest.raises(ValueError, match=words):
        function(dense, compressed, ["no", "yes"], **given)


def test_practice_frame_scores_with_missing_values_raise():
    truth, dense, compressed, groups = drawn(40, 2)
    bad = outcome(truth, dense.labels, np.full((40, 2), np.nan))
    with pytest.raises(ValueError, match="scores must be finite"):
        practice_frame(bad, compressed, [0, 1], groups)
