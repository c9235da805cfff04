"""Tests of bets that begin anew with every batch, against sums over all starts."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from sk_prunefair.stats.restarts import STAKES, RestartedBets


def naive_evidence(batches, limit, low):
    """Sum over every start and stake, value by value; batches are lists of values."""
    batches = [batch for batch in batches if batch]
    means = []
    for stake in STAKES / (limit - low):
        total = 0.0
        for start in range(1, len(batches) + 1):
            product = 1.0
            for batch in batches[start - 1 :]:
                for x in batch:
                    product *= 1 + stake * (x - limit)
            total += product / (start * (start + 1))
        means.append(total + 1 / (len(batches) + 1))
    return np.mean(means)


def fill(bets, batches):
    """Update one stream with lists of values."""
    for batch in batches:
        values = np.array(batch)
        bets.update(*[[int((values == x).sum()) if len(batch) else 0] for x in (1, 0, -1)])
    return bets


def one(limit, low):
    bets = RestartedBets(low)
    bets.add_streams([limit])
    return bets


@pytest.mark.parametrize(("limit", "low"), [(0.02, -1), (0.0, -1), (0.3, 0)])
def test_restarted_bets_equal_the_sum_over_all_starts(limit, low):
    rng = np.random.default_rng(0)
    values = [1, 0, -1] if low else [1, 0]
    batches = [rng.choice(values, size=size).tolist() for size in (3, 0, 5, 1, 0, 4)]
    found = fill(one(limit, low), batches).log_evidence[0]
    assert found == pytest.approx(np.log(naive_evidence(batches, limit, low)))


def test_restarted_bets_first_value_by_hand():
    # m = 1/2, low = 0: stakes s / m, s from 1/2 to 1/256, the value 1: factors 1 + s; w_1 = 1/2,
    # the rest 1/2.
    mean = sum(1 + Fraction(1, 2**k) for k in range(1, 9)) / 8
    found = fill(one(0.5, 0), [[1]]).log_evidence[0]
    assert np.exp(found) == pytest.approx(float(mean / 2 + Fraction(1, 2)))


def test_restarted_bets_are_fair_at_the_limit():
    # E[F] = 1 where the mean is the limit, so that E stays 1 in expectation: over all sequences.
    limit, total = 0.25, 0.0
    for code in range(2**6):
        bits = [code >> i & 1 for i in range(6)]
        chance = np.prod([limit if bit else 1 - limit for bit in bits])
        evidence = fill(one(limit, 0), [bits[:2], bits[2:3], bits[3:]]).log_evidence[0]
        total += chance * np.exp(evidence)
    assert total == pytest.approx(1.0)


def test_restarted_bets_late_harm_is_found_while_early_capital_is_kept():
    bets = one(0.02, -1)
    for _ in range(2000):
        bets.update([3], [94], [3])
    assert bets.log_evidence[0] > -np.log(2002)  # the rest: never less than what is left
    before = bets.log_evidence[0]
    for _ in range(200):
        bets.update([10], [85], [5])
    assert bets.log_evidence[0] > before + 20


def test_restarted_bets_merged_are_the_product_of_both_and_go_on():
    left, right = (fill(one(0.02, -1), batches) for batches in ([[1, 0], [1]], [[1, -1, 1]]))
    both = left.merged(right, [0])
    totals = [np.exp(np.logaddexp(b.log_bets[0], b.log_rest[0])) for b in (left, right, both)]
    np.testing.assert_allclose(totals[2], totals[0] * totals[1])
    assert both.log_rest[0] == pytest.approx(np.log(1 / 3 * 1 / 2))
    assert both.clock.tolist() == [3]  # the batches of both
    # What is left is spent by later starts, never more than that.
    fill(both, [[0]] * 50)
    assert both.log_rest[0] < np.log(1 / 6)
    assert left.log_evidence[0] == fill(one(0.02, -1), [[1, 0], [1]]).log_evidence[0]


def test_restarted_bets_state_survives_json_bit_for_bit():
    bets = fill(one(0.02, -1), [[1, 0, -1], []])
    bets.add_streams([0.5])
    again = RestartedBets.from_dict(json.loads(json.dumps(bets.to_dict())))
    for each in (bets, again):
        each.update([1, 0], [0, 0], [0, 1])
    np.testing.assert_array_equal(again.log_evidence, bets.log_evidence)
    np.testing.assert_array_equal(again.clock, [2, 1])
