"""Cells of groups and control levels, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sk_prunefair.report.cells import Cells

GROUPS = pd.DataFrame({"sex": ["m", "f", "m", "f", "m"]})


def test_cells_of_groups_alone_by_hand():
    cells = Cells(GROUPS)
    assert cells.codes.tolist() == [1, 0, 1, 0, 1]
    assert cells.group.tolist() == ["m", "f", "m", "f", "m"]
    assert cells.level is None
    pd.testing.assert_frame_equal(cells.frame, pd.DataFrame({"sex": ["f", "m"]}))
    assert cells.starts.tolist() == [0]
    assert np.split(cells.counts, cells.starts)[1].tolist() == [2, 3]
    pd.testing.assert_index_equal(cells.index, pd.Index(["f", "m"], name="sex"))
    values = [True, False, False, True, True]
    assert (cells.sums(values).tolist(), cells.means(values).tolist()) == ([1, 2], [0.5, 2 / 3])
    assert cells.sums(values).dtype == float
    assert list(cells.features()) == ["sensitive_features"]


def test_cells_of_levels_are_those_that_have_samples():
    levels = pd.DataFrame({"site": ["b", "a", "a", "a", "c"]})
    cells = Cells(GROUPS, levels)
    expected = pd.DataFrame({"site": ["a", "a", "b", "c"], "sex": ["f", "m", "m", "m"]})
    pd.testing.assert_frame_equal(cells.frame, expected)
    assert cells.codes.tolist() == [2, 0, 1, 0, 3]
    assert cells.counts.tolist() == [2, 1, 1, 1]
    assert cells.starts.tolist() == [0, 2, 3]
    assert cells.level.tolist() == ["b", "a", "a", "a", "c"]
    assert cells.index.tolist() == [("a", "f"), ("a", "m"), ("b", "m"), ("c", "m")]
    np.testing.assert_array_equal(cells.means([1.0, 2.0, 3.0, 6.0, 0.0]), [4, 3, 1, 0])
    features = cells.features()
    assert list(features["sensitive_features"]) == ["sex"]
    assert list(features["control_features"]) == ["site"]
