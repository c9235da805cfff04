"""Group metrics against numbers worked out by hand, and the scorers inside scikit-learn."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from fairlearn.metrics import MetricFrame
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_prunefair.metrics import (
    accuracy_drop,
    accuracy_gap,
    accuracy_gap_floor,
    accuracy_gap_scorer,
    excessive_risk,
    fairness_violation,
    fairness_violation_scorer,
    group_mean_accuracy,
    group_mean_accuracy_scorer,
    worst_group_accuracy,
    worst_group_accuracy_scorer,
)

GROUPS = ["f", "f", "m", "m", "x"]
DENSE = [0.25, 0.75, 1.0, 2.0, 0.5]
PRUNED = [0.75, 1.25, 1.0, 1.5, 2.5]
Y = [0, 1, 1, 0, 1]
Y_DENSE = [0, 1, 1, 0, 0]
Y_PRUNED = [0, 0, 1, 0, 1]
SCORERS = [
    accuracy_gap_scorer,
    worst_group_accuracy_scorer,
    group_mean_accuracy_scorer,
    fairness_violation_scorer,
]


def test_excessive_risk_by_hand():
    risks = excessive_risk(DENSE, PRUNED, sensitive_features=GROUPS)
    groups = pd.Index(["f", "m", "x"], name="sensitive_feature")
    expected = pd.Series([0.5, -0.25, 2.0], index=groups, name="excessive_risk")
    pd.testing.assert_series_equal(risks, expected)


def test_fairness_violation_by_hand():
    assert fairness_violation(DENSE, PRUNED, sensitive_features=GROUPS) == 2.25


def test_group_accuracies_by_hand():
    assert accuracy_gap(Y, Y_PRUNED, sensitive_features=GROUPS) == 0.5
    assert worst_group_accuracy(Y, Y_PRUNED, sensitive_features=GROUPS) == 0.5
    assert group_mean_accuracy(Y, Y_PRUNED, sensitive_features=GROUPS) == pytest.approx(2.5 / 3)
    drops = accuracy_drop(Y, Y_DENSE, Y_PRUNED, sensitive_features=GROUPS)
    assert drops.to_dict() == {"f": 0.5, "m": 0.0, "x": -1.0}
    assert drops.name == "accuracy_drop"


def test_group_metrics_equal_those_of_a_metric_frame():
    rng = np.random.default_rng(0)
    dense, pruned = rng.exponential(size=(2, 200))
    y, predictions = rng.integers(0, 5, size=(2, 200))
    groups = pd.DataFrame(rng.integers(0, 3, size=(200, 2)), columns=["race", "sex"])

    def difference(metric, first, second):
        frame = MetricFrame(metrics=metric, y_true=first, y_pred=second, sensitive_features=groups)
        return frame.difference(method="between_groups")

    violation = fairness_violation(dense, pruned, sensitive_features=groups)
    assert violation == pytest.approx(difference(lambda a, b: np.mean(b - a), dense, pruned))
    gap = accuracy_gap(y, predictions, sensitive_features=groups)
    assert gap == pytest.approx(difference(accuracy_score, y, predictions))


def test_excessive_risk_columns_intersect_and_empty_groups_are_dropped():
    groups = pd.DataFrame({"sex": ["f", "f", "m"], "old": [True, False, True]})
    risks = excessive_risk([0, 0, 0], [1, 2, 3], sensitive_features=groups)
    assert risks.to_dict() == {("f", False): 2, ("f", True): 1, ("m", True): 3}
    assert list(risks.index.names) == ["sex", "old"]


@pytest.mark.parametrize("name", ["y_true", "y_pred", "metric_sample_weight"])
def test_group_metrics_any_name_of_the_group_column_is_kept(name):
    groups = pd.Series(["f", "f", "m", "m", "x"], name=name)
    risks = excessive_risk(DENSE, PRUNED, sensitive_features=groups)
    assert risks.to_dict() == {"f": 0.5, "m": -0.25, "x": 2.0}
    assert risks.index.name == name
    assert accuracy_gap(Y, Y_PRUNED, sensitive_features=groups) == 0.5


@pytest.mark.parametrize("index", [[4, 3, 2, 1, 0], [0, 0, 1, 1, 1]])
def test_group_metrics_pandas_inputs_count_by_position(index):
    def shuffled(values):
        return pd.Series(values, index=index)

    risks = excessive_risk(shuffled(DENSE), PRUNED, sensitive_features=shuffled(GROUPS))
    assert risks.to_dict() == {"f": 0.5, "m": -0.25, "x": 2.0}
    frame = pd.DataFrame({"group": GROUPS}, index=index)
    assert fairness_violation(DENSE, shuffled(PRUNED), sensitive_features=frame) == 2.25
    drops = accuracy_drop(Y, shuffled(Y_DENSE), shuffled(Y_PRUNED), sensitive_features=frame)
    assert drops.to_dict() == {"f": 0.5, "m": 0.0, "x": -1.0}


def test_group_metrics_tensors_are_taken():
    losses = torch.tensor(DENSE, requires_grad=True)
    risks = excessive_risk(
        losses, torch.tensor(PRUNED), sensitive_features=torch.tensor([0, 0, 1, 1, 2])
    )
    assert risks.to_dict() == {0: 0.5, 1: -0.25, 2: 2.0}
    assert worst_group_accuracy(torch.tensor(Y), Y_PRUNED, sensitive_features=GROUPS) == 0.5


def test_accuracy_gap_string_and_boolean_labels_equal_numbers():
    names = np.array(["no", "yes"])
    gap = accuracy_gap(names[Y], names[Y_PRUNED].tolist(), sensitive_features=GROUPS)
    assert gap == 0.5
    assert accuracy_gap(np.array(Y) > 0, np.array(Y_PRUNED) > 0, sensitive_features=GROUPS) == 0.5


def test_group_metrics_one_group_has_no_gap():
    groups = ["a"] * 5
    assert fairness_violation(DENSE, PRUNED, sensitive_features=groups) == 0.0
    assert accuracy_gap(Y, Y_PRUNED, sensitive_features=groups) == 0.0
    assert worst_group_accuracy(Y, Y_PRUNED, sensitive_features=groups) == 0.8
    assert group_mean_accuracy(Y, Y_PRUNED, sensitive_features=groups) == 0.8


def test_group_metrics_one_sample_by_hand():
    assert excessive_risk([1.0], [3.0], sensitive_features=[0]).to_dict() == {0: 2.0}
    assert accuracy_gap([1], [0], sensitive_features=[0]) == 0.0


@pytest.mark.parametrize(
    ("dense", "pruned", "groups", "message"),
    [
        ([1, 2], [1], ["a", "b"], "losses_pruned has 1 values, but losses_dense has 2"),
        ([1, 2], [1, 2], ["a"], "sensitive_features has 1 rows, but the data has 2"),
        ([1, np.nan], [1, 2], ["a", "b"], "losses_dense must be finite, got 1 NaN"),
        ([1, 2], [np.inf, np.nan], ["a", "b"], "losses_pruned must be finite, got 2 NaN"),
        ([1, 2], [1, 2], ["a", None], "sensitive_features must have no missing values"),
        ([1, 2], [1, 2], None, "sensitive_features must hold the group of each sample, got None"),
        ([], [], [], "losses_dense must hold at least one value"),
        ([[1], [2]], [1, 2], ["a", "b"], r"losses_dense must be .*, got shape \(2, 1\)"),
        ([1, 2], ["x", "y"], ["a", "b"], "losses_pruned must be one-dimensional and numeric"),
        ([1, 2], [[1], [1, 2]], ["a", "b"], "losses_pruned must be one-dimensional and numeric"),
    ],
)
def test_fairness_violation_bad_losses_are_refused_by_name(dense, pruned, groups, message):
    with pytest.raises(ValueError, match=message):
        fairness_violation(dense, pruned, sensitive_features=groups)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1, 1], [0, 1], "y_pred has 2 values, but y_true has 3"),
        ([0, 1], [[0.5, 0.5], [0.1, 0.9]], r"y_pred must be one-dimensional, got shape \(2, 2\)"),
        ([0, None], [0, 1], "y_true must have no missing values, got 1"),
        (["a", float("nan")], ["a", "b"], "y_true must have no missing values, got 1"),
        ([], [], "y_true must hold at least one value"),
        ([0, 1], [0.2, 0.9], "continuous"),
        (["a", "b"], [0, 1], "a mix of types"),
    ],
)
def test_group_accuracies_bad_labels_are_refused(y_true, y_pred, message):
    for metric in (accuracy_gap, worst_group_accuracy, group_mean_accuracy):
        with pytest.raises(ValueError, match=message):
            metric(y_true, y_pred, sensitive_features=["a", "b"])


def test_accuracy_drop_wrong_length_names_the_argument():
    with pytest.raises(ValueError, match="y_pred_pruned has 1 values"):
        accuracy_drop([0, 1], [0, 1], [0], sensitive_features=["a", "b"])


@pytest.mark.parametrize(("accuracy", "count"), [(0.8, 1000), (0.5, 400)])
def test_accuracy_gap_floor_of_two_equal_groups_is_the_formula(accuracy, count):
    # X − Y is normal with standard deviation σ√2, and E|X − Y| = σ√2 · √(2/π).
    sigma = np.sqrt(accuracy * (1 - accuracy) / count)
    floor = accuracy_gap_floor(accuracy, [count, count], n_draws=40_000)
    assert floor == pytest.approx(2 * sigma / np.sqrt(np.pi), rel=0.02)


def test_accuracy_gap_floor_by_hand():
    # Of two single samples, exactly one is right with probability 2 · 0.5 · 0.5.
    assert accuracy_gap_floor(0.5, [1, 1], n_draws=100_000) == pytest.approx(0.5, abs=0.01)
    assert accuracy_gap_floor(0.7, [10]) == 0.0
    assert accuracy_gap_floor(1.0, [1, 5]) == accuracy_gap_floor(0.0, [1, 5]) == 0.0


def test_accuracy_gap_floor_of_counts_as_series_is_seeded():
    counts = pd.Series([30.0, 70.0], index=["f", "m"])
    floor = accuracy_gap_floor(0.9, counts)
    assert floor == accuracy_gap_floor(0.9, [30, 70], random_state=0)
    assert floor != accuracy_gap_floor(0.9, [30, 70], random_state=1)


@pytest.mark.parametrize(
    ("accuracy", "counts", "n_draws", "message"),
    [
        (1.5, [1], 1, r"accuracy must be a number in \[0, 1\], got 1.5"),
        (np.nan, [1], 1, "accuracy must be"),
        ("0.5", [1], 1, "accuracy must be"),
        (0.5, [3, 0], 1, r"counts must be whole numbers >= 1, got \[3.0, 0.0\]"),
        (0.5, [1.5], 1, "counts must be"),
        (0.5, [np.nan], 1, "counts must be"),
        (0.5, [np.inf], 1, "counts must be"),
        (0.5, [], 1, "counts must hold at least one value"),
        (0.5, 3, 1, r"counts must be one-dimensional, got shape \(\)"),
        (0.5, [1], 0, "n_draws must be an integer >= 1, got 0"),
        (0.5, [1], 2.5, "n_draws must be"),
    ],
)
def test_accuracy_gap_floor_bad_arguments_raise(accuracy, counts, n_draws, message):
    with pytest.raises(ValueError, match=message):
        accuracy_gap_floor(accuracy, counts, n_draws=n_draws)


class FakePrunedClassifier(ClassifierMixin, BaseEstimator):
    """Reports a violation that depends on its parameter and on the data it was shown."""

    def __init__(self, rate=0.5):
        self.rate = rate

    def fit(self, X, y):
        """Remember the classes."""
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        """Predict by the sign of the first feature."""
        return self.classes_[(np.asarray(X)[:, 0] > 0).astype(int)]

    def fairness_report(self, X, y, *, sensitive_features):
        """Return what the scorer looks at."""
        assert len(X) == len(y) == len(sensitive_features)
        return SimpleNamespace(fairness_violation=self.rate + abs(np.mean(X)))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(loc=3.0, size=(60, 2))
    y = (X[:, 0] + rng.normal(size=60) > 3).astype(int)
    return X, y, pd.Series(rng.choice(["f", "m"], size=60), name="sex")


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_scorers_called_directly_equal_the_metrics(data):
    X, y, groups = data
    model = LogisticRegression().fit(X, y)
    predictions = model.predict(X)
    gap = accuracy_gap(y, predictions, sensitive_features=groups)
    assert accuracy_gap_scorer(model, X, y, sensitive_features=groups) == -gap
    for scorer, metric in [
        (worst_group_accuracy_scorer, worst_group_accuracy),
        (group_mean_accuracy_scorer, group_mean_accuracy),
    ]:
        expected = metric(y, predictions, sensitive_features=groups)
        assert scorer(model, X, y, sensitive_features=groups) == expected


@pytest.mark.usefixtures("routing")
def test_scorers_each_in_cross_validate_get_groups(data):
    X, y, groups = data
    for scorer in SCORERS[:3]:
        result = cross_validate(
            LogisticRegression(),
            X,
            y,
            scoring=scorer,
            params={"sensitive_features": groups},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
        for model, test, score in zip(
            result["estimator"], result["indices"]["test"], result["test_score"], strict=True
        ):
            assert score == scorer(model, X[test], y[test], sensitive_features=groups.iloc[test])


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("as_groups", [pd.Series.to_numpy, pd.Series.tolist, pd.Series.to_frame])
def test_scorers_several_in_cross_validate_get_groups(data, as_groups):
    X, y, groups = data
    result = cross_validate(
        make_pipeline(StandardScaler(), LogisticRegression()),
        X,
        y,
        scoring={
            "gap": accuracy_gap_scorer,
            "worst": worst_group_accuracy_scorer,
            "mean": group_mean_accuracy_scorer,
            "accuracy": "accuracy",
        },
        params={"sensitive_features": as_groups(groups)},
        error_score="raise",
    )
    # With two groups, the worst is half a gap below the mean.
    np.testing.assert_allclose(result["test_worst"], result["test_mean"] + result["test_gap"] / 2)


def test_violation_scorer_called_directly_needs_no_routing():
    model = FakePrunedClassifier(rate=0.25).fit(np.eye(2), [0, 1])
    score = fairness_violation_scorer(model, np.eye(2), [0, 1], sensitive_features=["a", "b"])
    assert score == -0.75


def test_violation_scorer_transforms_as_the_pipeline_does(data):
    X, y, groups = data
    for pipeline in (
        make_pipeline(StandardScaler(), FakePrunedClassifier()),
        make_pipeline(StandardScaler(), make_pipeline(FakePrunedClassifier())),
    ):
        pipeline.fit(X, y)
        # Standardised features have mean 0, and these have mean 3.
        assert fairness_violation_scorer(pipeline, X, y, groups) == pytest.approx(-0.5)
    alone = make_pipeline(FakePrunedClassifier()).fit(X, y)
    assert fairness_violation_scorer(alone, X, y, groups) == -0.5 - X.mean()


def test_violation_scorer_other_estimators_raise(data):
    X, y, groups = data
    with pytest.raises(ValueError, match="fairness_report method, got LogisticRegression"):
        fairness_violation_scorer(LogisticRegression().fit(X, y), X, y, groups)


@pytest.mark.slow
@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_scorers_in_a_grid_search_choose_the_best(data, n_jobs):
    X, y, groups = data
    search = GridSearchCV(
        make_pipeline(StandardScaler(), FakePrunedClassifier()),
        {"fakeprunedclassifier__rate": [0.9, 0.1]},
        scoring={"violation": fairness_violation_scorer, "gap": accuracy_gap_scorer},
        refit="violation",
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    )
    search = clone(search).fit(X, y, sensitive_features=groups)
    assert search.best_params_ == {"fakeprunedclassifier__rate": 0.1}
    assert np.all(search.cv_results_["mean_test_gap"] <= 0)
    assert search.score(X, y, sensitive_features=groups) == pytest.approx(-0.1)


@pytest.mark.usefixtures("routing")
def test_violation_scorer_alone_in_a_grid_search_chooses_the_best(data):
    X, y, groups = data
    search = GridSearchCV(
        FakePrunedClassifier(), {"rate": [0.9, 0.1]}, scoring=fairness_violation_scorer, cv=2
    )
    assert search.fit(X, y, sensitive_features=groups).best_params_ == {"rate": 0.1}


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
def test_scorers_pickled_score_the_same(data, scorer):
    X, y, groups = data
    again = pickle.loads(pickle.dumps(scorer))
    assert again.get_metadata_routing().score.requests == {"sensitive_features": True}
    model = FakePrunedClassifier().fit(X, y)
    score = scorer(model, X, y, sensitive_features=groups)
    assert again(model, X, y, sensitive_features=groups) == score


@pytest.mark.slow
def test_metrics_import_leaves_the_configuration_of_scikit_learn():
    code = (
        "import sklearn; before = sklearn.get_config(); import sk_prunefair.metrics; "
        "assert sklearn.get_config() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
