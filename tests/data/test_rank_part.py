"""Which rows a rank fetches, and the order that all of them draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.rank_part import MainOrder, RankDataset, same_order
from sk_prunefair.ranks import Ranks


def rank(index, count):
    found = Ranks()
    found.index, found.count = index, count
    return found


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [
        # Three rows are fewer than two for each of two ranks: both have them all.
        (3, [(3, 1.0, slice(0, 1)), (3, 1.0, slice(1, 3))]),
        (4, [(2, 1.0, slice(None)), (2, 1.0, slice(None))]),
        # Means of two and of three rows count as their rows do: their mean is that of all five.
        (5, [(2, 4 / 5, slice(None)), (3, 6 / 5, slice(None))]),
    ],
)
def test_rank_dataset_part_of_a_batch_by_hand(n_rows, expected):
    data = GroupDataset(np.arange(5.0), np.array([0, 1, 2, 3, 4]))
    seen = []
    for index, (n_here, share, own) in enumerate(expected):
        batch, y = RankDataset(data, rank(index, 2)).batch(range(n_rows))
        part = batch["part"]
        assert len(batch["X"]) == len(y) == n_here
        assert part.share == share
        assert part.own == own
        assert part.labels.tolist() == list(range(n_rows))
        seen += y[part.own].tolist()
    assert seen == list(range(n_rows))


class Main(Ranks):
    """What the main rank has, as another hears it."""

    index, count = 1, 2

    def __init__(self, said):
        self.said = said

    def main(self, value):
        return self.said


def test_main_order_yields_what_the_main_rank_draws():
    assert list(MainOrder([2, 0, 1], rank(0, 2))) == [2, 0, 1]
    other = MainOrder([2, 0, 1], Main([1, 2, 0]))
    assert list(other) == [1, 2, 0]
    assert len(other) == 3


def test_same_order_is_that_of_the_main_ranks_generator():
    main = torch.Generator().manual_seed(7)
    expected = torch.randperm(9, generator=torch.Generator().manual_seed(7))
    for given in ({}, {"generator": torch.Generator().manual_seed(3)}):
        ranks = Main(main.get_state())
        [(name, generator)] = same_order(given, ranks).items()
        assert name == "generator"
        assert ranks.order is generator
        assert generator is given.get("generator", generator)
        assert torch.equal(torch.randperm(9, generator=generator), expected)


def test_same_order_begins_at_torchs_generator_and_elsewhere_the_next_time():
    torch.manual_seed(7)
    orders = [
        torch.randperm(9, generator=same_order({}, rank(0, 2))["generator"]) for _ in range(2)
    ]
    expected = torch.randperm(9, generator=torch.Generator().manual_seed(7))
    assert torch.equal(orders[0], expected)
    assert not torch.equal(orders[1], expected)


def test_same_order_samplers_of_the_user_are_those_of_the_main_rank():
    found = same_order({"sampler": [1, 0], "shuffle": False}, Main([0, 1]))
    assert list(found) == ["sampler"]
    assert list(found["sampler"]) == [0, 1]
