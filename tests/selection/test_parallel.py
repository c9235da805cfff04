"""Jobs of a sweep: on any backend, sent once, tried again, named, kept."""

from __future__ import annotations

import copy
import io
import os
import pickle
from concurrent.futures import BrokenExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from joblib.parallel import LokyBackend, ThreadingBackend
from sklearn.model_selection import GridSearchCV

from sk_prunefair import PruneRateSearchCV, pruning_curve
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.kept import KeptFolder
from sk_prunefair.pruning import MagnitudePruner
from sk_prunefair.selection._parallel import Job, _SharedArguments, run_jobs
from sk_prunefair.selection._shipping import dumps, packed, unpacked
from tests.conftest import SmallNet, assert_same_weights, classifier


class NoGenerator(ThreadingBackend):
    """A backend that gives results all at once, as Ray's."""

    supports_return_generator = False


joblib.register_parallel_backend("no generator", NoGenerator)


def double(shared, number):
    return shared["factor"] * number


def break_once(seen, number):
    """Fail as a job does whose worker died, the first time that the number 2 comes by."""
    seen.append(number)
    if number == 2 and seen.count(2) == 1:
        raise BrokenExecutor("gone")
    return 2 * number


def die(*_):
    os._exit(1)


def jobs_of(shared, numbers=range(4)):
    return [Job(f"rate=0.{number}, random_state=7", shared, (number,)) for number in numbers]


OPTIONS = {"n_jobs": 2, "desc": "test", "verbose": 0}


@pytest.mark.parametrize("backend", ["sequential", "threading", "no generator"])
def test_run_jobs_any_backend_gives_results_in_order(backend):
    with joblib.parallel_config(backend):
        assert list(run_jobs(double, jobs_of({"factor": 3}), **OPTIONS)) == [0, 3, 6, 9]
        assert list(run_jobs(double, [], **OPTIONS)) == []


@pytest.mark.parametrize("backend", ["threading", "no generator"])
def test_run_jobs_progress_counts_all_jobs(backend, monkeypatch):
    from sk_prunefair.selection import _parallel

    bars = []

    class Bar(_parallel.tqdm):
        def __init__(self, **options):
            super().__init__(**options | {"disable": False, "file": io.StringIO()})
            bars.append(self)

    monkeypatch.setattr(_parallel, "tqdm", Bar)
    with joblib.parallel_config(backend):
        list(run_jobs(double, jobs_of({"factor": 1}), **OPTIONS))
    assert [(bar.n, bar.total) for bar in bars] == [(4, 4)]


@pytest.mark.parametrize("backend", ["threading", "no generator"])
def test_run_jobs_worker_that_dies_once_is_tried_again(backend):
    seen: list[int] = []
    with joblib.parallel_config(backend):
        assert list(run_jobs(break_once, jobs_of(seen), **OPTIONS)) == [0, 2, 4, 6]
    assert seen.count(2) == 2


@pytest.mark.slow
def test_run_jobs_worker_that_dies_again_is_named():
    with pytest.raises(
        RuntimeError, match=r"process of rate=0.2, random_state=7 ended unexpectedly twice"
    ) as caught:
        list(run_jobs(die, jobs_of(None, [2]), **OPTIONS))
    assert "Terminated" in str(caught.value)


class Deadly(MagnitudePruner):
    """Ends the process at one rate."""

    def masks(self, module, rate):
        if rate == 0.9:
            os._exit(1)
        return super().masks(module, rate)


@pytest.mark.slow
def test_pruning_curve_worker_that_dies_names_rate_and_seed(digits):
    X, y, group = (values[:300] for values in digits)
    clf = classifier(max_epochs=1, pruner=Deadly())
    given = {"X_train": X, "y_train": y, "sensitive_features_train": group, "random_states": [3]}
    with pytest.raises(
        RuntimeError, match=r"rate=0.9, repeat=0, random_state=3 ended unexpectedly twice"
    ):
        pruning_curve(clf, X, y, sensitive_features=group, rates=[0.5, 0.9], n_jobs=2, **given)


def test_run_jobs_error_of_the_work_is_raised_as_it_is():
    with joblib.parallel_config("threading"), pytest.raises(KeyError, match="factor"):
        list(run_jobs(double, jobs_of({}), **OPTIONS))


