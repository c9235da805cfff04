"""Which rows are whose, without any other process; `tests/distributed` has those."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.constraints._epoch import EpochRecord
from sk_prunefair.constraints.lagrangian_dual import LagrangianDual
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.rank_part import RankDataset
from sk_prunefair.hooks import Hook
from sk_prunefair.losses import reduced
from sk_prunefair.ranks import ALONE, Ranks


def ranks_of(count: int) -> list[Ranks]:
    made = [Ranks() for _ in range(count)]
    for index, each in enumerate(made):
        each.index, each.count = index, count
    return made


@pytest.mark.parametrize(("n_rows", "count"), [(10, 2), (11, 3), (2, 3), (0, 2), (7, 7)])
def test_part_every_row_is_one_ranks(n_rows, count):
    rows = list(range(n_rows))
    parts = [rows[each.part(n_rows)] for each in ranks_of(count)]
    assert [row for part in parts for row in part] == rows
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_changes_nothing():
    values, module = torch.tensor([1.0, 2.0], requires_grad=True), nn.Linear(1, 1)
    assert ALONE.sum(values).tolist() == ALONE.concatenate(values).tolist() == [1.0, 2.0]
    assert not ALONE.sum(values).requires_grad
    assert ALONE.main("x") == "x"
    before = module.weight.item()
    ALONE.align(module)
    ALONE.average([module.weight])
    ALONE.wait()
    assert module.weight.item() == before
    assert ALONE.is_main


@pytest.mark.parametrize("count", [2, 3])
def test_batches_of_ranks_are_parts_of_one_batch(count):
    data = GroupDataset(np.arange(20.0), np.arange(20) % 2, np.arange(20) % 3)
    order = torch.randperm(20)
    parts = [RankDataset(data, each).batch(order) for each in ranks_of(count)]
    assert torch.cat([batch["X"] for batch, _ in parts]).tolist() == order.tolist()
    assert torch.cat([y for _, y in parts]).tolist() == (order % 2).tolist()
    for batch, y in parts:
        assert batch["part"].labels.tolist() == (order % 2).tolist()
        assert batch["part"].share == pytest.approx(count * len(y) / 20)
        assert batch["part"].own == slice(None)


def test_batch_of_few_rows_is_done_by_all_and_counted_once():
    data = GroupDataset(np.arange(3.0), np.array([0, 1, 0]))
    parts = [RankDataset(data, each).batch([0, 1, 2]) for each in ranks_of(2)]
    for batch, _ in parts:
        assert batch["X"].tolist() == [0, 1, 2]
        assert batch["part"].share == 1
    counted = [batch["X"][batch["part"].own].tolist() for batch, _ in parts]
    assert counted == [[0], [1, 2]]


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0])),
        nn.CrossEntropyLoss(ignore_index=1),
    ],
)
def test_reduced_of_parts_by_their_rows_is_that_of_the_whole(criterion):
    losses, y = torch.rand(7).double(), torch.tensor([0, 1, 1, 0, 1, 1, 1])
    whole = reduced(criterion, losses, y, has_ignored=False)
    parts = [slice(0, 3), slice(3, 7)]
    found = sum(
        (part.stop - part.start) / 7 * reduced(criterion, losses[part], y[part], False, y)
        for part in parts
    )
    assert found.item() == pytest.approx(whole.item(), rel=1e-7)


class Told(Ranks):
    """A rank that is told what all of them have."""

    def __init__(self, index: int, count: int, total: torch.Tensor) -> None:
        self.index, self.count, self.total = index, count, total

    def sum(self, values):
        return self.total


def test_lagrangian_dual_parts_of_two_ranks_are_the_penalty_of_the_batch():
    multipliers, group = np.array([0.5, 2.0]), torch.tensor([0, 0, 0, 1, 1])
    losses = torch.tensor([1.0, 2.0, 4.0, 7.0, 1.0], requires_grad=True)
    whole = LagrangianDual(multipliers).penalty(losses, {"group": group})
    [expected] = torch.autograd.grad(whole, losses)
    total, found = torch.tensor([[7.0, 8.0], [3.0, 2.0]]), torch.zeros(())
    data = GroupDataset(np.arange(5.0), np.zeros(5, dtype=np.int64), group.numpy())
    for index in (0, 1):
        ranks = Told(index, 2, total)
        batch, _ = RankDataset(data, ranks).batch(range(5))
        dual = LagrangianDual(multipliers, ranks=ranks)
        penalty = dual.penalty(losses[ranks.part(5)], batch)
        found = found + penalty * batch["part"].share / 2
        assert dual.violation.tolist() == pytest.approx([2 / 3, 1.0])
    assert found.item() == pytest.approx(whole.item())
    torch.testing.assert_close(torch.autograd.grad(found, losses)[0], expected)


def test_epoch_record_is_reduced_in_one_operation():
    class Counting(Ranks):
        n_sums = 0

        def sum(self, values):
            self.n_sums += 1
            return 2 * values  # another rank with the same rows

    ranks = Counting()
    record = EpochRecord(np.array([4, 2]), with_accuracy=True, ranks=ranks)
    y = torch.tensor([0, 1, 0])
    batch = {"group": torch.tensor([0, 0, 1])}, y
    record.add(torch.tensor([1.0, 3.0, 5.0]), batch, nn.functional.one_hot(y, 2).float())
    assert record.means.tolist() == [2.0, 5.0]
    assert record.errors.tolist() == pytest.approx([1 / 3**0.5, 0.0])
    assert record.accuracies.tolist() == [1.0, 1.0]
    assert ranks.n_sums == 1


def test_hook_state_that_adds_up_is_summed_in_its_own_kind():
    class Doubling(Ranks):
        count = 2

        def sum(self, values):
            return 2 * values

    hook = Hook().initialize()
    hook.add_state("number_", 3, lives="epoch", adds_up=True)
    hook.add_state("array_", np.array([1.0, 2.0]), lives="epoch", adds_up=True)
    hook.add_state("tensor_", torch.tensor(4.0), lives="epoch", adds_up=True)
    hook.add_state("none_", None, lives="epoch", adds_up=True)
    hook.add_state("other_", 5, lives="epoch")
    hook.sum_states(Doubling())
    assert (hook.number_, hook.none_, hook.other_) == (6, None, 5)
    assert isinstance(hook.number_, int)
    assert hook.array_.tolist() == [2.0, 4.0]
    assert hook.tensor_ == torch.tensor(8.0)


def test_hook_state_that_adds_up_beyond_an_epoch_raises():
    with pytest.raises(ValueError, match="adds_up=True needs lives='epoch', got 'fit'"):
        Hook().initialize().add_state("sum_", 0, lives="fit", adds_up=True)
