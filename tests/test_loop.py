"""An epoch reads no number from the device while it runs, whatever constrains it."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sk_prunefair import (
    AccuracyGapConstraint,
    Distillation,
    EqualLossConstraint,
    FairPrunedClassifier,
)
from sk_prunefair.modules import MLP

READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::bincount"}


# Whether all rows are drawn alike, looked up on the CPU when an epoch of twelve batches begins.
OF_DRAWS = 1


class CountReads(TorchDispatchMode):
    """Count operations whose result a GPU has to be waited for."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        by_mask = name in ("aten::index", "aten::index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.n += name in READS or by_mask
        return func(*args, **(kwargs or {}))


class ReadLoss(Callback):
    def on_batch_end(self, net, loss=None, training=False, **kwargs):
        float(loss.detach())


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(192, 5)).astype(np.float32)
    group = rng.integers(0, 3, len(X))
    return X, (X[:, 0] > 0).astype(int), group, rng.uniform(1, 2, len(X))


class Counted(FairPrunedClassifier):
    """Counts the reads of the last training epoch."""

    def run_single_epoch(self, iterator, training, *args, **kwargs):
        with CountReads() as counted:
            super().run_single_epoch(iterator, training, *args, **kwargs)
        if training:
            self.n_reads_ = counted.n


def reads(batch_size, callback, finetune=False, **options):
    """Return the reads of an epoch of training, or of fine-tuning."""
    X, y, group, weight = data()
    clf = Counted(
        MLP,
        criterion=nn.CrossEntropyLoss,
        callbacks=[("it", callback)],
        batch_size=batch_size,
        max_epochs=2,
        train_split=None,
        verbose=0,
        random_state=0,
        **options,
    )
    given = {"sensitive_features": group, "sample_weight": weight}
    clf.fit(X, y, **given)
    if finetune:
        clf.prune(0.5, X, y, finetune_epochs=2, **given)
    return clf.n_reads_


@pytest.mark.parametrize(
    "make",
    [
        EqualLossConstraint,
        lambda: EqualLossConstraint(by="reweighting", max_accuracy_loss=0.1),
        lambda: EqualLossConstraint(violation="absolute"),
        Callback,
    ],
)
def test_run_epoch_reads_no_number(make):
    assert reads(16, make()) <= OF_DRAWS


@pytest.mark.parametrize("make", [AccuracyGapConstraint, Distillation, EqualLossConstraint])
def test_run_epoch_of_a_fine_tuning_reads_no_number(make):
    assert reads(16, make(), finetune=True) <= OF_DRAWS


def test_run_epoch_with_class_weights_reads_no_number():
    options = {"criterion__weight": torch.tensor([1.0, 2.0])}
    assert reads(16, Callback(), **options) == 0


def test_count_reads_of_a_callback_that_reads_each_loss_counts_each():
    assert reads(16, ReadLoss()) == 12
