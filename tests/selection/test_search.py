"""The search against what it claims."""

from __future__ import annotations

import pickle
import unittest

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupShuffleSplit,
    PredefinedSplit,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch.utils.data import TensorDataset

from sk_prunefair.pruning import prunable_parameters
from sk_prunefair.selection import (
    NoRateError,
    PruneRateSearchCV,
    samples_needed,
)
from tests.conftest import assert_same_weights, classifier
from tests.integration.test_estimator_checks import LinearNet, checked


@pytest.fixture(scope="module")
def prefit(digits):
    """Return a net trained on a third of digits, and the rest."""
    X, y, group = digits
    clf = classifier(max_epochs=8).fit(X[:600], y[:600], sensitive_features=group[:600])
    return clf, X[600:], y[600:], group[600:]


def search_prefit(prefit, **options):
    clf, X, y, group = prefit
    defaults = {"rates": [0.1, 0.3, 0.5, 0.9], "max_accuracy_drop": 0.05, "cv": "prefit"}
    return PruneRateSearchCV(clf, **(defaults | options)).fit(X, y, sensitive_features=group)


def test_rate_search_table_is_the_reports_and_the_choice_is_the_tables(prefit):
    clf, X, y, group = prefit
    search = search_prefit(prefit)
    for rate, table in search.results_.groupby("rate"):
        clf.prune(rate)
        report = clf.fairness_report(X, y, sensitive_features=group)
        by_group = table.set_index("group")
        np.testing.assert_allclose(by_group.accuracy_drop, report.accuracy_drop, atol=1e-12)
        np.testing.assert_array_equal(by_group["count"], report.dense.by_group["count"])
        np.testing.assert_allclose(by_group.accuracy_pruned, report.pruned.by_group["accuracy"])
        np.testing.assert_allclose(by_group.accuracy_dense, report.dense.by_group["accuracy"])
    clf.prune(0.0)
    results = search.results_
    assert (results.drop_bound > results.accuracy_drop).all()
    assert ((results.p_value <= 0.05) == results.passed).all()
    assert ((results.drop_bound <= 0.05) == results.passed).all()
    kept = results.groupby("rate")["passed"].all()
    assert 0 < kept.sum() < len(kept)
    assert search.best_rate_ == kept[kept.cumprod().astype(bool)].index.max()
    assert kept.index.tolist() == [0.1, 0.3, 0.5, 0.9][: len(kept)]  # the last one failed
    assert kept.tolist() == [True] * (len(kept) - 1) + [False]
    first = results[results.rate == kept.index[~kept][0]]
    assert search.binding_group_ == first.loc[first.drop_bound.idxmax(), "group"]


def test_rate_search_best_estimator_is_the_net_that_was_tested(prefit):
    clf, X, y, _ = prefit
    search = search_prefit(prefit)
    assert clf.prune_rate_ == 0.0
    assert search.best_estimator_.prune_rate_ == search.best_rate_
    assert_same_weights(search.best_estimator_.module_, clf.prune(search.best_rate_).module_)
    np.testing.assert_array_equal(search.predict(X), clf.predict(X))
    np.testing.assert_array_equal(search.predict_proba(X), clf.predict_proba(X))
    assert search.score(X, y) == clf.score(X, y)
    clf.prune(0.0)


@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_rate_search_stops_at_the_first_rate_that_fails(prefit, monkeypatch):
    class WorstInBetween:
        """Remove everything at 0.5, and nothing at other rates."""

        def masks(self, module, rate):
            parameters = dict(prunable_parameters(module))
            return {name: torch.full(p.shape, rate != 0.5) for name, p in parameters.items()}

    _, X, y, group = prefit
    clf = clone(prefit[0]).set_params(pruner=WorstInBetween()).fit(X[:300], y[:300])
    asked, prune = [], type(clf).prune

    def counted(self, rate, *args, **options):
        asked.append(rate)
        return prune(self, rate, *args, **options)

    monkeypatch.setattr(type(clf), "prune", counted)
    search = search_prefit((clf, X, y, group), rates=[0.2, 0.5, 0.9])
    assert search.results_["rate"].unique().tolist() == [0.2, 0.5]
    assert asked == [0.0, 0.2, 0.5]  # 0.9 would have passed, and is not even pruned
    assert search.best_rate_ == 0.2


