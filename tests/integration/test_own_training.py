"""Subclasses, optimizers and criteria as skorch's documentation shows them."""

from __future__ import annotations

import copy
import threading
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import BatchScoring, Callback
from skorch.exceptions import SkorchTrainingImpossibleError
from skorch.scoring import loss_scoring
from torch import nn

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.pruning import IterativePruning
from tests.conftest import SmallNet, assert_same_weights, classifier, weights


class Accumulating(FairPrunedClassifier):
    """skorch's recipe: an optimizer step every second batch."""

    def initialize(self):
        super().initialize()
        self.n_batches_ = 0
        return self

    def train_step(self, batch, **fit_params):
        self.n_batches_ += 1
        step = self.train_step_single(batch, **fit_params)
        if self.n_batches_ % 2 == 0:
            self.optimizer_.step()
            self.optimizer_.zero_grad()
        return step


class AveragingNet(FairPrunedClassifier):
    """A train step that moves the weights after the optimizer did."""

    def train_step(self, batch, **fit_params):
        step = super().train_step(batch, **fit_params)
        with torch.no_grad():
            for parameter in self.module_.parameters():
                parameter.add_(0.001)
        return step


OPTIMIZERS = {
    "momentum": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
    "decay": {"optimizer": torch.optim.AdamW, "optimizer__weight_decay": 0.1},
    "lbfgs": {"optimizer": torch.optim.LBFGS, "optimizer__max_iter": 4},
}


def assert_zeros_hold(clf):
    for name, mask in clf.masks_.items():
        assert not clf.module_.get_parameter(name)[~mask].any()
        assert clf.module_.get_parameter(name)[mask].any()


def make(kind, **params):
    template = classifier(**params)
    return kind(**template.get_params(deep=False))


@pytest.mark.parametrize("kind", [Accumulating, AveragingNet])
def test_masks_hold_under_a_train_step_of_ones_own(kind, digits):
    X, y, group = digits
    seen = []

    class Watch(Callback):
        def on_batch_end(self, net, training, **kwargs):
            zeroed = net.zeroed_
            seen.append(all(not net.module_.get_parameter(k)[~m].any() for k, m in zeroed.items()))

    clf = make(kind, callbacks=[("watch", Watch())]).fit(X, y, sensitive_features=group)
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=2)
    assert_zeros_hold(clf)
    assert all(seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masks_hold_under_every_optimizer(name, digits):
    X, y, group = digits
    clf = classifier(**OPTIMIZERS[name], lr=0.01, callbacks=[EqualLossConstraint()])
    clf.fit(X, y, sensitive_features=group)
    for rate in (0.5, 0.9):
        clf.prune(rate, X, y, sensitive_features=group, finetune_epochs=1)
        assert_zeros_hold(clf)


def test_set_params_of_the_optimizer_after_fit_hold_for_every_later_prune(digits):
    X, y, group = digits
    clf = classifier(optimizer=torch.optim.SGD, lr=0.1, max_epochs=1)
    clf.fit(X, y, sensitive_features=group).prune(0.3, X, y, finetune_epochs=1)
    clf.set_params(optimizer__momentum=0.7, optimizer__weight_decay=0.01, lr=0.05)
    for rate in (0.5, 0.9):
        clf.prune(rate, X, y, finetune_epochs=1)
        [group_of_parameters] = clf.optimizer_.param_groups
        found = [group_of_parameters[name] for name in ("momentum", "weight_decay", "lr")]
        assert found == [0.7, 0.01, 0.05]


WEIGHTED = {
    "weight": {"criterion__weight": torch.arange(1.0, 11.0)},
    "smoothing": {"criterion__label_smoothing": 0.2},
    "both": {"criterion__weight": torch.arange(1.0, 11.0), "criterion__label_smoothing": 0.2},
    "ignored": {"criterion__ignore_index": 3},
    "ignored, weight": {"criterion__ignore_index": 3, "criterion__weight": torch.arange(1.0, 11.0)},
}


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("constrained", [False, True])
def test_weighted_criterion_losses_equal_those_of_plain_skorch(name, constrained, digits):
    X, y, group = digits
    X = X.astype(np.float32)
    torch.manual_seed(0)
    module = SmallNet(64, 10, dropout=0.0)
    params = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.SGD,
        "max_epochs": 2,
        "batch_size": 64,
        "lr": 0.05,
        "train_split": None,
        "verbose": 0,
        **WEIGHTED[name],
    }
    # Multipliers that never move: what is compared is the loss with a constraint in it.
    still = [("equal", EqualLossConstraint(step_size=0.0, average=False, by="reweighting"))]
    ours = FairPrunedClassifier(
        module, callbacks=still * constrained, iterator_train__shuffle=False, **params
    )
    ours.fit(X, y, sensitive_features=group)
    plain = NeuralNetClassifier(copy.deepcopy(module), **params).fit(X, y)
    losses = (net.history[:, "train_loss"] for net in (ours, plain))
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert loss_scoring(ours, X, y) == pytest.approx(loss_scoring(plain, X, y), rel=1e-5)


