"""Whole-batch fetching against row-by-row, and the strata of the validation split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Subset, TensorDataset

from sk_prunefair.data.batches import Batches, BatchRows, WholeBatches, identity_collate
from sk_prunefair.data.dataset import GroupDataset, dataset_targets, split_strata


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((11, 3)).astype(np.float32)
    weight = rng.random(11).astype(np.float32)
    return GroupDataset(X, np.arange(11) % 2, np.arange(11) % 3, weight)


def test_group_dataset_batch_is_its_rows(data):
    batch, y = data.batch([7, 2])
    rows = [data[7], data[2]]
    assert y.tolist() == [int(row[1]) for row in rows]
    for key in ("X", "group", "sample_weight"):
        assert torch.equal(batch[key], torch.stack([row[0][key] for row in rows]))


def test_group_dataset_subset_of_subset_counts_rows_of_the_source(data):
    view = data.subset([1, 5, 9, 10]).subset([3, 0])
    assert view.rows.tolist() == [10, 1]
    assert len(view) == 2
    assert view.source is data.source
    assert view.y.tolist() == [0, 1]


def test_group_dataset_row_is_that_of_a_batch_of_one(data):
    view = data.subset([7, 2])
    row, y = view[1]
    batch, labels = data.batch([2])
    assert list(row) == ["X", "group", "row", "sample_weight"]
    for key, values in row.items():
        assert torch.equal(values, batch[key][0])
    assert y == labels[0]
    assert view.group_codes.tolist() == [1, 2]
    assert view.n_stored == 11
    assert view.X is view


def test_group_dataset_without_labels_and_groups_has_zeros():
    bare = GroupDataset(np.zeros((2, 1)))
    assert not bare.has_labels
    assert not bare.has_groups
    assert bare.y.tolist() == bare.group_codes.tolist() == [0, 0]
    assert GroupDataset(np.zeros((2, 1)), encode=np.asarray).has_labels
    assert bare.is_repeatable
    assert not GroupDataset(Unlabelled()).is_repeatable


def test_group_dataset_labels_of_items_are_read_and_encoded_with_each_batch():
    items = [(torch.ones(2) * row, "ab"[row % 2], f"group {row}") for row in range(4)]

    def encode(labels):
        return np.array(["ab".index(label) for label in labels])

    data = GroupDataset(items, encode=encode)
    for collate in (None, lambda samples: torch.stack([X for X, *_ in samples])):
        batch, y = data.batch([3, 0], collate)
        assert y.tolist() == [1, 0]
        assert batch["said"] == ["group 3", "group 0"]
        assert batch["X"].tolist() == [[3, 3], [0, 0]]
    with pytest.raises(ValueError, match="some of them hold none"):
        GroupDataset([(0.0, "a"), (0.0, None)], encode=encode).batch([0, 1])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_whole_batches_in_a_loader_cover_every_row_once(data, num_workers):
    loader = DataLoader(
        WholeBatches(data),
        batch_sampler=BatchRows(len(data), 4, shuffle=True),
        collate_fn=identity_collate,
        num_workers=num_workers,
    )
    batches = list(loader)
    assert [len(y) for _, y in batches] == [4, 4, 3]
    seen = torch.cat([batch["X"] for batch, _ in batches])
    assert torch.equal(seen.sort(0).values, data.source.columns.sort(0).values)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n_rows", [1, 8, 9])
def test_batch_rows_are_those_of_torch(n_rows, drop_last):
    ours = BatchRows(n_rows, 4, drop_last=drop_last)
    theirs = BatchSampler(range(n_rows), 4, drop_last=drop_last)
    assert [rows.tolist() for rows in ours] == list(theirs)
    assert len(ours) == len(theirs)


def test_group_dataset_read_only_array_is_taken():
    X = np.zeros((2, 2), dtype=np.float32)
    X.setflags(write=False)
    assert len(GroupDataset(X)) == 2


class Unlabelled(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, row):
        return torch.zeros(3)


def test_dataset_targets_of_torch_datasets_are_their_labels():
    pairs = TensorDataset(torch.zeros(3, 2), torch.tensor([2, 0, 1]))
    assert dataset_targets(pairs).tolist() == [2, 0, 1]
    assert dataset_targets(Subset(pairs, [2, 0])).tolist() == [1, 2]
    assert dataset_targets([(0, "a"), (0, "b")]).tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="the items of Unlabelled hold no label"):
        dataset_targets(Unlabelled())


def test_split_strata_random_cells_are_never_too_small():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(6, 60))
        y, group = rng.integers(0, 4, n), rng.integers(0, 9, n)
        counts = np.bincount(split_strata(y, group, min_count=5))
        assert counts.min() >= 5
        assert counts.sum() == n


def test_split_strata_large_cells_are_the_strata():
    y, group = np.repeat([0, 1, 2], 20), np.tile([0, 1], 30)
    strata = split_strata(y, group, min_count=5)
    cells = {(a, b, c) for a, b, c in zip(y, group, strata, strict=True)}
    assert len(cells) == len(set(strata)) == 6


@pytest.mark.parametrize(
    ("y", "group", "expected"),
    [
        # Cells of 3, 3 and 2 rows: the one that is too small joins the largest stratum.
        ([0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 0, 0]),
        # Two cells of a label that are too small make one.
        ([0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]),
        # An ignored label is a label.
        ([-100, -100, -100, 4, 4, 4], [0] * 6, [0, 0, 0, 1, 1, 1]),
    ],
)
def test_split_strata_of_small_cells_by_hand(y, group, expected):
    assert split_strata(np.array(y), np.array(group), min_count=3).tolist() == expected


def test_batches_in_this_process_are_those_of_a_loader(data):
    torch.manual_seed(0)
    ours = list(Batches(data, BatchRows(len(data), 4, shuffle=True)))
    torch.manual_seed(0)
    rows = BatchRows(len(data), 4, shuffle=True)
    # A generator of its own: the loader's seed is drawn from it, not from the order's.
    generator = torch.Generator()
    theirs = DataLoader(
        WholeBatches(data), batch_sampler=rows, collate_fn=identity_collate, generator=generator
    )
    for (left, y_left), (right, y_right) in zip(ours, theirs, strict=True):
        assert torch.equal(left, right["X"])
        assert torch.equal(y_left, y_right)


def test_batch_rows_draws_follow_the_weights_with_little_noise():
    weights = torch.tensor([1.0, 3.0, 0.5, 0.5] * 25)
    rows = BatchRows(100, 7, shuffle=True, draw_weights=lambda: weights)
    expected = weights / weights.sum() * 100
    for _ in range(20):
        counts = torch.cat(list(rows)).bincount(minlength=100)
        assert counts.sum() == 100
        assert (counts - expected).abs().max() < 1 + 1e-6
    average = torch.stack([torch.cat(list(rows)).bincount(minlength=100) for _ in range(400)])
    torch.testing.assert_close(average.double().mean(0), expected.double(), atol=0.15, rtol=0)
    once = BatchRows(5, 2, shuffle=True, draw_weights=lambda: None)
    assert sorted(torch.cat(list(once)).tolist()) == [0, 1, 2, 3, 4]
