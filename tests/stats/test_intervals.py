"""Student's interval against scipy, and intervals of spreads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from sk_prunefair.stats.intervals import mean_interval, spread_interval


def test_mean_interval_equals_scipy_and_is_unknown_for_one_value():
    x = np.random.default_rng(0).normal(2, 3, 12)
    low, high = mean_interval([x.mean(), 1.0], [x.std(ddof=1), np.nan], [12, 1], 0.9)
    expected = ttest_1samp(x, 0).confidence_interval(0.9)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))
    assert np.isnan([low[1], high[1]]).all()


def test_spread_interval_holds_where_all_intervals_hold():
    assert spread_interval([0.1, 0.2], [0.5, 0.6]) == (0.0, 0.5)
    assert spread_interval([np.nan, 0.2], [np.nan, 0.6]) == (0.0, np.inf)
