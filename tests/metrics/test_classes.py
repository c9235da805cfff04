"""Blakeney's metrics of classes, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from sk_prunefair import FairnessReport
from sk_prunefair.metrics import class_errors, combined_error_variance, symmetric_distance_error


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"])[rng.integers(0, 3, 300)]
    dense = np.where(rng.random(300) < 0.2, np.roll(y, 1), y)
    pruned = np.where(rng.random(300) < np.where(y == "c", 0.7, 0.2), np.roll(y, 2), y)
    return y, dense, pruned


def test_class_errors_equal_confusion_matrices(labels):
    y, dense, pruned = labels
    frame = class_errors(*labels)
    for name, pred in (("dense", dense), ("pruned", pruned)):
        table = confusion_matrix(y, pred)
        right, given, true = np.diag(table), table.sum(0), table.sum(1)
        np.testing.assert_allclose(frame[f"fnr_{name}"], 1 - right / true)
        np.testing.assert_allclose(frame[f"fpr_{name}"], (given - right) / (len(y) - true))
    change = (frame["fnr_pruned"] - frame["fnr_dense"]) / frame["fnr_dense"]
    np.testing.assert_allclose(frame["fnr_change"], change)


def test_combined_error_variance_and_symmetric_distance_by_hand(labels):
    frame = class_errors(*labels)
    points = frame[["fpr_change", "fnr_change"]].to_numpy()
    mean = points.mean(0)
    variance = np.mean([np.linalg.norm(point - mean) ** 2 for point in points])
    distance = np.mean([np.linalg.norm(point - point.mean()) for point in points])
    assert combined_error_variance(*labels) == pytest.approx(variance)
    assert symmetric_distance_error(*labels) == pytest.approx(distance)


def test_class_error_changes_without_pruning_are_zero(labels):
    y, dense, _ = labels
    assert combined_error_variance(y, dense, dense) == 0
    assert symmetric_distance_error(y, dense, dense) == 0


def test_class_errors_none_before_counts_as_half_a_sample():
    frame = class_errors([0] * 10 + [1] * 10, [0] * 10 + [1] * 10, [1] + [0] * 9 + [1] * 10)
    assert frame.loc[0, "fnr_change"] == pytest.approx(0.1 / 0.05)


def test_report_class_errors_equal_those_of_the_function(labels):
    y, dense, pruned = labels
    zeros = np.zeros(len(y))
    report = FairnessReport(
        y,
        dense_pred=dense,
        pruned_pred=pruned,
        dense_losses=zeros,
        pruned_losses=zeros,
        sensitive_features=y,
    )
    assert report.class_errors.equals(class_errors(*labels))
    assert report.class_errors.attrs["combined_error_variance"] == combined_error_variance(*labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], [0, 0], [0, 0]), "at least two classes"),
        (([0, 1], [0], [0, 1]), "dense_pred has 1 values"),
        (([0, None], [0, 1], [0, 1]), "y_true must have no missing"),
    ],
)
def test_class_errors_bad_input_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        class_errors(*arguments)