def test_run_jobs_kept_results_are_not_computed_again(tmp_path):
    folder = KeptFolder(tmp_path)
    jobs = [Job("", {"factor": 2}, (number,), key=f"k{number}") for number in range(3)]
    options = OPTIONS | {"n_jobs": 1, "folder": folder}
    stream = run_jobs(double, jobs, **options)
    assert next(stream) == 0
    stream.close()  # killed after the first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k0.pkl"]
    folder.write("k0", "kept")
    assert list(run_jobs(double, jobs, **options)) == ["kept", 2, 4]


def test_packed_data_is_apart_from_its_pickle_and_comes_back_the_same():
    X = np.arange(600_000.0).reshape(6000, 100).astype(np.float32)
    data = GroupDataset(X, np.arange(6000) % 2)
    shared = {"data": data, "again": data, "raw": X, "words": GroupDataset({"a": X}, None)}
    head, *rest = packed(shared)
    assert head.nbytes < 60 * len(X)  # labels, groups, row numbers
    assert sum(np.shares_memory(part, X) for part in rest) >= 1
    found = unpacked([head, *rest])
    assert found["data"] is found["again"]
    batch, y = found["data"].batch([5, 7])
    assert torch.equal(batch["X"], torch.from_numpy(X[[5, 7]]))
    assert y.tolist() == [1, 1]
    np.testing.assert_array_equal(found["raw"], X)
    assert torch.equal(found["words"].batch([3])[0]["X"]["a"], torch.from_numpy(X[[3]]))


def test_dumps_net_of_a_class_that_only_a_script_has_comes_back(digits):
    class OwnNet(SmallNet):
        pass

    X, y, _ = (values[:200] for values in digits)
    clf = classifier(OwnNet, max_epochs=1).fit(X, y).prune(0.5)
    for found in (pickle.loads(dumps([clf]))[0], unpacked(packed(clf))):
        assert_same_weights(found.module_, clf.module_)
        assert_same_weights(found.dense_module_, clf.dense_module_)
        again = copy.deepcopy(clf).prune(0.7, X, y, finetune_epochs=1)
        assert_same_weights(found.prune(0.7, X, y, finetune_epochs=1).module_, again.module_)


def test_sender_data_is_the_same_argument_of_every_job():
    one, other = {"X": np.zeros(1000)}, {"X": np.zeros(1000)}
    send = _SharedArguments(LokyBackend(), is_here=False)
    first, second, third = send(one), send(other), send(one)
    assert [id(array) for array in first] == [id(array) for array in third]
    assert not {id(array) for array in first} & {id(array) for array in second}
    assert all(isinstance(array, np.ndarray) for array in first)
    [here] = _SharedArguments(LokyBackend(), is_here=True)(one)
    assert here.shared is one


# ------------------------------------------------------------------ folders


@pytest.fixture
def halves(digits):
    return [tuple(values[start : start + 400] for values in digits) for start in (0, 400)]


def curve(clf, halves, **options):
    (X_train, y_train, group_train), (X, y, group) = halves
    return pruning_curve(
        clf,
        X,
        y,
        sensitive_features=group,
        **{"rates": [0.5, 0.9]} | options,
        X_train=X_train,
        y_train=y_train,
        sensitive_features_train=group_train,
        finetune_epochs=1,
    )


class Counted(MagnitudePruner):
    """Counts how often it is asked, and may be killed."""

    n_calls = 0
    dies_at = 0

    def masks(self, module, rate):
        type(self).n_calls += 1
        if type(self).n_calls == self.dies_at:
            raise KeyboardInterrupt
        return super().masks(module, rate)