def test_fit_negative_ignored_label_is_no_class(digits):
    X, y, group = digits
    labels = np.where(np.arange(len(y)) % 10 == 0, -100, y)
    clf = classifier(max_epochs=2, callbacks=[EqualLossConstraint()])
    clf.fit(X, labels, sensitive_features=group)
    assert clf.classes_.tolist() == list(range(10))
    assert np.isfinite(clf.history[:, "valid_loss"]).all()
    assert set(clf.predict(X)) <= set(range(10))


class Boom(Callback):
    """Raises in the n-th epoch of a fine-tuning."""

    def __init__(self, error, n_epochs=2):
        self.error = error
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if net.pruned_ is not None and len(net.history) == self.n_epochs:
            raise self.error


def state_of(clf):
    optimizer = clf.optimizer_.state_dict()
    moments = [
        {k: torch.as_tensor(v).clone() for k, v in each.items()}
        for each in optimizer["state"].values()
    ]
    return weights(clf.module_), clf.prune_rate_, list(clf.history[:, "epoch"]), moments


def assert_same_state(clf, before):
    after = state_of(clf)
    assert after[1:3] == before[1:3]
    for name, value in before[0].items():
        np.testing.assert_array_equal(after[0][name], value)
    assert len(after[3]) == len(before[3])
    for left, right in zip(before[3], after[3], strict=True):
        for name, value in left.items():
            torch.testing.assert_close(right[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(1)], ids=["error", "exit"])
@pytest.mark.parametrize("call", ["prune", "partial_fit"])
@pytest.mark.parametrize("schedule", [None, IterativePruning(2)])
def test_prune_fine_tuning_that_raises_leaves_everything_as_it_was(error, call, schedule, digits):
    X, y, group = digits
    boom = Boom(error, n_epochs=99)
    callbacks = [("schedule", schedule), ("equal", EqualLossConstraint()), ("boom", boom)]
    clf = classifier(callbacks=callbacks, max_epochs=2).fit(X, y, sensitive_features=group)
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=2)
    multipliers = dict(clf.callbacks_)["equal"].multipliers_.copy()
    before = state_of(clf)
    boom.n_epochs = 2 if call == "prune" else 4
    again = {"prune": partial(clf.prune, 0.9, finetune_epochs=4), "partial_fit": clf.partial_fit}
    with pytest.raises(type(error)):
        again[call](X=X, y=y, sensitive_features=group)
    assert_same_state(clf, before)
    assert dict(clf.callbacks_)["equal"].multipliers_.equals(multipliers)
    assert clf.training_ is None
    assert clf.step_ is None
    boom.n_epochs = 99
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=2)
    assert_zeros_hold(clf)


def test_fit_again_that_raises_leaves_the_fitted_net(digits):
    class Fail(Callback):
        is_on = False

        def on_epoch_end(self, net, **kwargs):
            if self.is_on:
                raise RuntimeError("no")

    X, y, group = digits
    fail = Fail()
    clf = classifier(callbacks=[("fail", fail)], max_epochs=1).fit(X, y, sensitive_features=group)
    clf.prune(0.5)
    before = state_of(clf)
    fail.is_on = True
    with pytest.raises(RuntimeError, match="no"):
        clf.fit(X[:500], y[:500], sensitive_features=group[:500])
    assert_same_state(clf, before)


