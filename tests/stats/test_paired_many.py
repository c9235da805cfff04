"""The exact test of many groups at once, against one group at a time, every cell by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom

from sk_prunefair.promise.counts import prove
from sk_prunefair.stats.paired_many import (
    CELLS,
    REST,
    drop_p_values,
    drop_upper_bounds,
    last_as_extreme,
    score,
)


def slow_p_value(n, lost, won, max_drop, level):
    """Return the p-value as `drop_p_value` describes it, term by term."""
    differ = lost + won
    low = beta.ppf(level / 2, differ, n - differ + 1) if differ else 0.0
    high = beta.isf(level / 2, differ + 1, n - differ) if differ < n else 1.0
    low, high = max(low, abs(max_drop)), max(high, abs(max_drop))
    edges = np.linspace(low, high, CELLS + 1)[:, np.newaxis]
    m = np.arange(n + 1)
    seen = score(lost, won, n, max_drop)
    last = np.array([most_lost(k, n, max_drop, seen) for k in m])
    lower, upper = edges[:-1], edges[1:]
    peaks = binom.pmf(m, n, np.clip(m / n, lower, upper))
    least = upper if max_drop >= 0 else lower
    share = np.divide(max_drop, least, out=np.zeros_like(least), where=least > 0)
    tails = binom.cdf(last, m, (1 + share) / 2)
    return min(1.0, level + REST + (peaks * tails).sum(axis=1).max())


def most_lost(m, n, max_drop, seen):
    lost = np.arange(m + 1)
    return np.flatnonzero(score(lost, m - lost, n, max_drop) <= seen + 1e-9).max(initial=-1)


def draw(rng, n_groups, most=120):
    n = rng.integers(1, most, n_groups)
    lost = rng.binomial(n, rng.choice([0.0, 0.02, 0.1, 0.5], n_groups))
    return n, lost, rng.binomial(n - lost, rng.choice([0.0, 0.05, 0.5], n_groups))


@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_drop_p_values_equal_those_of_every_cell(sign):
    rng = np.random.default_rng(sign + 1)
    n, lost, won = draw(rng, 40)
    drops = sign * rng.choice([0.005, 0.05, 0.3, 0.9], len(n))
    found = drop_p_values(n, lost, won, drops, 0.0025)
    each = zip(n, lost, won, drops, strict=True)
    expected = [slow_p_value(*map(int, row[:3]), float(row[3]), 0.0025) for row in each]
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_drop_p_values_of_many_groups_are_those_of_each_alone():
    n, lost, won = draw(np.random.default_rng(3), 50, most=3000)
    together = drop_p_values(n, lost, won, np.full(50, 0.02), 1e-4)
    alone = [
        drop_p_values(*(each[i : i + 1] for each in (n, lost, won)), np.array([0.02]), 1e-4)[0]
        for i in range(50)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-11)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_drop_upper_bounds_are_those_of_halving_the_range(confidence):
    n, lost, won = draw(np.random.default_rng(4), 60)
    n[:3], lost[:3], won[:3] = [1, 1, 7], [1, 0, 0], [0, 1, 7]
    found, level = drop_upper_bounds(n, lost, won, confidence), 1 - confidence
    low, high = np.zeros(len(n), dtype=int), np.full(len(n), 10_000)
    while (high - low > 1).any():
        middle = np.maximum((low + high) // 2, 1)
        is_refuted = drop_p_values(n, lost, won, middle / 10_000, level / 20) <= level
        low, high = np.where(is_refuted, low, middle), np.where(is_refuted, middle, high)
    np.testing.assert_array_equal(found, high / 10_000)


def test_last_as_extreme_grows_by_at_most_one():
    """The sums go from one number of differing samples to the next by this."""
    rng = np.random.default_rng(5)
    for n, lost, won in zip(*draw(rng, 60), strict=True):
        drop = rng.uniform(-0.9, 0.9)
        m = np.arange(n + 1)
        last = last_as_extreme(m, n, drop, score(lost, won, n, drop))
        assert set(np.diff(last)) <= {0, 1}
        assert last[0] in (-1, 0)


def test_prove_verdicts_are_those_of_the_p_values():
    n, lost, won = draw(np.random.default_rng(6), 25)
    counts = [tuple(map(int, row)) for row in zip(n, lost, won, strict=True)]
    for (size, minus, plus), found in zip(counts, prove(counts, 0.05, 0.9), strict=True):
        p = slow_p_value(size, minus, plus, 0.05, 0.005)
        assert found.p_value == pytest.approx(p, abs=1e-11)
        assert (found.drop_bound <= 0.05) == (p <= 0.1)
        assert found.is_testable == (slow_p_value(size, 0, 0, 0.05, 0.005) <= 0.1)
        harm = slow_p_value(size, plus, minus, -0.05, 1e-4)
        if not found.is_testable and harm < 0.3:
            assert found.p_harm == pytest.approx(harm, abs=1e-11)
        # Too large a drop is proven where the exact test says it.
        is_proven = p > 0.1 and slow_p_value(size, plus, minus, -0.05, 0.005) <= 0.1
        assert np.isinf(found.needed) == is_proven
        assert np.isnan(found.needed) == (p <= 0.1)
    assert prove([], 0.05, 0.9) == []
