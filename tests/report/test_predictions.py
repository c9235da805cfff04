"""FairnessReport.from_predictions: what columns stand for, and what follows from probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.report.predictions import (
    LEAST_PROBABILITY,
    Prediction,
    aligned_scores,
    answers,
    as_prediction,
    as_probabilities,
    columns_of,
)

S = ["a", "a", "b", "b"]
P = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])


def make(y, dense, compressed, **options):
    return FairnessReport.from_predictions(
        y, dense, compressed, **({"sensitive_features": S} | options)
    )


def test_from_predictions_probabilities_losses_are_the_cross_entropy():
    report = make([0, 1, 1, 1], P, P[:, ::-1])
    np.testing.assert_allclose(report.outcomes[0].losses, -np.log([0.9, 0.8, 0.3, 0.6]))
    np.testing.assert_allclose(report.outcomes[1].losses, -np.log([0.1, 0.2, 0.7, 0.4]))
    expected = np.log([0.9 / 0.1, 0.8 / 0.2]).mean()
    assert report.excessive_risk["a"] == pytest.approx(expected)
    assert report.accuracy_drop.to_dict() == {"a": 1.0, "b": 0.0}


def test_from_predictions_certain_and_wrong_has_a_bounded_loss():
    report = make([0, 1, 0, 1], [[1, 0], [0, 1], [0, 1], [1, 0]], P)
    losses = report.outcomes[0].losses
    np.testing.assert_allclose(losses, [0, 0, *[-np.log(LEAST_PROBABILITY)] * 2])
    assert not np.signbit(losses).any()


def test_from_predictions_one_model_of_labels_has_no_losses_but_scores_of_the_other():
    report = make([0, 1, 0, 1], P, [0, 1, 1, 1])
    assert not report.has_losses
    np.testing.assert_allclose(report.outcomes[0].scores, P)
    np.testing.assert_allclose(report.outcomes[0].confidence, [0.9, 0.8, 0.7, 0.6])
    assert report.outcomes[1].scores is None
    assert report.outcomes[1].confidence is None


def test_from_predictions_columns_are_those_of_a_frame_in_any_order():
    y = np.array(["no", "yes", "no", "yes"])
    one = pd.DataFrame(P, columns=["no", "yes"], index=[9, 8, 7, 6])
    other = one[["yes", "no"]]
    report = make(y, one, other)
    assert report.labels.tolist() == ["no", "yes"]
    np.testing.assert_allclose(report.outcomes[1].scores, P)
    assert report.excessive_risk.abs().max() == 0


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        ([0, 1, 0, 1], None, [0, 1]),
        ([1, 2, 1, 2], None, [1, 2]),
        (["b", "a", "b", "a"], ["b", "a"], ["a", "b"]),
        ([True, False, True, False], None, [False, True]),
        ([0, 0, 0, 0], None, [0, 1]),
        ([1, 1, 1, 1], None, [0, 1]),
        ([-1, 1, -1, 1], None, [-1, 1]),
    ],
)
def test_from_predictions_columns_that_nobody_names(y, classes, labels):
    assert make(y, P, P, classes=classes).labels.tolist() == labels


def test_from_predictions_given_classes_are_the_order_of_columns():
    y = np.array(["b", "a", "b", "a"])
    report = make(y, P, P, classes=["b", "a"])
    assert report.dense.overall["accuracy"] == 1
    np.testing.assert_allclose(report.outcomes[0].scores, P[:, ::-1])


def test_from_predictions_models_may_know_other_classes():
    y = np.array(["a", "b", "a", "b"])
    dense = pd.DataFrame(np.c_[P * 0.9, np.full(4, 0.1)], columns=["a", "b", "c"])
    report = make(y, dense, pd.DataFrame(P, columns=["a", "b"]))
    assert report.labels.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(report.outcomes[1].scores, np.c_[P, np.zeros(4)])


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (["a", "b", "c", "a"], {}, "classes must name the 2 columns of dense_pred"),
        ([0, 1, 2, 0], {"classes": [0, 1]}, r"no probability for the labels \[2\]"),
        ([0, 1, 0, 1], {"classes": [0, 0]}, "each by a different label"),
        ([0, 1, 0, 1], {"classes": ["x", "y"]}, "y_true has integers, .* strings"),
        ([0, 1, 0], {}, "4 values, but y_true has 3"),
        ([0, 1, 0, None], {}, "y_true must have no missing values"),
        ([0, 1, 0, 1], {"names": ("x", "x")}, "two different strings"),
        ([0, 1, 0, 1], {"sensitive_features": None}, "sensitive_features must hold"),
        ([0, 1, 0, 1], {"sensitive_features": ["a"] * 3}, "3 rows, but the data has 4"),
    ],
)
def test_from_predictions_bad_input_raises(y, options, message):
    with pytest.raises(ValueError, match=message):
        make(y, P, P, **options)


def test_from_predictions_one_group_and_a_group_of_one_have_figures():
    alone = make([0, 1, 0, 1], P, P[::-1], sensitive_features=["a"] * 4)
    assert alone.fairness_violation == 0
    single = make([0, 1, 0, 1], P, P[::-1], sensitive_features=list("aaab"))
    groups = {row["group"]["sensitive_feature"]: row for row in single.to_dict()["groups"]}
    assert groups["b"]["excessive_risk"]["n"] == 1
    assert groups["b"]["excessive_risk"]["low"] is None


def test_from_predictions_columns_of_a_polars_table_are_the_classes_it_names():
    polars = pytest.importorskip("polars")
    y = ["no", "yes", "yes", "yes"]
    turned = polars.DataFrame({"yes": P[:, 1], "no": P[:, 0]})
    report = make(y, P, turned)
    assert report.excessive_risk.abs().max() < 1e-12
    same = make([0, 1, 1, 1], P, polars.DataFrame(P))
    assert same.excessive_risk.abs().max() < 1e-12


def test_from_predictions_bfloat16_tensor_is_normalised():
    torch = pytest.importorskip("torch")
    scores = torch.tensor(np.random.RandomState(0).dirichlet(np.ones(9), 4)).bfloat16()
    rows = scores.double().numpy()
    report = make([0, 1, 2, 8], scores, scores, classes=range(9))
    expected = -np.log((rows / rows.sum(axis=1, keepdims=True))[range(4), [0, 1, 2, 8]])
    np.testing.assert_allclose(report.outcomes[0].losses, expected, rtol=1e-5)


def test_from_predictions_labels_of_another_kind_error_names_the_argument():
    with pytest.raises(ValueError, match="compressed_pred must hold labels as y_true"):
        make([0, 1, 1, 1], [0, 1, 1, 1], [0.2, 0.8, 0.1, 0.3])


LABELS = np.array([0, 3, 5])
TRUTH = np.array([5, 0, 5, 0])


def test_aligned_scores_have_a_column_for_each_label_and_zeros_for_the_others():
    found = aligned_scores(P, "p", LABELS, [5, 0], TRUTH)
    np.testing.assert_allclose(found, np.c_[P[:, 1], np.zeros(4), P[:, 0]])
    same = np.c_[P * 0.5, np.full(4, 0.5)]
    np.testing.assert_allclose(aligned_scores(same, "p", LABELS, None, TRUTH), same)
    np.testing.assert_allclose(aligned_scores(same, "p", LABELS, LABELS, TRUTH), same)
    assert aligned_scores(None, "p", LABELS, None, TRUTH) is None


@pytest.mark.parametrize("classes", [None, [0, 3, 5]])
def test_aligned_scores_of_another_shape_raise(classes):
    with pytest.raises(
        ValueError, match=r"p must have shape \(4, 3\), .* \[0, 3, 5\], got \(4, 2\)"
    ):
        aligned_scores(P, "p", LABELS, classes, TRUTH)


def test_as_probabilities_rows_are_made_to_sum_to_one():
    given = np.array([[0.5, 0.505], [-1e-7, 1.0]])
    found = as_probabilities(given, "p")
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert found.min() == 0
    assert found[0, 1] == pytest.approx(0.505 / 1.005)
    for dtype, expected in (("float16", "float32"), ("float32", "float32"), ("int64", "float64")):
        assert as_probabilities(np.eye(2, dtype=dtype), "p").dtype == expected


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[0.5, 0.52]], "whose rows sum to 1, got values from 0.5 to 0.52 and sums from 1.02"),
        ([[-1e-5, 1.0]], "whose rows sum to 1, got values from -1e-05 to 1"),
        ([[2.0, -1.0]], "for logits, pass scipy.special.softmax"),
        ([[np.nan, 1.0]], "values that are not finite"),
        ([["a", "b"]], "p must hold probabilities in its 2 columns, got dtype <U1"),
    ],
)
def test_as_probabilities_of_other_numbers_raise(scores, message):
    with pytest.raises(ValueError, match=message):
        as_probabilities(np.array(scores), "p")


def test_as_prediction_labels_columns_and_tables():
    assert as_prediction([1, 0], "p").labels.tolist() == [1, 0]
    assert as_prediction([[1], [0]], "p").labels.tolist() == [1, 0]
    given = Prediction(np.array([1]))
    assert as_prediction(given, "p") is given
    named = as_prediction(pd.DataFrame(P, columns=["no", "yes"]), "p")
    assert named.classes.tolist() == ["no", "yes"]
    assert as_prediction(pd.DataFrame(P, columns=["no", "yes"]), "p", [7, 8]).classes.tolist() == [
        7,
        8,
    ]
    for unnamed in (P, P.tolist(), pd.DataFrame(P)):
        assert as_prediction(unnamed, "p").classes is None
    assert as_prediction(pd.DataFrame({"answer": [1, 0]}), "p").labels.tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"p must hold labels.*got shape \(1, 2, 2\)"):
        as_prediction(np.ones((1, 2, 2)), "p")


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ([4, 9], [4, 9]),  # as many labels as columns
        ([1, 1], [0, 1]),  # fewer, but codes of columns
        ([0, 0], [0, 1]),
    ],
)
def test_columns_of_scores_that_nobody_names(truth, expected):
    prediction = Prediction(None, P[:2])
    assert columns_of(prediction, "p", np.array(truth)).tolist() == expected
    # What the model says goes before what the user says.
    named = prediction._replace(classes=np.array([9, 4, 1, 0])[:2])
    assert columns_of(named, "p", np.array([9, 4]), [4, 9]).tolist() == [9, 4]
    assert columns_of(prediction, "p", np.array([9, 4]), [9, 4]).tolist() == [9, 4]


@pytest.mark.parametrize("truth", [[2, 2], [-1, -1], ["a", "a"]])
def test_columns_of_scores_that_cannot_be_told_raise(truth):
    with pytest.raises(ValueError, match="classes must name the 2 columns of p"):
        columns_of(Prediction(None, P[:2]), "p", np.array(truth))


def test_answers_of_labels_beside_scores_are_those_labels():
    truth = np.array([0, 1, 0, 1])
    own = np.array([1, 1, 0, 0])
    known, (one, other) = answers(
        truth, {"a": Prediction(own, P), "b": Prediction(None, P[:, ::-1], np.array([1, 0]))}
    )
    assert known.tolist() == [0, 1]
    assert one.labels.tolist() == [1, 1, 0, 0]
    assert other.labels.tolist() == [0, 1, 0, 1]
    for each in (one, other):
        np.testing.assert_allclose(each.scores, P)
        np.testing.assert_allclose(each.losses, -np.log([0.9, 0.8, 0.7, 0.6]))
    with pytest.raises(ValueError, match="a must hold labels as y_true"):
        answers(truth, {"a": Prediction(np.array(list("0101")), P)})
    with pytest.raises(ValueError, match="a must hold labels as y_true"):
        answers(truth, {"a": Prediction(np.array(list("0101")))})
