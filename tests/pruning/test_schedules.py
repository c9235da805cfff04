"""Rates along the fine-tuning, rewinding, and what a fresh start of it means."""

from __future__ import annotations

import copy
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import EarlyStopping

from sk_prunefair.hooks import Training
from sk_prunefair.pruning import GradualPruning, IterativePruning, PruningSchedule
from tests.conftest import classifier, weights


class Watch(PruningSchedule):
    """One more weight in ten every epoch, and a note of the masks."""

    def rate_at(self, goal, epoch, n_epochs):
        return goal * (epoch + 1) / n_epochs

    def on_epoch_end(self, net, **kwargs):
        super().on_epoch_end(net, **kwargs)
        if net.pruned_ is not None:
            seen = getattr(self, "seen_", [])
            self.seen_ = [*seen, (net.sparsity_, {k: m.clone() for k, m in net.masks_.items()})]


def with_schedule(schedule, **params):
    return classifier(callbacks=[("schedule", schedule)], **params)


def test_iterative_pruning_steps_remove_equal_shares_of_what_is_left():
    rates = [IterativePruning(3).rate_at(0.973, epoch, 6) for epoch in range(6)]
    left = 1 - np.array(rates)
    np.testing.assert_allclose(left, [0.3, 0.3, 0.09, 0.09, 0.027, 0.027], rtol=1e-12)
    assert rates[-1] == 0.973


def test_gradual_pruning_is_cubic_and_ends_at_the_goal():
    rates = [GradualPruning(until=1.0).rate_at(0.9, epoch, 10) for epoch in range(10)]
    t = np.arange(1, 11) / 10
    np.testing.assert_allclose(rates, 0.9 - 0.9 * (1 - t) ** 3, rtol=1e-12)
    assert GradualPruning().rate_at(0.9, 0, 1) == 0.9


@pytest.mark.parametrize("pruner", ["magnitude", "taylor", "fairgrape"])
def test_schedule_removes_weights_step_by_step_for_good(digits, pruner):
    X, y, group = digits
    clf = with_schedule(Watch(), pruner=pruner).fit(X, y, sensitive_features=group)
    assert "prune_rate" not in clf.history[-1]
    clf.prune(0.8, X, y, sensitive_features=group, finetune_epochs=4)
    seen = dict(clf.callbacks_)["schedule"].seen_
    assert [rate for rate, _ in seen] == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=2e-3)
    for (_, earlier), (_, later) in itertools.pairwise(seen):
        assert all((earlier[name] | ~later[name]).all() for name in later)
    name, mask = next(iter(clf.masks_.items()))
    assert not clf.module_.get_parameter(name)[~mask].any()
    assert clf.prune_rate_ == 0.8
    assert clf.history[-4:, "prune_rate"] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_schedule_records_the_losses_of_groups(digits):
    X, y, group = digits
    clf = with_schedule(GradualPruning(), train_split=None, batch_size=-1, module__dropout=0.0)
    clf.fit(X, y, sensitive_features=group)
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=3)
    share = {name: float((group == name).mean()) for name in ("other", "round")}
    for losses, mean in clf.history[-3:, ("group_losses", "train_loss")]:
        assert set(losses) == {"other", "round"}
        assert sum(share[name] * losses[name] for name in share) == pytest.approx(mean, rel=1e-5)


def test_iterative_pruning_in_one_step_equals_one_shot(digits):
    X, y, group = digits
    kwargs = {"sensitive_features": group, "finetune_epochs": 2}
    step = with_schedule(IterativePruning(1)).fit(X, y, sensitive_features=group)
    shot = classifier().fit(X, y, sensitive_features=group)
    first, second = (weights(clf.prune(0.9, X, y, **kwargs).module_) for clf in (step, shot))
    assert all((first[name] == second[name]).all() for name in first)
    # Without fine-tuning there is nothing to spread it over.
    assert step.prune(0.7).sparsity_ == pytest.approx(0.7, abs=1e-3)


def test_schedule_beyond_its_fine_tuning_does_nothing():
    raised = []
    net = SimpleNamespace(
        groups_=["a", "b"],
        device="cpu",
        prune_rate_=0.0,
        raise_rate=lambda rate, data: raised.append(rate),
        history=[{}] * 3,
    )
    data = SimpleNamespace(has_groups=True)
    schedule = IterativePruning(2).initialize()
    for training in (
        Training("after", epochs=2, goal=0.75, first_epoch=2),
        Training("after", epochs=2, goal=0.75, first_epoch=2, follows_schedule=True),
        Training("after", epochs=2, goal=0.75, first_epoch=0, follows_schedule=True),
    ):
        net.training_ = training
        schedule.on_epoch_begin(net, dataset_train=data)
    assert raised == [0.5]


def test_schedule_without_groups_records_the_loss_of_all(digits):
    X, y, group = digits
    clf = with_schedule(GradualPruning(), train_split=None).fit(X, y, sensitive_features=group)
    clf.prune(0.9, X, y, finetune_epochs=1)
    assert clf.history[-1, "group_losses"].keys() == {"all"}


