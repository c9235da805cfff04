"""Train and prune in a process of its own, which may be told to kill itself after some epochs.

``python -m tests.killed FOLDER N OUT``: in the N-th epoch that this process trains, of whichever
training, it ends as by ``kill -9``. With N = 0 it does not, and what it came to is written to OUT.
"""

from __future__ import annotations

import os
import signal
import sys

import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from sk_prunefair import Distillation, EqualLossConstraint, Resume
from sk_prunefair.pruning import GradualPruning
from tests.conftest import classifier


class Kill(Callback):
    """End the process in the middle of an epoch."""

    def __init__(self, at):
        self.at = at
        self.seen = 0

    def on_epoch_begin(self, net, **kwargs):
        self.seen += 1

    def on_batch_end(self, net, training, **kwargs):
        if self.seen == self.at and not training:
            os.kill(os.getpid(), signal.SIGKILL)


def make(folder=None, kill=0):
    """Return a classifier with all that has a state: schedules, averages, momentum, masks."""
    callbacks = [
        ("kill", Kill(kill)),
        ("equal_loss", EqualLossConstraint()),
        ("distillation", Distillation()),
        ("gradual", GradualPruning()),
        ("early", EarlyStopping(patience=30)),
        ("lr", LRScheduler(OneCycleLR, max_lr=0.2, total_steps=200, step_every="batch")),
    ]
    if folder is not None:
        callbacks.insert(0, ("resume", Resume(folder)))
    return classifier(
        callbacks=callbacks, max_epochs=3, batch_size=50, optimizer__momentum=0.9, lr=0.05
    )


def run(clf):
    """Train the dense net, prune it with a schedule, fine-tune."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:600] / 16, y[:600]
    clf.fit(X, y, sensitive_features=y)
    return clf.prune(0.8, X, y, sensitive_features=y, finetune_epochs=4)


def result(clf):
    """Return everything that a run leaves."""
    rows = [
        {key: row[key] for key in ("epoch", "train_loss", "valid_loss", "loss_gap")}
        for row in clf.history
    ]
    return {
        "module": clf.module_.state_dict(),
        "dense": clf.dense_module_.state_dict(),
        "masks": clf.masks_,
        "optimizer": clf.optimizer_.state_dict(),
        "multipliers": dict(clf.callbacks_)["equal_loss"].multipliers_.to_dict(),
        "history": rows,
    }


if __name__ == "__main__":
    folder, kill, out = sys.argv[1:]
    torch.set_num_threads(1)
    torch.save(result(run(make(folder, int(kill)))), out)
