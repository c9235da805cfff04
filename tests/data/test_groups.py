"""Sensitive features in every container, and their codes."""

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import MetricFrame, count

from sk_prunefair.data.groups import as_group_frame, encode_groups


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a", "b"],
        ("b", "a", "b"),
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], dtype=object),
        np.array([["b"], ["a"], ["b"]]),
        pd.Index(["b", "a", "b"]),
        pd.Series(["b", "a", "b"], index=[7, 7, 0]),
        pd.Series(["b", "a", "b"], dtype="category"),
        pd.Categorical(["b", "a", "b"], categories=["unused", "b", "a"]),
    ],
    ids=lambda values: type(values).__name__,
)
def test_as_group_frame_one_column_in_any_container_is_the_same(values):
    frame = as_group_frame(values, 3)
    expected = pd.DataFrame({"sensitive_feature": ["b", "a", "b"]})
    pd.testing.assert_frame_equal(frame, expected)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 0], "int64"),
        (np.array([1, 0], dtype=np.int8), "int64"),
        (torch.tensor([1, 0]), "int64"),
        (pd.Series([1, 0], dtype="Int64"), "int64"),
        (pd.Series([1, 0], dtype="category"), "int64"),
        ([True, False], "bool"),
        (np.array([True, False]), "bool"),
        (torch.tensor([True, False]), "bool"),
        (pd.Series([True, False], dtype="boolean"), "bool"),
        ([0.5, 1.0], "float64"),
    ],
)
def test_as_group_frame_values_keep_their_kind(values, dtype):
    assert as_group_frame(values, 2).dtypes.tolist() == [np.dtype(dtype)]


def test_as_group_frame_tensor_that_needs_gradients_is_taken():
    frame = as_group_frame(torch.tensor([0.5, 1.5], requires_grad=True), 2)
    assert frame["sensitive_feature"].tolist() == [0.5, 1.5]


def test_as_group_frame_columns_keep_or_get_names():
    assert list(as_group_frame(pd.Series(["a"], name="race"), 1)) == ["race"]
    assert list(as_group_frame(pd.Series(["a"], name=0), 1)) == ["0"]
    assert list(as_group_frame(pd.DataFrame({"sex": ["f"], 3: [1]}), 1)) == ["sex", "3"]
    assert list(as_group_frame([["f", 1]], 1)) == ["sensitive_feature_0", "sensitive_feature_1"]
    assert list(as_group_frame(["f"], 1, "control_features")) == ["control_feature"]


def test_as_group_frame_list_of_rows_has_a_kind_per_column():
    frame = as_group_frame([("f", 1), ("m", 0)], 2)
    assert frame["sensitive_feature_0"].tolist() == ["f", "m"]
    assert frame["sensitive_feature_1"].dtype == np.int64


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_as_group_frame_tables_of_other_libraries_are_the_same(library):
    module = pytest.importorskip(library)
    columns = {"sex": ["m", "f"], "old": [True, False]}
    table = module.DataFrame(columns) if library == "polars" else module.table(columns)
    for given in (table, columns, pd.MultiIndex.from_frame(pd.DataFrame(columns))):
        pd.testing.assert_frame_equal(as_group_frame(given, 2), pd.DataFrame(columns))
    if library == "polars":
        frame = as_group_frame(table["sex"], 2)
        pd.testing.assert_frame_equal(frame, pd.DataFrame({"sex": columns["sex"]}))


def test_as_group_frame_odd_index_counts_by_position():
    shuffled = pd.DataFrame({"sex": ["f", "m", "x"]}, index=[2, 0, 0])
    frame = as_group_frame(shuffled, 3)
    assert frame["sex"].tolist() == ["f", "m", "x"]
    assert frame.index.tolist() == [0, 1, 2]
    assert shuffled.index.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "got None"),
        (["a"], "has 1 rows, but the data has 2"),
        (["a", "b", "c"], "has 3 rows, but the data has 2"),
        (["a", None], "no missing values, got 1 in column 'sensitive_feature'"),
        ([1.0, float("nan")], "no missing values"),
        (np.array([1.0, np.nan]), "no missing values"),
        (pd.Series([1, pd.NA], dtype="Int64"), "no missing values"),
        (pd.Series(["a", None], dtype="category"), "no missing values"),
        (pd.Series([pd.Timestamp(0), pd.NaT], name="born"), "1 in column 'born'"),
        (pd.DataFrame({"sex": ["f", "m"], "race": ["a", pd.NA]}), "1 in column 'race'"),
        (pd.DataFrame(index=[0, 1]), r"at least one column, got shape \(2, 0\)"),
        (np.empty((2, 0)), "at least one column"),
        (np.zeros((2, 1, 1)), "got ndarray with 3 dimensions"),
        ("ab", "got str with 0 dimensions"),
        ({"sex": ["f", "m"], "race": ["a"]}, r"columns of one length, got \{'sex': 2, 'race': 1\}"),
        ([1, "a"], r"got \['int', 'str'\] in column 'sensitive_feature'"),
        (pd.Series([(1, 2), (3, 4)]), r"got \['tuple'\]"),
        ([[1], [1, 2]], r"got \['list'\]"),
        (pd.DataFrame([[1, 2], [1, 2]], columns=["a", "a"]), "distinct column names"),
    ],
)
def test_as_group_frame_bad_groups_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        as_group_frame(values, 2, "sensitive_features")
    assert str(caught.value).startswith("sensitive_features ")


