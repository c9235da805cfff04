"""From a data set to its batches and to its part for validation."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader, SequentialSampler, Subset

from sk_prunefair.data.batches import Batches, LoadedBatches
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.loading import load_batches, own_dataset, split_labels
from sk_prunefair.data.rank_part import RankDataset
from sk_prunefair.data.schema import Schema
from sk_prunefair.ranks import Ranks


@pytest.fixture
def data():
    return GroupDataset(np.arange(10.0), np.arange(10) % 2, np.repeat([0, 1], 5))


def load(data, training=False, draw_weights=None, loader=DataLoader, ranks=None, **options):
    more = () if ranks is None else (ranks,)
    return load_batches(data, loader, {"batch_size": 4} | options, training, draw_weights, *more)


def rows_of(batches):
    return [batch.columns["row"].tolist() for batch in batches]


def order_of(batches):
    return list(chain(*rows_of(batches)))


def test_load_batches_in_order_unless_they_are_for_training(data):
    assert rows_of(load(data)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert rows_of(load(data, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rows_of(load(data, training=True, shuffle=False))[0] == [0, 1, 2, 3]
    torch.manual_seed(0)
    drawn = order_of(load(data, training=True))
    assert drawn != list(range(10))
    assert sorted(drawn) == list(range(10))


def test_load_batches_size_of_minus_one_is_all_rows(data):
    assert rows_of(load(data, batch_size=-1)) == [list(range(10))]


def test_load_batches_of_training_are_as_many_times_larger_as_ranks_say(data):
    ranks = Ranks()
    ranks.batches = 2
    sizes = [len(rows) for rows in rows_of(load(data, training=True, ranks=ranks))]
    assert sizes == [8, 2]
    assert rows_of(load(data, ranks=ranks))[0] == [0, 1, 2, 3]


def test_load_batches_of_two_ranks_are_halves_in_one_order(data):
    found = []
    for index in range(2):
        ranks = Ranks()
        ranks.index, ranks.count = index, 2
        torch.manual_seed(5)
        batches = load(data, training=True, ranks=ranks)
        assert isinstance(batches.data, RankDataset)
        found.append(rows_of(batches))
        assert isinstance(load(data, ranks=ranks).data, GroupDataset)
        assert len(rows_of(load(data, ranks=ranks))[0]) == 4
    torch.manual_seed(5)
    alone = rows_of(load(data, training=True))
    # The last batch of two rows is fetched by both.
    assert [a + b for a, b in zip(*found, strict=True)][:2] == alone[:2]
    assert found[0][2] == found[1][2] == alone[2]


def test_load_batches_leave_the_loader_out_where_it_has_nothing_to_add(data):
    class Own(DataLoader):
        pass

    plain = load(data)
    assert isinstance(plain, Batches)
    for other in (load(data, pin_memory=False), load(data, loader=Own)):
        assert isinstance(other, LoadedBatches)
        assert rows_of(other) == rows_of(plain)
    assert isinstance(load(data, loader=Own).loader, Own)


def test_load_batches_collate_of_the_user_sees_samples(data):
    def of_one(samples):
        return torch.stack([2 * each for each in samples])

    for more in ({}, {"pin_memory": False}):
        [first, *_] = load(data, collate_fn=of_one, **more)
        assert first[0].tolist() == [0, 2, 4, 6]
        assert first[1].tolist() == [0, 1, 0, 1]


def test_load_batches_samplers_of_the_user_say_which_rows(data):
    backwards = list(range(9, -1, -1))
    for training in (False, True):
        found = load(data, training=training, sampler=backwards)
        assert rows_of(found) == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
        assert len(found) == 3
        found = load(data, training=training, batch_sampler=[[1, 2], [7]], drop_last=True)
        assert rows_of(found) == [[1, 2], [7]]
    assert rows_of(load(data, sampler=SequentialSampler(data))) == rows_of(load(data))


def test_load_batches_draw_weights_count_where_rows_are_shuffled(data):
    def weights():
        return torch.tensor([1.0] + [0.0] * 9)

    assert order_of(load(data, training=True, draw_weights=weights)) == [0] * 10
    ordered = load(data, training=True, shuffle=False, draw_weights=weights)
    assert order_of(ordered) == list(range(10))


def test_load_batches_of_no_training_leave_torchs_generator_alone(data):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(load(data, pin_memory=False))
    assert torch.equal(torch.rand(2), expected)


def test_split_labels_are_cells_where_the_split_is_stratified(data):
    strata = split_labels(data, ValidSplit(2, stratified=True))
    # Cells of label and group have 3, 2, 2 and 3 rows.
    assert sorted(np.bincount(strata)) == [2, 2, 3, 3]
    # Of three folds, two cells are too small, and join each other's label.
    assert np.bincount(split_labels(data, ValidSplit(3, stratified=True))).min() >= 3
    assert len(np.unique(split_labels(data, ValidSplit(0.2, stratified=True)))) == 4
    for other in (ValidSplit(2), None):
        np.testing.assert_array_equal(split_labels(data, other), np.arange(10) % 2)


def test_own_dataset_parts_of_a_split_are_views(data):
    part = own_dataset(Subset(data, [7, 2]), Schema())
    assert isinstance(part, GroupDataset)
    assert part.rows.tolist() == [7, 2]
    assert own_dataset(data, Schema()) is data
    assert own_dataset(None, Schema()) is None


def test_own_dataset_validation_set_of_the_user_is_encoded():
    theirs = SkorchDataset(np.zeros((2, 3), dtype=np.float32), np.array(["yes", "no"]))
    found = own_dataset(theirs, Schema(classes=np.array(["no", "yes"])))
    assert isinstance(found, GroupDataset)
    assert found.y.tolist() == [1, 0]
