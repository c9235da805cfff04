"""The accuracy-gap constraint: its violation, memory and weights against plain references."""

from __future__ import annotations

from collections import deque

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from sk_prunefair import AccuracyGapConstraint
from sk_prunefair.constraints.accuracy_gap import _Tracker
from sk_prunefair.datasets import long_tailed
from tests.conftest import assert_same_weights, classifier


def constrained(constraint=None, **params):
    constraint = AccuracyGapConstraint() if constraint is None else constraint
    return classifier(callbacks=[("accuracy_gap", constraint)], **params)


def state(clf):
    return dict(clf.callbacks_)["accuracy_gap"]


def state_of(sizes, dense, memory, multipliers=None):
    sizes = np.asarray(sizes)
    multipliers = np.zeros(len(sizes)) if multipliers is None else np.asarray(multipliers)
    return _Tracker(multipliers, np.asarray(dense), sizes / sizes.sum(), sizes, memory, "cpu")


def test_tracker_violations_equal_those_of_a_queue_per_group():
    rng = np.random.default_rng(0)
    sizes, dense, memory = np.array([120, 60, 18, 2, 0]), np.array([0.9, 0.8, 0.5, 1.0, np.nan]), 7
    training = state_of(sizes, dense, memory)
    queues = [deque(maxlen=memory) for _ in sizes]
    seen = np.zeros(5, int)
    for size in (1, 3, 40, 16, 16, 64):
        group = rng.choice(4, size, p=[0.6, 0.3, 0.08, 0.02])
        right = rng.random(size) < 0.6
        training.remember(torch.from_numpy(group), torch.from_numpy(right))
        for a, is_right in zip(group, right, strict=True):
            queues[a].append(is_right)
            seen[a] += 1
        known = [a for a in range(4) if seen[a] >= min(memory, sizes[a])]
        expected = np.full(5, np.nan)
        if known:
            drop = {a: dense[a] - np.mean(queues[a]) for a in known}
            overall = np.average([drop[a] for a in known], weights=sizes[known])
            expected[known] = [drop[a] - overall for a in known]
        np.testing.assert_allclose(training.violations(), expected, atol=1e-6)
    assert len(known) >= 3


def test_tracker_step_and_factors_by_hand():
    training = state_of([6, 2], [1.0, 1.0], memory=2)
    training.remember(torch.tensor([0, 0, 1, 1]), torch.tensor([True, True, False, True]))
    # Drops of 0 and 0.5, overall 0.125; half of the 8 rows were seen: λ = 0.5 · 2 (0.375 - 0.1).
    training.step(tolerance=0.1, step_size=2.0, bound=1.0)
    np.testing.assert_allclose(training.multipliers, [0.0, 0.275], atol=1e-6)
    training.n_new = 8
    training.step(tolerance=0.1, step_size=10.0, bound=0.275)
    np.testing.assert_allclose(training.multipliers, [0.0, 0.275], atol=1e-6)
    # (1 + 0) / 1.275 and (1 + 0.275 / 0.25) / 1.275: a mean of 1 over the data.
    factors = training.factors().numpy()
    np.testing.assert_allclose(factors, [1 / 1.275, 2.1 / 1.275], rtol=1e-6)
    assert factors @ [0.75, 0.25] == pytest.approx(1.0)


def test_tracker_factors_have_the_direction_of_the_lagrangian():
    training = state_of([50, 30, 20], [1.0, 1.0, 1.0], 5, multipliers=[0.0, 0.6, 2.0])
    grads = np.random.default_rng(0).normal(size=(3, 8))
    shares, total = np.array([0.5, 0.3, 0.2]), 2.6
    ours = (training.factors().numpy() * shares) @ grads
    overall = shares @ grads
    scaled = np.array([0.0, 0.6, 2.0]) / (1 + total)
    np.testing.assert_allclose(ours, overall + scaled @ (grads - overall), rtol=1e-5)


@pytest.fixture(scope="module")
def tailed(digits):
    X, y, _ = digits
    test = np.arange(len(y)) % 2 == 0
    rows = np.flatnonzero(~test)[long_tailed(y[~test], 15, random_state=0)]
    return X[rows], y[rows], X[test], y[test]


def test_accuracy_gap_constraint_narrows_the_gap_of_pruning(tailed):
    X, y, X_test, y_test = tailed
    options = {"max_epochs": 15, "train_split": None, "prune_rate": 0.85, "finetune_epochs": 6}
    gaps, violations = [], []
    for step_size in (0.0, 0.5):
        clf = constrained(AccuracyGapConstraint(step_size=step_size), **options)
        clf.fit(X, y, sensitive_features=y)
        gaps.append(clf.fairness_report(X_test, y_test, sensitive_features=y_test).accuracy_gap)
        violations.append(clf.history[-1, "accuracy_gap_violation"])
    assert gaps[0]["dense"] == gaps[1]["dense"]
    assert gaps[1]["pruned"] < gaps[0]["pruned"] - 0.1
    assert violations[1] < violations[0] / 2


