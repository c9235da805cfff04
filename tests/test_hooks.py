"""State that is declared once: how long it lives, what a new pruning goes back to."""

from __future__ import annotations

import pickle

import pytest
from sklearn.base import clone
from skorch.callbacks import Callback, Checkpoint

from sk_prunefair import EqualLossConstraint
from sk_prunefair.constraints import Constraint
from sk_prunefair.hooks import Hook
from tests.conftest import assert_same_weights, classifier

LIVES = ("epoch", "training", "fit")


class Counter(Hook):
    """Counts training batches over an epoch, a training, and a fit; writes down what it sees."""

    def __init__(self, log=None):
        self.log = log

    def initialize(self):
        super().initialize()
        for lives in LIVES:
            self.add_state(f"{lives}_", [], lives=lives)
        self.add_state("ever_", 0, lives="fit", rewinds=False)
        return self

    def on_batch_end(self, net, batch, training, losses, **kwargs):
        assert losses.shape == batch[0]["group"].shape
        assert not losses.requires_grad
        if training:
            self.ever_ += 1
            for lives in LIVES:
                getattr(self, f"{lives}_").append(1)

    def on_epoch_end(self, net, **kwargs):
        if self.log is not None:
            self.log.append([len(getattr(self, f"{lives}_")) for lives in LIVES])


def counts(hook):
    return [len(getattr(hook, f"{lives}_")) for lives in LIVES]


def counting(log=None, **params):
    options = {"batch_size": 900, "train_split": None, "max_epochs": 2}
    return classifier(callbacks=[("counter", Counter(log))], **(options | params))


def test_add_state_bad_name_or_lifetime_is_refused():
    hook = Hook().initialize()
    with pytest.raises(ValueError, match="name must end in an underscore, got 'total'"):
        hook.add_state("total", 0)
    with pytest.raises(ValueError, match=r"lives must be one of .*, got 'forever'"):
        hook.add_state("total_", 0, lives="forever")
    assert not hook.states_


@pytest.mark.parametrize(
    ("begins", "expected"), [("epoch", [0, 1, 1]), ("training", [0, 0, 1]), ("fit", [0, 0, 0])]
)
def test_reset_states_sets_back_what_does_not_outlive_it(begins, expected):
    hook = Counter().initialize()
    for lives in LIVES:
        getattr(hook, f"{lives}_").append(1)
    hook.reset_states(begins)
    assert counts(hook) == expected
    hook.reset_states("fit")
    assert counts(hook) == [0, 0, 0]  # the default itself was not appended to


def test_rewind_goes_back_to_the_dense_training_as_often_as_asked():
    hook = Counter().initialize()
    hook.fit_.append(1)
    hook.remember_dense()
    for _ in range(2):
        hook.fit_.append(1)
        hook.ever_ += 1
        hook.rewind()
        assert counts(hook)[2] == 1
    assert hook.ever_ == 2


def test_rewind_without_a_dense_training_goes_back_to_the_defaults():
    hook = Counter().initialize()
    hook.fit_.append(1)
    hook.ever_ = 3
    hook.rewind()
    assert counts(hook)[2] == 0
    assert hook.ever_ == 3


def test_hook_in_fit_and_prune_lives_as_declared(digits):
    X, y, group = digits
    log = []
    clf = counting(log).fit(X, y, sensitive_features=group)
    hook = dict(clf.callbacks_)["counter"]
    assert log == [[2, 2, 2], [2, 4, 4]]
    assert counts(hook) == [0, 0, 4]
    for _ in range(2):
        clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
        assert log.pop() == [2, 2, 6]
    clf.partial_fit(X, y, sensitive_features=group)  # of the pruned net
    assert log[-2:] == [[2, 2, 8], [2, 4, 10]]
    clf.prune(0.5)
    assert counts(hook) == [0, 0, 4]
    assert hook.ever_ == 4 + 2 + 2 + 4
    clf.fit(X, y, sensitive_features=group)
    assert counts(hook) == [0, 0, 4]


def test_hook_in_a_failed_fine_tuning_is_as_before(digits):
    X, y, group = digits

    class Broken(Callback):
        on = False

        def on_epoch_end(self, net, **kwargs):
            if self.on:
                raise RuntimeError("on purpose")

    clf = counting()
    clf.set_params(callbacks=[*clf.callbacks, ("broken", Broken())])
    clf.fit(X, y, sensitive_features=group)
    dict(clf.callbacks_)["broken"].on = True
    with pytest.raises(RuntimeError, match="on purpose"):
        clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert counts(dict(clf.callbacks_)["counter"]) == [0, 0, 4]


def test_hook_pickled_with_its_net_goes_on(digits):
    X, y, group = digits
    clf = counting().fit(X, y, sensitive_features=group)
    copy = pickle.loads(pickle.dumps(clf))
    copy.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert counts(dict(copy.callbacks_)["counter"]) == [0, 0, 6]
    assert counts(dict(copy.prune(0.5).callbacks_)["counter"]) == [0, 0, 4]
    assert not hasattr(clone(clf).callbacks[0][1], "states_")


@pytest.mark.parametrize("constraint_first", [True, False])
def test_hooks_at_the_end_come_before_a_checkpoint_in_either_order(
    digits, constraint_first, tmp_path
):
    X, y, group = digits
    best = Checkpoint(monitor="valid_acc_best", load_best=True, dirname=str(tmp_path))
    callbacks = [("equal_loss", EqualLossConstraint()), ("best", best)]
    clf = classifier(callbacks=callbacks[:: 1 if constraint_first else -1], max_epochs=6, lr=0.5)
    clf.fit(X, y, sensitive_features=group)
    loaded = classifier(callbacks=[("equal_loss", EqualLossConstraint(average=False))], lr=0.5)
    loaded.set_params(max_epochs=max(r["epoch"] for r in clf.history if r["valid_acc_best"]))
    assert_same_weights(clf.module_, loaded.fit(X, y, sensitive_features=group).module_)


def test_phase_of_a_constraint_decides_where_it_is_active(digits):
    X, y, group = digits
    seen = []

    class Note(Constraint):
        def on_epoch_end(self, net, **kwargs):
            seen.append((self.phase, net.training_.phase, self.is_active(net)))

    notes = [(phase, Note(phase)) for phase in ("before", "after", "both")]
    clf = classifier(callbacks=notes, max_epochs=1, prune_rate=0.5, finetune_epochs=1)
    clf.fit(X, y, sensitive_features=group)
    assert seen == [
        ("before", "before", True),
        ("after", "before", False),
        ("both", "before", True),
        ("before", "after", False),
        ("after", "after", True),
        ("both", "after", True),
    ]
    assert clf.training_ is None
