"""Features cut into bins: codes, cuts and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.report.slice_columns import binned_columns


def test_binned_columns_bins_of_many_numbers_are_about_equally_full():
    [column] = binned_columns({"x": np.random.default_rng(0).exponential(size=1200)}, 1200)
    assert np.ptp(np.bincount(column.codes)) <= 2
    assert len(np.bincount(column.codes)) == 20


@pytest.mark.parametrize(
    ("values", "cuts", "said", "codes"),
    [
        ([3, 1, 2, 1], (1, 2), (), [2, 0, 1, 0]),
        ([0.5, np.nan, 0.25], (0.4,), ("is missing",), [1, 2, 0]),
        ([7.0, np.nan, 7.0], (), ("= 7.0", "is missing"), [0, 1, 0]),
        ([True, False, True], (), ("= True", "= False"), [0, 1, 0]),
        (["é", None, "b"], (), ('= "é"', '= "b"', "is missing"), [0, 2, 1]),
    ],
)
def test_binned_columns_of_few_values_by_hand(values, cuts, said, codes):
    [column] = binned_columns(pd.DataFrame({"x": values}), len(values))
    assert (column.cuts, column.values, column.codes.tolist()) == (cuts, said, codes)
    assert list(map(type, column.cuts)) == list(map(type, cuts))


def test_binned_columns_of_one_value_or_of_none_are_left_out():
    frame = pd.DataFrame({"a": [1, 1], "b": [np.nan] * 2, "c": ["x"] * 2, "d": [None] * 2})
    assert binned_columns(frame, 2) == []


def test_binned_columns_quantiles_that_are_tied_are_cut_once():
    # Half of the rows have the largest value: the cut is below it.
    top = np.r_[np.arange(29.0), np.full(29, 29.0)]
    [column] = binned_columns({"x": top}, 58, max_bins=2)
    assert column.cuts == (28.0,)
    # Most rows have one value: three quantiles are one cut; nothing is above the largest.
    most = np.r_[np.arange(5.0), np.full(95, 2.5)]
    [column] = binned_columns({"x": most}, 100, max_bins=4)
    assert column.cuts == (2.8,)
    largest = np.r_[np.arange(5.0), np.full(95, 9.0)]
    assert binned_columns({"x": largest}, 100, max_bins=4) == []


def test_binned_columns_ranges_are_intervals_of_numbers_and_single_values():
    [column] = binned_columns({"x": [1.0, 2.0, 3.0, None]}, 4)
    assert column.ranges() == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (3, 3)]
    texts = [column.condition(*ends) for ends in column.ranges()]
    assert texts == [
        "x <= 1.0", "x <= 2.0", "x is known", "1.0 < x <= 2.0", "x > 1.0", "x > 2.0",
        "x is missing",
    ]  # fmt: skip
    [whole] = binned_columns({"x": [1.0, 2.0]}, 2)
    assert whole.ranges() == [(0, 0), (1, 1)]  # not all of it
