"""Compiled modules and bfloat16: what is trained, pruned and written is what it is without them."""

import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from sk_prunefair import (
    Distillation,
    EqualGradientConstraint,
    EqualLossConstraint,
    FairPrunedClassifier,
)
from sk_prunefair.acceleration import autocast_dtype
from sk_prunefair.datasets import load_digits
from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import MLP
from sk_prunefair.theory import comparable

PRUNERS = ("magnitude", "layer_magnitude", "random", "taylor", "snip", "fairgrape", "fairprune")
RUNS = []


def counting(graph, example_inputs):
    """Run what dynamo found as it is, and count the runs."""

    def run(*args):
        RUNS.append(1)
        return graph(*args)

    return run


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    X, y = bunch.data[:600].astype(np.float32), bunch.target[:600]
    return X, y, (y % 3)


@pytest.fixture(autouse=True)
def _no_runs():
    RUNS.clear()


def make(module=MLP, **params):
    return FairPrunedClassifier(
        module,
        **{
            "criterion": nn.CrossEntropyLoss,
            "lr": 0.3,
            "max_epochs": 2,
            "batch_size": 60,
            "train_split": None,
            "verbose": 0,
            "random_state": 0,
        }
        | params,
    )


def compiled(module=MLP, **params):
    return make(module, **{"compile": True, "compile__backend": counting} | params)


def weights(clf):
    return {name: value.clone() for name, value in clf.module_.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)


def fitted(clf, digits):
    X, y, group = digits
    return clf.fit(X, y, sensitive_features=group)


# ------------------------------------------------------------------- compile


def test_compile_trains_and_predicts_what_the_module_does(digits):
    X, y, group = digits
    callbacks = [("equal_loss", EqualLossConstraint())]
    plain = fitted(make(callbacks=callbacks), digits)
    fast = fitted(compiled(callbacks=[("equal_loss", EqualLossConstraint())]), digits)
    assert len(RUNS) == 2 * len(X) / 60
    assert type(fast.module_) is MLP
    assert_same(weights(plain), weights(fast))
    assert (plain.predict(X) == fast.predict(X)).all()
    before = len(RUNS)
    report = fast.prune(0.5).fairness_report(X, y, sensitive_features=group)
    assert len(RUNS) - before == 2 * len(X) / 60  # both nets
    expected = plain.prune(0.5).fairness_report(X, y, sensitive_features=group)
    assert report.fairness_violation == expected.fairness_violation


@pytest.mark.parametrize("pruner", PRUNERS)
def test_compile_prunes_and_fine_tunes_as_without(digits, pruner):
    X, y, group = digits
    plain, fast = (
        fitted(kind(pruner=pruner, max_epochs=1), digits).prune(
            0.8, X, y, sensitive_features=group, finetune_epochs=1
        )
        for kind in (make, compiled)
    )
    assert RUNS
    assert_same(plain.masks_, fast.masks_)
    assert_same(weights(plain), weights(fast))
    assert fast.sparsity_ == pytest.approx(0.8, abs=0.01)
    assert all(
        (value[~fast.masks_[name]] == 0).all()
        for name, value in weights(fast).items()
        if name in fast.masks_
    )


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["channel_magnitude", "channel_taylor"])
def test_compile_of_a_net_that_loses_channels_is_made_anew(digits, pruner):
    pytest.importorskip("torch_pruning")
    X, y, group = digits
    plain, fast = fitted(make(pruner=pruner), digits), fitted(compiled(pruner=pruner), digits)
    for rate in (0.5, 0.7, 0.0):
        for clf in (plain, fast):
            clf.prune(rate, X, y, sensitive_features=group, finetune_epochs=1)
        before = len(RUNS)
        assert (plain.predict(X) == fast.predict(X)).all()
        assert len(RUNS) > before
        assert_same(weights(plain), weights(fast))


def test_compile_writes_plain_names_that_other_nets_load(digits, tmp_path):
    X, _, _ = digits
    fast = fitted(compiled(), digits).prune(0.8)
    assert not any("_orig_mod" in name for name in (*weights(fast), *fast.masks_))
    fast.save_params(f_params=tmp_path / "net.pt", f_optimizer=tmp_path / "optimizer.pt")
    assert not any("_orig_mod" in name for name in torch.load(tmp_path / "net.pt"))
    save_compact(fast, tmp_path / "net.zip")
    for other in (make(), compiled()):
        other = other.set_params(classes=list(range(10)), module__n_features=64)
        other.initialize().load_params(f_params=tmp_path / "net.pt")
        assert_same(fast.masks_, other.masks_)
        assert (fast.predict_proba(X) == other.predict_proba(X)).all()
    for other in (make(), compiled()):
        assert (load_compact(tmp_path / "net.zip", other).predict(X) == fast.predict(X)).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))])
