"""CompressionSearchCV against what it claims."""

from __future__ import annotations

import copy
import math
import pickle
import unittest

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from sk_prunefair import CompressionSearchCV, EqualLossConstraint, NoRateError, PruneRateSearchCV
from sk_prunefair.compare import compare_models
from sk_prunefair.plotting import CompressionSearchDisplay
from sk_prunefair.pruning import MagnitudePruner
from sk_prunefair.selection.candidates import as_candidates, default_candidates
from sk_prunefair.selection.making import Maker
from tests.conftest import assert_same_weights, classifier
from tests.integration.test_estimator_checks import LinearNet, checked

OPTIONS = {
    "cost": "bytes",
    "max_accuracy_drop": 0.1,
    "cv": 0.5,
    "procedure": "pareto",
    "order_share": 0.3,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def prefit(digits):
    X, y, group = digits
    return classifier(max_epochs=8).fit(X[:600], y[:600]), X[600:], y[600:], group[600:]


def search_of(prefit, candidates, **options):
    clf, X, y, group = prefit
    search = CompressionSearchCV(clf, candidates, **(OPTIONS | {"cv": "prefit"} | options))
    return search.fit(X, y, sensitive_features=group)


def test_search_of_rates_by_fixed_sequence_is_the_rate_search(prefit):
    clf, X, y, group = prefit
    rates = [0.1, 0.3, 0.5, 0.9]
    search = search_of(prefit, {"prune_rate": rates}, procedure="fixed_sequence")
    alone = PruneRateSearchCV(clf, rates=rates, max_accuracy_drop=0.1, cv="prefit")
    alone.fit(X, y, sensitive_features=group)
    assert search.best_candidate_ == {"prune_rate": alone.best_rate_}
    assert search.binding_group_ == alone.binding_group_
    assert_same_weights(search.best_estimator_.module_, alone.best_estimator_.module_)
    tested = search.results_[search.results_["order"].notna()]
    columns = ["group", "count", "n_lost", "n_won", "drop_bound", "p_value", "passed"]
    pd.testing.assert_frame_equal(
        tested[columns].reset_index(drop=True), alone.results_[columns], check_exact=True
    )
    assert clf.prune_rate_ == 0.0  # the user's own is left alone


def test_search_returns_the_net_that_was_tested_and_what_else_was_tried(prefit):
    search = search_of(prefit, {"prune_rate": [0.1, 0.3, 0.9], "pruner": ["magnitude", "random"]})
    results = search.results_
    assert results.groupby("candidate").size().tolist() == [2] * 6
    kept = results[results["kept"]]
    assert search.best_cost_ == kept["cost"].min() == results["cost"][results["kept"]].min()
    assert (kept["drop_bound"] <= 0.1).all()
    assert kept["passed"].all()
    assert not results.loc[results["order"].isna(), "passed"].any()
    _, X, y, _ = prefit
    assert search.best_candidate_["prune_rate"] == search.best_estimator_.prune_rate_
    summary = search.best_estimator_.fairness_report(X, y, sensitive_features=y).compression
    assert summary["bytes_stored"] == search.best_cost_
    # 70 % of each group test; the others set the order.
    counts = results.groupby("group")["count"].first()
    assert (counts / pd.Series(prefit[3]).value_counts()).between(0.69, 0.72).all()


@pytest.mark.slow
def test_search_forms_predict_what_the_masked_net_does(prefit):
    pytest.importorskip("onnxruntime")
    _, X, _, _ = prefit
    forms = ["masked", "sparse", "onnx"]
    searches = {form: search_of(prefit, [{"prune_rate": 0.2, "form": form}]) for form in forms}
    expected = searches["masked"].predict_proba(X)
    for form in forms[1:]:
        again = pickle.loads(pickle.dumps(searches[form]))
        np.testing.assert_allclose(again.predict_proba(X), expected, atol=1e-4)
        drops = [searches[name].results_["accuracy_drop"] for name in ("masked", form)]
        np.testing.assert_allclose(*drops, atol=0.005)
    file = searches["onnx"].best_estimator_.module_.content
    assert searches["onnx"].best_cost_ == len(file)


@pytest.mark.slow
def test_search_int8_is_calibrated_on_rows_that_test_nothing(prefit):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match="needs rows of X that no test uses") as error:
        search_of(prefit, [{"form": "int8"}], procedure="holm")
    assert error.value.__notes__ == ["candidate: dense, int8"]
    search = search_of(prefit, [{"form": "int8"}])
    assert search.best_candidate_ == {"form": "int8"}


