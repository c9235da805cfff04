"""What one group proves about one criterion."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.promise import Criterion
from sk_prunefair.promise.evidence import examine, rounds
from sk_prunefair.stats.paired import drop_p_value, drop_upper_bound

ACCURACY = Criterion("accuracy", lambda outcome: outcome.is_right, is_binary=True)
SCORE = Criterion("score", lambda outcome: outcome.is_right)
BALANCED = Criterion("balanced accuracy", lambda outcome: outcome.is_right, by_class=True)


def pair(lost, won, n):
    """Return values before and after: the lost ones first, then the won ones."""
    before, after = np.ones(n), np.ones(n)
    after[:lost] = 0
    before[lost : lost + won] = 0
    return before, after


def found(criterion, lost, won, n, bound=0.02, truth=None, confidence=0.95):
    truth = np.zeros(n, dtype=int) if truth is None else truth
    return examine(criterion, *pair(lost, won, n), truth, bound=bound, confidence=confidence)


def test_examine_binary_values_is_the_exact_paired_test():
    each = found(ACCURACY, 3, 1, 400)
    assert each.p_value == pytest.approx(drop_p_value(400, 3, 1, 0.02, 0.05 / 20))
    assert each.drop_bound == drop_upper_bound(400, 3, 1)
    assert (each.dense, each.compressed, each.drop) == (399 / 400, 397 / 400, 2 / 400)
    assert each.is_testable


@pytest.mark.parametrize("n", [2, 10, 34])
def test_examine_one_lost_row_leaves_a_number_of_rows_that_would_do(n):
    each = found(ACCURACY, 1, 0, n)
    assert not each.is_testable
    assert 148 <= each.needed <= 160  # as if nothing had been lost
    assert np.isinf(each.needed_most)  # were the drop what was seen


def test_examine_samples_needed_range_holds_the_number_that_passes():
    each = found(ACCURACY, 12, 2, 700)
    assert each.p_value > 0.05
    assert 700 < each.needed < each.needed_most < 10_000
    n = int(1.1 * each.needed_most)
    lost, won = int(np.ceil(12 / 700 * n)), int(2 / 700 * n)
    assert drop_p_value(n, lost, won, 0.02) <= 0.05
    n = int(each.needed)
    assert drop_p_value(n, int(np.ceil(12 / 700 * n)), int(2 / 700 * n), 0.02) > 0.05


def test_examine_proven_harm_has_no_number():
    each = found(ACCURACY, 20, 0, 100)
    assert np.isinf(each.needed)
    assert each.p_harm < 0.001


def test_examine_passing_group_needs_no_more():
    each = found(ACCURACY, 0, 0, 400)
    assert each.p_value <= 0.05
    assert np.isnan([each.needed, each.needed_most]).all()


@pytest.mark.parametrize("criterion", [ACCURACY, SCORE, BALANCED])
def test_examine_without_rows_says_how_many_it_takes(criterion):
    nothing = np.array([])
    each = examine(criterion, nothing, nothing, nothing, bound=0.05, confidence=0.95)
    assert (each.count, each.p_value, each.is_testable) == (0, 1.0, False)
    n = int(1.1 * each.needed)
    truth = np.zeros(n, dtype=int)
    enough = examine(criterion, np.ones(n), np.ones(n), truth, bound=0.05, confidence=0.95)
    assert enough.p_value <= 0.05


def test_rounds_mean_is_the_mean_of_the_classes_means_for_equal_rounds():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [40, 10, 20])
    values = rng.random(70)
    expected = np.mean([values[truth == each].mean() for each in range(3)])
    assert rounds(values, truth).mean() == pytest.approx(expected)
    assert len(rounds(values, truth)) == 10


def test_rounds_use_all_rows():
    truth = np.repeat([0, 1], [37, 10])
    for row in range(47):
        assert rounds(np.eye(47)[row], truth).sum() > 0


def test_examine_balanced_accuracy_sees_a_rare_class_that_falls():
    truth = np.repeat([1, 0], [100, 1900])
    of_rare = found(BALANCED, 30, 0, 2000, bound=0.05, truth=truth)
    assert of_rare.drop == pytest.approx(0.15)
    assert of_rare.p_value == 1
    assert found(ACCURACY, 30, 0, 2000, bound=0.05).p_value <= 0.05


def test_examine_balanced_accuracy_holds_in_simulation_for_rare_classes():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [350, 50])
    # Class 1 loses 0.3 of its rows, class 0 wins 0.1: the mean falls by 0.1.
    passed = []
    for _ in range(400):
        change = np.concatenate([-1.0 * (rng.random(350) < 0.1), 1.0 * (rng.random(50) < 0.3)])
        before, after = (change >= 0).astype(float), (change <= 0).astype(float)
        each = examine(BALANCED, before, after, truth, bound=0.1, confidence=0.8)
        passed.append(each.p_value <= 0.2)
    assert np.mean(passed) <= 0.2


def test_examine_bets_need_about_the_rows_they_say():
    rng = np.random.default_rng(1)
    change = rng.choice([1.0, -1.0, 0.0], p=[0.04, 0.03, 0.93], size=300)
    before, after = (change >= 0).astype(float), (change <= 0).astype(float)
    few = examine(SCORE, before, after, np.zeros(300), bound=0.06, confidence=0.95)
    assert few.p_value > 0.05
    n = int(few.needed_most)
    assert 300 < n < 30_000
    for factor, passes in ((2.0, True), (0.15, False)):
        order = rng.integers(0, 300, int(factor * n))
        each = examine(
            SCORE, before[order], after[order], np.zeros(len(order)), bound=0.06, confidence=0.95
        )
        assert (each.p_value <= 0.05) == passes