def test_compile_of_a_copy_runs_compiled_and_trains_on(digits, copied):
    X, y, group = digits
    fast = fitted(compiled(), digits).prune(0.8)
    other = copied(fast)
    before = len(RUNS)
    assert (other.predict(X) == fast.predict(X)).all()
    assert len(RUNS) - before == 2 * len(X) / 60
    other.partial_fit(X, y, sensitive_features=group)
    fast.partial_fit(X, y, sensitive_features=group)
    assert_same(weights(fast), weights(other))
    assert other.sparsity_ == pytest.approx(0.8, abs=0.01)


def test_compile_in_a_grid_search_of_clones_is_a_parameter(digits):
    X, y, group = digits
    grid = {"compile": [True, False], "compile__backend": ["eager"], "prune_rate": [0.5]}
    search = GridSearchCV(clone(compiled(max_epochs=1)), grid, cv=2, error_score="raise")
    search.fit(X, y, sensitive_features=group)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == scores[1]


def test_set_params_compile_of_a_fitted_net_keeps_its_weights(digits):
    X, _, _ = digits
    clf = fitted(make(), digits).prune(0.8)
    before, expected = weights(clf), clf.predict_proba(X)
    clf.set_params(compile=True, compile__backend=counting)
    assert not RUNS
    assert (clf.predict_proba(X) == expected).all()
    assert RUNS
    assert_same(before, weights(clf))
    assert clf.prune_rate_ == 0.8
    RUNS.clear()
    clf.set_params(compile=False)
    assert (clf.predict_proba(X) == expected).all()
    assert not RUNS


def test_compile_with_double_backward_trains_the_module_as_it_is(digits):
    made = [
        fitted(kind(callbacks=[("gradient", EqualGradientConstraint())]), digits)
        for kind in (make, compiled)
    ]
    assert not RUNS
    assert_same(weights(made[0]), weights(made[1]))


def test_compile_with_distillation_runs_the_teacher_compiled(digits):
    X, _, _ = digits
    made = [
        fitted(kind(callbacks=[("distillation", Distillation())]), digits)
        for kind in (make, compiled)
    ]
    RUNS.clear()
    for clf in made:
        clf.prune(0.8, X, finetune_epochs=1)
    assert len(RUNS) == 2 * len(X) / 60
    assert_same(weights(made[0]), weights(made[1]))


def test_compile_leaves_the_nets_of_the_theory_as_they_are(digits):
    dense, pruned, _ = comparable(fitted(compiled(), digits).prune(0.5))
    assert type(dense) is type(pruned) is MLP


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's, within inductor
@pytest.mark.parametrize(
    "backend",
    ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)],
)
def test_compile_with_dropout_is_deterministic_and_prunes(digits, backend):
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("inductor needs a C++ compiler")
    X, y, group = digits
    given = {"sensitive_features": group}
    one, other = (
        fitted(compiled(Dropping, compile__backend=backend, max_epochs=5), digits).prune(
            0.8, X, y, finetune_epochs=1, **given
        )
        for _ in range(2)
    )
    assert_same(weights(one), weights(other))
    assert one.sparsity_ == pytest.approx(0.8, abs=0.01)
    assert one.score(X, y) > 0.5
    assert_same(one.masks_, other.masks_)


class Dropping(MLP):
    def forward(self, X):
        return super().forward(nn.functional.dropout(X, 0.2, self.training))


# ------------------------------------------------------------------ autocast


class ReportDtype(nn.Module):
    """A net that says in which precision its product was made."""

    seen: list

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, X):
        scores = self.layer(X.flatten(1))
        ReportDtype.seen.append(scores.dtype)
        return {"logits": scores, "hidden": (scores, X)}


