"""Intervals: Tango's against its definition and in simulation, Student's against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from sk_prunefair.stats.intervals import drop_interval, mean_interval, spread_interval


def tango(lost, won, n, drop):
    """Score of a drop, with the share won that is likeliest under it, found on a grid."""
    shares = np.linspace(max(0, -drop), (1 - drop) / 2, 200_001)[1:-1]
    rest = n - lost - won
    likelihood = lost * np.log(shares + drop) + won * np.log(shares)
    likelihood += rest * np.log(np.clip(1 - 2 * shares - drop, 1e-300, None))
    share = shares[likelihood.argmax()]
    return (lost - won - n * drop) / np.sqrt(n * (2 * share + drop * (1 - drop)))


@pytest.mark.parametrize(("n", "lost", "won"), [(100, 12, 4), (40, 3, 3), (25, 1, 6)])
def test_drop_interval_ends_have_the_score_of_the_quantile(n, lost, won):
    low, high = drop_interval(n, lost, won)
    assert tango(lost, won, n, float(high)) == pytest.approx(-1.96, abs=2e-3)
    assert tango(lost, won, n, float(low)) == pytest.approx(1.96, abs=2e-3)


def test_drop_interval_of_turned_around_pairs_is_turned_around():
    low, high = drop_interval([50, 50], [7, 2], [2, 7])
    np.testing.assert_allclose([low[0], high[0]], [-high[1], -low[1]], atol=1e-12)


def test_drop_interval_where_nothing_changed_has_a_width():
    low, high = drop_interval(20, 0, 0)
    assert float(high) == pytest.approx(1.96**2 / (20 + 1.96**2), rel=1e-4)
    assert float(low) == -float(high)
    low, high = drop_interval(5, 5, 0)
    assert 0 < float(low) < float(high) == pytest.approx(1)


@pytest.mark.parametrize(("n", "lost", "won"), [(30, 0.1, 0.05), (200, 0.02, 0.02), (15, 0.3, 0.1)])
def test_drop_interval_covers_in_simulation(n, lost, won):
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n, [lost, won, 1 - lost - won], size=3000)
    low, high = drop_interval(np.full(3000, n), counts[:, 0], counts[:, 1])
    covered = ((low <= lost - won) & (lost - won <= high)).mean()
    assert 0.93 <= covered <= 0.995


def test_mean_interval_equals_scipy_and_is_unknown_for_one_value():
    x = np.random.default_rng(0).normal(2, 3, 12)
    low, high = mean_interval([x.mean(), 1.0], [x.std(ddof=1), np.nan], [12, 1], 0.9)
    expected = ttest_1samp(x, 0).confidence_interval(0.9)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))
    assert np.isnan([low[1], high[1]]).all()


def test_spread_interval_holds_where_all_intervals_hold():
    assert spread_interval([0.1, 0.2], [0.5, 0.6]) == (0.0, 0.5)
    assert spread_interval([np.nan, 0.2], [np.nan, 0.6]) == (0.0, np.inf)
