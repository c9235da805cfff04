"""What one item of a data set holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sk_prunefair.data.items import Item, held, plain, read_items, split_item


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (5, Item(5)),
        ((5, 1), Item(5, 1)),
        ([5, 1, "a"], Item(5, 1, "a")),
        ({"X": 5, "label": 1}, Item({"X": 5}, 1)),
        ({"X": 5, "label": 1, "labels": 2}, Item({"X": 5}, 2)),
        (({"X": 5, "label": 1}, 0, "a"), Item({"X": 5}, 0, "a")),
        ({"X": 5}, Item({"X": 5})),
    ],
)
def test_split_item_of_each_form(item, expected):
    assert split_item(item) == expected


def test_held_labels_or_groups_that_one_item_lacks_are_none():
    assert held([Item(0, 1, "a"), Item(0, 2, "b")]) == ([1, 2], ["a", "b"])
    assert held([Item(0, 1, "a"), Item(0, 2)]) == ([1, 2], None)
    assert held([Item(0, None, "a"), Item(0, 2, "b")]) == (None, ["a", "b"])


@pytest.mark.parametrize(
    "value",
    [7, torch.tensor(7), torch.tensor([7]), np.int32(7), np.array([7]), np.array([[7]])],
)
def test_plain_one_number_is_one_of_python(value):
    assert type(plain(value)) is int
    assert plain(value) == 7


def test_plain_several_numbers_stay_an_array():
    for value in (torch.tensor([7, 8]), np.array([7, 8])):
        assert isinstance(plain(value), np.ndarray)
        assert plain(value).tolist() == [7, 8]
    assert plain("seven") == "seven"


def test_read_items_asks_once_where_the_data_set_can_be():
    class Whole(list):
        def __getitems__(self, rows):
            return [f"{row} at once" for row in rows]

    assert read_items(["a", "b", "c"], [2, 0]) == ["c", "a"]
    assert read_items(Whole("abc"), [2, 0]) == ["2 at once", "0 at once"]