def test_search_users_functions_are_judged_as_the_rest(prefit):
    clf, X, _, _ = prefit

    def pruned(dense):
        return dense.prune(0.3)

    def module(dense):
        return dense.prune(0.3).module_

    def proba(dense):
        return dense.prune(0.3).predict_proba

    def bad(dense):
        return lambda X: np.full(len(X), 77)

    for function in (pruned, module, proba):
        search = search_of(prefit, [{"prune_rate": 0.3}, function], cost=lambda model: 1.0)
        table = search.results_.set_index(["candidate", "group"])["n_lost"]
        assert table.loc["0.3"].tolist() == table.loc[function.__name__].tolist()
    only = search_of(prefit, [proba], cost=lambda m: 1.0)
    np.testing.assert_array_equal(only.predict(X), clf.prune(0.3).predict(X))
    clf.prune(0.0)
    with pytest.raises(ValueError, match="labels that are not classes of the classifier"):
        search_of(prefit, [bad], cost=lambda m: 1.0)
    with pytest.raises(
        ValueError, match="cost='macs' cannot be computed for what the candidate 'proba'"
    ):
        search_of(prefit, [proba], cost="macs")


def test_search_costs_are_what_is_paid(prefit):
    channels = {"pruner": "channel_magnitude", "prune_rate": 0.5}
    grid = [{}, {"prune_rate": 0.5}, channels]
    pytest.importorskip("torch_pruning")
    for cost in ("bytes", "macs"):
        search = search_of(prefit, grid, cost=cost, max_accuracy_drop=0.9)
        found = search.results_.groupby("candidate", sort=False)["cost"].first()
        dense, half, narrow = found
        assert dense > half
        assert dense > narrow
        if cost == "macs":
            assert half == pytest.approx(dense / 2, rel=0.01)
    timed = search_of(prefit, grid, cost="latency", latency={"n_rounds": 3, "batch_size": 8})
    assert timed.results_["cost"].between(0, 1, inclusive="neither").all()


@pytest.mark.slow
def test_search_a_group_learned_by_heart_loses_to_the_candidate_without(digits):
    """A small group whose labels are noise: who fits them forgets nobody, but proves nothing."""
    X, y, _ = digits
    rng = np.random.default_rng(0)
    group = np.where(np.arange(len(y)) % 6 == 0, "small", "large")
    # Half of the small group's labels are noise in training: by heart they can be learned.
    noisy = np.where(
        (group == "small") & (rng.random(len(y)) < 0.5), rng.integers(10, size=len(y)), y
    )
    clf = classifier(max_epochs=12, module__dropout=0.0, module__hidden=64)

    def by_heart(dense):
        rows = np.repeat(np.arange(900), np.where(group[:900] == "small", 30, 1))
        return dense.partial_fit(X[rows], noisy[rows], epochs=25)

    search = CompressionSearchCV(
        clf.fit(X[:900], noisy[:900], sensitive_features=group[:900]),
        [by_heart, {"prune_rate": 0.2}],
        cost=lambda model: model.prune_rate_,  # the one by heart is the cheaper one
        max_accuracy_drop=0.1,
        cv="prefit",
        random_state=0,
    ).fit(X[900:], y[900:], sensitive_features=group[900:])
    drops = search.results_.set_index(["candidate", "group"])["accuracy_drop"]
    assert search.best_candidate_ == {"prune_rate": 0.2}
    assert drops["by_heart", "small"] > drops["0.2", "small"] + 0.05


def test_search_trains_anew_for_parameters_of_the_dense_training_and_once(digits, monkeypatch):
    X, y, group = digits
    trained, fit = [], type(classifier()).fit

    def counted(self, *args, **options):
        trained.append(len(self.callbacks or []))
        return fit(self, *args, **options)

    monkeypatch.setattr(type(classifier()), "fit", counted)
    constraint = [[], [("equal_loss", EqualLossConstraint())]]
    grid = {"prune_rate": [0.1, 0.3], "callbacks": constraint[1:]}
    search = CompressionSearchCV(classifier(), grid, **OPTIONS)
    search.fit(X, y, sensitive_features=group)
    assert trained == [0, 1]
    names = search.results_["candidate"].unique().tolist()
    assert names[0].startswith("0.1, callbacks=[")
    with pytest.raises(ValueError, match="for which cv='prefit' leaves no data"):
        search_of((classifier().fit(X, y), X, y, group), grid)


