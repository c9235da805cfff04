"""Comparisons of groups, in simulation and against normal tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sk_prunefair.promise.pairs import examine_pairs
from sk_prunefair.stats.combine import two_squared_z_p_value


def rows(lost, won, n):
    return np.repeat([1, -1, 0], [lost, won, n - lost - won])


def binary(changes, margin, confidence=0.95):
    return examine_pairs(changes, margin=margin, scale=1.0, is_binary=True, confidence=confidence)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(40, 40), (20, 80)])
def test_pairs_broken_promise_is_approved_at_most_at_the_level(sizes):
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(60):
        drawn = [rng.multinomial(sizes[0], [0.05, 0.02, 0.93])[:2]]
        drawn.append(rng.multinomial(sizes[1], [0.26, 0.02, 0.72])[:2])
        found = binary([rows(*each, n) for each, n in zip(drawn, sizes, strict=True)], 0.2, 0.8)
        passed.append(max(each.p_value for each in found) <= 0.2)
    assert np.mean(passed) <= 0.2


def test_pairs_p_value_is_that_of_the_squared_difference_in_large_samples():
    a, b = rows(700, 300, 5000), rows(150, 50, 2000)
    margin = 0.05
    found = binary([a, b], margin)
    error = np.sqrt(a.var() / len(a) + b.var() / len(b))
    z = (margin - (a.mean() - b.mean())) / error
    expected = two_squared_z_p_value(z**2)
    assert 0.01 < expected < 0.2
    # The grid makes it larger, and each p-value holds 0.0025 for the nuisance parameter.
    assert expected <= found[0].p_value <= 1.4 * expected + 0.01
    # Two bounds at half the level each would not pass where it does.
    assert found[0].p_value > found[1].p_value


def test_pairs_ask_for_less_than_two_bounds():
    a = rows(60, 40, 1000)
    error = np.sqrt(2 * a.var() / len(a))
    at_two_bounds = 2 * norm.ppf(0.975) * np.sqrt(a.var() / len(a))
    found = binary([a, a], 0.9 * at_two_bounds)
    assert found[0].p_value <= 0.05
    found = binary([a, a], norm.ppf(0.95) * error)
    assert found[0].p_value > 0.05


def test_pairs_more_lost_than_another_by_the_margin_fails_and_names_who():
    found = binary([rows(60, 0, 200), rows(0, 0, 200), rows(0, 0, 200)], 0.1)
    assert [each.p_value <= 0.05 for each in found] == [False, True, True]
    assert found[0].p_value == 1
    assert found[0].drop == pytest.approx(0.3)
    assert np.isinf(found[0].needed_most)


def test_pairs_samples_needed_would_do():
    few = binary([rows(4, 2, 100), rows(2, 2, 100)], 0.08)[0]
    assert few.p_value > 0.05
    factor = int(np.ceil(few.needed_most / 100)) + 1
    many = [rows(4 * factor, 2 * factor, 100 * factor), rows(2 * factor, 2 * factor, 100 * factor)]
    assert binary(many, 0.08)[0].p_value <= 0.05
    assert 100 < few.needed <= few.needed_most < 2000


@pytest.mark.slow
def test_pairs_bets_hold_and_have_power():
    rng = np.random.default_rng(1)
    passed = {0.31: [], 0.0: []}
    for rise, each in passed.items():
        for _ in range(100):
            changes = [rng.uniform(-1, 1, 300), rise + rng.uniform(-1, 1, 300)]
            found = examine_pairs(changes, margin=0.3, scale=2.0, is_binary=False, confidence=0.9)
            each.append(max(pair.p_value for pair in found) <= 0.1)
    assert np.mean(passed[0.31]) <= 0.1
    assert np.mean(passed[0.0]) > 0.9


def test_pairs_one_group_has_nothing_to_compare():
    assert binary([rows(1, 1, 10)], 0.1) == []


def test_pairs_margin_too_small_for_the_grid_raises():
    with pytest.raises(ValueError, match="margin between groups is too small"):
        binary([rows(5, 0, 10), rows(0, 5, 10)], 1e-4)
