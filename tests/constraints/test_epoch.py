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
