"""Wilson's interval against scipy's, and how often it covers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from sk_prunefair.stats.wilson import wilson_interval


def wilson(right, n):
    return binomtest(right, n).proportion_ci(method="wilson")


def test_wilson_interval_is_that_of_scipy_away_from_the_ends():
    z = norm.ppf(0.975)
    for right, n in [(0, 5), (5, 5), (3, 10), (70, 100), (196, 200), (1, 1), (0, 1)]:
        found = wilson_interval(right / n, n, z)
        np.testing.assert_allclose(found, wilson(right, n), atol=1e-12)


def test_wilson_interval_near_the_ends_is_that_of_poisson_counts():
    # -log(0.95) = 0.0513: a Poisson count of that mean is above 0 with a probability of 0.05.
    low, high = wilson_interval([0.1, 0.9], 10, norm.ppf(0.975))
    assert low[0] == pytest.approx(-np.log(0.95) / 10)
    assert high[1] == pytest.approx(1 + np.log(0.95) / 10)
    np.testing.assert_allclose([high[0], low[1]], [wilson(1, 10).high, wilson(9, 10).low])
    assert np.isnan(wilson_interval(np.nan, 5)).all()


@pytest.mark.parametrize("n", [5, 10, 20, 50, 200])
def test_wilson_interval_covers_whatever_the_share(n):
    right = np.arange(n + 1)
    low, high = wilson_interval(right / n, n)
    plain = np.array([wilson(int(each), n) for each in right]).T
    covered, before = (
        [
            binom.pmf(right, n, share)[(ends[0] <= share) & (share <= ends[1])].sum()
            for share in np.linspace(0.5, 0.995, 200)
        ]
        for ends in ((low, high), plain)
    )
    assert min(covered) > 0.915
    assert np.mean(covered) > 0.95
    assert min(before) < min(covered) + 1e-9
    assert n > 20 or min(before) < 0.87


def test_wilson_interval_of_two_and_three_cases_by_hand():
    # Two or more of a Poisson count of mean μ are seen with a probability of 0.05 where
    # 1 − (1 + μ) exp(−μ) is 0.05; three or more with 1 − (1 + μ + μ² / 2) exp(−μ).
    z = norm.ppf(0.975)
    low, _ = wilson_interval([2 / 10, 3 / 51], [10, 51], z)
    two, three = low * [10, 51]
    assert 1 - (1 + two) * np.exp(-two) == pytest.approx(0.05)
    assert 1 - (1 + three + three**2 / 2) * np.exp(-three) == pytest.approx(0.05)
    # Up to 50 samples three cases are enough for Wilson's own.
    np.testing.assert_allclose(wilson_interval(3 / 50, 50, z), wilson(3, 50))
