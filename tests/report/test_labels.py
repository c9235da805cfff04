"""Labels of one kind, or an error that says which differ."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning

from sk_prunefair.report.labels import as_labels_of_one_kind, as_plain_labels


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([0, 1], [1, 0]),
        ([0, 1], [1.0, 0.0]),
        ([0, 1], [True, False]),
        ([True, False], [1, 0]),
        ([0.5, 1.5], [1, 2]),
        ([0.5, 1.5], [0.5, 1.0]),
        ([True, 2, 0.5], [2, False, 1.5]),
        (["a", "b"], ["b", "c"]),
    ],
)
def test_as_labels_of_one_kind_what_can_be_compared_is_returned_as_given(truth, predicted):
    given = [np.array(each, dtype=object) for each in (truth, predicted)]
    found = as_labels_of_one_kind(given[0], {"p": given[1]})
    for values, expected in zip(found, (truth, predicted), strict=True):
        assert values.tolist() == expected
        assert values.dtype != object


@pytest.mark.parametrize(
    "labels", [[(1, 2), (3,)], [(1, 2), (3, 4)], [datetime.date(2026, 3, 1), datetime.date.max]]
)
def test_as_labels_of_one_kind_other_objects_stay_as_they_are(labels):
    given = np.empty(2, dtype=object)
    given[:] = labels
    for values in as_labels_of_one_kind(given, {"p": given[::-1]}):
        assert values.shape == (2,)
        assert sorted(values.tolist()) == labels


@pytest.mark.parametrize(
    ("truth", "predicted", "kinds"),
    [
        ([0, 1], [0.5, 1], "y_true has integers, p has fractions, such as 0.5; probabilities"),
        ([True, False], [0.5, 1], "y_true has booleans, p has fractions"),
        ([0, 1], ["0", "1"], "y_true has integers, p has strings, such as '0'$"),
        (["0", "1"], [1, 0], "y_true has strings, p has integers, such as 1$"),
        ([0.5, 1], ["0", "1"], "y_true has fractions, p has strings"),
        (["0", "1"], [True, False], "y_true has strings, p has booleans"),
    ],
)
def test_as_labels_of_one_kind_others_raise_and_show_the_first(truth, predicted, kinds):
    with pytest.raises(ValueError, match=f"^p must hold labels as y_true does: {kinds}"):
        as_labels_of_one_kind(truth, {"p": predicted})


def test_as_labels_of_one_kind_first_fraction_is_shown_not_the_first_value():
    with pytest.raises(ValueError, match=r"such as 0\.25;"):
        as_labels_of_one_kind([0, 1, 1], {"p": [1, 0.25, 0.75]})


def test_as_labels_of_one_kind_lengths_are_compared_unless_said_otherwise():
    with pytest.raises(ValueError, match="p has 1 values, but y_true has 2"):
        as_labels_of_one_kind([0, 1], {"p": [0]})
    _, found = as_labels_of_one_kind([0, 1], {"p": [5]}, same_length=False)
    assert found.tolist() == [5]


@pytest.mark.parametrize("mixed", [[0, "a"], ["a", True], [(1,), 2]])
def test_as_labels_of_one_kind_mixed_labels_raise(mixed):
    values = np.empty(2, dtype=object)
    values[:] = mixed
    with pytest.raises(ValueError, match=r"must hold labels of one kind, got .* and "):
        as_labels_of_one_kind(values, {})


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ("uint8", "int64"), ("int16", "int64"), ("int64", "int64"),
        ("float16", "float64"), ("float32", "float64"), ("bool", "bool"),
    ],
)  # fmt: skip
def test_as_plain_labels_are_a_copy_of_the_widest_dtype(given, dtype):
    values = np.array([0, 1], dtype=given)
    found = as_plain_labels(values, "y")
    assert found.dtype == dtype
    values[:] = 0
    assert found.tolist() == [0, 1]


@pytest.mark.parametrize("kind", [np.array, pd.DataFrame])
def test_as_plain_labels_of_one_column_are_a_vector_with_a_warning(kind):
    with pytest.warns(DataConversionWarning, match=r"y is a column of shape \(2, 1\)"):
        assert as_plain_labels(kind([[3], [4]]), "y").tolist() == [3, 4]
    with pytest.raises(ValueError, match="y must be one-dimensional"):
        as_plain_labels(kind([[3, 4], [5, 6]]), "y")


@pytest.mark.parametrize(
    "values", [[], [0, np.nan], ["a", None], pd.Series([1, pd.NA], dtype="Int64")]
)
def test_as_plain_labels_missing_or_no_values_raise(values):
    with pytest.raises(ValueError, match="y must h"):
        as_plain_labels(values if not isinstance(values, list) else np.array(values), "y")
