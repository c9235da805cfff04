"""A training that was killed ends with the net of one that was not, bit for bit."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    Freezer,
    LRScheduler,
    ProgressBar,
)
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import TensorDataset

from sk_prunefair import AccuracyGapConstraint, EqualLossConstraint, Resume
from sk_prunefair.pruning import IterativePruning
from tests import killed
from tests.conftest import assert_same_weights, classifier

ROOT = Path(__file__).parents[1]

# What ends a training here is a callback with another parameter each time.
pytestmark = pytest.mark.filterwarnings("ignore:the training in .* is resumed")


class Killed(BaseException):
    pass


class KillAt(Callback):
    """End the process, as far as the training can tell, in the n-th epoch that it trains."""

    def __init__(self, n):
        self.n = n
        self.seen = 0

    def on_batch_end(self, net, training, **kwargs):
        if not training and self.seen == self.n:
            raise Killed

    def on_epoch_begin(self, net, **kwargs):
        self.seen += 1


def assert_same(left, right):
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(left, right)


def fit_and_prune(clf, X, y, group):
    clf.fit(X, y, sensitive_features=group)
    return clf.prune(0.6, X, y, sensitive_features=group, finetune_epochs=3)


def resume_training(make, data, kills):
    """Run, be killed and run again, a new classifier each time, as new processes have."""
    for n in kills:
        with pytest.raises(Killed):
            fit_and_prune(make(n), *data)
    last = make(0)
    fit_and_prune(last, *data)
    return last


@pytest.fixture
def small(digits):
    return tuple(values[:500] for values in digits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "callbacks"),
    [
        ({"optimizer__momentum": 0.9}, lambda: [("equal_loss", EqualLossConstraint())]),
        (
            {"optimizer": torch.optim.Adam, "lr": 0.01, "rewind_epoch": 1},
            lambda: [("iterative", IterativePruning(2)), ("equal_loss", EqualLossConstraint())],
        ),
        (
            {"finetune_schedule": "continue"},
            lambda: [
                ("lr", LRScheduler(ReduceLROnPlateau, patience=0, threshold=1e9)),
                ("early", EarlyStopping(patience=1, threshold=1e9, load_best=True)),
                ("literal", EqualLossConstraint(violation="absolute", max_accuracy_loss=0.02)),
            ],
        ),
        ({"pruner": "channel_magnitude"}, lambda: [("gap", AccuracyGapConstraint())]),
        ({"train_split": None, "pruner": "snip"}, list),
    ],
    ids=["momentum", "adam, rewound, in steps", "schedules continue", "channels", "no validation"],
)
def test_resume_killed_twice_ends_with_the_same_net(params, callbacks, small, tmp_path):
    if params.get("pruner") == "channel_magnitude":
        pytest.importorskip("torch_pruning")

    def make(n, folder=tmp_path):
        own = [("kill", KillOnTrain(n)), *callbacks()]
        own += [] if folder is None else [("resume", Resume(folder))]
        return classifier(callbacks=own, max_epochs=3, **params)

    expected = fit_and_prune(make(0, None), *small)
    found = resume_training(make, small, kills=[3, 3])
    assert_same_weights(found.module_, expected.module_)
    assert_same_weights(found.dense_module_, expected.dense_module_)
    assert_same(found.masks_, expected.masks_)
    assert_same(found.optimizer_.state_dict(), expected.optimizer_.state_dict())
    columns = ("epoch", "train_loss")
    assert found.history[:, columns] == expected.history[:, columns]
    for (name, callback), (_, other) in zip(found.callbacks_, expected.callbacks_, strict=False):
        if hasattr(callback, "multipliers_"):
            assert callback.multipliers_.equals(other.multipliers_), name


class KillOnTrain(KillAt):
    """The same in a training batch, for nets without a validation set."""

    def on_batch_end(self, net, training, **kwargs):
        if self.seen == self.n:
            raise Killed


@pytest.mark.slow
def test_resume_killed_process_three_times_ends_with_the_same_net(tmp_path):
    out = tmp_path / "out.pt"

    def start(n):
        command = [sys.executable, "-m", "tests.killed", tmp_path / "kept", str(n), out]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    # In the second of three dense epochs; in the first of the fine-tuning, of which nothing is
    # kept; in the third of the fine-tuning.
    for n in (2, 3, 3):
        assert start(n).returncode == -9
        assert not out.exists()
    done = start(0)
    assert done.returncode == 0, done.stderr
    expected = killed.result(killed.run(killed.make()))
    assert_same(torch.load(out, weights_only=False), expected)


@pytest.mark.slow
def test_resume_finished_training_is_not_repeated(small, tmp_path):
    def make(seed=0, **params):
        own = [("resume", Resume(tmp_path)), ("count", KillAt(0))]
        return classifier(callbacks=own, max_epochs=2, random_state=seed, **params)

    def n_epochs(clf, *data):
        fit_and_prune(clf, *data)
        return dict(clf.callbacks_)["count"].seen

    X, y, group = small
    assert n_epochs(make(), X, y, group) == 5
    assert n_epochs(make(), X, y, group) == 0
    assert n_epochs(make(verbose=0, warm_start=False), X, y, group) == 0
    # Whatever changes the net is another training.
    assert n_epochs(make(seed=1), X, y, group) == 5
    assert n_epochs(make(batch_size=61), X, y, group) == 5
    assert n_epochs(make(optimizer__weight_decay=0.1), X, y, group) == 5
    assert n_epochs(make(), X, y, np.roll(group, 1)) == 5
    X = X.copy()
    X[-1, -1] += 1
    assert n_epochs(make(), X, y, group) == 5
    assert n_epochs(make(module__dropout=0.2), X, y, group) == 5


def test_resume_parameter_of_a_constraint_changes_begins_anew(small, tmp_path):
    def fit(step_size):
        own = [("resume", Resume(tmp_path)), ("c", EqualLossConstraint(step_size=step_size))]
        clf = classifier(callbacks=own, max_epochs=2)
        return clf.fit(small[0], small[1], sensitive_features=small[2])

    first = fit(0.5)
    assert fit(0.5).history[:, "dur"] == first.history[:, "dur"]
    assert fit(0.4).history[:, "dur"] != first.history[:, "dur"]


def test_resume_goes_on_with_the_random_numbers_of_a_data_set(small, tmp_path):
    class Noisy(TensorDataset):
        def __getitem__(self, row):
            x, y = super().__getitem__(row)
            return x + torch.randn(x.shape) + np.random.rand(), y  # noqa: NPY002

    X, y, _ = small
    data = Noisy(torch.tensor(X[:200], dtype=torch.float32), torch.tensor(y[:200]))

    def make(n, folder=tmp_path):
        own = [("kill", KillOnTrain(n))]
        own += [] if folder is None else [("resume", Resume(folder))]
        return classifier(callbacks=own, max_epochs=3, classes=range(10), train_split=None)

    np.random.seed(0)  # noqa: NPY002
    expected = make(0, None).fit(data)
    np.random.seed(0)  # noqa: NPY002
    with pytest.raises(Killed):
        make(2).fit(data)
    np.random.seed(5)  # noqa: NPY002
    assert_same_weights(make(0).fit(data).module_, expected.module_)


def test_resume_best_of_a_checkpoint_is_known_again(small, tmp_path):
    def make(n, name):
        own = [
            ("kill", KillOnTrain(n)),
            ("best", Checkpoint(dirname=tmp_path / name, load_best=True)),
            ("resume", Resume(tmp_path / f"kept {name}")),
        ]
        return classifier(callbacks=own, max_epochs=4, lr=1.0)

    X, y, _ = small
    expected = make(0, "alone").fit(X, y)
    with pytest.raises(Killed):
        make(3, "killed").fit(X, y)
    assert_same_weights(make(0, "killed").fit(X, y).module_, expected.module_)


def test_resume_best_of_the_dense_training_is_not_that_of_the_finetuning(small, tmp_path):
    def make(n, name):
        own = [
            ("kill", KillOnTrain(n)),
            ("best", Checkpoint(dirname=tmp_path / name, load_best=True)),
            ("resume", Resume(tmp_path / f"kept {name}")),
        ]
        return classifier(callbacks=own, max_epochs=2, module__dropout=0.5)

    expected = fit_and_prune(make(0, "alone"), *small)
    with pytest.raises(Killed):
        fit_and_prune(make(4, "killed"), *small)
    found = fit_and_prune(make(0, "killed"), *small)
    assert_same_weights(found.dense_module_, expected.dense_module_)
    assert_same_weights(found.module_, expected.module_)
    assert found.history[:, "epoch"] == expected.history[:, "epoch"]


def test_resume_what_was_frozen_stays_frozen(small, tmp_path):
    def make(n, folder):
        own = [("kill", KillOnTrain(n)), ("freeze", Freezer("*0*")), ("resume", Resume(folder))]
        return classifier(callbacks=own, max_epochs=3)

    expected = make(0, tmp_path / "alone").fit(*small[:2])
    with pytest.raises(Killed):
        make(3, tmp_path / "killed").fit(*small[:2])
    found = make(0, tmp_path / "killed").fit(*small[:2])
    assert_same_weights(found.module_, expected.module_)


@pytest.mark.filterwarnings("default")
def test_resume_other_parameter_of_a_users_callback_warns(small, tmp_path):
    def fit(n):
        return classifier(
            callbacks=[("kill", KillAt(n)), ("resume", Resume(tmp_path))], max_epochs=1
        ).fit(*small[:2])

    fit(7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(7)  # what it has seen is another thing
    with pytest.warns(UserWarning, match="the user's callbacks, or their parameters or code"):
        fit(8)


def test_resume_module_of_the_same_shape_that_computes_another_thing_begins_anew(small, tmp_path):
    def fit(activation):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(64, 9), activation, nn.Linear(9, 10))
        own = [("resume", Resume(tmp_path)), ("count", KillAt(0))]
        clf = classifier(net, callbacks=own, max_epochs=1).fit(*small[:2])
        return dict(clf.callbacks_)["count"].seen

    assert [fit(nn.ReLU()), fit(nn.Tanh()), fit(nn.ReLU())] == [1, 1, 0]


def test_resume_partial_fit_every_second_epoch_equals_one_that_was_not_killed(small, tmp_path):
    X, y, _ = small

    def run(n, folder):
        own = [("kill", KillOnTrain(n)), ("resume", Resume(folder, every=2))]
        clf = classifier(callbacks=own, max_epochs=1).fit(X, y)
        return clf.prune(0.5).partial_fit(X, y, epochs=5)

    expected = run(0, tmp_path / "alone")
    with pytest.raises(Killed):
        run(5, tmp_path / "killed")
    found = run(0, tmp_path / "killed")
    assert dict(found.callbacks_)["kill"].seen == 3  # epochs 3 to 5: the second one was kept last
    assert_same_weights(found.module_, expected.module_)
    assert found.history[:, "epoch"] == [1, 2, 3, 4, 5, 6]


def test_resume_with_what_prints_and_what_cannot_be_pickled_trains(small, tmp_path, capsys):
    class Logger(Callback):
        def on_train_begin(self, net, **kwargs):
            self.send_ = lambda row: None

    own = [("bar", ProgressBar()), ("log", Logger()), ("resume", Resume(tmp_path))]
    clf = classifier(callbacks=own, max_epochs=2, verbose=1)
    fit_and_prune(clf, *small)
    assert len(fit_and_prune(clf, *small).history) == 5
    assert capsys.readouterr().out.count("train_loss") == 1  # the second run trains nothing

    class Unkept(EqualLossConstraint):
        def on_train_begin(self, net, **kwargs):
            super().on_train_begin(net, **kwargs)
            self.send_ = lambda row: None

    with pytest.raises(ValueError, match="send_ of the callback Unkept cannot be saved"):
        classifier(callbacks=[("c", Unkept()), own[-1]]).fit(
            *small[:2], sensitive_features=small[2]
        )


def test_resume_clone_and_pickle_keep_the_folder(small, tmp_path):
    X, y, _ = small
    clf = classifier(callbacks=[("resume", Resume(tmp_path))], max_epochs=1).fit(X, y)
    again = clone(clf).fit(X, y)
    assert again.history[:, "dur"] == clf.history[:, "dur"]
    assert_same_weights(pickle.loads(pickle.dumps(clf)).module_, clf.module_)
    assert clf.get_params()["callbacks__resume__dirname"] == tmp_path


def test_resume_bad_input_raises(small, tmp_path):
    X, y, _ = small
    resume = ("resume", Resume(tmp_path))
    with pytest.raises(ValueError, match="set random_state, got None"):
        classifier(callbacks=[resume], random_state=None).fit(X, y)
    with pytest.raises(ValueError, match="one Resume at most, got 2"):
        classifier(callbacks=[resume, ("other", Resume(tmp_path))]).fit(X, y)
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        classifier(callbacks=[("resume", Resume(tmp_path, every=0))]).fit(X, y)
    with pytest.raises(ValueError, match="must be a path, got 3"):
        classifier(callbacks=[("resume", Resume(3))]).fit(X, y)
    classifier(callbacks=[resume], max_epochs=1).fit(X, y)
    for file in tmp_path.iterdir():
        file.write_bytes(b"no pickle")
    with pytest.raises(ValueError, match=r"\.pkl cannot be read; delete it"):
        classifier(callbacks=[resume], max_epochs=1).fit(X, y)
