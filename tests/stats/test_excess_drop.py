"""The test of "a part loses more than the rest": its size, by sums over all outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from sk_prunefair.stats.excess_drop import excess_drop_p_value, larger_drop_p_value


def size(n, lost, won, drop, level):
    """Return the exact probability that p is at most the level, by summing over all outcomes."""
    total = 0.0
    for m in range(n + 1):
        share = binom.pmf(m, n, lost + won)
        if share < 1e-9:
            continue
        losses = np.arange(m + 1)
        p = np.array([larger_drop_p_value(n, int(k), int(m - k), drop) for k in losses])
        total += share * binom.pmf(losses, m, lost / (lost + won))[p <= level].sum()
    return total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "won", "drop"),
    [(0.05, 0.05, 0.0), (0.3, 0.3, 0.0), (0.12, 0.1, 0.02), (0.1, 0.0, 0.1), (0.0, 0.1, 0.0)],
)
def test_larger_drop_p_value_on_the_edge_is_right_as_rarely_as_it_says(lost, won, drop):
    for level in (0.05, 0.01):
        assert size(40, lost, won, drop, level) <= level


def test_larger_drop_p_value_is_close_to_the_sign_test_where_nothing_is_to_exceed():
    for lost, won in ((9, 1), (12, 3), (30, 15)):
        sign = binom.sf(lost - 1, lost + won, 0.5)
        assert 0.2 * sign < larger_drop_p_value(400, lost, won, 0.0, 1e-6) < 2 * sign


def test_larger_drop_p_value_grows_with_the_drop_and_falls_with_the_losses():
    by_drop = [larger_drop_p_value(200, 20, 2, drop) for drop in (0, 0.02, 0.05, 0.09, 0.2)]
    assert by_drop == sorted(by_drop)
    by_loss = [larger_drop_p_value(200, lost, 5, 0.01) for lost in (5, 10, 15, 20)]
    assert by_loss == sorted(by_loss, reverse=True)


@pytest.mark.parametrize("drop", [0.0, 0.05])
def test_larger_drop_p_value_nothing_differs_is_one(drop):
    assert larger_drop_p_value(50, 0, 0, drop) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "rest"),
    [
        ((80, 0.2, 0.2), (700, 0.01, 0.01)),  # changes more, both ways
        ((40, 0.1, 0.05), (700, 0.06, 0.01)),  # loses as much as the rest
        ((300, 0.1, 0.1), (60, 0.1, 0.1)),  # a small rest
        ((30, 0.02, 0.02), (30, 0.02, 0.02)),
    ],
)
def test_excess_drop_p_value_no_excess_is_significant_as_rarely_as_it_says(part, rest):
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(400):
        counts = [
            (n, *rng.multinomial(n, [lost, won, 1 - lost - won])[:2].tolist())
            for n, lost, won in (part, rest)
        ]
        p_values.append(excess_drop_p_value(*counts))
    # Binomial: with a probability of 0.05, more than 0.085 of 400 are seen once in 600 times.
    assert np.mean(np.array(p_values) <= 0.05) <= 0.085


def test_excess_drop_p_value_large_counts_are_near_the_normal_test():
    part, rest = (1000, 90, 40), (1500, 60, 45)
    drops = [(lost - won) / n for n, lost, won in (part, rest)]
    # Under the hypothesis the part's changes go both ways but for the drop of the rest.
    variances = [(lost + won) / n / n for n, lost, won in (part, rest)]
    z = (drops[0] - drops[1]) / np.sqrt(sum(variances))
    assert excess_drop_p_value(part, rest, 1e-5) == pytest.approx(norm.sf(z), rel=0.35)


def test_excess_drop_p_value_a_part_that_loses_as_the_rest_does_is_no_excess():
    assert excess_drop_p_value((100, 10, 0), (900, 90, 0)) > 0.3
    assert excess_drop_p_value((100, 10, 0), (900, 9, 9)) < 0.02


def test_excess_drop_p_value_rest_that_gains_does_not_make_a_loss():
    # The part loses nothing: that the rest gains is no harm to it.
    assert excess_drop_p_value((100, 3, 3), (900, 0, 300)) > 0.2


@pytest.mark.parametrize("part", [(10, 8, 5), (10, -1, 0), (0, 0, 0)])
def test_excess_drop_p_value_counts_that_do_not_fit_raise(part):
    with pytest.raises(ValueError, match="n_samples"):
        excess_drop_p_value(part, (900, 10, 10))
    with pytest.raises(ValueError, match="n_samples"):
        excess_drop_p_value((900, 10, 10), part)


def test_excess_drop_p_value_is_the_mean_over_the_drops_of_a_small_rest():
    # One sample lost and one won are added to the rest: 3 lost and 1 won of 10.
    part, rest, d, s = (60, 20, 2), (8, 2, 0), 0.2, np.sqrt((0.4 - 0.2**2) / 10)
    z = np.linspace(-4, 4, 161)
    p = [larger_drop_p_value(*part, min(max(d + s * each, 0.0), 0.999)) for each in z]
    expected = np.average(p, weights=norm.pdf(z))
    assert excess_drop_p_value(part, rest) == pytest.approx(expected, rel=0.05)
