"""The exact test for pairs, against enumeration and other tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom, multinomial, norm

from sk_prunefair.stats.paired import (
    drop_lower_bound,
    drop_p_value,
    drop_upper_bound,
    samples_needed,
)


def outcomes(n):
    """Return all pairs (lost, won) that n samples can make."""
    return [(lost, won) for lost in range(n + 1) for won in range(n + 1 - lost)]


@pytest.mark.parametrize(
    ("n", "max_drop"), [(12, 0.0), (12, 0.3), (25, 0.1), (12, -0.3), (25, -0.1), (25, -0.02)]
)
def test_drop_p_value_is_valid_for_every_truth(n, max_drop):
    pairs = outcomes(n)
    p = np.array([drop_p_value(n, *pair, max_drop) for pair in pairs])
    counts = [(lost, won, n - lost - won) for lost, won in pairs]
    drops = [max_drop, max_drop + 0.1, max_drop + 0.4]
    for drop, differ in itertools.product(drops, np.linspace(0.02, 1, 25)):
        if differ < abs(drop):
            continue
        truth = [(differ + drop) / 2, (differ - drop) / 2, 1 - differ]
        chances = multinomial.pmf(counts, n, truth)
        for level in (0.01, 0.05, 0.2):
            assert chances[p <= level].sum() <= level + 1e-9


def test_drop_p_value_is_hardly_larger_than_it_must_be():
    n, lost, won, max_drop, nuisance = 40, 1, 1, 0.15, 0.0025
    score = tango(n, lost, won, max_drop)
    as_extreme = [pair for pair in outcomes(n) if tango(n, *pair, max_drop) <= score + 1e-6]
    counts = [(a, b, n - a - b) for a, b in as_extreme]
    worst = 0.0
    for differ in np.linspace(max_drop, 0.5, 200):
        truth = [(differ + max_drop) / 2, (differ - max_drop) / 2, 1 - differ]
        worst = max(worst, multinomial.pmf(counts, n, truth).sum())
    p = drop_p_value(n, lost, won, max_drop, nuisance)
    assert worst * 0.9 <= p <= worst * 1.1 + nuisance


def tango(n, lost, won, drop):
    """Return Tango's score, its nuisance parameter found by search instead of a formula."""
    share = np.linspace(1e-6, (1 - drop) / 2 - 1e-6, 20_001)
    likelihood = lost * np.log(share + drop) + won * np.log(share)
    likelihood += (n - lost - won) * np.log(1 - 2 * share - drop)
    best = share[likelihood.argmax()]
    return (lost - won - n * drop) / np.sqrt(n * (2 * best + drop - drop**2))


def test_drop_p_value_in_large_samples_is_that_of_the_score_test():
    n, lost, won = 50_000, 3000, 2150
    expected = norm.cdf(tango(n, lost, won, 0.02))
    assert 0.005 < expected < 0.1
    assert drop_p_value(n, lost, won, 0.02) == pytest.approx(expected + 0.0025, rel=0.1)


def test_drop_p_value_where_nothing_changed_is_the_power_of_the_bound():
    # A drop of 0.02 leaves n samples unchanged with a probability of at most 0.98^n.
    for n in (1, 50, 148, 400):
        p = drop_p_value(n, 0, 0, 0.02)
        assert 0.98**n <= p <= 1.05 * 0.98**n + 0.003
    assert drop_p_value(10, 0, 0, 0.0) == 1.0


def test_drop_p_value_max_drop_of_zero_is_near_the_sign_test():
    # With max_drop=0 the differing samples are fair coins.
    assert drop_p_value(1000, 20, 40, 0.0) == pytest.approx(binom.cdf(20, 60, 0.5), abs=0.004)
    assert drop_p_value(1000, 40, 20, 0.0) > 0.99


def test_drop_p_value_grows_with_losses_and_falls_with_the_bound():
    p = [drop_p_value(500, lost, 3, 0.03) for lost in range(0, 40, 2)]
    assert (np.diff(p) >= 0).all()
    p = [drop_p_value(500, 8, 3, bound) for bound in np.linspace(0, 0.2, 20)]
    assert (np.diff(p) <= 1e-6).all()


def test_drop_upper_bound_is_what_the_test_refutes():
    bound = drop_upper_bound(800, 12, 5, 0.9)
    assert 7 / 800 < bound < 0.05
    at, below = (drop_p_value(800, 12, 5, drop, 0.005) for drop in (bound, bound - 2e-4))
    assert at <= 0.1 < below
    assert drop_upper_bound(5, 5, 0) > 0.99


def test_drop_lower_bound_is_what_the_exchanged_test_refutes():
    bound = drop_lower_bound(800, 40, 5, 0.9)
    assert 0.02 < bound < 35 / 800
    at, above = (drop_p_value(800, 5, 40, -drop, 0.005) for drop in (bound, bound + 2e-4))
    assert at <= 0.1 < above
    assert drop_lower_bound(800, 5, 40) == 0


@pytest.mark.slow
def test_drop_lower_bound_is_above_the_drop_at_most_at_the_level():
    n, drop, level = 14, 0.3, 0.2
    pairs = outcomes(n)
    bounds = np.array([drop_lower_bound(n, *pair, 1 - level) for pair in pairs])
    counts = [(lost, won, n - lost - won) for lost, won in pairs]
    shares = []
    for differ in np.linspace(drop, 1, 20):
        chances = multinomial.pmf(counts, n, [(differ + drop) / 2, (differ - drop) / 2, 1 - differ])
        shares.append(chances[bounds > drop].sum())
    assert 0.1 < max(shares) <= level + 1e-9


def test_samples_needed_by_several_shares_suffice():
    for shares in [(0.0, 0.0), (0.01, 0.0), (0.05, 0.045)]:
        n = samples_needed(*shares, 0.02, 0.9)
        lost, won = int(np.ceil(shares[0] * n)), int(shares[1] * n)
        assert drop_p_value(n, lost, won, 0.02, 0.005) <= 0.1
        fewer = n * 7 // 10  # p is jagged in n: a sample less may well suffice
        lost, won = int(np.ceil(shares[0] * fewer)), int(shares[1] * fewer)
        assert drop_p_value(fewer, lost, won, 0.02, 0.005) > 0.1
    assert samples_needed(0.04, 0.01, 0.03) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drop_p_value(3, 2, 2, 0.1), "n_lost and n_won must be counts"),
        (lambda: drop_p_value(0, 0, 0, 0.1), "n_lost and n_won must be counts"),
        (lambda: drop_p_value(3, 0, 0, 1.0), "max_drop must be in"),
        (lambda: drop_p_value(3, 0, 0, float("nan")), "max_drop must be in"),
        (lambda: drop_p_value(3, 0, 0, 0.1, 0.0), "nuisance_level must be in"),
        (lambda: drop_p_value(3, 0, 0, 0.1, 1.0), "nuisance_level must be in"),
    ],
)
def test_drop_p_value_malformed_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
