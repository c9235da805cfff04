"""Rows whose answer changed: which, in which order, and what is left out where it is not known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.outcome import Outcome
from sk_prunefair.report.exemplars import exemplars

TRUTH = np.array([0, 1, 2, 0, 1, 2])
DENSE = np.array([0, 1, 2, 1, 0, 2])
COMPRESSED = np.array([0, 2, 0, 0, 2, 2])
# Rows 1 and 2 are lost, row 3 is gained, row 4 goes from one wrong answer to another.
DENSE_SCORES = np.array(
    [[0.9, 0.1, 0], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0, 0.6, 0.4], [0.7, 0.2, 0.1], [0, 0, 1]]
)
SCORES = np.array(
    [[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.4, 0.3, 0.3], [1, 0, 0], [0.3, 0.3, 0.4], [0, 0, 1]]
)


def outcome(labels, losses=None, scores=None):
    made = Outcome(losses, labels, TRUTH)
    object.__setattr__(made, "scores", scores)
    return made


def test_exemplars_scores_known_ordered_by_confidence_of_the_dense_net():
    found = exemplars(
        outcome(DENSE, scores=DENSE_SCORES),
        outcome(COMPRESSED, scores=SCORES),
        ["a", "b", "c"],
        groups=["f", "f", "m", "m", "f", "m"],
    )
    expected = pd.DataFrame(
        {
            "y_true": ["c", "b", "a", "b"],
            "pred_dense": ["c", "a", "b", "b"],
            "pred_compressed": ["a", "c", "a", "c"],
            "confidence_dense": [0.8, 0.7, 0.6, 0.5],
            "confidence_compressed": [0.4, 0.4, 1.0, 0.5],
            "group": ["m", "f", "m", "f"],
            "what": ["lost", "changed", "gained", "lost"],
        },
        index=[2, 4, 3, 1],
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_exemplars_losses_alone_ordered_by_their_rise():
    before, after = np.array([0, 1.0, 1, 1, 1, 0]), np.array([9, 2.0, 4, 0, 3, 0])
    found = exemplars(outcome(DENSE, before), outcome(COMPRESSED, after), [10, 20, 30])
    assert found.index.tolist() == [2, 4, 1, 3]
    assert found["loss_rise"].tolist() == [3, 2, 1, -1]
    assert "confidence_dense" not in found
    assert "group" not in found


def test_exemplars_losses_of_one_net_alone_say_nothing_of_a_rise():
    for pair in (
        (outcome(DENSE, np.ones(6)), outcome(COMPRESSED)),
        (outcome(DENSE), outcome(COMPRESSED, np.ones(6))),
    ):
        found = exemplars(*pair, [0, 1, 2])
        assert found.index.tolist() == [1, 2, 3, 4]
        assert "loss_rise" not in found


def test_exemplars_of_equal_rises_stay_in_order():
    truth = np.zeros(400, dtype=int)
    rise = np.arange(400) % 2
    dense, compressed = Outcome(np.zeros(400), truth, truth), Outcome(rise, truth + 1, truth)
    found = exemplars(dense, compressed, [0, 1])
    assert found.index.tolist() == [*range(1, 400, 2), *range(0, 400, 2)]


def test_exemplars_labels_alone_stay_in_order_under_the_names_given():
    found = exemplars(
        outcome(DENSE),
        outcome(COMPRESSED),
        [0, 1, 2],
        index=list("uvwxyz"),
        names=("dense", "int8"),
    )
    assert found.index.tolist() == ["v", "w", "x", "y"]
    assert list(found) == ["y_true", "pred_dense", "pred_int8", "what"]


def test_exemplars_scores_of_one_net_alone_are_given_for_that_one():
    found = exemplars(outcome(DENSE), outcome(COMPRESSED, scores=SCORES), [0, 1, 2])
    assert found["confidence_compressed"].tolist() == [0.5, 0.4, 1.0, 0.4]
    assert "confidence_dense" not in found


def test_exemplars_groups_of_two_columns_are_tuples():
    groups = pd.DataFrame({"sex": list("fmfmfm"), "age": [1, 1, 2, 2, 3, 3]}, index=[7] * 6)
    found = exemplars(outcome(DENSE), outcome(COMPRESSED), [0, 1, 2], groups=groups)
    assert found["group"].tolist() == [("m", 1), ("f", 2), ("m", 2), ("f", 3)]


def test_exemplars_nothing_changed_is_empty_with_its_columns():
    found = exemplars(outcome(DENSE), outcome(DENSE), [0, 1, 2])
    assert found.empty
    assert list(found) == ["y_true", "pred_dense", "pred_compressed", "what"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"index": [1, 2]}, "index has 2 entries"),
        ({"groups": ["a"]}, "groups has 1 rows"),
    ],
)
def test_exemplars_wrong_length_raises(options, words):
    with pytest.raises(ValueError, match=words):
        exemplars(outcome(DENSE), outcome(COMPRESSED), [0, 1, 2], **options)


def test_exemplars_other_samples_raise():
    other = Outcome(np.zeros(6), COMPRESSED, TRUTH[::-1])
    with pytest.raises(ValueError, match="outcomes of the same samples"):
        exemplars(outcome(DENSE), other, [0, 1, 2])


@pytest.mark.parametrize("scores", [SCORES[:3], SCORES[:, :2], SCORES[:, 0], SCORES * np.nan])
def test_exemplars_bad_scores_raise(scores):
    with pytest.raises(ValueError, match="scores must"):
        exemplars(outcome(DENSE, scores=scores), outcome(COMPRESSED), [0, 1, 2])
