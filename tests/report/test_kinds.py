"""Rows that are alike, counted together: moments against those of all rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import skew

from sk_prunefair.report.kinds import Kinds, group_moments

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, 60)
VALUES = RNG.exponential(size=60)


def kinds_of(rows, names=("loss",)):
    keys = pd.DataFrame({"k": CODES[rows]})
    return Kinds.of(keys, dict.fromkeys(names, VALUES[rows]))


def test_kinds_of_rows_have_counts_means_and_central_sums():
    kinds = kinds_of(np.arange(60))
    for key, count, mean, square, cube in zip(
        kinds.keys["k"], kinds.counts, kinds.means["loss"], kinds.squares["loss"],
        kinds.cubes["loss"], strict=True,
    ):  # fmt: skip
        own = VALUES[key == CODES]
        assert count == len(own)
        assert mean == pytest.approx(own.mean())
        assert square == pytest.approx(((own - own.mean()) ** 2).sum())
        assert cube == pytest.approx(((own - own.mean()) ** 3).sum())
    assert kinds.counts.dtype == np.int64


def assert_alike(found, expected):
    found, expected = (
        pd.DataFrame(
            {"n": each.counts, "mean": each.means["loss"], "square": each.squares["loss"],
             "cube": each.cubes["loss"]}, index=each.keys["k"].to_numpy(),
        ).sort_index()
        for each in (found, expected)
    )  # fmt: skip
    pd.testing.assert_frame_equal(found, expected)


def test_kinds_together_equal_those_of_all_rows():
    expected = kinds_of(np.arange(60))
    parts = [kinds_of(np.arange(0, 25)), kinds_of(np.arange(25, 26)), kinds_of(np.arange(26, 60))]
    assert_alike(Kinds.together(parts), expected)
    assert Kinds.together(parts[:1]) is parts[0]


def test_kinds_of_rows_that_stand_for_several_equal_repeated_rows():
    weights = np.arange(60) % 3
    found = Kinds.of(pd.DataFrame({"k": CODES}), {"loss": VALUES}, weights)
    assert_alike(found, kinds_of(np.repeat(np.arange(60), weights)))


def test_kinds_that_stand_for_no_row_are_left_out_with_their_sums():
    kinds = kinds_of(np.arange(60))
    emptied = np.where(kinds.keys["k"] == 2, 0, kinds.counts)
    found = Kinds.of(kinds.keys, kinds.means, emptied, kinds.squares, kinds.cubes)
    assert_alike(found, kinds_of(np.flatnonzero(CODES != 2)))


def test_group_moments_of_rows_are_those_of_pandas_and_scipy():
    moments = group_moments({"loss": VALUES, "other": -VALUES}, CODES)
    assert list(moments)[:3] == ["loss", "other", "n"]
    for code, row in moments.iterrows():
        own = VALUES[code == CODES]
        assert row["n"] == len(own)
        assert row["loss"] == pytest.approx(own.mean())
        assert row["loss_deviation"] == pytest.approx(own.std(ddof=1))
        # scipy's is of the deviation with ddof=0.
        expected = skew(own) * (1 - 1 / len(own)) ** 1.5
        assert row["loss_skewness"] == pytest.approx(expected)
        assert row["other_skewness"] == pytest.approx(-expected)
    assert moments["n"].dtype == np.int64


def test_group_moments_of_kinds_equal_those_of_their_rows():
    # Kinds in two groups: codes 0 and 1, codes 2 and 3.
    kinds = kinds_of(np.arange(60))
    found = group_moments(
        kinds.means, kinds.keys["k"].to_numpy() // 2, kinds.counts, kinds.squares, kinds.cubes
    )
    pd.testing.assert_frame_equal(found, group_moments({"loss": VALUES}, CODES // 2))


def test_group_moments_of_one_value_and_of_equal_ones():
    with np.errstate(all="raise"):  # nothing is divided by 0
        found = group_moments({"x": np.array([2.0, 5.0, 5.0])}, np.array([0, 1, 1]))
    assert found["n"].tolist() == [1, 2]
    assert np.isnan(found.loc[0, "x_deviation"])
    assert found.loc[1, "x_deviation"] == 0
    assert found["x_skewness"].isna().all()
