"""Whatever callback changes the weights, the net is what it says it is."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LoadInitState,
    LRScheduler,
    TrainEndCheckpoint,
)
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from sk_prunefair import EqualLossConstraint, PruneRateSearchCV, pruning_curve
from sk_prunefair.pruning import GradualPruning, IterativePruning
from tests.conftest import classifier, weights

RATES = (0.3, 0.5, 0.9)


class MovingAverage(Callback):
    """A user's exponential moving average of the weights, loaded when the training ends."""

    def on_train_begin(self, net, **kwargs):
        self.mean_ = {name: p.detach() + 0.01 for name, p in net.module_.named_parameters()}

    def on_batch_end(self, net, training, **kwargs):
        if training:
            for name, parameter in net.module_.named_parameters():
                self.mean_[name] = 0.9 * self.mean_[name] + 0.1 * parameter.detach()

    @torch.no_grad()
    def on_train_end(self, net, **kwargs):
        for name, parameter in net.module_.named_parameters():
            parameter.copy_(self.mean_[name])


def assert_is_what_it_says(clf, rate, n_epochs=None):
    """Real zeros, masks, sparsity, rate and history agree."""
    n_weights = sum(mask.numel() for mask in clf.masks_.values())
    for name, mask in clf.masks_.items():
        assert not clf.module_.get_parameter(name)[~mask].any(), name
    n_zero = sum(int((~mask).sum()) for mask in clf.masks_.values())
    assert clf.prune_rate_ == rate
    assert clf.sparsity_ == pytest.approx(n_zero / max(n_weights, 1))
    assert clf.sparsity_ == pytest.approx(rate, abs=1e-3)
    assert clf.history[:, "epoch"] == list(range(1, len(clf.history) + 1))
    if n_epochs is not None:
        assert len(clf.history) == n_epochs


def named(kind, tmp_path):
    checkpoint = Checkpoint(dirname=str(tmp_path), load_best=kind != "init_state")
    return {
        "checkpoint": [("cp", checkpoint)],
        "early_stopping": [("stop", EarlyStopping(patience=2, load_best=True, sink=str))],
        "init_state": [("cp", checkpoint), ("init", LoadInitState(checkpoint))],
        "train_end": [("end", TrainEndCheckpoint(dirname=str(tmp_path)))],
        "average": [("mean", MovingAverage())],
        "freezer": [("freeze", Freezer("layers.0.*"))],
        "both": [("cp", checkpoint), ("equal_loss", EqualLossConstraint())],
    }[kind]


KINDS = ("checkpoint", "early_stopping", "init_state", "train_end", "average", "freezer", "both")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_callback_in_fit_and_in_a_series_of_prunings_keeps_the_net_what_it_says(
    kind, digits, tmp_path
):
    X, y, group = digits
    clf = classifier(
        callbacks=named(kind, tmp_path), max_epochs=3, prune_rate=0.7, finetune_epochs=2
    )
    clf.fit(X, y, sensitive_features=group)
    assert_is_what_it_says(clf, 0.7)
    for rate in RATES:
        clf.prune(rate, X, y, sensitive_features=group, finetune_epochs=3)
        assert_is_what_it_says(clf, rate)
    clf.partial_fit(X, y, sensitive_features=group)
    assert_is_what_it_says(clf, 0.9)
    dense = clf.prune(0.0)
    assert dense.sparsity_ == 0
    assert "cp" not in dict(clf.callbacks_) or len(clf.history) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule", [IterativePruning(3), GradualPruning()], ids=["steps", "cubic"]
)
@pytest.mark.parametrize("kind", ["checkpoint", "early_stopping", "average", "both"])
@pytest.mark.parametrize("is_first", [True, False])
def test_callback_under_a_schedule_ends_at_the_rate_asked_for(
    kind, schedule, is_first, digits, tmp_path
):
    X, y, group = digits
    others = named(kind, tmp_path)
    own = [("schedule", clone(schedule))]
    clf = classifier(callbacks=own + others if is_first else others + own, max_epochs=2)
    clf.fit(X, y, sensitive_features=group)
    for rate in (0.9, 0.5):
        clf.prune(rate, X, y, sensitive_features=group, finetune_epochs=4)
        assert_is_what_it_says(clf, rate)


