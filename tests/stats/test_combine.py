"""Several p-values at once, against simulation and enumeration of the closed test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sk_prunefair.stats.combine import (
    hochberg,
    squared_z,
    two_squared_z_critical,
    two_squared_z_p_value,
)


def test_two_squared_z_uniform_p_values_give_a_uniform_p_value_below_a_half():
    p = np.random.default_rng(0).random((200_000, 2))
    combined = two_squared_z_p_value(squared_z(p).sum(axis=1))
    for level in (0.01, 0.05, 0.3):
        assert (combined <= level).mean() == pytest.approx(level, abs=0.003)


@pytest.mark.parametrize("level", [0.001, 0.05, 0.5])
def test_two_squared_z_critical_has_its_level(level):
    assert two_squared_z_p_value(two_squared_z_critical(level)) == pytest.approx(level)


def holm(p):
    order, adjusted = np.argsort(p), np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def closed_simes(p):
    """Return p-values adjusted by the closed test: all intersections, each tested by Simes."""
    adjusted = np.zeros(len(p))
    for size in range(1, len(p) + 1):
        for subset in itertools.combinations(range(len(p)), size):
            ordered = np.sort(p[list(subset)])
            simes = (ordered * size / np.arange(1, size + 1)).min()
            adjusted[list(subset)] = np.maximum(adjusted[list(subset)], simes)
    return adjusted


def test_hochberg_is_between_the_closed_test_and_holm():
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = rng.random(5) ** 2
        found = hochberg(p)
        assert (found >= closed_simes(p) - 1e-12).all()
        assert (found <= holm(p) + 1e-12).all()
        assert found.max() == p.max()


def test_hochberg_independent_true_hypotheses_are_rejected_at_the_level():
    p = np.random.default_rng(2).random((20_000, 4))
    rejected = np.array([hochberg(row).min() <= 0.1 for row in p])
    assert 0.085 < rejected.mean() < 0.106
