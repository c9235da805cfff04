"""The record of an epoch's batches by group."""

from __future__ import annotations

import numpy as np
import torch

from sk_prunefair.constraints._epoch import EpochRecord


def test_epoch_record_of_two_batches_by_hand():
    record = EpochRecord(np.array([3, 1, 2]), with_accuracy=True)
    scores = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    for losses, group, weight, y in (
        ([1.0, 3.0], [0, 0], [1.0, 3.0], [0, 1]),
        ([5.0, 7.0], [0, 1], [4.0, 2.0], [1, 0]),
    ):
        columns = {"group": torch.tensor(group), "sample_weight": torch.tensor(weight)}
        record.add(torch.tensor(losses), (columns, torch.tensor(y)), y_pred=(scores, None))
    np.testing.assert_allclose(record.means, [(1 + 9 + 20) / 8, 7, np.nan])
    np.testing.assert_allclose(record.accuracies, [4 / 8, 0, np.nan])
    assert np.isfinite(record.errors[0])
    assert np.isinf(record.errors[1:]).all()


def test_epoch_record_of_bfloat16_losses_works():
    record = EpochRecord(np.array([2]))
    batch = {"group": torch.tensor([0, 0])}, torch.tensor([0, 0])
    record.add(torch.tensor([1.0, 2.0], dtype=torch.bfloat16), batch, y_pred=None)
    assert record.means.tolist() == [1.5]


def test_epoch_record_of_many_rows_keeps_sums_alone(monkeypatch):
    found = []
    for pending in (10**6, 50):
        monkeypatch.setattr("sk_prunefair.constraints._epoch._PENDING", pending)
        record = EpochRecord(np.array([40, 30, 1]), with_accuracy=True)
        draws = np.random.default_rng(1)
        for _ in range(12):
            group = torch.tensor(draws.integers(0, 2, 20))
            y = torch.tensor(draws.integers(0, 2, 20))
            weight = torch.tensor(draws.uniform(0.5, 2, 20))
            batch = {"group": group, "sample_weight": weight}
            record.add(torch.tensor(draws.exponential(size=20)), (batch, y), torch.eye(2)[1 - y])
        assert len(record.batches) == (12 if pending > 50 else 0)
        found.append([record.means, record.errors, record.accuracies])
    for whole, summed in zip(*found, strict=True):
        np.testing.assert_allclose(summed, whole)
