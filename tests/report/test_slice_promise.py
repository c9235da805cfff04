"""The promise to all groups that rules make."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from sk_prunefair import FairnessReport
from sk_prunefair.outcome import Outcome
from sk_prunefair.report.slice_promise import judge_slices
from sk_prunefair.stats.paired import drop_p_value, drop_upper_bound

N = 4000
RNG = np.random.default_rng(0)
FEATURES = pd.DataFrame(
    {"a": RNG.integers(0, 2, N), "b": RNG.choice(["x", "y", "z"], N)}, index=np.arange(N)[::-1]
)
TRUTH = RNG.integers(0, 2, N)


def outcomes(is_lost, is_won=None):
    is_won = np.zeros(len(is_lost), dtype=bool) if is_won is None else is_won
    truth = TRUTH[: len(is_lost)]
    dense = np.where(is_won, 1 - truth, truth)
    return Outcome(None, dense, truth), Outcome(None, np.where(is_lost, 1 - truth, truth), truth)


def test_judge_slices_counts_each_rule_as_by_hand():
    is_lost = RNG.random(N) < 0.02
    found = judge_slices(FEATURES, *outcomes(is_lost), [0, 1], min_rows=100)
    table = found.table.set_index("group")
    # Two values and three, and their pairs.
    assert len(table) == 2 + 3 + 6
    chosen = ((FEATURES["a"] == 1) & (FEATURES["b"] == "y")).to_numpy()
    row = table.loc['a > 0.5 and b = "y"']
    assert row["count"] == chosen.sum()
    assert row["drop"] == pytest.approx(is_lost[chosen].mean())
    assert row["compressed"] == pytest.approx(1 - is_lost[chosen].mean())
    p = drop_p_value(int(chosen.sum()), int(is_lost[chosen].sum()), 0, 0.02)
    assert row["p_value"] == pytest.approx(p)
    # At a part of the level for each of the rules.
    bound = drop_upper_bound(int(chosen.sum()), int(is_lost[chosen].sum()), 0, 1 - 0.05 / 11)
    assert row["drop_bound"] == pytest.approx(bound, abs=1e-6)


def test_judge_slices_counts_what_was_won_against_what_was_lost():
    is_lost, is_won = np.arange(N) % 40 == 0, np.arange(N) % 50 == 1
    found = judge_slices(FEATURES, *outcomes(is_lost, is_won), [0, 1], min_rows=100)
    table = found.table.set_index("group")
    chosen = (FEATURES["b"] == "z").to_numpy()
    row = table.loc['b = "z"']
    assert row["dense"] == pytest.approx(1 - is_won[chosen].mean())
    assert row["compressed"] == pytest.approx(1 - is_lost[chosen].mean())
    assert row["drop"] == pytest.approx(is_lost[chosen].mean() - is_won[chosen].mean())
    assert table["passed"].dtype == "boolean"
    p_values = found.table["p_value"]
    assert p_values.is_monotonic_decreasing
    assert found.table["passed"].tolist() == (p_values <= 0.05).tolist()


def test_judge_slices_rows_needed_are_told_of_rules_that_do_not_pass():
    is_lost = (FEATURES["b"] == "x").to_numpy() & (np.arange(N) % 40 == 0)
    table = judge_slices(FEATURES, *outcomes(is_lost), [0, 1], min_rows=100).table
    passed = table["passed"].to_numpy(dtype=bool)
    assert 0 < passed.sum() < len(table)
    for name in ("samples_needed", "samples_needed_most"):
        assert table.loc[passed, name].isna().all()
        assert (table.loc[~passed, name] > table.loc[~passed, "count"]).all()


def test_judge_slices_bins_say_how_many_parts_a_number_has():
    features = {"x": np.arange(N)}
    agreed = outcomes(np.zeros(N, dtype=bool))
    for bins, n_rules in ((2, 2), (4, 9)):  # intervals of 4 bins, but for all of them
        found = judge_slices(features, *agreed, [0, 1], min_rows=100, bins=bins)
        assert len(found.table) == n_rules


def test_judge_slices_harm_of_one_pair_breaks_the_promise_and_names_it():
    is_hurt = ((FEATURES["a"] == 1) & (FEATURES["b"] == "y")).to_numpy() & (RNG.random(N) < 0.2)
    report = FairnessReport(
        TRUTH,
        dense_pred=TRUTH,
        pruned_pred=np.where(is_hurt, 1 - TRUTH, TRUTH),
        sensitive_features=FEATURES["b"],
    )
    found = report.promise_slices(FEATURES, 0.05, min_rows=300)
    assert not found.kept
    assert found.binding_group == 'a > 0.5 and b = "y"'
    harmless = found.table.set_index("group").loc["a <= 0.5"]
    assert harmless["passed"]
    assert harmless["p_adjusted"] <= 0.05
    assert report.promise_slices(FEATURES, 0.05, min_rows=300, max_features=1).table.shape[0] == 5


def test_judge_slices_nets_that_agree_keep_the_promise():
    found = judge_slices(FEATURES, *outcomes(np.zeros(N, dtype=bool)), [0, 1], min_rows=200)
    assert found.kept
    assert (found.table["p_adjusted"] <= 0.05).all()


def test_judge_slices_constant_answers_are_not_approved():
    dense = Outcome(None, TRUTH, TRUTH)
    constant = Outcome(None, np.zeros(N, dtype=np.int64), TRUTH)
    found = judge_slices(FEATURES, dense, constant, ["no", "yes"], 0.9)
    assert not found.kept
    assert "gives every sample the label 'no'" in found.sentence


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"min_rows": N + 1}, "min_rows: no rule over"),
        ({"min_rows": 0}, "min_rows must be an integer >= 1"),
        ({"max_features": 3}, "max_features must be 1 or 2"),
        ({"bins": 1}, "bins must be an integer >= 2"),
        ({"confidence": 1.0}, "confidence"),
        ({"max_accuracy_drop": 1.0}, "max_accuracy_drop"),
    ],
)
def test_judge_slices_bad_argument_is_named(options, word):
    with pytest.raises(ValueError, match=word):
        judge_slices(FEATURES, *outcomes(np.zeros(N, dtype=bool)), [0, 1], **options)


def test_judge_slices_features_of_another_length_are_refused():
    with pytest.raises(ValueError, match="features has 10 rows"):
        judge_slices(FEATURES[:10], *outcomes(np.zeros(N, dtype=bool)), [0, 1])


@pytest.mark.parametrize(
    ("features", "words"), [({}, "at least one column"), ({"a": np.ones(N)}, "tell rows apart")]
)
def test_judge_slices_features_that_make_no_rule_are_refused(features, words):
    with pytest.raises(ValueError, match=words):
        judge_slices(features, *outcomes(np.zeros(N, dtype=bool)), [0, 1])


@pytest.mark.slow
def test_judge_slices_errs_as_often_as_it_may_where_numbers_are_cut_by_the_rows():
    # One quarter of a number loses just what may not be lost, the rest nothing.
    draws, kept, named, bounded = 120, 0, 0, 0
    rng = np.random.default_rng(1)
    truth = np.arange(1200) % 2
    for _ in range(draws):
        x, other = rng.random(1200), rng.integers(0, 2, 1200)
        is_lost = (x > 0.75) & (rng.random(1200) < 0.05)
        nets = (Outcome(None, each, truth) for each in (truth, np.where(is_lost, 1 - truth, truth)))
        found = judge_slices({"x": x, "o": other}, *nets, [0, 1], 0.05, min_rows=250)
        kept += found.kept
        table = found.table
        # Of "x > cut" with a cut below 0.75 the drop is less; the rule with the largest cut counts.
        last = table[table["group"].str.fullmatch(r"x > [0-9.]+")].nsmallest(1, "count").iloc[0]
        cut = float(last["group"].split()[-1])
        true = 0.05 * min(1.0, 0.25 / (1 - cut))
        named += true >= 0.05 and last["p_adjusted"] <= 0.05
        bounded += last["drop_bound"] < true
    most = binom.isf(1e-3, draws, 0.05)
    assert kept <= most
    assert named <= most
    assert bounded <= most