def test_encode_groups_of_one_column_are_sorted_codes():
    frame = as_group_frame(pd.Series([30, 10, 30, 20], name="age"), 4)
    codes, groups = encode_groups(frame)
    assert codes.tolist() == [2, 0, 2, 1]
    assert codes.dtype == np.int64
    pd.testing.assert_index_equal(groups, pd.Index([10, 20, 30], name="age"))


def test_encode_groups_of_several_columns_are_those_observed():
    frame = as_group_frame(
        pd.DataFrame({"sex": ["m", "f", "m"], "old": [False, True, True]}), n_samples=3
    )
    codes, groups = encode_groups(frame)
    assert groups.tolist() == [("f", True), ("m", False), ("m", True)]
    assert list(groups.names) == ["sex", "old"]
    assert codes.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a"],
        [2, 1],
        [True, False],
        [0.5, 0.25],
        pd.Series(["b", "a"], dtype="category"),
        pd.to_datetime(["2001-01-01", "2000-01-01"]),
        [("b", 1), ("a", 1)],
    ],
)
def test_encode_groups_equal_those_of_a_metric_frame(values):
    frame = as_group_frame(values, 2)
    by_group = MetricFrame(
        metrics=count, y_true=[0, 1], y_pred=[0, 1], sensitive_features=frame
    ).by_group
    assert encode_groups(frame)[1].equals(by_group.index)
    assert list(encode_groups(frame)[1].names) == list(by_group.index.names)


def test_encode_groups_known_groups_set_the_codes():
    known = encode_groups(as_group_frame(["a", "b", "c"], 3))[1]
    codes, groups = encode_groups(as_group_frame(["c", "a"], 2), known)
    assert codes.tolist() == [2, 0]
    assert groups is known


def test_encode_groups_columns_in_another_order_are_matched_by_name():
    data = pd.DataFrame({"sex": [True, False], "old": [False, False]})
    codes, known = encode_groups(as_group_frame(data, 2))
    again, _ = encode_groups(as_group_frame(data[["old", "sex"]], 2), known)
    assert again.tolist() == codes.tolist() == [1, 0]
    unnamed, _ = encode_groups(as_group_frame(data.to_numpy(), 2), known)
    assert unnamed.tolist() == [1, 0]


def test_encode_groups_unseen_groups_raise_and_are_listed():
    known = encode_groups(as_group_frame([0, 1], 2))[1]
    with pytest.raises(
        ValueError, match=r"not known: \[9, 8, 7, 6, 5\]; the known groups are \[0, 1\]"
    ):
        encode_groups(as_group_frame([9, 8, 7, 6, 5, 4, 1], 7), known)
    with pytest.raises(ValueError, match=r"s holds groups that are not known: \['0', '1'\]"):
        encode_groups(as_group_frame(["0", "1"], 2), known, "s")


def test_encode_groups_unseen_combinations_raise_and_are_listed():
    known = encode_groups(as_group_frame([("a", 0), ("b", 1)], 2))[1]
    with pytest.raises(ValueError, match=r"not known: \[\('a', 1\)\]"):
        encode_groups(as_group_frame([("a", 1), ("b", 1)], 2), known)


def test_encode_groups_other_number_of_columns_raises():
    known = encode_groups(as_group_frame(pd.Series([0, 1], name="sex"), 2))[1]
    with pytest.raises(ValueError, match=r"has 2 columns, but the known groups are made of 1"):
        encode_groups(as_group_frame([(0, 0), (0, 1)], 2), known)
