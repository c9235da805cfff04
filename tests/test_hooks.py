"""State that is declared once is set back when it should be, and comes back for every pruning."""

from __future__ import annotations

import pickle

import pytest

from sk_prunefair.hooks import Hook
from tests.conftest import classifier


class Counter(Hook):
    """Counts batches, by epoch, by training and since fit."""

    def initialize(self):
        super().initialize()
        self.add_state("epoch_", 0, lives="epoch")
        self.add_state("training_batches_", [], lives="training")
        self.add_state("all_", 0, lives="fit")
        self.add_state("ever_", 0, lives="fit", rewinds=False)
        self.seen_ = []
        return self

    def on_batch_end(self, net, batch, training, losses, **kwargs):
        assert losses.shape == batch[0]["group"].shape
        if training:
            self.epoch_ += 1
            self.training_batches_.append(1)
            self.all_ += 1
            self.ever_ += 1

    def on_epoch_end(self, net, **kwargs):
        self.seen_.append((self.epoch_, len(self.training_batches_), self.all_, self.ever_))


def test_hook_state_lives_for_an_epoch_a_training_or_a_fit(digits):
    X, y, group = digits
    clf = classifier(
        callbacks=[("counter", Counter())], max_epochs=2, batch_size=600, train_split=None
    )
    clf.fit(X, y, sensitive_features=group)
    counter = dict(clf.callbacks_)["counter"]
    per_epoch = counter.seen_[0][0]
    assert counter.seen_ == [(per_epoch,) * 4, (per_epoch, *(2 * per_epoch,) * 3)]
    assert (counter.epoch_, counter.training_batches_, counter.all_) == (0, [], 2 * per_epoch)
    for _ in range(2):  # each pruning starts from the end of the dense training
        clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
        assert counter.seen_[-1][:3] == (per_epoch, per_epoch, 3 * per_epoch)
    assert counter.ever_ == 4 * per_epoch
    assert clf.prune(0.0) is clf
    assert counter.all_ == 2 * per_epoch
    again = pickle.loads(pickle.dumps(clf)).prune(0.5, X, y, finetune_epochs=1)
    assert dict(again.callbacks_)["counter"].all_ == 3 * per_epoch
    clf.fit(X, y, sensitive_features=group)
    assert counter.all_ == counter.ever_ == 2 * per_epoch


def test_add_state_names_what_it_takes():
    hook = Hook().initialize()
    with pytest.raises(ValueError, match="name must end in an underscore, got 'count'"):
        hook.add_state("count", 0)
    with pytest.raises(ValueError, match="lives must be one of"):
        hook.add_state("count_", 0, lives="forever")