@pytest.mark.slow
def test_rate_search_in_workers_stops_without_a_word(prefit):
    # Warnings are errors here: joblib has one for jobs that are stopped.
    rates = [0.1, 0.9, 0.95, 0.98]
    alone, by_two = (search_prefit(prefit, rates=rates, n_jobs=n_jobs) for n_jobs in (None, 2))
    pd.testing.assert_frame_equal(by_two.results_, alone.results_)
    assert by_two.results_["rate"].unique().tolist() == [0.1, 0.9]


@pytest.mark.filterwarnings("ignore:too few held-out samples")
def test_rate_search_no_rate_raises_and_says_who_and_how_many(prefit):
    _, X, y, group = prefit
    group = group.copy()
    group[:12] = "rare"
    data = prefit[0], X, y, group
    message = r"group 'rare' lost .* over 12 held-out samples"
    with pytest.raises(NoRateError, match=message) as error:
        search_prefit(data)
    results = error.value.results
    needed = results.set_index("group").loc["rare", "samples_needed"]
    assert needed == pytest.approx(samples_needed(0.0, 0.0, 0.05), abs=1)
    assert f"some {needed:,.0f} samples like these would be needed" in str(error.value)
    assert results.groupby("rate").size().tolist() == [3]
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value)
    assert isinstance(again.results, pd.DataFrame)

    search = search_prefit(data, rates=[0.0, 0.1])
    assert search.best_rate_ == 0.0
    assert search.binding_group_ == "rare"
    assert_same_weights(search.best_estimator_.module_, data[0].dense_module_)


@pytest.mark.filterwarnings("error:too few held-out samples")
def test_rate_search_small_groups_are_named_before_training(digits):
    X, y, group = digits
    rare = np.where(np.arange(len(y)) < 40, "rare", group)
    started = []

    class Watched(type(classifier())):
        def fit(self, *args, **kwargs):
            started.append(True)
            return super().fit(*args, **kwargs)

    clf = Watched(**classifier().get_params(deep=False))
    search = PruneRateSearchCV(clf, rates=[0.1], max_accuracy_drop=0.05, random_state=0)
    message = r"in group 'rare' \(12\): 60 of each are needed to prove max_accuracy_drop=0.05"
    with pytest.raises(UserWarning, match=message):  # an error here: nothing is trained
        search.fit(X, y, sensitive_features=rare)
    assert not started


def test_rate_search_refusal_names_what_every_failing_group_takes(prefit):
    clf, X, y, group = prefit
    third = np.where(np.arange(len(y)) % 3 == 0, "third", group)
    with pytest.raises(NoRateError, match="3 of 3 groups fail") as error:
        search_prefit((clf, X, y, third), rates=[0.8], max_accuracy_drop=0.02)
    said = str(error.value).partition("samples needed by the other groups: ")[2]
    binding = str(error.value).partition("group '")[2].partition("'")[0]
    for name in {"third", "other", "round"} - {binding}:
        assert repr(name) in said


