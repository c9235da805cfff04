"""Batches: their parts, their number, their rows."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from sk_prunefair.data.batches import (
    Batch,
    Batches,
    BatchRows,
    LoadedBatches,
    WholeBatches,
    as_batch,
)
from sk_prunefair.data.dataset import GroupDataset


@pytest.fixture
def data():
    return GroupDataset(np.arange(10.0), np.arange(10) % 2, np.arange(10) % 3)


def test_batch_is_a_pair_that_keeps_its_columns_through_pickle():
    raw = ({"X": torch.ones(2), "group": torch.tensor([0, 1])}, torch.tensor([1, 0]))
    for batch in (Batch(raw), pickle.loads(pickle.dumps(Batch(raw)))):
        X, y = batch
        assert X.tolist() == [1, 1]
        assert y.tolist() == [1, 0]
        assert batch.columns["group"].tolist() == [0, 1]


def test_as_batch_leaves_what_is_not_of_this_library():
    own = ({"X": 1, "group": 2}, 3)
    assert as_batch(own).columns == own[0]
    assert as_batch(list(own)).raw == own
    for other in (({"X": 1}, 3), ({"X": 1, "group": 2}, 3, 4), ((1, 2), 3), torch.ones(2), 5):
        assert as_batch(other) is other


def test_loaded_batches_are_the_loaders_with_its_length_and_attributes():
    class Loader(list):
        batch_size = 7

    raw = ({"X": torch.ones(2), "group": torch.zeros(2)}, torch.ones(2))
    loaded = LoadedBatches(Loader([raw, raw, "other"]))
    assert len(loaded) == 3
    assert [type(each) for each in loaded] == [Batch, Batch, str]
    assert loaded.batch_size == 7
    with pytest.raises(AttributeError, match="colour"):
        _ = loaded.colour
    assert len(pickle.loads(pickle.dumps(LoadedBatches([1, 2])))) == 2


def test_batches_number_and_rows_are_those_of_the_rows_drawn(data):
    for drop_last, sizes in ((False, [4, 4, 2]), (True, [4, 4])):
        batches = Batches(data, BatchRows(10, 4, drop_last=drop_last))
        assert len(batches) == len(sizes)
        assert [batch[1].tolist() for batch in batches] == [
            [0, 1, 0, 1],
            [0, 1, 0, 1],
            [0, 1],
        ][: len(sizes)]


def test_whole_batches_have_the_rows_of_the_data(data):
    whole = WholeBatches(data)
    assert len(whole) == 10
    batch, y = whole.__getitems__(torch.tensor([9, 2]))
    assert batch["X"].tolist() == [9, 2]
    assert batch["group"].tolist() == [0, 2]
    assert y.tolist() == [1, 0]


def test_batch_rows_draw_in_order_unless_asked():
    assert torch.cat(list(BatchRows(5, 2))).tolist() == [0, 1, 2, 3, 4]
    shuffled = BatchRows(50, 20, shuffle=True, generator=torch.Generator().manual_seed(3))
    expected = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.cat(list(shuffled)), expected)


def test_batch_rows_weights_of_whole_shares_are_drawn_exactly():
    # Of 6 draws the shares are 3, 2, 1 and 0; whole numbers are not rounded.
    weights = torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0, 0.0])
    rows = BatchRows(6, 2, shuffle=True, draw_weights=lambda: weights)
    for _ in range(20):
        assert rows.order().bincount(minlength=6).tolist() == [3, 2, 1, 0, 0, 0]
    # Rows that are drawn often do not stand side by side.
    orders = {tuple(rows.order().tolist()) for _ in range(20)}
    assert any(order[0] != order[1] for order in orders)
