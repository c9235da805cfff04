"""What is learnt of inputs, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from sk_prunefair.data.inputs import (
    InputSchema,
    check_inputs,
    field_dtype,
    is_dataset,
    settle_dtype,
)


def learn(X, known=None):
    return check_inputs(X, LogisticRegression(), known)


class Items(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


def test_input_schema_n_inputs_are_the_numbers_of_a_sample():
    assert InputSchema(shape=(3, 4)).n_inputs == 12
    assert InputSchema(shape=()).n_inputs == 1
    assert InputSchema(fields={"a": (2,)}).n_inputs is None


def test_check_inputs_frame_tells_names_and_number_of_columns():
    inputs, schema = learn(pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=[9, 9]))
    np.testing.assert_array_equal(inputs, [[1, 3], [2, 4]])
    assert schema.shape == (2,)
    assert schema.n_features_in == 2
    assert schema.feature_names_in.tolist() == ["a", "b"]
    assert schema.dtype is None


def test_check_inputs_array_keeps_its_kind_and_the_dtype_that_is_known():
    inputs, schema = learn(np.zeros((2, 3, 4), dtype=np.int16))
    assert inputs.dtype == np.int16
    assert schema.shape == (3, 4)
    _, again = learn(np.zeros((5, 3, 4)), InputSchema(shape=(3, 4), dtype="int64"))
    assert again.dtype == "int64"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_check_inputs_number_that_is_not_finite_raises(bad):
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        learn(np.array([[0.0, bad]]))


def test_check_inputs_tensor_and_sparse_rows_become_arrays():
    tensor = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    inputs, _ = learn(tensor)
    assert inputs.dtype == np.float32
    assert inputs.tolist() == [[1, 1, 1]] * 2
    # This kind of sparse matrix is a dict as well.
    inputs, schema = learn(sparse.dok_matrix(np.eye(3)))
    assert sparse.issparse(inputs)
    assert inputs.dtype == np.float32
    assert schema.shape == (3,)


def test_check_inputs_dict_learns_shapes_dtypes_and_sizes():
    arrays = {
        "tokens": np.array([[1, 7, 2], [0, 3, 5]], dtype=np.int32),
        "dense": np.zeros((2, 4)),
        "image": np.zeros((2, 4, 5), dtype=np.float16),
        "mask": np.ones((2, 3), dtype=bool),
        "one": np.array([4, 2], dtype=np.uint8),
        "label": [0, 1],
    }
    found, schema = learn(arrays)
    assert "label" not in found
    assert schema.fields == {
        "tokens": (3,), "dense": (4,), "image": (4, 5), "mask": (3,), "one": (),
    }  # fmt: skip
    assert schema.dtypes == {
        "tokens": "int64", "dense": "float64", "image": "float32", "mask": "bool", "one": "int64",
    }  # fmt: skip
    # One more than the largest integer; columns of numbers; nothing of an image.
    assert schema.sizes == {"tokens": 8, "dense": 4, "mask": 3, "one": 5}
    assert learn(arrays, schema)[1].sizes == {}


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("int8", "int64"), ("uint16", "int64"), ("bool", "bool"),
        ("float16", "float32"), ("float32", "float32"), ("float64", "float64"),
    ],
)  # fmt: skip
def test_field_dtype_of_each_kind(dtype, expected):
    assert field_dtype(np.dtype(dtype)) == expected


KNOWN = InputSchema(
    fields={"tokens": (3,), "dense": (4,)}, dtypes={"tokens": "int64", "dense": "float32"}
)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ({}, "got an empty dict"),
        ({"labels": [0, 1]}, "got an empty dict"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "arrays of one length, got {'a': 2, 'b': 3}"),
        ({"a": np.zeros(0)}, "arrays of length 0"),
        ({"a": np.array([np.nan])}, r"X\['a'\] contains NaN"),
        (Items([]), "an empty dataset"),
        (Items([(0, 1, "a", 2)]), "4 values"),
        (Items([(5,)]), "1 value"),
        (Items([5]), "1 value"),
        (Items([(5, 1, "a")]), "3 values"),
        (iter([1, 2]), "X must be an array, a table"),
        ({"train": Items([1])}, r"pass X\['train'\]"),
    ],
)
def test_check_inputs_malformed_raises(X, message):
    with pytest.raises(ValueError, match=message):
        learn(X)


@pytest.mark.parametrize(
    ("X", "known", "message"),
    [
        (np.zeros((2, 4)), InputSchema(shape=(3,)), "features"),
        (np.zeros((2, 3, 5)), InputSchema(shape=(3, 4)), r"\(n_samples, 3, 4\) as in fit"),
        (np.zeros((2, 3)), KNOWN, r"X must be a dict of arrays \['dense', 'tokens'\]"),
        ({"a": np.zeros(2)}, InputSchema(shape=(3,)), "X must be an array as in fit"),
        ({"dense": np.zeros((2, 4))}, KNOWN, r"arrays \['dense', 'tokens'\] as in fit"),
        (
            {"tokens": np.zeros((2, 3), dtype=int), "dense": np.zeros((2, 5))},
            KNOWN,
            r"got \{'tokens': \(3,\), 'dense': \(5,\)\}",
        ),
        (
            {"tokens": np.zeros((2, 3, 1), dtype=int), "dense": np.zeros((2, 4))},
            KNOWN,
            "rows have the shapes",
        ),
        (
            {"tokens": np.zeros((2, 5)), "dense": np.zeros((2, 4))},
            KNOWN,
            "rows have the shapes",
        ),
        (Items([(torch.zeros(5), 0)]), InputSchema(shape=(3,)), r"\(n_samples, 3\) as in fit"),
        (Items([({"dense": torch.zeros(4)}, 0)]), KNOWN, "as in fit"),
    ],
)
def test_check_inputs_unlike_what_is_known_raises(X, known, message):
    estimator = LogisticRegression()
    estimator.n_features_in_ = 3
    with pytest.raises(ValueError, match=message):
        check_inputs(X, estimator, known)


def test_check_inputs_tokens_of_another_length_are_like_those_known():
    X = {"tokens": np.zeros((2, 9), dtype=np.int8), "dense": np.zeros((2, 4))}
    assert learn(X, KNOWN)[1].fields == {"tokens": (9,), "dense": (4,)}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([(torch.zeros(2, 3), 0)], InputSchema(shape=(2, 3))),
        ([(torch.zeros(4, dtype=torch.int32), 0, "a")], InputSchema(shape=(4,), dtype="int64")),
        ([(np.zeros(4, dtype=np.uint8), 0)], InputSchema(shape=(4,))),
        ([(5.0, 1)], InputSchema()),
        (
            [{"ids": [1, 2, 3], "labels": 0}],
            InputSchema(fields={"ids": (3,)}, dtypes={"ids": "int64"}),
        ),
    ],
)
def test_check_inputs_items_are_known_by_the_first(items, expected):
    X = Items(items)
    inputs, schema = learn(X)
    assert inputs is X
    assert schema == expected


def test_check_inputs_arrow_of_one_row_is_known_by_it():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"ids": [[1, 2, 3]], "label": [0]})
    assert learn(table)[1] == InputSchema(fields={"ids": (3,)}, dtypes={"ids": "int64"})


def test_settle_dtype_integers_floats_and_what_does_not_fit():
    assert settle_dtype(np.array([[1.0, 2.0]]), "int64").dtype == np.int64
    assert settle_dtype(np.array([[1, 2]]), "float32").dtype == np.float32
    assert settle_dtype(np.zeros((2, 2, 2)), "float64").shape == (2, 2, 2)
    with pytest.raises(ValueError, match="numbers that are not whole"):
        settle_dtype(np.array([[1.0, 2.5]]), "int64")
    with pytest.raises(ValueError, match="infinity"):
        settle_dtype(np.array([[1e300]]), "float32")


def test_is_dataset_of_torch_or_a_table_that_is_no_mapping():
    class Table:
        column_names, with_format = (), None

    assert is_dataset(Items([]))
    assert is_dataset(Table())
    assert not is_dataset(type("Parts", (Table, dict), {})())
    assert not is_dataset(pd.DataFrame())