def test_schedule_stopped_in_its_first_epoch_ends_at_the_rate_asked_for(digits):
    class StopAtOnce(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.pruned_ is not None:
                raise KeyboardInterrupt

    X, y, group = digits
    callbacks = [("schedule", IterativePruning(3)), ("stop", StopAtOnce())]
    clf = classifier(callbacks=callbacks, max_epochs=2).fit(X, y, sensitive_features=group)
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=6)
    assert_is_what_it_says(clf, 0.9, n_epochs=3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:pruning removes all weights")
@pytest.mark.parametrize("kind", ["checkpoint", "early_stopping", "average"])
def test_curve_and_search_with_a_callback_judge_pruned_nets(kind, digits, tmp_path):
    X, y, group = digits
    clf = classifier(callbacks=named(kind, tmp_path), max_epochs=3)
    curve = pruning_curve(
        clf.fit(X, y, sensitive_features=group),
        X,
        y,
        sensitive_features=group,
        rates=[0.5, 0.99],
        X_train=X,
        y_train=y,
        sensitive_features_train=group,
        finetune_epochs=1,
    )
    assert (curve[curve["rate"] == 0.99]["accuracy_drop"] > 0.1).any()
    search = PruneRateSearchCV(
        clf, rates=[0.1, 0.2, 0.98], max_accuracy_drop=0.3, finetune_epochs=1, random_state=0
    ).fit(X, y, sensitive_features=group)
    assert search.best_rate_ < 0.98
    assert_is_what_it_says(search.best_estimator_, search.best_rate_)


def test_best_epoch_and_patience_count_the_training_that_runs(digits, tmp_path):
    X, y, group = digits
    seen = []

    class Watch(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append((net.training_.phase, len(net.history), net.history[-1]["epoch"]))

    checkpoint = Checkpoint(dirname=str(tmp_path), load_best=True)
    clf = classifier(callbacks=[("cp", checkpoint), ("watch", Watch())], max_epochs=4, lr=0.1)
    clf.fit(X, y, sensitive_features=group)
    clf.prune(0.95, X, y, sensitive_features=group, finetune_epochs=3)
    after = [row for row in seen if row[0] == "after"]
    assert after == [("after", 1, 1), ("after", 2, 2), ("after", 3, 3)]
    # However much better the dense net was, an epoch of the fine-tuning is the best of it.
    assert any(clf.history[4:, "valid_loss_best"])
    best = min(clf.history[4:, "valid_loss"])
    [outcome] = clf.outcomes(clf.labelled_dataset(X, y), clf.module_)
    assert outcome.losses.mean() < 2 * best


@pytest.mark.parametrize("order", [0, 1])
def test_best_and_averaged_weights_together_leave_the_best_ones_in_any_order(
    order, digits, tmp_path
):
    X, y, group = digits
    callbacks = [
        ("cp", Checkpoint(dirname=str(tmp_path), load_best=True)),
        ("equal_loss", EqualLossConstraint()),
    ]
    clf = classifier(callbacks=callbacks[:: 1 if order else -1], max_epochs=3)
    clf.fit(X, y, sensitive_features=group)
    saved = torch.load(tmp_path / "params.pt")
    for name, value in clf.module_.state_dict().items():
        torch.testing.assert_close(value, saved[name], rtol=0, atol=0)


SCHEDULERS = {
    "step": {"policy": StepLR, "step_size": 1, "gamma": 0.1},
    "cosine": {"policy": CosineAnnealingLR, "T_max": 4},
    "cycle": {
        "policy": OneCycleLR,
        "max_lr": 0.1,
        "total_steps": 400,
        "step_every": "batch",
    },
    "plateau": {"policy": ReduceLROnPlateau, "patience": 0, "threshold": 1e9},
}


class Rates(Callback):
    """The learning rate of each batch, by training."""

    def __init__(self):
        self.seen_ = []

    def on_train_begin(self, net, **kwargs):
        self.seen_.append([])

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.seen_[-1].append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("pruner", ["magnitude", "channel_magnitude"])
def test_learning_rate_schedule_starts_anew_with_every_fine_tuning(name, pruner, digits):
    X, y, group = digits
    rates = Rates()
    callbacks = [("lr", LRScheduler(**SCHEDULERS[name])), ("rates", rates)]
    clf = classifier(callbacks=callbacks, max_epochs=3, pruner=pruner, lr=0.1, batch_size=64)
    clf.fit(X, y, sensitive_features=group)
    for rate in (0.3, 0.5):
        clf.prune(rate, X, y, sensitive_features=group, finetune_epochs=3)
    dense, first, second = rates.seen_
    assert first == second == dense
    assert len(set(dense)) > 1
    clf = pickle.loads(pickle.dumps(clf))
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=3)
    clf.partial_fit(X, y, sensitive_features=group)
    assert dict(clf.callbacks_)["rates"].seen_[-2] == dense


def test_learning_rate_schedule_goes_on_where_it_is_asked_to(digits):
    X, y, group = digits
    rates = Rates()
    callbacks = [("lr", LRScheduler(**SCHEDULERS["step"])), ("rates", rates)]
    clf = classifier(callbacks=callbacks, max_epochs=2, lr=0.1, finetune_schedule="continue")
    clf.fit(X, y, sensitive_features=group)
    for _ in range(2):
        clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=2)
    dense, first, second = (sorted(set(part), reverse=True) for part in rates.seen_)
    np.testing.assert_allclose(dense, [1e-1, 1e-2])
    np.testing.assert_allclose(first, [1e-3, 1e-4])
    np.testing.assert_allclose(second, [1e-3, 1e-4])