def test_search_fine_tunes_on_the_training_part_and_is_seeded(digits):
    X, y, group = digits
    grid = {"prune_rate": [0.8], "finetune_epochs": [3], "finetune_lr": [0.1]}
    first, again = (
        CompressionSearchCV(classifier(), grid, **OPTIONS).fit(X, y, sensitive_features=group)
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.results_, again.results_)
    assert first.best_estimator_.prune_rate_ == 0.8
    assert len(first.best_estimator_.history) == 7


def test_search_default_candidates_run_and_the_display_shows_them(prefit):
    pytest.importorskip("matplotlib").use("Agg")
    search = search_of(prefit, None, cost="macs")
    assert search.left_out_ == {}
    assert len(search.candidates_) == len(default_candidates("macs", can_train=False))
    display = CompressionSearchDisplay.from_estimator(search)
    best = display.candidates_[display.candidates_["is_best"]]
    assert best["cost"].tolist() == [search.best_cost_]
    assert display.ax_.get_xlabel().startswith("multiply-accumulates")


@pytest.mark.slow
def test_search_pipelines_routing_data_frames_and_strings_work(digits):
    X, y, group = digits
    frame = pd.DataFrame(X, index=np.arange(len(y))[::-1]).add_prefix("pixel ")
    labels = np.array([f"digit {label}" for label in y])
    grid = {"prune_rate": [0.0, 0.2]}
    pipe = make_pipeline(StandardScaler(), classifier())
    inside = CompressionSearchCV(pipe, grid, **OPTIONS)
    inside.fit(frame, labels, sensitive_features=pd.Series(group, index=frame.index))
    assert inside.best_candidate_ == {"prune_rate": 0.2}
    assert inside.feature_names_in_[0] == "pixel 0"
    assert inside.score(frame, labels) > 0.8
    again = pickle.loads(pickle.dumps(inside))
    np.testing.assert_array_equal(again.predict(frame), inside.predict(frame))
    with sklearn.config_context(enable_metadata_routing=True):
        outside = make_pipeline(
            StandardScaler(), CompressionSearchCV(classifier(), grid, **OPTIONS)
        )
        outside.fit(X, labels, sensitive_features=group)
    assert outside[-1].best_candidate_ == {"prune_rate": 0.2}


def test_search_holm_tests_all_candidates_on_all_held_out_rows(prefit):
    search = search_of(prefit, {"prune_rate": [0.1, 0.3, 0.9]}, procedure="holm")
    counts = search.results_.groupby("candidate")["count"].sum()
    assert counts.tolist() == [len(prefit[2])] * 3
    assert search.results_["order"].notna().all()
    kept = search.results_.groupby("candidate")["kept"].first()
    assert kept.to_dict() == {"0.1": True, "0.3": True, "0.9": False}
    # The last one had the whole level.
    assert search.results_["p_value"][search.results_["candidate"] == "0.9"].max() > 0.05
    assert search.best_candidate_ == {"prune_rate": 0.3}


