"""Trainings that several processes do together; each rank prints what it ended with.

``python -m torch.distributed.run --nproc_per_node 2 script.py FOLDER NAME…`` writes
``FOLDER/NAME.RANK.json``. `run` does the same in one process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator, DataLoaderConfiguration, InitProcessGroupKwargs
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from skorch.hf import AccelerateMixin
from torch import nn

from sk_prunefair import (
    AccuracyGapConstraint,
    Constraint,
    Distillation,
    EqualCurvatureConstraint,
    EqualGradientConstraint,
    EqualLossConstraint,
    FairPrunedClassifier,
    PruneRateSearchCV,
    Resume,
)
from sk_prunefair.distributed import AcceleratedFairPrunedClassifier
from sk_prunefair.export import save_compact
from sk_prunefair.pruning import GradualPruning


class OwnNet(AccelerateMixin, FairPrunedClassifier):
    """As skorch documents it."""


class OwnConstraint(Constraint):
    """Weigh a group by its mean loss in the epoch before: nothing in it knows of ranks."""

    def initialize(self):
        super().initialize()
        self.add_state("sums_", None, lives="epoch", adds_up=True)
        self.add_state("n_rows_", 0, lives="epoch", adds_up=True)
        self.add_state("factors_", None, lives="fit")
        self.add_state("rows_", [], lives="fit")
        return self

    def on_epoch_begin(self, net, **kwargs):
        self.sums_ = np.zeros((2, len(net.groups_)))

    def weights(self, net, batch):
        return None if self.factors_ is None else self.factors_[batch["group"]]

    def on_batch_end(self, net, batch, training, losses, **kwargs):
        self.n_rows_ += len(losses)
        if training:
            n, group = len(net.groups_), batch[0]["group"].numpy()
            self.sums_ += [np.bincount(group, w, n) for w in (losses.double().numpy(), None)]

    def on_epoch_end(self, net, **kwargs):
        self.rows_.append(self.n_rows_)
        means = self.sums_[0] / self.sums_[1]
        self.factors_ = torch.as_tensor(means / means.mean())


class LearnedLoss(nn.Module):
    """A criterion with a parameter that is trained."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, scores, y):
        return nn.functional.cross_entropy(self.slope * scores, y, reduction="none")


def data(n_rows: int = 203):
    rng = np.random.default_rng(0)
    group = np.repeat(["a", "b", "c"], [n_rows - 83, 80, 3])  # three rows: on one rank, if any
    rng.shuffle(group)
    X = rng.normal(size=(n_rows, 6))
    y = (X[:, 0] * np.where(group == "b", X[:, 1], 1) > 0).astype(int)  # b is hard to learn
    return X, y, group


def mlp(dtype=torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).to(dtype)


def noisy() -> nn.Module:
    layers = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)
    return nn.Sequential(*layers)


def classifier(accelerator, module, *callbacks, own=False, **options):
    kind = OwnNet if own else AcceleratedFairPrunedClassifier
    named = [(type(callback).__name__, callback) for callback in callbacks]
    options = {"random_state": 0, "batch_size": 24, "max_epochs": 4, "lr": 0.3} | options
    return kind(
        module,
        accelerator=accelerator,
        criterion=options.pop("criterion", nn.CrossEntropyLoss),
        callbacks=named,
        verbose=0,
        **options,
    )


def recipe(accelerator, folder, **options):
    X, y, s = data()
    clf = classifier(
        accelerator, options.pop("module", mlp()), EqualLossConstraint(), Distillation(), **options
    )
    weight = np.linspace(0.5, 2, len(y))
    clf.fit(X, y, sensitive_features=s, sample_weight=weight)
    return clf.prune(0.7, X, y, sensitive_features=s, sample_weight=weight, finetune_epochs=3)


def class_weights(accelerator, folder):
    weight = torch.tensor([1.0, 4.0], dtype=torch.float64)
    return recipe(accelerator, folder, own=True, criterion__weight=weight, train_split=None)


def single(accelerator, folder):
    return recipe(accelerator, folder, module=mlp(torch.float32))


def literal(accelerator, folder):
    X, y, s = data()
    constraint = EqualLossConstraint(violation="absolute", step_size=0.1)
    return classifier(accelerator, mlp(), constraint).fit(X, y, sensitive_features=s)


def valid(accelerator, folder):
    X, y, s = data()
    constraint = EqualLossConstraint(
        multipliers_from="valid", max_accuracy_loss=0.5, by="resampling", average=False
    )
    clf = classifier(accelerator, mlp(), constraint, GradualPruning(), rewind_epoch=1)
    clf.fit(X, y, sensitive_features=s)
    return clf.prune(0.8, X, y, sensitive_features=s, finetune_epochs=3)


