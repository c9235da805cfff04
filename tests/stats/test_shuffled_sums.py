"""Sums over shuffled groups, drawn without shuffling rows, against shuffled rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from sk_prunefair.stats import permutation
from sk_prunefair.stats.permutation import shuffled_gaps
from sk_prunefair.stats.shuffled_sums import Bins, shuffled_sums, shuffled_tables

SIZES = np.array([3, 10, 60, 427])
COLUMNS = {
    "right": lambda rng: (rng.random(500) < 0.8).astype(float),
    "drop": lambda rng: rng.choice([-1.0, 0.0, 1.0], 500, p=[0.02, 0.9, 0.08]),
    "normal": lambda rng: rng.normal(size=500),
    "skewed": lambda rng: rng.lognormal(sigma=1.5, size=500),
    "constant": lambda rng: np.full(500, 0.1),
}


def naive_sums(column, n_shuffles, rng):
    codes = np.repeat(np.arange(len(SIZES)), SIZES)
    return np.array([np.bincount(rng.permutation(codes), column) for _ in range(n_shuffles)])


@pytest.mark.parametrize("kind", COLUMNS)
def test_shuffled_sums_have_mean_and_covariance_of_shuffled_rows(kind):
    column = COLUMNS[kind](np.random.default_rng(0))
    sums = shuffled_sums(column, SIZES, 20_000, np.random.default_rng(1))
    np.testing.assert_allclose(sums.sum(axis=1), column.sum())
    # By the theory of samples without replacement.
    n, variance = len(column), column.var(ddof=1)
    expected = variance * (np.diag(SIZES) - np.outer(SIZES, SIZES) / n)
    spread = np.sqrt(np.diag(expected))
    errors = 5 * spread / np.sqrt(20_000) + 1e-9
    assert (np.abs(sums.mean(axis=0) - SIZES * column.mean()) <= errors).all()
    unit = np.outer(spread, spread) + 1e-12
    np.testing.assert_allclose(np.cov(sums.T) / unit, expected / unit, atol=0.06)


@pytest.mark.parametrize("kind", ["right", "drop", "normal", "skewed"])
def test_shuffled_sums_are_distributed_as_those_of_shuffled_rows(kind):
    column = COLUMNS[kind](np.random.default_rng(2))
    drawn = shuffled_sums(column, SIZES, 4000, np.random.default_rng(3)) / SIZES
    shuffled = naive_sums(column, 4000, np.random.default_rng(4)) / SIZES
    errors = np.sqrt(1 / SIZES - 1 / len(column))
    for measure in (
        lambda means: np.ptp(means, axis=1),
        lambda means: (np.abs(means - column.mean()) / errors).max(axis=1),
    ):
        # 0.036 is what 4,000 draws of one distribution exceed in 1 % of all cases.
        assert ks_2samp(measure(drawn), measure(shuffled)).statistic < 0.036


def test_shuffled_tables_have_the_margins_and_hypergeometric_cells():
    counts, sizes = np.array([5, 0, 20]), np.array([4, 1, 20])
    tables = shuffled_tables(counts, np.tile(sizes, (5000, 1)), np.random.default_rng(0))
    assert (tables >= 0).all()
    assert (tables.sum(axis=1) == counts).all()
    assert (tables.sum(axis=2) == sizes).all()
    # One row of 25 falls on one of 5 with 1/5.
    assert tables[:, 1, 0].mean() == pytest.approx(0.2, abs=0.02)


def test_bins_keep_rows_sum_and_squares():
    column = np.concatenate([np.zeros(1000), np.random.default_rng(0).exponential(size=9000)])
    bins = Bins.of(column, np.array([-1.0, 0.0, 1e-9, 1.0, 3.0]))
    assert bins.counts[0] == 1000
    assert bins.deviations[0] == 0
    assert bins.counts.sum() == 10_000
    assert bins.counts @ bins.means == pytest.approx(column.sum())
    squares = bins.counts @ bins.means**2 + (bins.counts - 1) @ bins.deviations**2
    assert squares == pytest.approx((column**2).sum())


def test_shuffled_sums_few_values_are_sums_of_these():
    column = np.array([2.0, -1.0, 2.0, 0.5] * 5)
    sums = shuffled_sums(column, np.array([1, 19]), 200, np.random.default_rng(0))
    assert set(sums[:, 0]) == {2.0, -1.0, 0.5}


def test_shuffled_sums_many_values_after_the_first_thousand_rows_are_seen():
    column = np.append(np.zeros(2000), np.arange(20.0))
    sums = shuffled_sums(column, np.array([1010, 1010]), 200, np.random.default_rng(0))
    np.testing.assert_allclose(sums.sum(axis=1), 190)
    # The extreme rows are whole: so are sums of zeros and of these.
    np.testing.assert_allclose(sums, sums.round(), atol=1e-9)


def test_shuffled_gaps_many_rows_agree_with_shuffled_rows(monkeypatch):
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(4), [3000, 500, 100, 900])
    values = np.column_stack([rng.random(4500) < 0.8, rng.exponential(size=4500)])
    by_rows = shuffled_gaps(values, codes, 999)
    monkeypatch.setattr(permutation, "MANY_ROWS", 1000)
    by_sums = shuffled_gaps(values, codes, 999)
    np.testing.assert_array_equal(by_sums[0], by_rows[0])
    np.testing.assert_allclose(by_sums[1], by_rows[1], rtol=0.05)
    np.testing.assert_allclose(by_sums[2], by_rows[2], atol=0.08)


@pytest.mark.slow
def test_shuffled_gaps_many_rows_p_values_are_uniform(monkeypatch):
    monkeypatch.setattr(permutation, "MANY_ROWS", 100)
    monkeypatch.setattr(permutation, "ROWS_PER_GROUP", 10)
    codes = np.repeat([0, 1, 2], [150, 100, 50])
    values = np.random.default_rng(6).lognormal(size=(300, 300))
    _, _, p_values = shuffled_gaps(values, codes, 99)
    assert 0.015 < np.mean(p_values <= 0.05) < 0.1  # 0.05 ± 3 standard errors, rounded outwards
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)


def test_shuffled_sums_of_eight_values_are_exact():
    column = np.tile(2.0 ** np.arange(8), 5)
    sums = shuffled_sums(column, np.array([1, 39]), 400, np.random.default_rng(0))
    assert set(sums[:, 0]) == set(column)


def test_shuffled_sums_rows_far_below_the_median_are_given_as_they_are():
    rng, far = np.random.default_rng(0), 50.0 - np.arange(10)
    column = np.append(rng.normal(100, 0.1, 990), far)
    sums = shuffled_sums(column, np.array([1, 999]), 2000, rng)[:, 0]
    # One row in a hundred is far; never is one mixed with others.
    assert set(sums[sums < 99]) <= set(far)
    assert 5 < (sums < 99).sum() < 40
