"""How many samples would do, against the exact test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sk_prunefair.stats.paired import drop_lower_bound, samples_needed
from sk_prunefair.stats.sample_size import drop_lower_bounds_about, samples_about


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_samples_about_is_near_what_the_exact_test_takes(confidence):
    shares = [(0, 0), (0.003, 0), (0.01, 0.005), (0.03, 0.02), (0.1, 0.1), (0.02, 0.05)]
    for drop, (lost, won) in itertools.product([0.02, 0.05, 0.1], shares):
        [found] = samples_about(np.array([lost]), np.array([won]), drop, confidence)
        exact = samples_needed(lost, won, drop, confidence)
        assert 0.85 * exact <= found <= 1.25 * exact + 20


def test_samples_about_is_infinite_where_no_number_would_do():
    lost, won = np.array([0.02, 0.3, 0.5]), np.array([0.0, 0.1, 0.4800001])
    assert np.isinf(samples_about(lost, won, 0.02, 0.95)).all()


def test_drop_lower_bounds_about_are_near_the_exact_ones():
    counts = np.array([(800, 40, 5), (3000, 30, 0), (100, 20, 0), (34, 1, 0), (50, 0, 5)])
    found = drop_lower_bounds_about(*counts.T, 0.95)
    exact = [drop_lower_bound(*map(int, row)) for row in counts]
    np.testing.assert_allclose(found, exact, atol=0.01)
