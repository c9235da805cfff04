"""Student's interval against scipy, and intervals of spreads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from sk_prunefair.stats.intervals import mean_interval, spread_interval


def test_mean_interval_equals_scipy_and_is_unknown_for_one_value():
    x = np.random.default_rng(0).normal(2, 3, 12)
    low, high = mean_interval([x.mean(), 1.0], [x.std(ddof=1), np.nan], [12, 1], 0.9)
    expected = ttest_1samp(x, 0).confidence_interval(0.9)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))
    assert np.isnan([low[1], high[1]]).all()


def test_mean_interval_ends_are_where_halls_transformation_meets_the_quantiles():
    mean, s, n, g = 0.3, 1.5, 12, 1.2
    low, high = mean_interval(mean, s, n, 0.9, g)
    quantile = t.isf(0.05, n - 1) / np.sqrt(n)
    for end, expected in ((low, quantile), (high, -quantile)):
        T = (mean - end) / s
        found = T + g * T**2 / 3 + g**2 * T**3 / 27 + g / (6 * n)
        assert found == pytest.approx(expected)
    # Of values with a long upper tail the mean may well be higher, and is hardly lower.
    assert high - mean > mean - low
    np.testing.assert_allclose(
        mean_interval(mean, s, n, 0.9, np.nan), mean_interval(mean, s, n, 0.9)
    )


def test_mean_interval_of_skewed_values_covers_more_often_than_students():
    rng = np.random.default_rng(0)
    x = rng.exponential(1, (4000, 20))
    g = ((x - x.mean(axis=1, keepdims=True)) ** 3).mean(axis=1) / x.std(axis=1, ddof=1) ** 3
    covered = []
    for skewness in (g, 0.0):
        low, high = mean_interval(x.mean(axis=1), x.std(axis=1, ddof=1), 20, 0.95, skewness)
        covered.append(((low <= 1) & (high >= 1)).mean())
    assert covered[1] < 0.925 < 0.935 < covered[0] < 0.96


def test_spread_interval_holds_where_all_intervals_hold():
    assert spread_interval([0.1, 0.2], [0.5, 0.6]) == (0.0, 0.5)
    assert spread_interval([np.nan, 0.2], [np.nan, 0.6]) == (0.0, np.inf)


def test_mean_interval_one_value_is_unknown_and_two_are_not():
    low, high = mean_interval([1.0, 1.0], [0.0, 2.0], [1, 2])
    assert np.isnan([low[0], high[0]]).all()
    # Student's quantile with one degree of freedom is tan(0.475 π) = 12.706.
    assert high[1] - 1 == pytest.approx(np.tan(0.475 * np.pi) * 2 / np.sqrt(2))