@pytest.mark.parametrize("rewind_epoch", [None, 1])
def test_fine_tuning_has_a_learning_rate_of_its_own(rewind_epoch, digits):
    X, y, group = digits
    rates = Rates()
    clf = classifier(
        callbacks=[("rates", rates)], lr=0.1, finetune_lr=0.02, rewind_epoch=rewind_epoch
    )
    clf.fit(X, y, sensitive_features=group)
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    clf.prune(0.0).partial_fit(X, y, sensitive_features=group)
    assert [set(part) for part in rates.seen_] == [{0.1}, {0.02}, {0.1}]
    with pytest.raises(ValueError, match="finetune_lr must be a finite number > 0 or None, got -1"):
        clf.set_params(finetune_lr=-1).prune(0.5)
    assert clf.prune_rate_ == 0


def test_user_callback_object_is_used_and_clone_copies_it(digits):
    X, y, group = digits

    class Log(Callback):
        def __init__(self, target):
            self.target = target

        def on_epoch_end(self, net, **kwargs):
            self.target.append(net.history[-1]["train_loss"])

    log = Log([])
    clf = classifier(callbacks=[("log", log)], max_epochs=2)
    clf.fit(X, y, sensitive_features=group)
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert dict(clf.callbacks_)["log"] is log
    assert len(log.target) == 3
    other = clone(clf).fit(X, y, sensitive_features=group)
    assert len(log.target) == 3
    assert len(dict(other.callbacks_)["log"].target) == 5
    copied = copy.deepcopy(clf).partial_fit(X, y, sensitive_features=group)
    assert len(log.target) == 3
    assert len(copied.history) == 5


def test_epoch_scoring_on_train_with_cache_equals_a_pass_of_its_own(digits):
    X, y, group = digits
    names = np.array([f"digit {label}" for label in y])
    callbacks = [
        ("cached", EpochScoring("accuracy", name="cached", on_train=True, lower_is_better=False)),
        ("valid", EpochScoring("accuracy", name="fresh", use_caching=False, lower_is_better=False)),
    ]
    clf = classifier(callbacks=callbacks, max_epochs=2).fit(X, names, sensitive_features=group)
    for row in clf.history:
        assert 0 < row["cached"] <= 1
        assert row["fresh"] == pytest.approx(row["valid_acc"])


def test_history_of_a_fine_tuning_is_joined_to_the_dense_one_and_survives_files(digits, tmp_path):
    X, y, group = digits
    clf = classifier(max_epochs=2).fit(X, y, sensitive_features=group)
    clf.prune(0.6, X, y, sensitive_features=group, finetune_epochs=2)
    files = {"f_params": tmp_path / "p.pt", "f_history": tmp_path / "h.json"}
    clf.save_params(**files)
    other = classifier(max_epochs=2, classes=range(10), module__n_features=64).initialize()
    other.load_params(**files)
    assert_is_what_it_says(other, 0.6, n_epochs=4)
    assert len(other.prune(0.0).history) == 2
    for name, value in weights(clf.dense_module_).items():
        np.testing.assert_array_equal(weights(other.module_)[name], value)


def test_groups_of_a_series_with_an_odd_index_count_by_position(digits):
    X, y, group = digits
    odd = pd.Series(group, index=np.arange(len(group))[::-1] * 3)
    left = classifier(callbacks=[EqualLossConstraint()]).fit(X, y, sensitive_features=odd)
    right = classifier(callbacks=[EqualLossConstraint()]).fit(X, y, sensitive_features=group)
    for name, value in weights(left.module_).items():
        np.testing.assert_array_equal(value, weights(right.module_)[name])