def accuracy_gap(accelerator, folder):
    X, y, s = data()
    callbacks = AccuracyGapConstraint(tolerance=0.0), LRScheduler("StepLR", step_size=2)
    clf = classifier(accelerator, mlp(), *callbacks, pruner="fairgrape")
    clf.fit(X, y, sensitive_features=s)
    return clf.prune(0.8, X, y, sensitive_features=s, finetune_epochs=3)


def own_constraint(accelerator, folder):
    X, y, s = data()
    options = {"criterion": LearnedLoss, "predict_nonlinearity": nn.Softmax(-1)}
    clf = classifier(accelerator, mlp(), OwnConstraint(), **options)
    clf.fit(X, y, sensitive_features=s)
    return clf.prune(0.5, X, y, sensitive_features=s, finetune_epochs=2)


def derivatives(accelerator, folder):
    X, y, s = data()
    constraints = EqualGradientConstraint(), EqualCurvatureConstraint(interval=3)
    return classifier(accelerator, mlp(), *constraints).fit(X, y, sensitive_features=s)


def unseeded(accelerator, folder):
    """Train with batch norm, dropout, a random pruner, and no seed that the ranks share."""
    torch.manual_seed(accelerator.process_index)
    np.random.seed(accelerator.process_index)  # noqa: NPY002 (what a split without a seed draws from)
    X, y, s = data()
    clf = classifier(
        accelerator,
        noisy(),
        EqualLossConstraint(),
        EpochScoring("accuracy", on_train=True, name="train_acc", lower_is_better=False),
        Checkpoint(dirname=folder / "checkpoints", monitor="train_acc_best", load_best=True),
        EarlyStopping(patience=2, monitor="train_acc", lower_is_better=False),
        random_state=None,
        pruner="random",
    )
    clf.fit(X, y, sensitive_features=s)
    return clf.prune(0.5, X, y, sensitive_features=s, finetune_epochs=3)


def channels(accelerator, folder):
    X, y, s = data()
    clf = classifier(accelerator, noisy(), pruner="channel_taylor", own=True)
    clf.fit(X, y, sensitive_features=s)
    return clf.prune(0.5, X, y, sensitive_features=s, finetune_epochs=1, recalibrate=True)


def sampled(accelerator, folder):
    """Train with a sampler of the user's; one process alone asks for a report."""
    torch.manual_seed(accelerator.process_index)
    X, y, s = data()
    rows = torch.utils.data.WeightedRandomSampler(torch.ones(len(y)), len(y))
    clf = classifier(
        accelerator,
        mlp(),
        EqualLossConstraint(),
        iterator_train__sampler=rows,
        train_split=None,
        max_epochs=2,
    )
    clf.fit(X, y, sensitive_features=s)
    if accelerator.is_main_process:
        clf.fairness_report(X, y, sensitive_features=s)
    return clf


def tables(accelerator, folder):
    """Train on a frame with an odd index and labels of text, further on, and without labels."""
    X, y, s = data()
    frame = pd.DataFrame(X, index=np.arange(len(y))[::-1] * 3)
    labels, groups = np.where(y, "yes", "no"), pd.Series(s, index=list(range(7, 7 + len(s))))
    clf = classifier(
        accelerator,
        mlp(),
        EqualLossConstraint(phase="before", by="reweighting"),
        Distillation(),
        max_epochs=2,
        iterator_train__num_workers=2,
        iterator_train__drop_last=True,
    )
    clf.fit(frame, labels, sensitive_features=groups)
    clf.partial_fit(frame, labels, sensitive_features=groups)
    return clf.prune(0.5, frame, finetune_epochs=2)


class Rows(torch.utils.data.Dataset):
    """Items of a dict of inputs, a label and a group."""

    def __init__(self):
        self.X, self.y, self.group = data(127)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        X = torch.as_tensor(self.X[index])
        return {"a": X[:3], "b": X[3:]}, int(self.y[index]), self.group[index]