def test_search_by_default_the_rows_of_the_training_set_the_order(digits):
    X, y, group = digits
    group = np.where(np.arange(len(y)) % 3 == 0, "few", group)

    def bad(dense):
        return dense.prune(0.9).module_

    search = CompressionSearchCV(
        classifier(max_epochs=8),
        [{"prune_rate": 0.3}, bad, {"prune_rate": 0.1}, {"prune_rate": 0.6}],
        cost=lambda model: 1 - getattr(model, "prune_rate_", 0.5),
        max_accuracy_drop=0.1,
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    results = search.results_
    counts = results.groupby("candidate")["count"].sum()
    assert counts.tolist() == [math.ceil(0.3 * len(y))] * 4  # all that is held out tests
    order = results.groupby("candidate")["order"].first()
    assert order[["0.1", "0.3", "0.6"]].tolist() == [0, 1, 2]  # the least pruned are the safest
    assert np.isnan(order["bad"])  # neither cheaper nor safer than the one at 0.3
    assert search.best_candidate_ == {"prune_rate": 0.6}


def test_search_on_train_is_what_all_predict_there(digits):
    X, y, group = digits
    labels = np.array([f"digit {each}" for each in y])
    clf = classifier(max_epochs=3).fit(X[:900], labels[:900])
    frame = pd.DataFrame({"group": group})
    train, test = [(X[at], labels[at], frame[at]) for at in (slice(900), slice(900, None))]
    maker = Maker(clf, test, train, None, X[:900])
    pruned = clf.prune(0.5).predict(X[:900])
    clf.prune(0.0)
    made = [
        maker.make(each)
        for each in as_candidates([{"prune_rate": 0.5}, lambda c: c], "bytes", True)
    ]
    rows = maker.on_train(made, pd.Index(["other", "round"]), 0)
    expected = pd.DataFrame({"group": group[:900], "lost": (pruned != labels[:900])})
    dense = clf.predict(X[:900])
    expected["lost"] &= dense == labels[:900]
    lost = rows.dense.is_right & ~rows.runs[0].pruned.is_right
    assert (
        np.bincount(rows.codes, lost).tolist() == expected.groupby("group")["lost"].sum().tolist()
    )
    np.testing.assert_array_equal(rows.runs[1].pruned.labels, rows.dense.labels)
    assert np.bincount(rows.codes).tolist() == expected.groupby("group").size().tolist()


def test_search_nothing_passes_raises_with_what_was_tried_unless_dense_is_there(prefit):
    with pytest.raises(NoRateError, match=r"no candidate keeps .* already of '0\.95', the") as e:
        search_of(prefit, [{"prune_rate": 0.95}])
    assert e.value.results["candidate"].tolist() == ["0.95", "0.95"]
    search = search_of(prefit, [{"prune_rate": 0.95}, {}])
    assert search.best_candidate_ == {}
    assert search.best_estimator_.prune_rate_ == 0.0


def test_as_candidates_names_are_distinct_and_the_dense_net_is_known():
    def own(dense):
        return dense

    given = [{}, {"pruner": "random"}, {"prune_rate": 0.5}, {"prune_rate": 0.5, "pruner": "snip"}]
    found = as_candidates([*given, own, own], "bytes", True)
    names = ["dense", "dense (2)", "0.5", "snip 0.5", "own", "own (2)"]
    assert [each.name for each in found] == names
    assert [each.is_dense for each in found] == [True, True, False, False, False, False]
    assert as_candidates({"prune_rate": [0.1, 0.2]}, "bytes", True)[1].given == {"prune_rate": 0.2}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"candidates": []}, ValueError, "at least one, got none"),
        ({"candidates": "magnitude"}, TypeError, "a dict of lists, or a list"),
        ({"candidates": [0.5]}, TypeError, "a dict or a function .* got float"),
        ({"candidates": [{"prune_rate": 1.0}]}, ValueError, "prune_rate must be"),
        ({"candidates": [{"form": "fp4"}]}, ValueError, "form must be one of"),
        ({"candidates": [{"no_such": 1}]}, ValueError, "no_such"),
        ({"cost": "money"}, ValueError, "cost must be one of"),
        ({"cost": lambda model: np.nan}, ValueError, "cost of 0.1 must be finite"),
        ({"procedure": "hope"}, ValueError, "procedure must be one of"),
        ({"latency": {"batch_sizes": 4}}, ValueError, "latency must have keys among batch_size,"),
        ({"latency": 4}, ValueError, "latency must be None or a dict"),
        ({"order_share": 0}, ValueError, "order_share must be"),
        ({"confidence": 95}, ValueError, "confidence must be"),
    ],
)
def test_search_bad_options_raise(prefit, options, error, message):
    with pytest.raises(error, match=message):
        search_of(prefit, **({"candidates": [{"prune_rate": 0.1}], "cv": "prefit"} | options))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:too few held-out samples")
def test_search_passes_the_checks_of_scikit_learn():
    estimator = CompressionSearchCV(
        checked(module=LinearNet), [{}, {"prune_rate": 0.5}], cost="bytes", random_state=0
    )
    n_checks = 0
    for instance, check in estimator_checks_generator(estimator, mark=None):
        n_checks += 1
        try:
            check(instance)
        except unittest.SkipTest as skipped:
            assert "SCIPY_ARRAY_API" in str(skipped)
    assert n_checks > 50


