"""Distillation: the fine-tuning follows a teacher."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.dataset import ValidSplit
from torch import nn

from sk_prunefair import Distillation, EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.modules import MLP

N = 256


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 6)).astype(np.float32)
    y = np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])
    return X, y, np.where(X[:, 2] > 1, "few", "many")


def classifier(*callbacks, module=MLP, **params):
    defaults = {
        "module__hidden": (16,),
        "criterion": nn.CrossEntropyLoss,
        "lr": 0.2,
        "max_epochs": 4,
        "batch_size": 32,
        "train_split": None,
        "verbose": 0,
        "random_state": 0,
    }
    if not (isinstance(module, type) and issubclass(module, MLP)):
        defaults.pop("module__hidden")
    named = [(f"callback{i}", each) for i, each in enumerate(callbacks)]
    return FairPrunedClassifier(module, callbacks=named, **defaults | params)


def by_hand(clf, X, y, weight, temperature, epochs=1):
    """Fine-tune the pruned net of a classifier in a bare loop, in the order of the rows."""
    teacher, net = clf.dense_module_, copy.deepcopy(clf.module_)
    optimizer = torch.optim.SGD(net.parameters(), lr=clf.lr)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(epochs):
        for rows in torch.arange(len(X)).split(clf.batch_size):
            scores = net(X[rows])
            with torch.no_grad():
                target = (teacher(X[rows]) / temperature).softmax(1)
            follow = nn.functional.kl_div(
                (scores / temperature).log_softmax(1), target, reduction="batchmean"
            )
            loss = (1 - weight) * nn.functional.cross_entropy(scores, y[rows])
            loss = loss + weight * temperature**2 * follow
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for name, mask in clf.masks_.items():
                    net.get_parameter(name).mul_(mask)
    return net


def assert_same(net, other, atol=1e-5):
    for left, right in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=atol)


@pytest.mark.parametrize(("weight", "temperature"), [(0.9, 2.0), (0.5, 4.0), (1.0, 1.0)])
def test_distillation_in_fine_tuning_equals_a_loop_by_hand(data, weight, temperature):
    X, y, _ = data
    clf = classifier(Distillation(weight, temperature), iterator_train__shuffle=False).fit(X, y)
    expected = by_hand(clf.prune(0.5), X, y, weight, temperature, epochs=3)
    clf.prune(0.5, X, y, finetune_epochs=3)
    assert_same(clf.module_, expected)


def test_distillation_weight_zero_is_a_plain_fine_tuning(data):
    X, y, _ = data
    nets = [classifier(*each).fit(X, y) for each in ([Distillation(weight=0)], [])]
    for clf in nets:
        clf.prune(0.5, X, y, finetune_epochs=2)
    assert_same(nets[0].module_, nets[1].module_, atol=0)


def test_distillation_prune_without_labels_equals_weight_one(data):
    X, y, _ = data
    free, told = (classifier(Distillation(weight)).fit(X, y) for weight in (0.3, 1.0))
    free.prune(0.5, X, finetune_epochs=2)
    told.prune(0.5, X, 2 - y, finetune_epochs=2)  # labels say nothing
    assert_same(free.module_, told.module_, atol=0)
    assert free.history[-1]["train_loss"] == pytest.approx(told.history[-1]["train_loss"])
    assert len(free.history) == 6


def test_distillation_prune_without_labels_has_no_validation_set_and_constraints_rest(data):
    X, y, groups = data
    clf = classifier(EqualLossConstraint(), Distillation(), train_split=ValidSplit(4))
    clf.fit(X, y, sensitive_features=groups)
    multipliers = dict(clf.callbacks_)["callback0"].multipliers_.copy()
    with pytest.warns(UserWarning, match="without labels: EqualLossConstraint has no effect"):
        clf.prune(0.5, X, finetune_epochs=2)
    assert dict(clf.callbacks_)["callback0"].multipliers_.equals(multipliers)
    assert np.isnan(clf.history[-1]["loss_gap"])
    assert "valid_loss" not in clf.history[-1]


def test_prune_without_labels_and_without_a_teacher_raises(data):
    X, y, groups = data
    clf = classifier(EqualLossConstraint()).fit(X, y, sensitive_features=groups)
    with pytest.raises(ValueError, match="requires y to be passed"):
        clf.prune(0.5, X, sensitive_features=groups, finetune_epochs=1)
    assert clf.prune_rate_ == 0


def test_distillation_dataset_without_labels_equals_array(data):
    X, y, _ = data
    clf, twin = (classifier(Distillation()).fit(X, y) for _ in range(2))
    clf.prune(0.5, Rows(X), finetune_epochs=2)
    twin.prune(0.5, X, finetune_epochs=2)
    assert_same(clf.module_, twin.module_)


class Rows(torch.utils.data.Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, row):
        return self.X[row]


class Counting(MLP):
    """Counts its runs in evaluation mode."""

    runs = 0

    def forward(self, X):
        if not self.training:
            assert not torch.is_grad_enabled()
            Counting.runs += 1
        return super().forward(X)


@pytest.mark.parametrize(("wrap", "epochs_run"), [(lambda X: X, 1), (Rows, 3)])
def test_distillation_teacher_runs_once_per_batch_or_once_where_rows_are_kept(
    data, wrap, epochs_run
):
    X, y, _ = data
    clf = classifier(Distillation(), module=Counting).fit(X, y)
    clf.prune(0.5)
    Counting.runs = 0
    clf.prune(0.5, wrap(X), finetune_epochs=3)
    assert Counting.runs == epochs_run * N / 32


def test_distillation_kept_outputs_are_those_of_the_rows_drawn(data):
    X, y, groups = data
    nets = []
    for wrap in (lambda X: X, Rows):
        equal = EqualLossConstraint(phase="after", by="resampling", step_size=5.0)
        clf = classifier(equal, Distillation(), train_split=ValidSplit(4))
        clf.fit(X, y, sensitive_features=groups)
        clf.prune(0.5, wrap(X), y, sensitive_features=groups, finetune_epochs=4)
        assert dict(clf.callbacks_)["callback1"].outputs_ is None  # gone with the training
        nets.append(clf)
    assert_same(nets[0].module_, nets[1].module_)


def test_distillation_with_equal_losses_moves_multipliers_by_the_criterions_losses(data):
    X, y, groups = data
    clf = classifier(
        EqualLossConstraint(step_size=0.0, average=False), Distillation(1.0), lr=0.0, max_epochs=1
    ).fit(X, y, sensitive_features=groups)
    clf.prune(0.5, X, y, sensitive_features=groups, finetune_epochs=1)
    report = clf.fairness_report(X, y, sensitive_features=groups)
    losses = report.pruned.by_group["loss"]
    assert clf.history[-1]["loss_gap"] == pytest.approx(np.ptp(losses), rel=1e-4)
    # What is trained is the distance from the teacher.
    assert clf.history[-1]["train_loss"] != pytest.approx(report.pruned.overall["loss"], rel=1e-2)


def test_distillation_larger_teacher_in_dense_training_is_followed(data):
    X, y, _ = data
    teacher = classifier(max_epochs=10, module__hidden=(64, 64)).fit(X, y).module_.train()
    student = classifier(Distillation(1.0, phase="both", teacher=teacher)).fit(X, (y + 1) % 3)
    with torch.no_grad():
        agreed = teacher.eval()(torch.from_numpy(X)).argmax(1).numpy() == student.predict(X)
    assert agreed.mean() > 0.8  # and labels said otherwise
    before = copy.deepcopy(teacher.state_dict())
    student.prune(0.3, X, finetune_epochs=1)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert clone(student).callbacks[0][1].teacher is not teacher


@pytest.mark.parametrize("pruner", ["magnitude", "channel_magnitude"])
def test_distillation_keeps_the_pruned_net_near_the_dense_one(data, pruner):
    if pruner == "channel_magnitude":
        pytest.importorskip("torch_pruning")
    X, y, _ = data
    distances = []
    for callbacks in ([Distillation()], []):
        clf = classifier(*callbacks, pruner=pruner, max_epochs=20).fit(X, y)
        clf.prune(0.6, X, y, finetune_epochs=10)
        dense = clf.with_module(clf.dense_module_).predict_proba(X)
        distances.append(np.abs(clf.predict_proba(X) - dense).mean())
    assert distances[0] < 0.7 * distances[1]


class Probabilities(MLP):
    def forward(self, X):
        return super().forward(X).softmax(1)


class OneLogit(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, X):
        return {"logits": self.layers(X)}


@pytest.mark.parametrize(
    ("module", "criterion", "temperature"),
    [(Probabilities, nn.NLLLoss, 1.0), (OneLogit, nn.BCEWithLogitsLoss, 1.0)],
)
def test_distillation_of_probabilities_and_one_logit_comes_near_the_teacher(
    data, module, criterion, temperature
):
    X, y, _ = data
    y = (y > 0).astype(int)
    clf = classifier(Distillation(1.0, temperature), module=module, criterion=criterion, lr=0.5)
    clf.fit(X, y).prune(0.3)
    start = np.abs(clf.predict_proba(X) - clf.with_module(clf.dense_module_).predict_proba(X))
    clf.prune(0.3, X, finetune_epochs=6)
    end = np.abs(clf.predict_proba(X) - clf.with_module(clf.dense_module_).predict_proba(X))
    assert end.mean() < start.mean()
    # The trained loss is KL of the probabilities themselves.
    p, q = clf.with_module(clf.dense_module_).predict_proba(X), clf.predict_proba(X)
    kl = (p * np.log(p / q)).sum(1).mean()
    assert clf.history[-1]["train_loss"] == pytest.approx(kl, rel=0.5)


def test_distillation_class_weights_count_for_the_distance_too(data):
    X, y, _ = data
    weight = torch.tensor([1.0, 0.0, 0.0])
    clf = classifier(Distillation(1.0), criterion__weight=weight).fit(X, y)
    clf.set_params(lr=0.0).prune(0.1, X, y, finetune_epochs=1)
    rows = torch.from_numpy(X[y == 0])
    with torch.no_grad():
        p, q = ((net(rows) / 2).log_softmax(1) for net in (clf.dense_module_, clf.module_))
    expected = 4 * (p.exp() * (p - q)).sum(1).mean()
    batches = clf.history[-1]["batches"]
    assert clf.history[-1]["train_loss"] == pytest.approx(float(expected), rel=0.2)
    assert len(batches) == N / 32


def test_distillation_weight_fades_where_the_net_cannot_follow(data):
    X, y, _ = data
    clf = classifier(Distillation(1.0), max_epochs=3, pruner="random").fit(X, y)
    losses = []
    for weight in (1.0, 0.0):
        clf.set_params(callbacks__callback0__weight=weight, lr=1e-9)
        clf.prune(0.6, X, y, finetune_epochs=6)
        losses.append(clf.history[-1]["train_loss"])
    with torch.no_grad():
        scores = clf.module_(torch.from_numpy(X)) / 2, clf.dense_module_(torch.from_numpy(X)) / 2
        found, target = (each.log_softmax(1) for each in scores)
    distance = float((target.exp() * (target - found)).sum(1).mean())
    most = float((target.exp() * (target - target.exp().mean(0).log())).sum(1).mean())
    share = (1 - distance / most) / 0.6
    assert 0.2 < share < 0.6
    expected = (1 - share) * losses[1] + share * 4 * distance
    assert losses[0] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weight": 1.5}, "weight must be a finite number >= 0 and <= 1"),
        ({"temperature": 0}, "temperature must be a finite number > 0"),
        ({"teacher": "dense"}, "teacher must be a torch.nn.Module or None, got str"),
        ({"phase": "both"}, "phase='both' needs a teacher"),
        ({"phase": "never"}, "phase must be"),
    ],
)
def test_distillation_bad_parameters_raise(data, params, message):
    X, y, _ = data
    with pytest.raises(ValueError, match=message):
        classifier(Distillation(**params)).fit(X, y)


def test_distillation_teacher_of_other_classes_raises_and_the_net_stays(data):
    X, y, _ = data
    clf = classifier(Distillation(teacher=nn.Linear(6, 2))).fit(X, y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=r"teacher must return scores of shape \(32, 3\)"):
        clf.prune(0.5, X, finetune_epochs=1)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
