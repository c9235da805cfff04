"""Inputs row by row, whatever they stand in."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch.utils.data import Subset, TensorDataset

from sk_prunefair.data.sources import (
    ArraySource,
    ItemSource,
    as_field,
    as_source,
    as_tensor,
    count_rows,
    field_array,
    is_arrow,
    take_rows,
)

ROWS = torch.tensor([2, 0])
TABLE = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    "inputs", [TABLE, torch.tensor(TABLE), TABLE[::-1][::-1], sparse.csr_matrix(TABLE)]
)
def test_as_source_rows_of_arrays_and_of_sparse_matrices(inputs):
    source = as_source(inputs)
    assert len(source) == 3
    assert source.fetch(ROWS).X.tolist() == [[4, 5], [0, 1]]
    assert source.sample(2).tolist() == [4, 5]


def test_as_source_dict_has_each_arrays_rows():
    source = as_source({"a": TABLE, "b": np.array([7, 8, 9])})
    assert len(source) == 3
    found = source.fetch(ROWS).X
    assert found["a"].tolist() == [[4, 5], [0, 1]]
    assert found["b"].tolist() == [9, 7]
    sample = source.sample(1)
    assert sample["a"].tolist() == [2, 3]
    assert sample["b"].item() == 8


def test_as_source_items_bring_labels_and_groups():
    source = as_source(TensorDataset(torch.tensor(TABLE), torch.tensor([5, 6, 7])))
    assert isinstance(source, ItemSource)
    assert len(source) == 3
    found = source.fetch(ROWS)
    assert found.X.tolist() == [[4, 5], [0, 1]]
    assert found.y == [7, 5]
    assert found.group is None
    assert source.sample(1)[1].item() == 6


def test_as_source_array_that_is_a_data_set_is_asked_for_its_items():
    class Doubled(np.ndarray, torch.utils.data.Dataset):
        def __getitem__(self, row):
            return 2 * np.asarray(self)[row], 1

    source = as_source(TABLE.view(Doubled))
    assert source.fetch(ROWS).X.tolist() == [[8, 10], [0, 2]]
    assert isinstance(as_source(TABLE), ArraySource)


def test_as_source_arrow_columns_of_numbers_alone():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(
        {"x": [[0.5], [1.5], [2.5]], "n": [7, 8, 9], "text": list("abc"), "label": [0, 1, 0]}
    )
    assert is_arrow(table)
    source = as_source(table)
    assert len(source) == 3
    found = source.fetch(ROWS).X
    assert list(found) == ["x", "n"]
    assert found["x"].tolist() == [[2.5], [0.5]]
    assert found["n"].tolist() == [9, 7]
    assert source.sample(1)["text"] == "b"
    assert take_rows(table, np.array([2, 0]))["n"][:] == [9, 7]
    assert not is_arrow(table.with_transform(dict))
    with pytest.raises(ValueError, match="a column of numbers for the module"):
        as_source(table.select_columns(["text", "label"]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("int8", "int64"), ("uint8", "int64"), ("bool", "bool"),
        ("float16", "float32"), ("float32", "float32"), ("float64", "float64"),
    ],
)  # fmt: skip
def test_field_array_dtype_of_each_kind(given, expected):
    found = field_array(np.array([[0, 1], [1, 0]], dtype=given), "a")
    assert found.dtype == expected
    assert found.tolist() == [[0, 1], [1, 0]]


def test_field_array_takes_tensors_and_lists():
    assert field_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True), "a").tolist() == [
        1,
        1,
    ]
    assert field_array([[1, 2], [3, 4]], "a").tolist() == [[1, 2], [3, 4]]
    assert as_field([1, 2], "a").dtype == torch.int64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [3]], r"X\['a'\] must be an array with rows of equal length"),
        (np.array([[1, 2], [3]], dtype=object), "rows of equal length"),
        (np.array([None, None]), "an array of numbers, got dtype object"),
        (["x", "y"], "an array of numbers, got dtype <U1"),
        (5, r"an array of numbers, got dtype int64 and shape \(\)"),
    ],
)
def test_field_array_of_other_things_raises(values, message):
    with pytest.raises(ValueError, match=message):
        field_array(values, "a")


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (TABLE, [[4, 5], [0, 1]]),
        (pd.DataFrame(TABLE, index=[0, 0, 0]), [[4, 5], [0, 1]]),
        (sparse.coo_matrix(TABLE), [[4, 5], [0, 1]]),
        ([7, 8, 9], [9, 7]),
    ],
)
def test_take_rows_keeps_the_form(X, expected):
    found = take_rows(X, ROWS.numpy())
    assert not sparse.issparse(X) or sparse.issparse(found)
    assert isinstance(found, (type(X), sparse.csr_matrix))
    values = found.toarray() if sparse.issparse(found) else found
    assert np.asarray(values).tolist() == expected


def test_take_rows_of_a_data_set_are_a_subset_of_it():
    data = TensorDataset(torch.tensor(TABLE))
    found = take_rows(data, ROWS.numpy())
    assert isinstance(found, Subset)
    assert found.dataset is data
    assert list(found.indices) == [2, 0]


def test_count_rows_of_what_has_a_shape_or_a_length():
    assert count_rows(TABLE) == 3
    assert count_rows({"a": TABLE[:2]}) == 2
    assert count_rows(sparse.dok_matrix(TABLE)) == 3
    assert count_rows([1, 2]) == 2


def test_as_tensor_shares_memory_where_torch_can_take_it():
    tensor = torch.ones(2)
    assert as_tensor(tensor) is tensor
    array = np.zeros((2, 3))
    as_tensor(array)[1, 2] = 5
    assert array[1, 2] == 5


@pytest.mark.parametrize("turned", [TABLE[::-1], TABLE[:, ::-1], TABLE[::-1, ::-1]])
def test_as_tensor_array_turned_round_is_copied(turned):
    assert as_tensor(turned).tolist() == turned.tolist()


def test_as_tensor_read_only_array_is_copied_without_a_warning():
    array = np.zeros(3)
    array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = as_tensor(array)
    tensor[0] = 1
    assert array[0] == 0
    assert as_tensor(np.array(5.0)).item() == 5
