"""The curve against one prune and one report after the other, and across backends."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.selection import pruning_curve
from tests.conftest import SmallNet, assert_same_weights, classifier, weights

RATES = [0.9, 0.0, 0.5]


@pytest.fixture(scope="module")
def data(digits):
    """Return digits to train on, and others to evaluate on."""
    X, y, group = (values[:900] for values in digits)
    return (X[:600], y[:600], group[:600]), (X[600:], y[600:], group[600:])


@pytest.fixture(scope="module")
def net(data):
    X, y, group = data[0]
    return classifier(max_epochs=3).fit(X, y, sensitive_features=group)


def one_by_one(clf, rates, test, **finetuning):
    """Return what the report says at each rate, group by group."""
    rows = []
    for rate in sorted(rates):
        clf.prune(rate, **finetuning)
        report = clf.fairness_report(test[0], test[1], sensitive_features=test[2])
        dense = clf.with_module(clf.dense_module_).predict(test[0])
        n_lost = len(set(dense) - set(clf.predict(test[0])))
        frame = report.to_frame().sort_index()
        rows += [
            {
                "rate": rate,
                "group": group,
                "count": row["count"],
                "accuracy": row["accuracy_pruned"],
                "loss": row["loss_pruned"],
                "accuracy_drop": row["accuracy_drop"],
                "excessive_risk": row["excessive_risk"],
                "accuracy_overall": report.pruned.overall["accuracy"],
                "loss_overall": report.pruned.overall["loss"],
                "accuracy_gap": report.accuracy_gap["pruned"],
                "fairness_violation": report.fairness_violation,
                "lost_labels": n_lost,
            }
            for group, row in frame.iterrows()
        ]
    return pd.DataFrame(rows).astype({"count": int})


@pytest.mark.slow
def test_pruning_curve_equals_prune_and_report_one_by_one(net, data):
    X, y, group = data[1]
    before = weights(net.module_)
    curve = pruning_curve(net, X, y, sensitive_features=group, rates=RATES)
    pd.testing.assert_frame_equal(curve, one_by_one(net, RATES, data[1]), check_exact=True)
    net.prune(0.0)
    for name, value in weights(net.module_).items():
        np.testing.assert_array_equal(value, before[name])


def test_pruning_curve_with_fine_tuning_equals_one_by_one(net, data):
    X, y, group = data[1]
    curve = pruning_curve(
        net,
        X,
        y,
        sensitive_features=group,
        rates=[0.5, 0.9],
        X_train=data[0][0],
        y_train=data[0][1],
        sensitive_features_train=data[0][2],
        finetune_epochs=2,
    )
    train = {"X": data[0][0], "y": data[0][1], "sensitive_features": data[0][2]}
    expected = one_by_one(net, [0.5, 0.9], data[1], **train, finetune_epochs=2)
    pd.testing.assert_frame_equal(curve, expected, check_exact=True)
    one_shot = pruning_curve(net, X, y, sensitive_features=group, rates=[0.9])
    assert curve.accuracy_overall.iloc[-1] > one_shot.accuracy_overall.iloc[-1]


def test_pruning_curve_leaves_a_pruned_estimator_as_it_is(data):
    X, y, group = data[1]
    clf = classifier(max_epochs=1).fit(*data[0][:2]).prune(0.7)
    twin = classifier(max_epochs=1).fit(*data[0][:2]).prune(0.7)
    pruning_curve(clf, X, y, sensitive_features=group, rates=[0.3])
    assert clf.prune_rate_ == 0.7
    assert_same_weights(clf.module_, twin.module_)


def test_pruning_curve_dense_net_runs_once(data, monkeypatch):
    X, y, group = data[1]
    clf = classifier(max_epochs=1).fit(*data[0][:2])
    passes = []
    outcomes = FairPrunedClassifier.outcomes
    monkeypatch.setattr(
        FairPrunedClassifier, "outcomes", lambda *args: passes.append(1) or outcomes(*args)
    )
    pruning_curve(clf, X, y, sensitive_features=group, rates=[0.2, 0.4, 0.6])
    assert len(passes) == 1 + 3


def test_pruning_curve_of_a_pipeline_with_columns_of_groups_equals_its_report(net, data):
    (X_train, y_train, group), (X, y, test_group) = data
    pipe = make_pipeline(StandardScaler(), classifier(max_epochs=2))
    pipe.fit(X_train, y_train, fairprunedclassifier__sensitive_features=group)
    columns = pd.DataFrame({"shape": test_group, "odd": y % 2 == 1}, index=range(7, 7 + len(y)))
    curve = pruning_curve(pipe, X, y, sensitive_features=columns, rates=[0.9])
    test = pipe[:-1].transform(X), y, columns
    pd.testing.assert_frame_equal(curve, one_by_one(pipe[-1], [0.9], test), check_exact=True)
    assert curve.group.tolist() == [
        ("other", False),
        ("other", True),
        ("round", False),
        ("round", True),
    ]


def finetuned(clf, data, **options):
    (X_train, y_train, group_train), (X, y, group) = data
    return pruning_curve(
        clf,
        X,
        y,
        sensitive_features=group,
        rates=[0.5, 0.8, 0.95],
        X_train=X_train,
        y_train=y_train,
        sensitive_features_train=group_train,
        finetune_epochs=1,
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_pruning_curve_joblib_backends_agree_bit_for_bit(net, data, backend):
    alone = finetuned(net, data, n_jobs=1)
    with joblib.parallel_config(backend=backend):
        side_by_side = finetuned(net, data, n_jobs=2)
    pd.testing.assert_frame_equal(alone, side_by_side, check_exact=True)


@pytest.mark.slow
def test_pruning_curve_dask_agrees_bit_for_bit(data):
    distributed = pytest.importorskip("distributed")
    clf = classifier(max_epochs=1, pruner="random")
    alone = finetuned(clf, data, random_states=[0, 1])
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        spread = finetuned(clf, data, random_states=[0, 1])
    pd.testing.assert_frame_equal(alone, spread, check_exact=True)


def test_pruning_curve_repeats_over_seeds_equal_fits_one_by_one(data):
    (X_train, y_train, group), test = data
    template = classifier(max_epochs=2, prune_rate=0.99)
    curve = finetuned(template, data, random_states=[3, 5])
    assert curve.repeat.tolist() == [0] * 6 + [1] * 6
    assert curve.random_state.tolist() == [3] * 6 + [5] * 6
    train = {"X": X_train, "y": y_train, "sensitive_features": group}
    second = classifier(max_epochs=2, random_state=5).fit(**train)
    expected = one_by_one(second, [0.5, 0.8, 0.95], test, **train, finetune_epochs=1)
    ours = curve[curve.repeat == 1].drop(columns=["repeat", "random_state"])
    pd.testing.assert_frame_equal(ours.reset_index(drop=True), expected, check_exact=True)
    assert not hasattr(template, "module_")


def test_pruning_curve_repeats_over_splits_equal_fits_one_by_one(data):
    X, y, group = data[1]
    splits = KFold(2)
    clf = make_pipeline(StandardScaler(), classifier(max_epochs=2))
    curve = pruning_curve(clf, X, y, sensitive_features=group, rates=[0.5, 0.9], cv=splits)
    assert curve.split.tolist() == [0] * 4 + [1] * 4
    for split, (train, test) in enumerate(splits.split(X)):
        scaler = StandardScaler().fit(X[train])
        fold = classifier(max_epochs=2).fit(
            scaler.transform(X[train]), y[train], sensitive_features=group[train]
        )
        fresh = scaler.transform(X[test]), y[test], group[test]
        ours = curve[curve.split == split].drop(columns=["repeat", "split"])
        pd.testing.assert_frame_equal(
            ours.reset_index(drop=True), one_by_one(fold, [0.5, 0.9], fresh), check_exact=True
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": [0.5, 1.0]}, r"each of rates must be a number in \[0, 1\)"),
        ({"rates": [np.nan]}, "each of rates must be a number"),
        ({"rates": ["0.5"]}, "each of rates must be a number"),
        ({"rates": 0.5}, "rates must be a list"),
        ({"rates": "0.5"}, "rates must be a list"),
        ({"rates": []}, "rates must hold at least one"),
        ({"sensitive_features": ["a"]}, "sensitive_features has 1 rows"),
        ({"sensitive_features": None}, "sensitive_features must hold the group"),
        ({"y": np.zeros(3)}, "y has 3 rows"),
        ({"X": np.full((300, 64), np.nan)}, "NaN"),
        ({"finetune_epochs": 2}, "finetune_epochs=2 needs data"),
        ({"random_states": [0]}, "random_states needs data"),
        ({"cv": 2, "X_train": np.zeros((2, 64))}, "X_train must be None with cv"),
        ({"cv": [], "random_states": [0]}, "at least one repeat"),
        ({"cv": 2, "random_states": []}, "at least one repeat"),
    ],
)
def test_pruning_curve_bad_input_raises(net, data, changes, message):
    arguments = dict(zip(("X", "y", "sensitive_features"), data[1], strict=True))
    with pytest.raises(ValueError, match=message):
        pruning_curve(net, **(arguments | {"rates": [0.5]} | changes))


def test_pruning_curve_estimators_that_cannot_be_pruned_raise(data):
    X, y, group = data[1]
    for estimator in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())):
        with pytest.raises(TypeError, match="got LogisticRegression"):
            pruning_curve(estimator, X, y, sensitive_features=group)
    with pytest.raises(NotFittedError):
        pruning_curve(classifier(SmallNet), X, y, sensitive_features=group)