def test_rate_search_rows_of_one_person_stay_on_one_side(digits):
    X, y, group = digits
    person = pd.Series(np.arange(len(y)) // 5, index=np.arange(len(y))[::-1]).astype(str)
    options = {"rates": [0.1], "max_accuracy_drop": 0.1, "random_state": 0}
    seen = {}

    class Watched(type(classifier())):
        def fit(self, X, *args, **kwargs):
            seen["train"] = np.asarray(X)[:, -1]
            return super().fit(X, *args, **kwargs)

    X = X.copy()
    X[:, -1] = np.arange(len(y)) / len(y)  # which row it is
    clf = Watched(**classifier().get_params(deep=False))
    search = PruneRateSearchCV(clf, **options)
    search.fit(X, y, sensitive_features=group, groups=person)
    rows = np.rint(seen["train"] * len(y)).astype(int)
    held_out = np.setdiff1d(np.arange(len(y)), rows)
    assert not set(rows // 5) & set(held_out // 5)
    assert len(held_out) == search.results_["count"].sum()
    assert len(held_out) == pytest.approx(0.3 * len(y), abs=5)


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_rate_search_splitters_get_groups_and_must_keep_them_together(digits):
    X, y, group = digits
    person = np.arange(len(y)) // 5
    options = {"rates": [0.1], "max_accuracy_drop": 0.1}
    by_person = GroupShuffleSplit(1, test_size=0.5, random_state=0)
    search = PruneRateSearchCV(classifier(), cv=by_person, **options)
    search.fit(X, y, sensitive_features=group, groups=person)
    [(_, test)] = by_person.split(X, y, person)
    assert search.results_["count"].sum() == len(test)
    torn = PruneRateSearchCV(classifier(), cv=ShuffleSplit(1, random_state=0), **options)
    with pytest.raises(ValueError, match="rows with the same value of groups on one side"):
        torn.fit(X, y, sensitive_features=group, groups=person)
    for wrong, message in [
        (person[:9], "groups has 9 rows"),
        (np.zeros(len(y)), "at least two different values"),
        (np.where(person == 0, np.nan, person), "no missing values"),
    ]:
        with pytest.raises(ValueError, match=message):
            search.fit(X, y, sensitive_features=group, groups=wrong)


def test_rate_search_of_a_time_series_is_judged_on_what_came_last(digits):
    X, y, group = digits
    search = PruneRateSearchCV(
        classifier(), rates=[0.1], max_accuracy_drop=0.1, cv=TimeSeriesSplit(3)
    ).fit(X, y, sensitive_features=group)
    train, test = list(TimeSeriesSplit(3).split(X))[-1]
    counts = search.results_.groupby("group")["count"].first()
    assert counts.to_dict() == pd.Series(group[test]).value_counts().to_dict()
    expected = classifier().fit(X[train], y[train], sensitive_features=group[train])
    assert_same_weights(search.best_estimator_.dense_module_, expected.module_)


def test_rate_search_criteria_are_tested_besides_the_accuracy(prefit):
    search = search_prefit(prefit, rates=[0.0, 0.1, 0.5], criteria={"balanced_accuracy": 0.9})
    without = search_prefit(prefit, rates=[0.0, 0.1, 0.5])
    assert search.best_rate_ == without.best_rate_
    assert set(search.results_["criterion"]) == {"balanced accuracy"}
    strict = search_prefit(prefit, rates=[0.0, 0.1, 0.5], criteria={"balanced_accuracy": 0.001})
    assert strict.best_rate_ == 0.0
    with pytest.raises(
        NoRateError, match=r"in balanced accuracy, over .* where 0\.001 was promised"
    ):
        search_prefit(prefit, rates=[0.1], criteria={"balanced_accuracy": 0.001})


def test_rate_search_refusal_that_more_data_would_not_mend_says_so(prefit):
    with pytest.raises(
        NoRateError, match=r"more samples like these would not help.*2 of 2 groups fail"
    ):
        search_prefit(prefit, rates=[0.85])


def test_rate_search_max_violation_is_kept(prefit):
    clf, X, y, group = prefit
    options = {"rates": [0.1, 0.3], "max_violation": 2.0}
    loose = search_prefit(prefit, **options)
    assert loose.best_rate_ == 0.3
    results = loose.results_
    assert (results.risk_lower < results.excessive_risk).all()
    assert (results.risk_upper > results.excessive_risk).all()
    assert (results.violation_bound > results.fairness_violation).all()
    table = results[results.rate == 0.3].set_index("group")
    other, round_ = table.loc["other"], table.loc["round"]
    expected = max(other.risk_upper - round_.risk_lower, round_.risk_upper - other.risk_lower)
    assert other.violation_bound == pytest.approx(expected)
    # No loss of this net is near the bound of 50 nats, so nothing is clipped.
    report = clf.prune(0.3).fairness_report(X, y, sensitive_features=group)
    clf.prune(0.0)
    unclipped = search_prefit(prefit, **options | {"loss_bound": 50.0, "max_violation": 40.0})
    violations = unclipped.results_.groupby("rate").fairness_violation.first()
    assert violations[0.3] == pytest.approx(report.fairness_violation)
    with pytest.raises(NoRateError, match=r"fairness violation may be .* max_violation=0.001"):
        search_prefit(prefit, rates=[0.1], max_violation=0.001)


def test_rate_search_splitter_holds_out_what_it_judges_by(digits):
    X, y, group = digits
    split = PredefinedSplit(np.where(np.arange(len(y)) % 2, 0, -1))
    search = PruneRateSearchCV(classifier(), rates=[0.1, 0.3], max_accuracy_drop=0.1, cv=split)
    search.fit(X, y, sensitive_features=group)
    train, test = (slice(start, None, 2) for start in (0, 1))
    clf = classifier().fit(X[train], y[train], sensitive_features=group[train])
    assert_same_weights(search.best_estimator_.dense_module_, clf.module_)
    counts = search.results_.groupby("group")["count"].first()
    assert counts.to_dict() == pd.Series(group[test]).value_counts().to_dict()


@pytest.mark.parametrize("kind", ["lists", "masks", "int32", "from the end"])
def test_rate_search_rows_of_an_iterable_are_the_same_however_they_are_given(digits, kind):
    X, y, group = digits
    fit_on, test_on = np.arange(900), np.arange(900, len(y))
    split = {
        "lists": (fit_on.tolist(), test_on.tolist()),
        "masks": (np.arange(len(y)) < 900, np.arange(len(y)) >= 900),
        "int32": (fit_on.astype(np.int32), test_on.astype(np.int32)),
        "from the end": (fit_on, test_on - len(y)),
    }[kind]
    items = TensorDataset(torch.tensor(X), torch.tensor(y))
    for data in ((X, y), (items, None)):
        search = PruneRateSearchCV(
            classifier(max_epochs=2), rates=[0.1], max_accuracy_drop=0.5, cv=[split]
        ).fit(*data, sensitive_features=group)
        is_right = search.best_estimator_.prune(0.0).predict(X[900:]) == y[900:]
        expected = [is_right[group[900:] == each].mean() for each in ("other", "round")]
        np.testing.assert_allclose(search.results_["accuracy_dense"], expected)


@pytest.mark.parametrize(
    ("fit_on", "test_on", "message"),
    [
        (range(1000), range(900, 1797), "100 rows on both sides, and 0 repeated"),
        (range(900), [*range(900, 1797)] * 3, "0 rows on both sides, and 1794 repeated"),
        (range(-1797, 0), range(1797), "1797 rows on both sides"),
        (range(900), range(900, 2000), "must yield rows of 1797"),
        (range(1797), [], "have none"),
    ],
)
def test_rate_search_rows_that_would_prove_nothing_raise(digits, fit_on, test_on, message):
    X, y, group = digits
    search = PruneRateSearchCV(classifier(), cv=[(list(fit_on), list(test_on))])
    with pytest.raises(ValueError, match=message):
        search.fit(X, y, sensitive_features=group)


def test_rate_search_share_held_out_is_drawn_within_groups_and_seeded(digits):
    X, y, group = digits
    options = {"rates": [0.1, 0.3], "max_accuracy_drop": 0.1, "cv": 0.4, "random_state": 0}
    search = PruneRateSearchCV(classifier(), **options).fit(X, y, sensitive_features=group)
    again = clone(search).fit(X, y, sensitive_features=group)
    pd.testing.assert_frame_equal(search.results_, again.results_)
    counts = search.results_.groupby("group")["count"].first()
    assert (counts - 0.4 * pd.Series(group).value_counts()).abs().max() < 1


def test_rate_search_fine_tunes_on_the_training_part_alone(digits):
    X, y, group = digits
    split = ShuffleSplit(1, test_size=0.5, random_state=0)
    options = {"max_accuracy_drop": 0.1, "cv": split, "rates": [0.0, 0.8]}
    search = PruneRateSearchCV(classifier(), finetune_epochs=3, n_jobs=2, **options)
    with joblib.parallel_config(backend="threading"):
        search.fit(X, y, sensitive_features=group)
    train, _ = next(split.split(X))
    rows = {"X": X[train], "y": y[train], "sensitive_features": group[train]}
    clf = classifier().fit(**rows).prune(0.8, **rows, finetune_epochs=3)
    assert search.best_rate_ == 0.8
    assert_same_weights(search.best_estimator_.module_, clf.module_)


def test_rate_search_pipelines_routing_and_pickle_work(digits):
    X, y, group = digits
    pipe = make_pipeline(StandardScaler(), classifier())
    options = {"rates": [0.2], "max_accuracy_drop": 0.1, "random_state": 0}
    inside = PruneRateSearchCV(pipe, **options).fit(X, y, sensitive_features=group)
    assert inside.best_estimator_[-1].prune_rate_ == 0.2
    assert inside.n_features_in_ == 64
    again = pickle.loads(pickle.dumps(inside))
    np.testing.assert_array_equal(again.predict(X), inside.predict(X))
    with sklearn.config_context(enable_metadata_routing=True):
        outside = make_pipeline(StandardScaler(), PruneRateSearchCV(classifier(), **options))
        outside.fit(X, y, sensitive_features=group)
    assert set(outside[-1].results_.group) == {"other", "round"}


def test_rate_search_torch_datasets_equal_arrays(digits):
    X, y, group = digits
    pairs = TensorDataset(torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y))
    options = {"rates": [0.1, 0.3], "max_accuracy_drop": 0.1, "random_state": 0}
    from_pairs = PruneRateSearchCV(classifier(), **options).fit(pairs, sensitive_features=group)
    from_arrays = PruneRateSearchCV(classifier(), **options).fit(X, y, sensitive_features=group)
    pd.testing.assert_frame_equal(from_pairs.results_, from_arrays.results_)


def test_rate_search_without_groups_all_are_one(digits):
    X, y, _ = digits
    search = PruneRateSearchCV(classifier(), rates=[0.1], max_accuracy_drop=0.1).fit(X, y)
    assert search.results_.group.tolist() == ["all"]
    assert search.binding_group_ == "all"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": [1.0]}, "each of rates must be"),
        ({"rates": [0.0]}, "at least one number above 0"),
        ({"max_accuracy_drop": 1.0}, r"max_accuracy_drop must be a number in \[0, 1\)"),
        ({"max_accuracy_drop": "2%"}, "max_accuracy_drop must be a number"),
        ({"max_violation": -1}, "max_violation must be a number None or positive"),
        ({"loss_bound": np.inf}, "loss_bound must be a number positive and finite"),
        ({"confidence": 95}, r"confidence must be a number in \[0.5, 1\), as 0.95, got 95"),
        ({"confidence": np.nan}, "confidence must be a number"),
        ({"cv": 5}, "cv must be a share"),
        ({"cv": 1.5}, "cv must be a share"),
        ({"cv": None}, "cv must be a share"),
        ({"cv": "pre"}, "cv must be a share"),
        ({"cv": ShuffleSplit(3)}, "got 3 splits, which would train as many nets"),
        ({"cv": "prefit", "finetune_epochs": 1}, "finetune_epochs=1 needs data"),
    ],
)
def test_rate_search_bad_options_raise(prefit, options, message):
    with pytest.raises(ValueError, match=message):
        search_prefit(prefit, **({"cv": 0.3} | options))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensitive_features": ["a", "b"]}, "sensitive_features has 2 rows"),
        ({"sensitive_features": [np.nan] * 200}, "no missing values"),
        ({"X": np.full((200, 64), np.nan)}, "NaN"),
        ({"y": np.zeros(200)}, "at least two classes"),
        ({"y": np.zeros(3)}, "y has 3 rows, but X has"),
        ({"y": None}, "requires y to be passed"),
        ({"sensitive_features": ["rare"] + ["common"] * 199}, r"\['rare'\] have none"),
    ],
)
@pytest.mark.filterwarnings("ignore:too few held-out samples")
def test_rate_search_bad_data_raises(digits, changes, message):
    arguments = {"X": digits[0][:200], "y": digits[1][:200], "sensitive_features": digits[2][:200]}
    with pytest.raises(ValueError, match=message):
        PruneRateSearchCV(classifier(), random_state=0).fit(**(arguments | changes))