@pytest.mark.parametrize("monitor", [True, False])
def test_schedule_stopped_early_ends_at_the_rate_asked_for(digits, monitor):
    X, y, group = digits
    stop = EarlyStopping(patience=1, threshold=10.0, threshold_mode="abs", sink=lambda _: None)
    callbacks = [("schedule", IterativePruning(4))] + [("stop", stop)] * monitor
    clf = classifier(callbacks=callbacks, lr=0.0).fit(X, y, sensitive_features=group)
    clf.prune(0.8, X, y, sensitive_features=group, finetune_epochs=4)
    assert clf.prune_rate_ == 0.8
    assert clf.sparsity_ == pytest.approx(0.8, abs=1e-3)


def test_schedule_in_partial_fit_leaves_the_rate(digits):
    X, y, group = digits
    clf = with_schedule(IterativePruning(2)).fit(X, y, sensitive_features=group)
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=2)
    masks = clf.masks_
    clf.partial_fit(X, y, sensitive_features=group)
    assert clf.masks_ is masks
    assert "prune_rate" not in clf.history[-1]


def test_optimizer_after_prune_holds_the_moments_of_the_dense_training(digits):
    X, y, group = digits
    kwargs = {"sensitive_features": group, "finetune_epochs": 1}
    clf = classifier(optimizer=torch.optim.Adam, lr=0.01).fit(X, y, sensitive_features=group)
    dense = copy.deepcopy(clf.optimizer_.state_dict()["state"])
    at_once = weights(clf.prune(0.9, X, y, **kwargs).module_)
    clf.prune(0.5, X, y, **kwargs)
    after = weights(clf.prune(0.9, X, y, **kwargs).module_)
    assert all((at_once[name] == after[name]).all() for name in after)
    clf.prune(0.0)
    restored = clf.optimizer_.state_dict()["state"]
    for index, moments in dense.items():
        assert all(torch.equal(value, restored[index][key]) for key, value in moments.items())
    # One of another kind begins without.
    clf.prune(0.5, X, y, **kwargs).optimizer = torch.optim.Adagrad
    assert clf.prune(0.5, X, y, **kwargs).score(X, y) > 0.5


# ----------------------------------------------------------------- rewinding


@pytest.mark.parametrize("epoch", [0, 2])
def test_rewind_epoch_starts_fine_tuning_from_the_early_weights(digits, epoch):
    X, y, group = digits
    clf = classifier(rewind_epoch=epoch).fit(X, y, sensitive_features=group)
    early = classifier(max_epochs=epoch).fit(X, y, sensitive_features=group)
    for name, value in weights(clf.snapshots_[epoch]).items():
        np.testing.assert_array_equal(value, weights(early.module_)[name])
    plain = classifier().fit(X, y, sensitive_features=group).prune(0.8)
    clf.set_params(lr=0.0)
    clf.prune(0.8, X, y, sensitive_features=group, finetune_epochs=1)
    for name, mask in clf.masks_.items():
        assert torch.equal(mask, plain.masks_[name])  # of the trained net
        expected = early.module_.get_parameter(name) * mask
        assert torch.equal(clf.module_.get_parameter(name), expected)
    # One-shot pruning is of the trained net, and so is the dense one.
    assert all(
        (value == weights(plain.module_)[name]).all()
        for name, value in weights(clf.prune(0.8).module_).items()
    )
    assert torch.equal(clf.dense_module_.layers[1].weight, plain.dense_module_.layers[1].weight)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rewind_epoch": -1}, "rewind_epoch must be an integer >= 0, got -1"),
        ({"rewind_epoch": 5}, "rewind_epoch=5 must not be above max_epochs=4"),
        ({"callbacks": [IterativePruning(3)]}, "at most the epochs of fine-tuning, 2, got 3"),
        ({"callbacks": [IterativePruning(0)]}, "n_steps must be at least 1"),
        ({"callbacks": [GradualPruning(0.0)]}, r"until must be in \(0, 1\], got 0\.0"),
        ({"callbacks": [GradualPruning(), IterativePruning(2)]}, "one pruning schedule at most"),
    ],
)
def test_schedule_bad_plans_are_refused_before_training(digits, params, message):
    X, y, group = digits
    clf = classifier(prune_rate=0.5, finetune_epochs=2, **params)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y, sensitive_features=group)


def test_rewind_epoch_set_after_fit_is_refused(fitted, digits):
    X, y, group = digits
    before = weights(fitted.module_)
    fitted.set_params(rewind_epoch=1)
    with pytest.raises(ValueError, match="rewind_epoch=1 needs the net after that epoch"):
        fitted.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert all((value == before[name]).all() for name, value in weights(fitted.module_).items())


def test_iterative_pruning_many_steps_are_refused_only_where_epochs_are_known():
    schedule = IterativePruning(100).initialize()
    schedule.check(100)
    with pytest.raises(ValueError, match="n_steps must be at least 1 and at most"):
        schedule.check(99)


def test_pruning_schedule_remembers_nothing_beyond_an_epoch():
    schedule = IterativePruning(2).initialize()
    schedule.names_, schedule.sums_ = ["a", "b"], torch.ones(2, 2)
    schedule.reset_states("epoch")
    assert (schedule.names_, schedule.sums_) == ([], None)
