"""Tango's interval against the paper, and how often it holds the drop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sk_prunefair.stats.tango import tango_interval


@pytest.mark.parametrize(("n", "lost", "won"), [(44, 0, 1), (60, 9, 2), (12, 3, 8)])
def test_tango_interval_ends_where_the_score_is_z(n, lost, won):
    # The likelihood of the three cells, maximised over the share won by brute force.
    def score(drop):
        share = np.linspace(1e-9, 1, 400_001)[1:]
        share = share[(share + drop > 0) & (2 * share + drop < 1)]
        likelihood = lost * np.log(share + drop) + won * np.log(share)
        likelihood += (n - lost - won) * np.log(1 - 2 * share - drop)
        best = share[likelihood.argmax()]
        return (lost - won - n * drop) / np.sqrt(n * (2 * best + drop * (1 - drop)))

    low, high = tango_interval(n, lost, won)
    assert score(float(low)) == pytest.approx(norm.isf(0.025), abs=2e-3)
    assert score(float(high)) == pytest.approx(-norm.isf(0.025), abs=2e-3)


def test_tango_interval_nothing_changed_by_hand():
    # The likeliest share lost at a drop d is d itself: the score is n d / sqrt(n (d − d²)), which
    # is z at d = z² / (n + z²).
    z2 = norm.isf(0.025) ** 2
    low, high = tango_interval([1, 10, 100], [0, 0, 0], [0, 0, 0])
    np.testing.assert_allclose(high, z2 / (np.array([1, 10, 100]) + z2), rtol=1e-6)
    np.testing.assert_allclose(low, -high)


def test_tango_interval_swapped_is_mirrored():
    low, high = tango_interval(60, 9, 2)
    other_low, other_high = tango_interval(60, 2, 9)
    np.testing.assert_allclose([low, high], [-other_high, -other_low])
    assert low < 7 / 60 < high


def test_tango_interval_no_samples_is_nan():
    assert np.isnan(tango_interval([0], [0], [0])).all()


@pytest.mark.parametrize("n", [20, 200])
def test_tango_interval_holds_the_drop_as_often_as_it_says(n):
    counts = np.random.default_rng(0).multinomial(n, [0.3, 0.1, 0.6], size=4000)
    low, high = tango_interval(n, counts[:, 0], counts[:, 1], 0.9)
    assert abs(((low <= 0.2) & (high >= 0.2)).mean() - 0.9) < 0.02
