"""Procedures that test several candidates: their level with known truth, and their order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Promise
from sk_prunefair.selection import decide
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.procedures import HeldOut, OrderRows, split_rows

PROMISE = Promise(0.1, None, 5.0, 0.9)


def outcome(lost, won, codes):
    """Return the outcome of a net against one that is right on even rows."""
    truth = np.arange(len(codes)) // 2 % 2
    dense_right = np.arange(len(codes)) % 2 == 0
    right = dense_right & ~lost | ~dense_right & won
    return Outcome(None, np.where(right, truth, 1 - truth), truth)


def held_out(sizes, share, seed):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    order, test = split_rows(codes, share, seed)
    nothing = np.zeros(len(codes), dtype=bool)
    dense = outcome(nothing, nothing, codes)
    return HeldOut(dense, codes, pd.RangeIndex(len(sizes)), [0, 1], order, test)


def drawn(drops, rows, rng):
    """Return one run for each true drop, of all groups alike, independent of each other."""
    runs = []
    for drop in drops:
        u = rng.random(len(rows.codes))
        # Half of the rows are right before, so that twice the share of them is lost.
        runs.append(Run(outcome(u < 2 * (drop + 0.02), u < 0.04, rows.codes)))
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["pareto", "by train", "fixed_sequence", "holm"])
@pytest.mark.parametrize("drops", [[0.1001] * 12, [0.0, 0.1001] * 6])
def test_decide_returns_a_broken_candidate_no_more_often_than_promised(procedure, drops):
    n_draws, n_broken, others = 400, 0, None
    costs = list(range(len(drops), 0, -1))
    for seed in range(n_draws):
        rows = held_out([150], 0.3 if procedure == "pareto" else 0.0, seed)
        runs = drawn(drops, rows, np.random.default_rng(seed))
        if procedure == "by train":  # nets that were fitted to them: nothing is lost there
            nothing = drawn([-0.02] * len(drops), rows, np.random.default_rng(-seed % 1000))
            others = OrderRows(rows.dense, nothing, rows.codes)
        name = "pareto" if procedure == "by train" else procedure
        best = decide(name, PROMISE, costs, runs, rows, order_rows=others).best
        n_broken += best is not None and drops[best] > 0.1
    # Three standard errors beyond 1 − confidence.
    assert n_broken / n_draws <= 0.1 + 3 * np.sqrt(0.09 / n_draws)


def test_decide_without_control_would_break_the_promise():
    """The draws are hard: the cheapest whose own test passes breaks it in most of them."""
    drops, n_broken = [0.1001] * 12, 0
    for seed in range(30):
        rows = held_out([150], 0.0, seed)
        runs = drawn(drops, rows, np.random.default_rng(seed))
        n_broken += any(rows.keeps(PROMISE, run) for run in runs)
    assert n_broken / 30 > 0.25


def test_decide_takes_the_cheapest_that_each_procedure_may_reach():
    rows = held_out([600, 600], 0.3, 0)
    drops, costs = [0.0, 0.3, 0.01, 0.4], [9.0, 5.0, 2.0, 1.0]
    runs = drawn(drops, rows, np.random.default_rng(0))
    pareto = decide("pareto", PROMISE, costs, runs, rows)
    assert pareto.best == 2
    assert 1 not in pareto.tested  # dearer and worse than another
    assert pareto.tested[-1] == 3  # the cheapest one fails last
    by_cost = decide("fixed_sequence", PROMISE, costs, runs, rows)
    assert (by_cost.best, by_cost.tested) == (0, [0, 1])
    holm = decide("holm", PROMISE, costs, runs, rows)
    assert (holm.best, holm.passed) == (2, {0, 2})
    # At first four share the level; once two have passed, the two that are left.
    assert holm.levels == pytest.approx({0: 0.025, 2: 0.025, 1: 0.05, 3: 0.05})


def test_decide_the_dense_net_needs_no_test_and_what_costs_more_is_not_tested():
    rows = held_out([60], 0.3, 0)
    runs = drawn([0.0, 0.4, 0.0], rows, np.random.default_rng(0))
    for procedure in ("pareto", "fixed_sequence", "holm"):
        found = decide(procedure, PROMISE, [9.0, 1.0, 9.5], runs, rows, safe=[0])
        assert (found.best, found.tested, found.passed) == (0, [1], {0})


def test_decide_the_order_is_that_of_the_order_rows_given():
    rows = held_out([600], 0.0, 0)
    costs, rng = [3.0, 2.0, 1.0], np.random.default_rng(0)
    runs = drawn([0.0, 0.0, 0.0], rows, rng)
    for drops, tested in (
        ([0.0, 0.05, 0.08], [0, 1, 2]),
        ([0.2, 0.0, 0.01], [1, 2]),  # dearer and worse than the others
        ([0.0, 0.2, 0.4], [0, 1, 2]),
        ([0.4, 0.3, 0.0], [2]),
    ):
        others = OrderRows(rows.dense, drawn(drops, rows, rng), rows.codes)
        assert decide("pareto", PROMISE, costs, runs, rows, order_rows=others).tested == tested


def test_keeps_is_what_judge_says():
    rows = held_out([200, 300], 0.0, 0)
    drops = [0.0, 0.04, 0.06, 0.08, 0.3]
    runs = drawn(drops, rows, np.random.default_rng(1))
    said = [bool(rows.judge(PROMISE, run)["passed"].all()) for run in runs]
    assert [rows.keeps(PROMISE, run) for run in runs] == said
    assert 0 < sum(said) < len(said)
    constant = Run(Outcome(None, np.zeros(500, dtype=int), rows.dense.truth))
    assert not rows.keeps(PROMISE, constant)


def test_split_rows_takes_a_share_of_each_group_and_no_row_twice():
    codes = np.repeat([0, 1, 2], [100, 11, 1])
    order, test = split_rows(codes, 0.3, 0)
    assert np.bincount(codes[order]).tolist() == [30, 3]
    assert sorted([*order, *test]) == list(range(112))
