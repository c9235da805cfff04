"""The rows of a report: losses of both or of none, labels that occur or are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.outcome import Outcome
from sk_prunefair.report.cells import Cells
from sk_prunefair.report.rows import both_losses, labels_of, samples_of

TRUTH = np.array([0, 1, 1])


def test_both_losses_are_both_or_none():
    dense, pruned = both_losses(TRUTH, [0.5, 1, 2], [1, 2, 3])
    assert dense.tolist() == [0.5, 1, 2]
    assert pruned.tolist() == [1, 2, 3]
    assert both_losses(TRUTH, [0.5, 1, 2], None) == [None, None]
    assert both_losses(TRUTH, None, [0.5, 1, 2]) == [None, None]


@pytest.mark.parametrize("place", [0, 1])
def test_both_losses_of_another_length_raise_and_are_named(place):
    given = [[1.0] * 3, [1.0] * 3]
    given[place] = [1.0] * 2
    name = ("dense", "pruned")[place]
    with pytest.raises(ValueError, match=f"{name}_losses has 2 values, but y_true has 3"):
        both_losses(TRUTH, *given)


def test_labels_of_all_that_occur_or_are_known_sorted():
    assert labels_of(TRUTH, [np.array([1, 5, 1])], None).tolist() == [0, 1, 5]
    assert labels_of(TRUTH, [TRUTH], [7, 3]).tolist() == [0, 1, 3, 7]
    names = np.array(["b", "a"])
    assert labels_of(names, [names], ["c"]).tolist() == ["a", "b", "c"]


def test_samples_of_have_losses_where_both_are_known():
    labels, cells = np.array(["no", "yes"]), Cells(pd.DataFrame({"g": list("uvu")}))
    dense = Outcome(np.array([0.1, 0.2, 0.3]), np.array([0, 1, 0]), TRUTH)
    pruned = Outcome(np.array([0.4, 0.5, 0.6]), np.array([1, 1, 1]), TRUTH)
    found = samples_of(labels, dense, pruned, cells)
    expected = pd.DataFrame(
        {
            "y_true": ["no", "yes", "yes"],
            "is_right_dense": [1.0, 1.0, 0.0],
            "is_right_pruned": [0.0, 1.0, 1.0],
            "loss_dense": [0.1, 0.2, 0.3],
            "loss_pruned": [0.4, 0.5, 0.6],
            "group": ["u", "v", "u"],
            "level": None,
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    bare = Outcome(None, pruned.labels, TRUTH)
    assert "loss_dense" not in samples_of(labels, dense, bare, cells)
    assert "loss_dense" not in samples_of(labels, bare, pruned, cells)
