"""The limit on what the best group may lose, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.constraints._best_group import BestGroupLimit


def test_best_group_limit_over_epochs_by_hand():
    limit = BestGroupLimit(0.05)
    for accuracy, fallen, is_kept in (
        ([0.8, 0.6, np.nan], 0.0, True),
        ([0.7, 0.75, np.nan], 0.1, False),
        ([0.78, 0.7, np.nan], 0.02, True),
        ([np.nan, 0.7, np.nan], 0.02, True),
        ([0.5, 0.9, 0.1], 0.0, True),
        ([0.8, 0.8, 0.1], 0.1, False),
    ):
        limit = limit.after(np.array(accuracy), np.full(3, 10**6))
        assert limit.fallen == pytest.approx(fallen, abs=1e-12)
        assert limit.is_kept is is_kept
        assert limit.slack == pytest.approx(max(0, 1 - fallen / 0.05))
    assert [BestGroupLimit(0.0, limit.highest, 1, fallen).slack for fallen in (0.0, 0.1)] == [1, 0]
    with pytest.warns(UserWarning, match="best group, b, is 0.100 below"):
        limit.warn(np.array(["a", "b", "c"], dtype=object))


def test_best_group_limit_of_one_right_row_is_not_the_best():
    # By Wilson's lower bounds, 0.21 of the lone row and some 0.89 of the second group.
    limit = BestGroupLimit(0.05).after(np.array([1.0, 0.91, 0.6]), np.array([1, 1000, 1000]))
    limit = limit.after(np.array([0.0, 0.9, 0.6]), np.array([1, 1000, 1000]))
    assert limit.best == 1
    assert limit.fallen == pytest.approx(0.01)