def test_accuracy_gap_constraint_before_pruning_does_nothing(digits):
    X, y, group = digits
    plain = classifier().fit(X, y, sensitive_features=group)
    clf = constrained().fit(X, y, sensitive_features=group)
    assert_same_weights(plain.module_, clf.module_)
    assert state(clf).multipliers_ is None
    assert "accuracy_gap_violation" not in clf.history[-1]


def test_accuracy_gap_dense_accuracy_is_of_the_rows_tuned_on(digits):
    X, y, group = digits
    clf = constrained(train_split=None).fit(X, y, sensitive_features=group)
    clf.prune(0.9, X[:500], y[:500], sensitive_features=group[:500], finetune_epochs=1)
    right = pd.Series(
        clf.dense_module_(torch.tensor(X[:500], dtype=torch.float32)).argmax(1) == y[:500]
    )
    pd.testing.assert_series_equal(
        state(clf).dense_accuracy_, right.groupby(group[:500]).mean(), check_names=False
    )


@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_accuracy_gap_multipliers_start_at_zero_in_every_prune_not_in_partial_fit(digits):
    X, y, _ = digits
    data = {"X": X, "y": y, "sensitive_features": y}
    clf = constrained(AccuracyGapConstraint(memory=20)).fit(**data)
    first = state(clf.prune(0.95, **data, finetune_epochs=2)).multipliers_
    assert (first > 0).any()
    assert (first >= 0).all()
    again = state(clf.prune(0.95, **data, finetune_epochs=2)).multipliers_
    pd.testing.assert_series_equal(first, again)
    state(clf).step_size = 0.0
    clf.partial_fit(**data)
    pd.testing.assert_series_equal(state(clf).multipliers_, again)
    assert state(clf.prune(0.5)).multipliers_ is None
    assert (
        state(
            clone(clf).set_params(module__n_features=64, classes=range(10)).initialize()
        ).multipliers_
        is None
    )


@pytest.mark.parametrize("kind", ["one group", "group of one", "500 groups", "all of one batch"])
def test_accuracy_gap_constraint_unusual_groups_stay_finite(digits, kind):
    X, y, _ = digits
    group = {
        "one group": np.zeros(len(y), int),
        "group of one": (np.arange(len(y)) == 7).astype(int),
        "500 groups": np.random.default_rng(0).integers(0, 500, len(y)),
        "all of one batch": y,
    }[kind]
    size = {"batch_size": -1} if kind == "all of one batch" else {}
    clf = constrained(prune_rate=0.9, finetune_epochs=2, train_split=None, **size)
    clf.fit(X, y, sensitive_features=group)
    assert np.isfinite(state(clf).multipliers_).all()
    assert np.isfinite(clf.history[-1, "accuracy_gap_violation"])
    if kind == "one group":
        assert (state(clf).multipliers_ == 0).all()


@pytest.mark.parametrize("step_size", [1e-3, 0.1, 10.0, 1000.0])
def test_accuracy_gap_constraint_any_step_size_keeps_accuracy(tailed, step_size):
    X, y, X_test, y_test = tailed
    options = {"max_epochs": 15, "train_split": None, "prune_rate": 0.7, "finetune_epochs": 4}
    plain = classifier(**options).fit(X, y, sensitive_features=y)
    clf = constrained(AccuracyGapConstraint(step_size=step_size), **options)
    clf.fit(X, y, sensitive_features=y)
    assert clf.score(X_test, y_test) > plain.score(X_test, y_test) - 0.05


def test_accuracy_gap_groups_without_weight_keep_multipliers_of_zero(tailed):
    X, y, *_ = tailed
    clf = constrained(AccuracyGapConstraint(memory=np.int64(20)), max_epochs=8)
    clf.fit(X, y, sensitive_features=y)
    weight = np.where(y == 9, 0.0, 1.0)
    clf.prune(0.9, X, y, sensitive_features=y, sample_weight=weight, finetune_epochs=3)
    multipliers = dict(clf.callbacks_)["accuracy_gap"].multipliers_
    assert multipliers[9] == 0
    assert multipliers.max() > 0
    assert np.isfinite(clf.history[:, "train_loss"]).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"tolerance": -0.1},
        {"tolerance": 1.5},
        {"tolerance": float("nan")},
        {"step_size": -1.0},
        {"step_size": float("inf")},
        {"memory": 0},
        {"memory": 2.5},
        {"memory": True},
        {"max_multiplier": 0.0},
    ],
    ids=str,
)
def test_accuracy_gap_constraint_bad_parameters_are_refused(fitted, digits, bad):
    X, y, group = digits
    module = fitted.module_
    fitted.set_params(callbacks=[("accuracy_gap", AccuracyGapConstraint(**bad))])
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name} must be"):
        fitted.fit(X, y, sensitive_features=group)
    assert fitted.module_ is module