def test_search_rows_of_one_person_neither_order_nor_tear_apart(digits):
    X, y, group = digits
    person = np.arange(len(y)) // 5
    search = CompressionSearchCV(classifier(), [{"prune_rate": 0.1}], **OPTIONS)
    with pytest.raises(ValueError, match="pass order_share=None"):
        search.fit(X, y, sensitive_features=group, groups=person)
    prefit = CompressionSearchCV(classifier(max_epochs=1).fit(X, y), cv="prefit")
    with pytest.raises(ValueError, match="with cv='prefit' pass procedure='holm'"):
        prefit.fit(X, y, sensitive_features=group, groups=person)
    search.set_params(order_share=None).fit(X, y, sensitive_features=group, groups=person)
    assert search.results_["count"].sum() % 5 in (0, len(y) % 5)


def test_search_what_is_returned_untested_is_the_dense_net_itself(digits):
    X, y, group = digits
    tuned = classifier(max_epochs=3, finetune_epochs=2)
    for own in (None, 2):  # the estimator's, the search's
        search = CompressionSearchCV(tuned, [{}, {"prune_rate": 0.95}], finetune_epochs=own)
        search.set_params(cost="bytes", random_state=0).fit(X, y, sensitive_features=group)
        dense = search.results_[search.results_["candidate"] == "dense"]
        assert search.best_candidate_ == {}
        assert dense[["n_lost", "n_won"]].to_numpy().tolist() == [[0, 0], [0, 0]]
        assert len(search.best_estimator_.history) == 3
    said = search.set_params(candidates=[{"finetune_epochs": 2}], max_accuracy_drop=0.1)
    said.fit(X, y, sensitive_features=group)
    assert said.results_["order"].notna().all()  # another net, which is tested
    assert len(said.best_estimator_.history) == 5


def test_search_of_a_pruned_net_compares_functions_with_its_dense_one(prefit):
    clf, X, y, group = prefit
    pruned = copy.deepcopy(clf).prune(0.9)

    def half(dense):
        assert dense.prune_rate_ == 0.0
        return dense.prune(0.9).module_

    def of_the_users(dense):
        return pruned.prune(0.9).module_

    dicts = search_of((clf, X, y, group), [{"prune_rate": 0.9}, {}])
    for function in (half, of_the_users):
        search = search_of((pruned, X, y, group), [function, {}], cost=lambda model: 1.0)
        columns = ["n_lost", "n_won", "accuracy_dense"]
        pd.testing.assert_frame_equal(search.results_[columns], dicts.results_[columns])
    assert pruned.prune_rate_ == 0.9


def test_search_candidates_that_change_after_their_test_are_refused(prefit):
    clf = prefit[0]
    shared = copy.deepcopy(clf)

    def low(dense):
        return shared.prune(0.1)

    def high(dense):
        return shared.prune(0.9)

    with pytest.raises(ValueError, match=r"'low' was changed after it was tested, and .* of its"):
        search_of(prefit, [low, high], cost="bytes")
    with pytest.raises(ValueError, match=r"'0\.1' was changed after it was tested"):
        search_of(prefit, [{"prune_rate": 0.1}], cost=lambda model: -model.prune(0.9).prune_rate_)

    def drawn(dense):
        rng = np.random.default_rng(0)
        return lambda X: np.where(rng.random(len(X)) < 0.05, 0, clf.predict(X))

    assert search_of(prefit, [drawn], cost=lambda model: 1.0, max_accuracy_drop=0.3)


def test_search_functions_that_answer_by_a_column_of_labels_set_the_order_as_others_do(digits):
    X, y, group = digits

    class Column:
        def __init__(self, net):
            self.net, self.classes_ = net, net.classes_

        def predict(self, X):
            return self.net.predict(X)[:, None]

        def predict_proba(self, X):
            return self.net.predict_proba(X)

    options = {"cost": lambda model: 1.0, "max_accuracy_drop": 0.3, "random_state": 0}
    flat, column = (
        CompressionSearchCV(classifier(), [kind], **options).fit(X, y, sensitive_features=group)
        for kind in (lambda dense: dense.prune(0.3), lambda dense: Column(dense.prune(0.3)))
    )
    columns = ["n_lost", "n_won", "kept"]
    pd.testing.assert_frame_equal(flat.results_[columns], column.results_[columns])


