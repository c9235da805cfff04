"""The four uses, on real data: Pipeline, grid search, fairlearn's reductions and thresholds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from fairlearn.metrics import demographic_parity_difference
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.datasets import load_adult
from sk_prunefair.metrics import accuracy_gap_scorer, fairness_violation_scorer
from sk_prunefair.modules import MLP
from tests.conftest import assert_same_weights, data_home


@pytest.fixture(scope="module")
def adult():
    """Return 3,000 rows of Adult: frame, labels, sex, race × sex."""
    bunch = load_adult(data_home=data_home(), download_if_missing=False)
    rows = np.random.default_rng(0).choice(len(bunch.target), 3000, replace=False)
    sensitive = bunch.sensitive_features.iloc[rows]
    return bunch.data.iloc[rows], bunch.target[rows], sensitive["sex"], sensitive


def encoder():
    return make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )


def net(**params):
    defaults = {
        "module__hidden": (16,),
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.01,
        "max_epochs": 3,
        "batch_size": 64,
        "callbacks": [("equal_loss", EqualLossConstraint())],
        "verbose": 0,
        "random_state": 0,
    }
    return FairPrunedClassifier(MLP, **(defaults | params))


def pipeline(**params):
    return Pipeline([("encode", encoder()), ("clf", net(**params))])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_pipeline_fit_learns_and_reports(adult):
    X, y, _, groups = adult
    pipe = pipeline(prune_rate=0.8, finetune_epochs=1)
    pipe.fit(X, y, clf__sensitive_features=groups)
    assert pipe.score(X, y) > 0.8
    assert set(pipe.predict(X)) <= {"<=50K", ">50K"}
    report = pipe[-1].fairness_report(pipe[:-1].transform(X), y, sensitive_features=groups)
    assert report.pruned.overall["accuracy"] == pipe.score(X, y)
    assert report.excessive_risk.index.names == list(groups.columns)
    log_loss(y, pipe.predict_proba(X))


@pytest.mark.usefixtures("routing")
def test_pipeline_with_routing_equals_fit_parameters(adult):
    X, y, _, groups = adult
    routed = pipeline(prune_rate=0.8).fit(X, y, sensitive_features=groups)
    with sklearn.config_context(enable_metadata_routing=False):
        plain = pipeline(prune_rate=0.8).fit(X, y, clf__sensitive_features=groups)
    assert_same_weights(routed[-1].module_, plain[-1].module_)
    assert len(routed[-1].groups_) == groups.drop_duplicates().shape[0]


GRID = {
    "clf__prune_rate": [0.0, 0.9],
    "clf__module__hidden": [(16,), (8, 8)],
    "clf__callbacks__equal_loss__step_size": [0.0, 0.5],
}


@pytest.mark.slow
def test_grid_search_of_pipelines_finds_a_pruned_net(adult):
    X, y, _, groups = adult
    search = GridSearchCV(pipeline(max_epochs=2), GRID, cv=2, n_jobs=2, error_score="raise")
    search.fit(X, y, clf__sensitive_features=groups)
    assert len(search.cv_results_["params"]) == 8
    accuracies = pd.DataFrame(search.cv_results_).groupby("param_clf__prune_rate").mean_test_score
    assert accuracies.mean()[0.0] > accuracies.mean()[0.9]
    best = search.best_estimator_[-1]
    step = search.best_params_["clf__callbacks__equal_loss__step_size"]
    assert dict(best.callbacks_)["equal_loss"].step_size == step


@pytest.mark.slow
@pytest.mark.usefixtures("routing")
def test_grid_search_with_routing_passes_groups_to_gap_scorers(adult):
    X, y, _, groups = adult
    search = GridSearchCV(
        pipeline(max_epochs=2),
        GRID | {"clf__module__hidden": [(16,)]},
        scoring={
            "accuracy": "accuracy",
            "gap": accuracy_gap_scorer,
            "violation": fairness_violation_scorer,
        },
        refit="gap",
        cv=2,
        n_jobs=2,
        error_score="raise",
    )
    search.fit(X, y, sensitive_features=groups)
    results = pd.DataFrame(search.cv_results_)
    dense = results.param_clf__prune_rate == 0.0
    assert (results[dense].mean_test_violation == 0).all()
    assert (results[~dense].mean_test_violation < 0).all()
    assert search.best_index_ == results.mean_test_gap.argmax()


@pytest.mark.usefixtures("routing")
def test_cross_validate_gap_scorer_gets_groups(adult):
    X, y, sex, _ = adult
    scores = cross_validate(
        pipeline(prune_rate=0.5),
        X,
        y,
        scoring={"gap": accuracy_gap_scorer},
        params={"sensitive_features": sex},
        cv=3,
        error_score="raise",
    )
    assert ((scores["test_gap"] > -1) & (scores["test_gap"] < 0)).all()


# fairlearn 0.15 fills its Series in ways that pandas 3 deprecates.
old_fairlearn = pytest.mark.filterwarnings("ignore:Setting an? (value|item).*:DeprecationWarning")


@pytest.mark.slow
@old_fairlearn
def test_exponentiated_gradient_of_pruned_nets_narrows_the_parity_gap(adult):
    X, y, sex, _ = adult
    X, y = encoder().fit_transform(X), (y == ">50K").astype(int)
    plain = net(callbacks=None, prune_rate=0.5).fit(X, y)
    fair = ExponentiatedGradient(
        net(callbacks=None, prune_rate=0.5), DemographicParity(), max_iter=5
    ).fit(X, y, sensitive_features=sex)
    gaps = [
        demographic_parity_difference(y, model.predict(X), sensitive_features=sex)
        for model in (plain, fair)
    ]
    assert gaps[1] < 0.7 * gaps[0]


@pytest.mark.slow
@old_fairlearn
def test_exponentiated_gradient_of_pipelines_predicts(adult):
    X, y, sex, _ = adult
    fair = ExponentiatedGradient(
        pipeline(callbacks=None, max_epochs=1),
        DemographicParity(),
        max_iter=2,
        sample_weight_name="clf__sample_weight",
    ).fit(X, (y == ">50K").astype(int), sensitive_features=sex)
    assert set(fair.predict(X)) <= {0, 1}


@pytest.mark.parametrize("prefit", [False, True])
def test_threshold_optimizer_of_a_pruned_net_meets_parity(adult, prefit):
    X, y, sex, _ = adult
    X, y = encoder().fit_transform(X), (y == ">50K").astype(int)
    clf = net(callbacks=None, prune_rate=0.8)
    if prefit:
        clf.fit(X, y)
    fair = ThresholdOptimizer(
        estimator=clf,
        constraints="demographic_parity",
        predict_method="predict_proba",
        prefit=prefit,
    ).fit(X, y, sensitive_features=sex)
    predictions = fair.predict(X, sensitive_features=sex, random_state=0)
    assert demographic_parity_difference(y, predictions, sensitive_features=sex) < 0.05
