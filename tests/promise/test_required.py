"""required_samples against simulations of the test itself."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair import required_samples
from sk_prunefair.promise.required import power_of
from sk_prunefair.stats.paired import samples_needed
from sk_prunefair.stats.paired_many import drop_p_values

DRAWS = 3000


def simulated_power(n, drop, disagreement, expected, confidence):
    """Return how often the exact test refutes the drop, in draws of n rows."""
    rng = np.random.default_rng(n)
    chances = [(disagreement + expected) / 2, (disagreement - expected) / 2, 1 - disagreement]
    counts = rng.multinomial(n, chances, size=DRAWS)
    kinds, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    level = 1 - confidence
    sizes, drops = np.full(len(kinds), n), np.full(len(kinds), drop)
    p = drop_p_values(sizes, kinds[:, 0], kinds[:, 1], drops, level / 20)
    return times[p <= level].sum() / DRAWS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drop", "disagreement", "expected", "confidence", "power"),
    [
        (0.02, 0.05, 0.0, 0.95, 0.8),
        (0.05, 0.05, 0.01, 0.95, 0.9),
        (0.02, 0.01, 0.0, 0.9, 0.8),
        (0.1, 0.3, 0.0, 0.99, 0.5),
        (0.05, 0.02, -0.01, 0.95, 0.9),
    ],
)
def test_required_samples_have_the_power_and_fewer_have_not(
    drop, disagreement, expected, confidence, power
):
    options = {"disagreement": disagreement, "expected_drop": expected}
    n = required_samples(drop, **options, confidence=confidence, power=power)
    error = np.sqrt(power * (1 - power) / DRAWS)
    found = simulated_power(n, drop, disagreement, expected, confidence)
    assert found >= power - 2 * error
    fewer = simulated_power(int(0.8 * n), drop, disagreement, expected, confidence)
    assert fewer < power - error


def test_required_samples_where_nothing_changes_are_those_of_the_test():
    assert required_samples(0.02, disagreement=0.0) == samples_needed(0.0, 0.0, 0.02)
    assert power_of(100, 0.02, 0.0, 0.0, 0.05) == 0.0


@pytest.mark.slow
def test_required_samples_of_groups_are_asked_for_the_root_of_the_power():
    both = required_samples(0.05, disagreement=[0.05, 0.1], power=0.81)
    each = [required_samples(0.05, disagreement=d, power=0.9) for d in (0.05, 0.1)]
    assert both.tolist() == each
    assert both[0] < both[1]
    total = required_samples(0.05, disagreement=[0.05, 0.1], power=0.81, shares=[0.5, 0.1])
    assert total == max(np.ceil(both / [0.5, 0.1]))
    alike = required_samples(0.05, disagreement=0.05, power=0.81, shares=[0.5, 0.1])
    assert alike == np.ceil(each[0] / 0.1)


@pytest.mark.slow
def test_required_samples_of_an_accuracy_are_those_of_the_most_it_allows():
    by_accuracy = required_samples(0.05, accuracy=0.95)
    assert by_accuracy == required_samples(0.05, disagreement=0.1)
    assert by_accuracy > required_samples(0.05, accuracy=0.95, disagreement=0.04)
    assert required_samples(0.05, accuracy=1.0) == samples_needed(0.0, 0.0, 0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "accuracy or disagreement must be given"),
        (
            {"max_accuracy_drop": 0.0, "accuracy": 0.9},
            r"max_accuracy_drop must be a number in \(0, 1\), got 0.0",
        ),
        ({"max_accuracy_drop": "2%", "accuracy": 0.9}, "max_accuracy_drop must be a number"),
        ({"confidence": 95, "accuracy": 0.9}, "confidence must be a number"),
        ({"power": np.nan, "accuracy": 0.9}, "power must be a number"),
        ({"accuracy": 90}, "accuracy must be a number or one per group"),
        ({"accuracy": "high"}, "accuracy must be a number or one per group"),
        ({"accuracy": [0.9, np.nan]}, "accuracy must be a number or one per group"),
        ({"disagreement": []}, "disagreement must be a number or one per group"),
        ({"disagreement": -0.1}, "disagreement must be a number or one per group"),
        ({"disagreement": [0.1, 0.1], "accuracy": [0.9] * 3}, "one value per group"),
        (
            {"disagreement": 0.1, "expected_drop": 0.02},
            r"expected_drop must be .* in \[-1, 0\.02\), below max_accuracy_drop, got 0\.02",
        ),
        ({"disagreement": 0.005, "expected_drop": 0.01}, "at least expected_drop"),
        ({"disagreement": 0.5, "accuracy": 0.99}, "too large for accuracy=0.99"),
        ({"disagreement": 0.1, "shares": [0.9, 0.2]}, "add up to at most 1"),
        ({"disagreement": 0.1, "shares": [0.9, 0.0]}, "shares must be"),
        ({"disagreement": [0.1] * 3, "shares": [0.5, 0.5]}, "one per group"),
        ({"disagreement": 1.0, "max_accuracy_drop": 1e-4}, "more than 10,000,000 rows"),
    ],
)
def test_required_samples_bad_arguments_raise(options, message):
    with pytest.raises(ValueError, match=message):
        required_samples(**({"max_accuracy_drop": 0.02} | options))