def test_search_leaves_callbacks_and_pruners_of_candidates_as_they_are(digits):
    X, y, group = digits
    constraint, pruner = EqualLossConstraint(), MagnitudePruner(min_kept=0.1)
    before = vars(constraint).keys(), dict(vars(pruner))
    given = {"callbacks": [("loss", constraint)], "pruner": pruner, "prune_rate": 0.2}
    search = CompressionSearchCV(classifier(), [given], **OPTIONS)
    search.fit(X, y, sensitive_features=group)
    assert (vars(constraint).keys(), vars(pruner)) == before
    assert search.best_candidate_["pruner"] is pruner


def test_search_fitted_again_forgets_the_fit_before(prefit):
    _, X, y, group = prefit
    frame = pd.DataFrame(X).add_prefix("pixel ")
    search = CompressionSearchCV(classifier(max_epochs=2), [{}], **OPTIONS)
    search.fit(frame, y, sensitive_features=group)
    search.fit(X[:, :40], y, sensitive_features=group)
    assert search.n_features_in_ == 40
    assert not hasattr(search, "feature_names_in_")
    search.set_params(candidates=[{"prune_rate": 0.9}], max_accuracy_drop=0.0)
    with pytest.raises(NoRateError):
        search.fit(X, y)
    with pytest.raises(NotFittedError):  # what another promise was kept by does not stay
        search.predict(X)


def test_search_frozen_classifiers_are_taken_as_fitted_and_never_trained(prefit):
    clf, X, y, group = prefit
    candidate = {"prune_rate": 0.2, "pruner": "random"}
    frozen, own = (
        search_of((each, X, y, group), [candidate], max_accuracy_drop=0.3)
        for each in (FrozenEstimator(clf), clf)
    )
    pd.testing.assert_frame_equal(frozen.results_, own.results_)
    with pytest.raises(TypeError, match="estimator is frozen"):
        CompressionSearchCV(FrozenEstimator(clf), [{}]).fit(X, y)


def test_search_mistakes_are_told_before_anything_is_trained(digits, monkeypatch):
    X, y, group = digits
    monkeypatch.setattr(type(classifier()), "fit", pytest.fail)
    for name in ("no_such", "prune_rate", "finetune_epochs"):
        with pytest.raises(ValueError, match=name):
            CompressionSearchCV(classifier(), [{name: -1}]).fit(X, y)
    for criteria in ("accurate", {"tpr:77": 0.1}, {"recall": 2}, []):
        for search in (
            CompressionSearchCV(classifier(), [{}], criteria=criteria),
            PruneRateSearchCV(classifier(), criteria=criteria),
        ):
            with pytest.raises(ValueError, match="criteria"):
                search.fit(X, y, sensitive_features=group)


def test_search_of_a_function_of_labels_has_no_probabilities(prefit):
    clf, X, y, _ = prefit
    search = CompressionSearchCV(clf, [lambda dense: dense.prune(0.1).predict], lambda model: 1.0)
    assert hasattr(search, "predict_proba")
    search.set_params(cv="prefit", max_accuracy_drop=0.1).fit(X, y)
    assert not hasattr(search, "predict_proba")
    report = compare_models(clf, search, X, y, sensitive_features=y)  # by its labels
    assert report.pruned.overall["accuracy"] == search.score(X, y)


def test_search_bytes_of_a_pipeline_that_a_function_returns_are_known(prefit):
    clf, X, y, group = prefit

    def pruned(dense):
        dense[-1].prune(0.2)
        return dense

    pipe = Pipeline([("scale", FunctionTransformer()), ("net", clf)])
    search = search_of((pipe, X, y, group), [{"prune_rate": 0.2}, pruned])
    costs = search.results_.groupby("candidate")["cost"].first()
    assert costs["0.2"] == costs["pruned"]


def test_search_errors_of_a_cost_and_of_fine_tuning_without_data_name_the_candidate(prefit):
    with pytest.raises(KeyError) as error:
        search_of(prefit, [{"prune_rate": 0.1}], cost=lambda model: {}["price"])
    assert error.value.__notes__ == ["cost of the candidate 0.1"]
    with pytest.raises(ValueError, match="which cv='prefit' leaves none of"):
        search_of(prefit, [{"prune_rate": 0.1, "finetune_epochs": 2}])


def test_search_of_other_estimators_raises(prefit):
    with pytest.raises(TypeError, match="got LogisticRegression"):
        CompressionSearchCV(LogisticRegression()).fit(*prefit[1:3])
