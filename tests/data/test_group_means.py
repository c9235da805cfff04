"""Means by group, their errors and sums, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sk_prunefair.data.group_means import (
    GroupMoments,
    group_means,
    group_shares,
    group_sizes,
    group_sums,
    is_right,
    label_entropies,
)


def part(weight=None):
    """Return rows 4, 0, 3, 3 and 1 of five, as a data set has them; three of four groups occur."""
    weight = None if weight is None else torch.tensor(weight)
    return SimpleNamespace(
        rows=torch.tensor([4, 0, 3, 3, 1]),
        group_codes=np.array([0, 0, 1, 1, 3]),
        y=np.array([7, 5, 5, 5, 9]),
        sample_weight=weight,
    )


def test_group_sizes_and_shares_by_hand():
    assert group_sizes(part(), 5).tolist() == [2, 2, 0, 1, 0]
    np.testing.assert_allclose(group_shares(part(), 5), [0.4, 0.4, 0, 0.2, 0])
    # The weights of rows 4, 0, 3, 3 and 1: 5 and 1, 0 twice, 2.
    weighted = part([1.0, 2.0, 9.0, 0.0, 5.0])
    np.testing.assert_allclose(group_shares(weighted, 5), [0.75, 0, 0, 0.25, 0])


def test_label_entropies_by_hand():
    np.testing.assert_allclose(label_entropies(part(), 5), [np.log(2), 0, 0, 0, 0])
    # Labels 7 and 5 with weights 3 and 1.
    weighted = part([1.0, 2.0, 9.0, 0.0, 3.0])
    expected = 0.75 * np.log(4 / 3) + 0.25 * np.log(4)
    np.testing.assert_allclose(label_entropies(weighted, 5), [expected, 0, 0, 0, 0])


def test_group_means_by_hand_are_nan_without_weight():
    values, group = np.array([1, 4, 5, 2]), np.array([0, 0, 1, 3])
    np.testing.assert_allclose(group_means(values, group, None, 5), [2.5, 5, np.nan, 2, np.nan])
    weight = np.array([1.0, 2.0, 0.0, 0.5])
    found = group_means(values, group, weight, 5)
    np.testing.assert_allclose(found, [3, np.nan, np.nan, 2, np.nan])
    moments = GroupMoments.of([-values, values], group, weight, 5)
    np.testing.assert_allclose(moments.means(1), found)
    # So many that their means are in memory that nothing was written to before.
    assert np.isnan(GroupMoments.of([values], group, None, 100_000).means(0)[4:]).all()


def test_group_moments_of_several_processes_are_those_of_all_rows():
    rng, group = np.random.default_rng(0), np.array([0, 1, 1, 0, 1, 1])
    columns, weight = rng.random((3, 6)), rng.random(6)
    parts = [
        GroupMoments.of(list(columns[:, rows]), group[rows], weight[rows], 3)
        for rows in (slice(0, 2), slice(2, 6))
    ]
    other = np.vstack([parts[1].weights, parts[1].squares, parts[1].first, parts[1].second])
    ranks = SimpleNamespace(sum=lambda rows: rows + torch.from_numpy(other))
    found, whole = parts[0].summed(ranks), GroupMoments.of(list(columns), group, weight, 3)
    for name in ("weights", "squares", "first", "second"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name))


def test_is_right_compares_the_largest_score_with_the_label():
    scores = torch.tensor([[0.1, 2.0, 0.0], [3.0, 2.0, 1.0]], requires_grad=True)
    assert is_right(scores, torch.tensor([1, 2])).tolist() == [True, False]


def test_group_moments_errors_by_hand():
    values = np.array([1.0, 3.0, 5.0, 2.0, 4.0, 2.0, 4.0, 7.0, 0.0, 1.0])
    group = np.array([0, 0, 0, 1, 1, 1, 1, 2, 3, 3])
    sizes = np.array([3, 2, 1, 2, 0])
    errors = GroupMoments.of([values], group, None, 5).errors(0, sizes)
    # s / √n: 2 / √3; two rows drawn twice tell what two rows do; one row tells nothing; 0.5.
    np.testing.assert_allclose(errors, [2 / 3**0.5, 1.0, np.inf, 0.5, np.inf])
    weight = np.array([1.0, 1.0, 2.0, *[1.0] * 7])
    # Mean 3.5, variance (2.5² + 0.5² + 2 · 1.5²) / 4, and 16 / 6 rows' worth of weights.
    weighted = GroupMoments.of([values], group, weight, 5).errors(0, sizes)
    assert weighted[0] == pytest.approx((2.75 / (16 / 6 - 1)) ** 0.5)


def test_group_moments_of_equal_values_have_no_error():
    # Their squares add up to a hair less than the mean's: no root of a negative number.
    values, group = np.full(7, 0.1), np.zeros(7, dtype=np.int64)
    errors = GroupMoments.of([values], group, None, 1).errors(0, np.array([7]))
    assert 0 <= errors[0] < 1e-8


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_group_sums_of_any_precision_are_at_least_single(given, expected):
    values = torch.tensor([1.0, 2.0, 4.0], dtype=given, requires_grad=True)
    group, weight = torch.tensor([2, 0, 2]), torch.tensor([1.0, 1.0, 0.5])
    sums, sizes = group_sums(values, group, weight, 4)
    assert sums.dtype == sizes.dtype == expected
    assert sums.tolist() == [2.0, 0.0, 3.0, 0.0]
    assert sizes.tolist() == [1.0, 0.0, 1.5, 0.0]
    sums[2].backward()
    assert values.grad.tolist() == [1.0, 0.0, 0.5]
