"""Draws with replacement: of all samples, of cells of samples that are alike, and in parts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sk_prunefair.stats import bootstrap
from sk_prunefair.stats.bootstrap import bootstrap_values, normal_interval

VALUES = np.array([0.0, 0.0, 0.0, 2.0, 2.0, 5.0])


@pytest.mark.parametrize(
    ("values", "sizes"), [(VALUES, np.ones(6, dtype=int)), ([0, 2, 5], np.array([3, 2, 1]))]
)
def test_bootstrap_values_spread_of_a_mean_is_that_of_the_formula(values, sizes):
    rng = np.random.default_rng(0)
    draws = bootstrap_values(lambda counts: counts @ values / 6, sizes, 20_000, rng)
    assert draws.mean() == pytest.approx(VALUES.mean(), abs=0.03)
    assert draws.std() == pytest.approx(VALUES.std() / np.sqrt(6), rel=0.03)


@pytest.mark.parametrize("sizes", [np.ones(6, dtype=int), np.array([3, 2, 1])])
def test_bootstrap_values_each_draw_has_as_many_samples(sizes, monkeypatch):
    # As many draws at once as two hold, so that seven come in parts.
    monkeypatch.setattr(bootstrap, "_CELLS", 2 * len(sizes))
    rng = np.random.default_rng(0)
    held = []

    def statistic(counts):
        held.append(len(counts))
        return counts

    counts = bootstrap_values(statistic, sizes, 7, rng)
    assert held == [2, 2, 2, 1]
    assert counts.shape == (7, len(sizes))
    assert (counts.sum(axis=1) == 6).all()
    assert len(np.unique(counts, axis=0)) > 3


def test_normal_interval_by_hand():
    draws = np.array([[0.0, np.nan, 1.0, np.nan], [2.0, 3.0, 1.0, np.nan], [4.0, 5.0, 1.0, 7.0]])
    low, high = normal_interval([1.0, 4.0, 1.0, 7.0], draws, 0.9)
    z = norm.isf(0.05)
    # Standard deviations 2 and √2; then draws that are all alike, and a single one.
    np.testing.assert_allclose(low, [1 - 2 * z, 4 - np.sqrt(2) * z, np.nan, np.nan])
    np.testing.assert_allclose(high, [1 + 2 * z, 4 + np.sqrt(2) * z, np.nan, np.nan])
