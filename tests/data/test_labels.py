"""Labels and groups that a data set itself yields."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from sk_prunefair.data.labels import dataset_targets, quick_labels, read_labels

X = torch.zeros(4, 2)
LABELLED = TensorDataset(X, torch.tensor([3, 1, 2, 1]))
GROUPED = TensorDataset(X, torch.tensor([3, 1, 2, 1]), torch.tensor([5, 6, 5, 6]))


class Beside(Dataset):
    """Labels beside the items, and in them; it counts how often an item is read."""

    def __init__(self, targets, items, transform=None):
        self.targets, self.items, self.target_transform = targets, items, transform
        self.reads = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        self.reads.append(row)
        return self.items[row]


def items(labels, *more):
    return [(0.0, label, *more) for label in labels]


def read(data):
    """Return labels and groups as lists."""
    y, group = read_labels(data)
    return None if y is None else y.tolist(), group


def test_read_labels_of_tensors_are_the_second_and_groups_the_third():
    assert read(TensorDataset(X)) == (None, None)
    assert read(LABELLED) == ([3, 1, 2, 1], None)
    assert read(GROUPED) == ([3, 1, 2, 1], [5, 6, 5, 6])


def test_read_labels_of_parts_are_those_of_their_rows():
    assert read(Subset(GROUPED, [2, 0])) == ([2, 3], [5, 5])
    assert read(Subset(TensorDataset(X), [2, 0])) == (None, None)
    assert read(ConcatDataset([GROUPED, Subset(GROUPED, [1])])) == (
        [3, 1, 2, 1, 1],
        [5, 6, 5, 6, 6],
    )
    # What one part lacks is not there.
    assert read(ConcatDataset([GROUPED, LABELLED])) == ([3, 1, 2, 1] * 2, None)
    assert read(ConcatDataset([GROUPED, TensorDataset(X)])) == (None, None)


def test_read_labels_beside_items_three_items_are_looked_at():
    labels = list(range(9))
    data = Beside(np.array(labels), items(labels))
    assert read(data) == (labels, None)
    assert data.reads == [0, 4, 8]
    assert read(Subset(data, [7, 2])) == ([7, 2], None)
    assert read(ConcatDataset([data, LABELLED])) == ([*labels, 3, 1, 2, 1], None)
    assert data.reads == [0, 4, 8] * 3


@pytest.mark.parametrize("place", [0, 2, 4])
def test_read_labels_beside_items_that_say_otherwise_are_not_taken(place):
    said = [1, 1, 1, 1, 1]
    said[place] = 0
    data = Beside([1] * 5, items(said))
    assert quick_labels(data) is None
    assert read(data) == (said, None)
    assert read(ConcatDataset([data, LABELLED]))[0] == [*said, 3, 1, 2, 1]


def test_read_labels_beside_items_with_groups_or_of_several_columns_are_read():
    assert read(Beside([1, 0], items([1, 0], "a"))) == ([1, 0], ["a", "a"])
    assert read(Beside(np.eye(2), items([1, 0]))) == ([1, 0], None)
    assert read(Beside([1, 0, 1], items([1, 0]))) == ([1, 0], None)
    assert read(Beside(None, items([1, 0]))) == ([1, 0], None)


def test_read_labels_beside_items_are_transformed_as_theirs():
    data = Beside(torch.tensor([0, 1, 0]), items([9, 10, 9]), lambda label: label + 9)
    assert read(data) == ([9, 10, 9], None)
    assert data.reads == [0, 1, 2]


def test_read_labels_more_items_than_are_read_at_once_are_all_there():
    labels = [row % 7 for row in range(2500)]
    assert read(items(labels, "a")) == (labels, ["a"] * 2500)


def test_read_labels_of_arrow_are_the_column_labels_before_label():
    datasets = pytest.importorskip("datasets")
    columns = {"x": [0.5, 1.5], "label": [0, 1], "labels": [4, 3]}
    table = datasets.Dataset.from_dict(columns)
    assert read(table) == ([4, 3], None)
    assert read(table.remove_columns("labels")) == ([0, 1], None)
    assert read(table.select_columns("x")) == (None, None)


def test_dataset_targets_without_labels_raise():
    with pytest.raises(ValueError, match="the items of TensorDataset hold no label"):
        dataset_targets(TensorDataset(X))
    assert dataset_targets(LABELLED).tolist() == [3, 1, 2, 1]