def test_pruning_curve_with_a_folder_goes_on_where_it_was_killed(halves, tmp_path, monkeypatch):
    clf = classifier(max_epochs=1, pruner=Counted())
    expected = curve(clf, halves, random_states=[0, 1])
    monkeypatch.setattr(Counted, "n_calls", 0)
    monkeypatch.setattr(Counted, "dies_at", 4)
    with pytest.raises(KeyboardInterrupt):
        curve(clf, halves, random_states=[0, 1], memory=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 + 3
    monkeypatch.setattr(Counted, "dies_at", 0)
    monkeypatch.setattr(Counted, "n_calls", 0)
    found = curve(clf, halves, random_states=[0, 1], memory=tmp_path)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert Counted.n_calls == 1
    more = curve(clf, halves, random_states=[0, 1], rates=[0.5, 0.7, 0.9], memory=tmp_path)
    assert Counted.n_calls == 1 + 2
    pd.testing.assert_frame_equal(
        more[more.rate != 0.7].reset_index(drop=True), expected, check_exact=True
    )


def test_pruning_curve_other_data_or_parameters_are_computed_anew(halves, tmp_path):
    clf = classifier(max_epochs=1).fit(*halves[0][:2])
    plain = curve(clf, halves, memory=tmp_path)
    n_files = len(list(tmp_path.iterdir()))
    train, (X, y, group) = halves
    other = curve(clf, [train, (X[::-1].copy(), y, group)], memory=tmp_path)
    assert not other.loss.equals(plain.loss)
    assert len(list(tmp_path.iterdir())) == 2 * n_files
    pd.testing.assert_frame_equal(other, curve(clf, [train, (X[::-1].copy(), y, group)]))
    clf.set_params(pruner="random")
    pd.testing.assert_frame_equal(curve(clf, halves, memory=tmp_path), curve(clf, halves))


def test_rate_search_with_a_folder_trains_once(digits, tmp_path, monkeypatch):
    X, y, group = (values[:800] for values in digits)
    monkeypatch.setattr(Counted, "n_calls", 0)
    params = {"rates": [0.2, 0.4], "max_accuracy_drop": 0.3, "cv": 0.5, "random_state": 0}

    def search(**options):
        clf = classifier(max_epochs=2, pruner=Counted())
        found = PruneRateSearchCV(clf, **params, **options)
        return found.fit(X, y, sensitive_features=group)

    plain, first = search(), search(memory=tmp_path)
    assert Counted.n_calls == 4
    again = search(memory=str(tmp_path), n_jobs=1)
    assert Counted.n_calls == 4
    for found in (first, again):
        pd.testing.assert_frame_equal(found.results_, plain.results_)
        assert_same_weights(found.best_estimator_.module_, plain.best_estimator_.module_)
    with pytest.raises(ValueError, match="must be a path, got 3"):
        search(memory=3)


# ----------------------------------------------------------------- backends


def repeated(digits, **options):
    X, y, group = (values[:600] for values in digits)
    clf = classifier(max_epochs=1, pruner="random")
    return curve(
        clf, [(X, y, group), (X[::2], y[::2], group[::2])], random_states=[0, 1], **options
    )


def grid_scores(digits, n_jobs):
    X, y, group = (values[:400] for values in digits)
    grid = {"prune_rate": [0.5, 0.9], "lr": [0.1, 0.3]}
    search = GridSearchCV(classifier(max_epochs=1), grid, cv=2, n_jobs=n_jobs)
    return search.fit(X, y, sensitive_features=group).cv_results_["mean_test_score"]


def test_grid_search_threads_equal_series(digits):
    alone = grid_scores(digits, 1)
    with joblib.parallel_config("threading"):
        np.testing.assert_array_equal(grid_scores(digits, 2), alone)


@pytest.mark.slow
def test_sweeps_on_processes_of_dask_equal_series(digits):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        spread, scores = repeated(digits), grid_scores(digits, None)
    pd.testing.assert_frame_equal(spread, repeated(digits), check_exact=True)
    np.testing.assert_array_equal(scores, grid_scores(digits, 1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning:ray", "ignore::DeprecationWarning:ray")
@pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning")
def test_sweeps_on_ray_equal_series(digits, halves, tmp_path):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    clf = classifier(max_epochs=1, pruner="random").fit(*halves[0][:2])

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        register_ray()
        with joblib.parallel_config("ray", n_jobs=2):
            spread = curve(clf, halves, memory=tmp_path)  # Ray starts its workers anew each time
            assert len(list(tmp_path.iterdir())) == 2
            scores = grid_scores(digits, None)
    finally:
        ray.shutdown()
    pd.testing.assert_frame_equal(spread, curve(clf, halves), check_exact=True)
    np.testing.assert_array_equal(scores, grid_scores(digits, 1))
