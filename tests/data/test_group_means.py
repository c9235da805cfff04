"""Means by group, their errors and sums, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sk_prunefair.data.group_means import GroupMoments, group_sums


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
