"""Sums over rows drawn with replacement, against draws made row by row."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.stats.group_draws import _kinds, drawn_sums

CODES = np.array([2, 0, 1, 1, 2, 2, 2, 1])
# Values that are 0, 1 or −1 are drawn by kind, others by row.
VALUES = {
    "kinds": np.array([0.0, 1, -1, 0, 1, 1, 0, 1]),
    "rows": np.array([0.5, 1, -1, 3, 1, 1, 0, 2]),
}


def row_by_row(values, n_draws):
    rng = np.random.default_rng(1)
    found = np.zeros((n_draws, 2, 3))
    for draw in found:
        for row in rng.integers(len(CODES), size=len(CODES)):
            draw[:, CODES[row]] += [1, values[row]]
    return found


@pytest.mark.parametrize("kind", VALUES)
def test_drawn_sums_are_distributed_as_those_of_rows(kind):
    values = VALUES[kind]
    found = drawn_sums(CODES, [values], 4000, np.random.default_rng(0))
    expected = row_by_row(values, 4000)
    assert (found[:, 0].sum(axis=1) == len(CODES)).all()
    flat, reference = found.reshape(4000, -1), expected.reshape(4000, -1)
    np.testing.assert_allclose(flat.mean(axis=0), reference.mean(axis=0), atol=0.3)
    np.testing.assert_allclose(np.cov(flat.T), np.cov(reference.T), rtol=0.15, atol=0.3)
    quantiles = [0.1, 0.5, 0.9]
    apart = np.quantile(flat, quantiles, axis=0) - np.quantile(reference, quantiles, axis=0)
    assert (np.abs(apart) <= 1).all()  # neighbours on the grid of the sums


def test_drawn_sums_quantities_share_their_draws():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(50)
    codes = np.arange(50) % 4
    sums = drawn_sums(codes, [values, 2 * values + 1], 30, rng)
    np.testing.assert_allclose(sums[:, 2], 2 * sums[:, 1] + sums[:, 0], atol=1e-12)


def test_drawn_sums_several_kinds_share_their_draws():
    before, after = np.array([1.0, 1, 0, 0, 1]), np.array([1.0, 0, 0, 1, 1])
    codes = np.array([0, 0, 1, 1, 1])
    both = drawn_sums(codes, [before, after, before - after], 200, np.random.default_rng(0))
    np.testing.assert_array_equal(both[:, 3], both[:, 1] - both[:, 2])
    assert (both[:, 1] <= both[:, 0]).all()
    assert both[:, 3].min() < 0 < both[:, 3].max()


def test_drawn_sums_rows_of_more_than_one_block_are_all_drawn():
    n = (1 << 15) * 2 + 5
    codes = np.minimum(np.arange(n) // (1 << 15), 2)
    values = np.linspace(0, 1, n) + 0.25
    sums = drawn_sums(codes, [values], 40, np.random.default_rng(0))
    assert (sums[:, 0].sum(axis=1) == n).all()
    # The five rows of the last group are drawn five times on average, never the same number.
    assert sums[:, 0, 2].mean() == pytest.approx(5, abs=1.5)
    assert sums[:, 0, 2].std() == pytest.approx(np.sqrt(5), rel=0.4)
    assert sums[:, 0, 0].std() == pytest.approx(np.sqrt(n / 4), rel=0.4)
    means = sums[:, 1].sum(axis=1) / n
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(40 * n))


def test_drawn_sums_nearly_all_small_numbers_are_not_taken_for_kinds():
    values = np.zeros(1500)
    values[-1] = 0.5
    sums = drawn_sums(np.zeros(1500, dtype=int), [values], 200, np.random.default_rng(0))
    assert set(np.unique(sums[:, 1] % 0.5)) == {0}
    assert 0.5 in sums[:, 1]


def test_kinds_are_rows_alike_in_group_and_values():
    codes, first, second = np.array([0, 0, 0, 2]), np.array([1.0, 1, -1, 0]), np.zeros(4)
    second[3] = 1
    values, groups, sizes = _kinds(codes, [first, second])
    assert values.tolist() == [[-1, 1, 0], [0, 0, 1]]
    assert (groups.tolist(), sizes.tolist()) == ([0, 0, 2], [1, 2, 1])


@pytest.mark.parametrize("other", [0.5, 2.0, -2.0])
@pytest.mark.parametrize("place", [0, 1500])
def test_kinds_other_values_have_none(other, place):
    values = np.zeros(1501)
    values[place] = other
    assert _kinds(np.zeros(1501, dtype=int), [values]) is None