def test_prune_keyboard_interrupt_keeps_a_net_with_its_masks_and_rate(digits):
    X, y, group = digits
    boom = Boom(KeyboardInterrupt())
    clf = classifier(callbacks=[("boom", boom)], max_epochs=2)
    clf.fit(X, y, sensitive_features=group)
    dense = weights(clf.module_)
    clf.prune(0.7, X, y, sensitive_features=group, finetune_epochs=5)
    assert_zeros_hold(clf)
    assert clf.prune_rate_ == 0.7
    assert clf.history[:, "epoch"] == [1, 2, 3, 4]
    assert any((weights(clf.module_)[name] != dense[name]).any() for name in dense)


def test_batch_scoring_and_loss_scoring_are_those_of_skorch(digits):
    X, y, group = digits
    names = np.array([f"digit {label}" for label in y])
    callbacks = [("batch", BatchScoring("accuracy", name="by_batch", lower_is_better=False))]
    clf = classifier(callbacks=callbacks, max_epochs=2).fit(X, names, sensitive_features=group)
    np.testing.assert_allclose(clf.history[:, "by_batch"], clf.history[:, "valid_acc"])
    losses = clf.outcomes(clf.labelled_dataset(X, names), clf.module_)[0].losses
    assert loss_scoring(clf, X, names) == pytest.approx(losses.mean(), rel=1e-5)


def test_trim_for_prediction_predicts_as_before_and_refuses_the_rest(digits):
    X, y, group = digits
    clf = classifier(max_epochs=1).fit(X, y, sensitive_features=group).prune(0.5)
    before = clf.predict_proba(X)
    clf.trim_for_prediction()
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    for call in (
        lambda: clf.fit(X, y),
        lambda: clf.partial_fit(X, y),
        lambda: clf.prune(0.9),
        lambda: clf.fairness_report(X, y, sensitive_features=group),
    ):
        with pytest.raises(SkorchTrainingImpossibleError, match="trimmed for prediction"):
            call()


def test_get_dataset_has_encoded_labels_and_yields_pairs(digits):
    X, y, group = digits
    names = np.array([f"digit {label}" for label in y])
    clf = classifier(max_epochs=1).fit(X, names, sensitive_features=group)
    dataset = clf.get_dataset(X, names)
    np.testing.assert_array_equal(dataset.y, y)
    batches = list(clf.get_iterator(dataset))
    np.testing.assert_array_equal(torch.cat([labels for _, labels in batches]), y)
    torch.testing.assert_close(torch.cat([x for x, _ in batches]).double(), torch.tensor(X))


def test_forward_in_training_mode_keeps_the_order_of_rows(digits):
    X, y, group = digits
    clf = classifier(module__dropout=0.0, max_epochs=1, train_split=None)
    clf.fit(X, y, sensitive_features=group)
    before = clf.module_.state_dict()
    scores = clf.forward(X, training=True).argmax(1).numpy()
    clf.module_.load_state_dict(before)
    assert (scores == clf.predict(X)).mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_random_state_gives_the_same_nets_under_threads(backend, digits):
    X, y, group = digits

    def train(seed):
        clf = classifier(random_state=seed, max_epochs=2, prune_rate=0.5, finetune_epochs=1)
        return clf.fit(X, y, sensitive_features=group)

    alone = [train(seed) for seed in (0, 1, 0)]
    with joblib.parallel_backend(backend, n_jobs=3):
        together = joblib.Parallel()(joblib.delayed(train)(seed) for seed in (0, 1, 0))
    for left, right in zip(alone, together, strict=True):
        assert_same_weights(left.module_, right.module_)
    assert threading.active_count() < 20


def test_fit_params_reach_the_module_and_the_split(digits):
    class Scaled(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.linear = nn.Linear(n_features, n_classes)

        def forward(self, X, scale=1.0):
            return self.linear(X) * scale

    X, y, group = digits
    clf = classifier(Scaled, max_epochs=1, train_split=None)
    clf.fit(X, y, sensitive_features=group, scale=0.0)
    assert clf.history[-1, "train_loss"] == pytest.approx(np.log(10), rel=1e-5)