class TwoInputs(nn.Module):
    """A net of two inputs that returns a dict."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, a, b):
        return {"logits": self.net(torch.cat([a, b], 1)), "hidden": (a, b)}


def items(accelerator, folder):
    """Train on a data set of dicts: 127 rows in batches of 7, the last of them one row."""
    clf = classifier(accelerator, TwoInputs(), EqualLossConstraint(), batch_size=7)
    clf.set_params(train_split=None, max_epochs=3)
    return clf.fit(Rows())


def searched(accelerator, folder):
    """Search for a rate: every rank does, in step, and the split has a seed."""
    X, y, s = data()
    clf = classifier(accelerator, mlp(), EqualLossConstraint(), finetune_epochs=1, max_epochs=2)
    search = PruneRateSearchCV(clf, rates=[0.3, 0.6], max_accuracy_drop=0.99, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "too few held-out samples")
        return search.fit(X, y, sensitive_features=s).best_estimator_


def accumulated(accelerator, folder):
    """Add up the gradients of two batches before each step."""
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=2,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    return recipe(accelerator, folder)


def whole(accelerator, folder):
    """Train on one batch of all rows, some of whose labels are left out of the loss."""
    X, y, s = data()
    y = np.where(np.arange(len(y)) % 10 == 0, -100, y)
    constraint = EqualLossConstraint(violation="absolute", step_size=0.1)
    clf = classifier(accelerator, mlp(), constraint, batch_size=-1, train_split=None)
    return clf.fit(X, y, sensitive_features=s)


def files(accelerator, folder):
    X, y, s = data()
    clf = recipe(accelerator, folder)
    clf.save_params(f_params=folder / "net.pt", f_optimizer=folder / "optimizer.pt")
    fresh = classifier(accelerator, mlp(), EqualLossConstraint(), Distillation()).initialize()
    fresh.load_params(f_params=folder / "net.pt")
    assert (fresh.predict_proba(X) == clf.predict_proba(X)).all()
    report = clf.fairness_report(X, y, sensitive_features=s)
    rank = accelerator.process_index
    report.to_html(folder / f"page.{rank}.html")
    report.to_json(folder / f"report.{rank}.json")
    report.to_model_card(folder / f"card.{rank}.md")
    save_compact(clf, folder / f"net.{rank}.zip")
    return fresh


class Stop(Callback):
    n = 0  # no parameter: the second call has the same ones

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n:
            raise InterruptedError


def resumed(accelerator, folder):
    """Train, be ended in the third epoch, and begin again by the same call."""
    X, y, s = data()
    for n in (3, 0):
        stop = Stop()
        stop.n = n
        clf = classifier(accelerator, mlp(), stop, Resume(folder / "kept"), EqualLossConstraint())
        with contextlib.suppress(InterruptedError):
            clf.fit(X, y, sensitive_features=s)
    return clf


def other_data(accelerator, folder):
    X, y, s = data(203 + accelerator.process_index)
    try:
        classifier(accelerator, mlp()).fit(X, y, sensitive_features=s)
    except ValueError as error:
        return str(error)
    return "no error"


def dies(accelerator, folder):
    class Dying(Constraint):
        def on_epoch_end(self, net, **kwargs):
            if accelerator.process_index == 1:
                raise RuntimeError("rank 1 has no memory left")

    X, y, s = data()
    classifier(accelerator, mlp(), Dying()).fit(X, y, sensitive_features=s)


def outcome(found) -> dict:
    if not isinstance(found, FairPrunedClassifier):
        return {"said": found}
    X, y, s = data()
    y = getattr(found, "classes_inferred_", np.arange(2))[y]
    if isinstance(found.module_, TwoInputs):
        X = {"a": X[:, :3], "b": X[:, 3:]}
    parts = [found.module_, found.dense_module_, found.criterion_]
    tensors = [tensor for part in parts for tensor in part.state_dict().values()]
    tensors += list(found.masks_.values())
    bits = b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)
    states = {
        f"{name}.{key}": np.asarray(value, dtype=float).tolist()
        for name, callback in found.callbacks_
        for key in ("multipliers_", "values_", "factors_", "rows_", "dense_accuracy_")
        if (value := getattr(callback, key, None)) is not None
    }
    columns = ("train_loss", "valid_loss", "valid_acc", "train_acc", "loss_gap", "group_losses")
    rows = [{key: row[key] for key in columns if key in row} for row in found.history]
    report = found.fairness_report(X, y, sensitive_features=s)
    return {
        "hash": hashlib.sha256(bits).hexdigest(),
        "weights": [w for t in found.module_.parameters() for w in t.flatten().tolist()],
        "masks": {name: mask.flatten().tolist() for name, mask in found.masks_.items()},
        "states": states,
        "history": rows,
        "risk": report.excessive_risk.tolist(),
        "predicted": found.predict_proba(X).tolist(),
        "optimizer": type(found.optimizer_).__name__,
        "n_ranks": found.ranks.count,
    }


def run(name: str, folder: Path, **options) -> dict:
    """Return what one rank ends with."""
    accelerator = Accelerator(
        cpu=True,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=60))],
    )
    return outcome(globals()[name](accelerator, folder, **options))


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    target = Path(sys.argv[1])
    for each in sys.argv[2:]:
        result = run(each, target)
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        (target / f"{each}.{rank}.json").write_text(json.dumps(result))