def test_rate_search_a_share_that_many_groups_cannot_be_split_by_is_named(digits):
    X, y, _ = digits
    group = np.arange(len(y)) // 40
    with pytest.raises(ValueError, match=r"cv=0\.01 of 1,797 rows cannot leave rows .* 45 groups"):
        PruneRateSearchCV(classifier(), cv=0.01).fit(X, y, sensitive_features=group)
    options = {"rates": [0.1], "max_accuracy_drop": 0.5, "random_state": 0}
    one, other = (
        PruneRateSearchCV(classifier(max_epochs=2), cv=cv, **options).fit(X, y)
        for cv in (0.25, np.float32(0.25))
    )
    pd.testing.assert_frame_equal(one.results_, other.results_)


def test_rate_search_criteria_of_an_unfitted_estimator_wait_for_the_error(digits):
    search = PruneRateSearchCV(classifier(), cv="prefit", criteria="recall")
    with pytest.raises(NotFittedError):
        search.fit(*digits[:2])


def test_rate_search_unfitted_or_other_estimators_raise(prefit):
    clf, X, y, group = prefit
    with pytest.raises(NotFittedError):
        PruneRateSearchCV(clf).predict(X)
    with pytest.raises(NotFittedError):
        PruneRateSearchCV(clone(clf), cv="prefit").fit(X, y, sensitive_features=group)
    with pytest.raises(TypeError, match="got LogisticRegression"):
        PruneRateSearchCV(LogisticRegression()).fit(X, y, sensitive_features=group)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:too few held-out samples")
def test_rate_search_passes_the_checks_of_scikit_learn():
    estimator = PruneRateSearchCV(checked(module=LinearNet), rates=[0.0, 0.5], random_state=0)
    n_checks = 0
    for instance, check in estimator_checks_generator(estimator, mark=None):
        n_checks += 1
        try:
            check(instance)
        except unittest.SkipTest as skipped:
            assert "SCIPY_ARRAY_API" in str(skipped)
    assert n_checks > 50