@pytest.mark.parametrize("autocast", ["bfloat16", torch.bfloat16])
def test_autocast_runs_the_module_in_half_and_keeps_losses_in_single(digits, autocast):
    X, y, _ = digits
    ReportDtype.seen = []
    clf = make(ReportDtype, autocast=autocast)
    fitted(clf, digits)
    assert set(ReportDtype.seen) == {torch.bfloat16}
    output = clf.infer(torch.from_numpy(X[:2]))
    assert output["logits"].dtype == output["hidden"][0].dtype == torch.float32
    losses = clf.sample_losses(output, torch.from_numpy(y[:2]))
    assert losses.dtype == next(clf.module_.parameters()).dtype == torch.float32
    assert clf.predict_proba(X).sum(1) == pytest.approx(1)
    assert {weight.grad.dtype for weight in clf.module_.parameters()} == {torch.float32}


def test_autocast_of_a_fitted_net_gives_the_same_labels_and_masks(digits):
    X, y, group = digits
    given = {"sensitive_features": group}
    single = fitted(make(pruner="taylor", max_epochs=8), digits)
    half = copy.deepcopy(single).set_params(autocast="bfloat16")
    assert (single.predict_proba(X) != half.predict_proba(X)).any()
    assert (single.predict(X) == half.predict(X)).mean() > 0.99
    for clf in (single, half):
        clf.prune(0.7, X, y, finetune_epochs=0, **given)
    assert_same(single.masks_, half.masks_)
    reports = [clf.fairness_report(X, y, **given) for clf in (single, half)]
    assert reports[0].fairness_violation == pytest.approx(reports[1].fairness_violation, abs=0.02)


@pytest.mark.slow
def test_autocast_in_training_gives_nearly_the_same_net_and_multipliers():
    bunch = load_digits()
    X, y, group = bunch.data, bunch.target, bunch.target % 3
    found = []
    for autocast in (None, "bfloat16", "bfloat16"):
        callbacks = [("equal_loss", EqualLossConstraint()), ("distillation", Distillation())]
        clf = make(autocast=autocast, callbacks=callbacks, max_epochs=8)
        fitted(clf, (X[:1200], y[:1200], group[:1200]))
        given = {"sensitive_features": group[:1200]}
        clf.prune(0.7, X[:1200], y[:1200], finetune_epochs=3, **given)
        found.append((clf, dict(clf.callbacks_)["equal_loss"].multipliers_))
    (single, lambdas), (half, others), (again, _) = found
    X, y = X[1200:], y[1200:]
    assert (single.predict(X) == half.predict(X)).mean() > 0.98
    assert single.score(X, y) == pytest.approx(half.score(X, y), abs=0.01)
    assert np.abs(lambdas - others).max() < 0.01
    assert half.sparsity_ == single.sparsity_
    assert_same(weights(half), weights(again))
    assert (weights(half)["layers.0.weight"] != weights(single)["layers.0.weight"]).any()


def test_autocast_together_with_compile_is_that_of_the_module(digits):
    X, _, _ = digits
    one = fitted(make(autocast="bfloat16"), digits).prune(0.5)
    other = fitted(compiled(autocast="bfloat16"), digits).prune(0.5)
    assert RUNS
    assert_same(weights(one), weights(other))
    assert (one.predict_proba(X) == other.predict_proba(X)).all()


def test_autocast_of_probabilities_raises_and_changes_nothing(digits):
    X, _, _ = digits
    clf = fitted(make(Probabilities, criterion=nn.NLLLoss), digits)
    before = weights(clf)
    clf.set_params(autocast="bfloat16")
    for call in (clf.predict, lambda X: fitted(clf, digits)):
        with pytest.raises(ValueError, match="needs a module that returns logits"):
            call(X)
    assert_same(before, weights(clf))


class Probabilities(MLP):
    def forward(self, X):
        return super().forward(X).softmax(1)


def test_autocast_is_a_parameter_that_clones_and_pickles(digits):
    for given in ("bfloat16", torch.bfloat16, None):
        clf = make(autocast=given)
        assert clone(clf).autocast is given
        assert pickle.loads(pickle.dumps(clf)).get_params()["autocast"] == given


@pytest.mark.parametrize("given", [True, "float16", torch.float16, torch.float32, "bf16", 16])
def test_autocast_of_another_kind_raises_and_names_what_is_accepted(digits, given):
    with pytest.raises(ValueError, match=r"autocast must be None, 'bfloat16' or torch\.bfloat16"):
        autocast_dtype(given)
    clf = fitted(make(), digits)
    before = weights(clf)
    with pytest.raises(ValueError, match="autocast must be None"):
        fitted(clf.set_params(autocast=given), digits)
    assert_same(before, weights(clf))
