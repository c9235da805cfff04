"""Bounds of a mean by bets, against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.stats.betting import mean_lower_bound, mean_p_value, mean_upper_bound


def test_mean_bound_worked_out_by_hand():
    # One value of 1: the capital 1 + 0.75 / m (1 - m) is 2 at m = 3/7, where 0.75 / m < 2.35, the
    # stake that a variance of 0.25 asks for.
    assert mean_lower_bound([1.0], low=0, high=1, confidence=0.5) == pytest.approx(3 / 7)
    assert mean_upper_bound([-1.0], low=-1, high=0, confidence=0.5) == pytest.approx(-3 / 7)
    assert mean_lower_bound([2.0, 2.0], low=2, high=4) == 2.0


def test_mean_bounds_of_many_draws_hold_and_shrink():
    rng = np.random.default_rng(0)
    share, widths = 0.05, []
    for n in (50, 500):
        draws = (rng.random((400, n)) < share) * 4.0 - 1
        uppers = np.array([mean_upper_bound(row, low=-1, high=3, confidence=0.9) for row in draws])
        assert (uppers < 4 * share - 1).mean() <= 0.1
        widths.append(uppers.mean())
    assert widths[1] < widths[0]


@pytest.mark.parametrize(
    ("bound", "values", "message"),
    [
        (mean_lower_bound, [0.5, np.nan], "values must be finite"),
        (mean_lower_bound, [0.5, 1.5], r"values must be in \[0, 1\]"),
        (mean_upper_bound, [], "at least one value"),
    ],
)
def test_mean_bounds_malformed_values_raise(bound, values, message):
    with pytest.raises(ValueError, match=message):
        bound(values, low=0, high=1)


def test_mean_p_value_is_small_where_the_lower_bound_is_above():
    values = np.random.default_rng(0).random(200)
    bound = mean_lower_bound(values, low=0, high=1, confidence=0.9)
    at, above = (
        mean_p_value(values, m, low=0, high=1, confidence=0.9) for m in (bound, bound + 1e-3)
    )
    assert at == pytest.approx(0.1)
    assert above > at
    assert mean_p_value(values, 1.0, low=0, high=1) == 1.0
    assert mean_p_value(values, -0.1, low=0, high=1) < 1e-300


def test_mean_p_value_is_valid():
    rng = np.random.default_rng(1)
    draws = rng.choice([-1.0, 0.0, 1.0], p=[0.08, 0.9, 0.02], size=(1500, 150))
    p = np.array([mean_p_value(row, -0.06, low=-1, high=1) for row in draws])
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 0.01


@pytest.mark.parametrize(("share", "most"), [(0.02, 0.0112), (0.2, 0.0345)])
def test_mean_bound_has_the_width_that_the_variance_allows(share, most):
    # A normal bound is 1.64 standard errors away, a bet with the right variance 2.3.
    # A wrong variance keeps the level and makes the bound wider, which no test of validity notices.
    rng = np.random.default_rng(2)
    draws = rng.choice([1.0, -1.0, 0.0], p=[share / 2, share / 2, 1 - share], size=(40, 1000))
    bounds = [mean_upper_bound(row, low=-1, high=1) for row in draws]
    assert np.mean(bounds) < most


def test_mean_p_value_grows_as_fast_as_bets_with_the_right_variance_do():
    # A stake λ on a gap g grows by λ g − λ² σ² / 2 a value; with λ = √(2 log 20 / n) / σ, log K is
    # √(2 n log 20) g / σ − log 20, here 5.3. A variance that is too large bets too little.
    rng, n, share, gap = np.random.default_rng(3), 1500, 0.04, 0.015
    draws = rng.choice([1.0, -1.0, 0.0], p=[share / 2, share / 2, 1 - share], size=(60, n))
    growth = [-np.log(mean_p_value(row, -gap, low=-1, high=1)) for row in draws]
    expected = np.sqrt(2 * n * np.log(20)) * gap / np.sqrt(share) - np.log(20)
    assert 0.75 * expected < np.mean(growth) < 1.35 * expected


def test_mean_p_value_of_two_values_by_hand():
    # The first stake knows of a variance of 1/4. Then the mean is (1/2 + 1) / 2 = 3/4, and the
    # variance (1/4 + (1 - 3/4)²) / 2 = 5/32. Neither stake reaches the most, 0.75 / 0.1.
    stakes = np.sqrt(2 * np.log(2) / (2 * np.array([1 / 4, 5 / 32])))
    p = mean_p_value([1.0, 1.0], 0.1, low=0, high=1, confidence=0.5)
    assert p == pytest.approx(1 / np.prod(1 + stakes * 0.9))


def test_mean_p_value_of_a_mean_at_the_lowest_value_by_hand():
    # Nothing can be lost in a bet against the lowest value, so that no stake is too large.
    p = mean_p_value([3.0], 2.0, low=2, high=3, confidence=0.5)
    assert p == pytest.approx(1 / (1 + np.sqrt(2 * np.log(2) / 0.25)))
    assert mean_p_value([2.0] * 9, 2.0, low=2, high=3) == 1.0
