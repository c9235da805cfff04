"""Differences between group means under shuffling, against independent draws."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.metrics import accuracy_gap_floor
from sk_prunefair.stats import permutation
from sk_prunefair.stats.permutation import shuffled_gaps


def test_shuffled_gaps_equal_groups_mean_is_that_of_independent_draws():
    rng = np.random.default_rng(1)
    codes = np.repeat([0, 1, 2], [500, 300, 20])
    _, shuffled, _ = shuffled_gaps(rng.random((820, 1)) < 0.8, codes, 999)
    assert shuffled[0] == pytest.approx(accuracy_gap_floor(0.8, [500, 300, 20]), abs=0.01)


def test_shuffled_gaps_equal_groups_p_values_are_uniform():
    rng = np.random.default_rng(2)
    codes = np.repeat([0, 1, 2], 30)
    _, _, p_values = shuffled_gaps(rng.exponential(size=(90, 400)), codes, 99)
    assert 0.02 < np.mean(p_values <= 0.05) < 0.09  # 0.05 ± 3 standard errors, rounded outwards
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)
    assert shuffled_gaps(codes[:, None] == 2, codes, 99)[2] == [0.01]


def test_shuffled_gaps_noisy_small_group_still_finds_large_ones():
    rng = np.random.default_rng(3)
    codes = np.repeat([0, 1, 2], [4000, 4000, 4])
    values = rng.normal(size=(8004, 1)) + 0.15 * (codes == 1)[:, None]
    values[-4:] -= values[-4:].mean()
    gap, shuffled, p_value = shuffled_gaps(values, codes, 199)
    assert gap < shuffled
    assert p_value == [0.005]


def test_shuffled_gaps_two_groups_equals_test_of_difference():
    # With two groups the statistic orders shuffles as the difference of means does.
    rng = np.random.default_rng(4)
    codes, values = np.repeat([0, 1], [30, 10]), rng.random((40, 1))
    _, _, p_value = shuffled_gaps(values, codes, 199)
    rng, column = np.random.default_rng(0), values[:, 0]

    def difference(codes):
        return abs(column[codes == 1].mean() - column[codes == 0].mean())

    larger = sum(difference(rng.permutation(codes)) >= difference(codes) for _ in range(199))
    assert p_value == [(1 + larger) / 200]


def test_shuffled_gaps_few_rows_a_group_are_shuffled_themselves(monkeypatch):
    # Sums are drawn where rows are many, and many in each group.
    rng = np.random.default_rng(5)
    codes, values = np.arange(300) % 10, rng.random((300, 2))
    by_rows = shuffled_gaps(values, codes, 19)
    monkeypatch.setattr(permutation, "MANY_ROWS", 100)
    np.testing.assert_array_equal(shuffled_gaps(values, codes, 19), by_rows)
