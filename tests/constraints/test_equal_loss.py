"""The equal-loss constraint: phases, state, and both methods against numbers by hand."""

from __future__ import annotations

import copy
import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import log_loss
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from sk_prunefair import Distillation, EqualLossConstraint
from sk_prunefair.constraints._factors import RowFactors, draw_factors
from sk_prunefair.constraints._multipliers import explained_by_labels
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.group_means import label_entropies
from tests.conftest import assert_same_weights, classifier, weights


def constrained(**params):
    clf_params = {k: params.pop(k) for k in list(params) if k not in PARAMETERS}
    return classifier(callbacks=[("equal_loss", EqualLossConstraint(**params))], **clf_params)


PARAMETERS = tuple(inspect.signature(EqualLossConstraint).parameters)


def state(clf):
    return dict(clf.callbacks_)["equal_loss"]


def long_tailed(digits):
    X, y, _ = digits
    keep = np.concatenate([np.flatnonzero(y == c)[: 170 // (1 + 3 * (c >= 6))] for c in range(10)])
    return X[keep], y[keep]


def test_equal_loss_phases_make_four_different_nets(digits):
    X, y, group = digits
    fits = {}
    for phase in ("none", "before", "after", "both"):
        params = {"prune_rate": 0.9, "finetune_epochs": 2}
        clf = classifier(**params) if phase == "none" else constrained(phase=phase, **params)
        fits[phase] = clf.fit(X, y, sensitive_features=group)
    dense = {phase: clf.dense_module_ for phase, clf in fits.items()}
    assert_same_weights(dense["none"], dense["after"])
    assert_same_weights(dense["before"], dense["both"])
    first = "layers.1.weight"
    assert (weights(dense["none"])[first] != weights(dense["before"])[first]).any()
    pruned = [weights(clf.module_)[first] for clf in fits.values()]
    for i in range(4):
        for j in range(i):
            assert (pruned[i] != pruned[j]).any()


def test_equal_loss_signed_step_by_hand():
    constraint = EqualLossConstraint(step_size=0.5, max_multiplier=1.0).initialize()
    constraint.multipliers_ = pd.Series([0.0, 0.9, 0.3], index=list("abc"))
    constraint.shares_ = np.array([0.5, 0.25, 0.25])
    constraint._step(np.array([0.5, 2.0, np.nan]))
    # J = (0.5 · 0.5 + 0.25 · 2) / 0.75 = 1; 0 + 0.5 (0.5 − 1); 0.9 + 0.5 (2 − 1) clipped.
    assert constraint.multipliers_.to_list() == [-0.25, 1.0, 0.3]
    constraint._step(np.array([0.05, 0.05, 0.25]))
    # J = 0.1 is small beside the first loss of 1, which stays the measure.
    np.testing.assert_allclose(constraint.multipliers_, [-0.275, 0.975, 0.375])
    constraint._step(np.array([np.inf, np.nan, np.nan]))
    np.testing.assert_allclose(constraint.multipliers_, [-0.275, 0.975, 0.375])


def test_equal_loss_differences_within_noise_move_nothing():
    constraint = EqualLossConstraint(step_size=0.5).initialize()
    constraint.multipliers_ = pd.Series(0.0, index=list("abcd"))
    constraint.shares_ = np.array([0.5, 0.3, 0.1, 0.1])
    # J = 1, and the distances -0.1, -0.3, 0.4 and 1 are counted beyond two standard errors.
    constraint._step(np.array([0.9, 0.7, 1.4, 2.0]), np.array([0.02, 0.25, 0.05, np.inf]))
    np.testing.assert_allclose(constraint.multipliers_, [-0.03, 0.0, 0.15, 0.0], atol=1e-12)


def test_equal_loss_large_step_size_moves_by_a_bounded_amount():
    constraint = EqualLossConstraint(step_size=10.0).initialize()
    constraint.multipliers_ = pd.Series(0.0, index=list("abcd"))
    constraint.shares_ = np.array([0.5, 0.3, 0.1, 0.1])
    # J = 1: violations of -0.5, 0.01, 0.47 and 2, of which 10 times is too much but for 0.01.
    constraint._step(np.array([0.5, 1.01, 1.47, 3.0]))
    np.testing.assert_allclose(constraint.multipliers_, [-0.5, 0.1, 0.5, 1.0])


class Scaled(nn.Module):
    reduction = "mean"

    def forward(self, y_pred, y):
        return 1000 * nn.functional.cross_entropy(y_pred, y, reduction=self.reduction)


def test_equal_loss_scaled_loss_leaves_the_multipliers(digits):
    X, y, _ = digits
    clf = constrained().fit(X, y, sensitive_features=y)
    scaled = constrained(criterion=Scaled, lr=0.2 / 1000).fit(X, y, sensitive_features=y)
    np.testing.assert_allclose(state(clf).multipliers_, state(scaled).multipliers_, atol=5e-3)
    assert state(clf).multipliers_.abs().max() > 0.1


class Recorder(EqualLossConstraint):
    """Keeps what one batch was, to compute its objective again by hand."""

    def penalty(self, net, losses, batch):
        value = super().penalty(net, losses, batch)
        self.seen_ = (losses.detach(), batch, value, self.weights(net, batch))
        self.seen_ = tuple(v.detach() if isinstance(v, torch.Tensor) else v for v in self.seen_)
        return value


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_loss_absolute_penalty_by_hand(digits, weighted):
    X, y, _ = digits
    sample_weight = 1.0 + y if weighted else None
    recorder = Recorder(violation="absolute", step_size=0.1)
    clf = classifier(callbacks=[("equal_loss", recorder)], max_epochs=2)
    clf.fit(X, y, sensitive_features=y % 3, sample_weight=sample_weight)
    losses, batch, penalty, reweighting = state(clf).seen_
    assert reweighting is None
    losses, group = losses.double().numpy(), batch["group"].numpy()
    w = batch["sample_weight"].double().numpy() if weighted else np.ones(len(losses))
    overall = np.average(losses, weights=w)
    distances = [
        abs(np.average(losses[group == a], weights=w[group == a]) - overall) for a in range(3)
    ]
    # The multipliers of the last epoch are those after the first.
    first = constrained(violation="absolute", step_size=0.1, max_epochs=1)
    first.fit(X, y, sensitive_features=y % 3, sample_weight=sample_weight)
    multipliers = state(first).multipliers_.to_numpy()
    assert (multipliers > 0).all()
    assert float(penalty) == pytest.approx(float(multipliers @ distances), rel=1e-4)
    assert (state(clf).multipliers_.to_numpy() > multipliers).all()


class Groups(EqualLossConstraint):
    """Counts what is drawn in each epoch, and keeps the weights of the last batch."""

    def on_train_begin(self, net, **kwargs):
        super().on_train_begin(net, **kwargs)
        self.counts_ = []
        self.multipliers_[:] = np.linspace(-1, 1, len(self.multipliers_))

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        super().on_batch_end(net, batch=batch, training=training, **kwargs)
        if training:
            self.counts_.append(np.bincount(batch[0]["group"].numpy(), minlength=10))
            self.seen_ = self.weights(net, batch[0])


def factors_by_hand(y):
    """(share + λ / G) / share, a tenth at least, for λ from -1 to 1."""
    shares = np.bincount(y) / len(y)
    return np.maximum((shares + np.linspace(-1, 1, 10) / 10) / shares, 0.1)


def test_equal_loss_by_resampling_draws_groups_by_their_multipliers(digits):
    X, y = long_tailed(digits)
    constraint = Groups(step_size=0.0, by="resampling")
    clf = classifier(callbacks=[("equal_loss", constraint)], train_split=None, max_epochs=3)
    clf.fit(X, y, sensitive_features=y)
    counts = np.sum(state(clf).counts_, axis=0)
    assert counts.sum() == 3 * len(y)
    target = np.bincount(y) * factors_by_hand(y)
    np.testing.assert_allclose(counts / counts.sum(), target / target.sum(), atol=0.01)
    assert state(clf).seen_ is None


@pytest.mark.parametrize("sampler", [False, True])
def test_equal_loss_with_the_users_draws_weights_losses(digits, sampler):
    X, y = long_tailed(digits)
    mine = torch.utils.data.SequentialSampler(range(len(y)))
    options = {"iterator_train__sampler": mine} if sampler else {"iterator_train__shuffle": False}
    clf = classifier(
        callbacks=[("equal_loss", Groups(step_size=0.0))],
        train_split=None,
        batch_size=-1,
        max_epochs=1,
        **options,
    )
    clf.fit(X, y, sensitive_features=y)
    np.testing.assert_array_equal(np.sum(state(clf).counts_, axis=0), np.bincount(y))
    factors = factors_by_hand(y)
    expected = factors[y] / factors[y].mean()
    np.testing.assert_allclose(np.sort(state(clf).seen_), np.sort(expected), rtol=1e-5)


def test_equal_loss_by_reweighting_is_one_weight_per_group(digits):
    X, y = long_tailed(digits)
    constraint = Groups(step_size=0.0, by="reweighting", average=False)
    options = {"train_split": None, "batch_size": -1, "max_epochs": 1}
    clf = classifier(callbacks=[("equal_loss", constraint)], **options)
    clf.fit(X, y, sensitive_features=y)
    np.testing.assert_array_equal(np.sum(state(clf).counts_, axis=0), np.bincount(y))
    factors = factors_by_hand(y)
    expected = factors[y] / factors[y].mean()
    np.testing.assert_allclose(np.sort(state(clf).seen_), np.sort(expected), rtol=1e-5)
    # The whole data in one batch: the same step as with these as the user's own weights.
    weighted = classifier(**options).fit(X, y, sample_weight=expected)
    for name, value in weights(weighted.module_).items():
        np.testing.assert_allclose(weights(clf.module_)[name], value, atol=1e-6)


def test_equal_loss_group_of_one_row_moves_no_multiplier(digits):
    X, y, _ = digits
    group = np.where(np.arange(len(y)) == 7, "one", np.where(y < 3, "low", "high"))
    clf = constrained(train_split=None).fit(X, y, sensitive_features=group)
    assert state(clf).multipliers_["one"] == 0
    assert (state(clf).multipliers_.drop("one") != 0).all()


def test_equal_loss_multipliers_from_valid_differ_from_those_of_train(digits):
    X, y = long_tailed(digits)
    clf = constrained(multipliers_from="valid").fit(X, y, sensitive_features=y)
    train = constrained().fit(X, y, sensitive_features=y)
    assert (state(clf).multipliers_ - state(train).multipliers_).abs().max() > 0.05


def test_equal_loss_split_without_groups_is_refused_when_it_is_made(digits):
    X, y, group = digits
    valid = Dataset(X[:300].astype(np.float32), y[:300])
    clf = constrained(multipliers_from="valid", train_split=lambda data, y: (data, valid))
    with pytest.raises(ValueError, match="multipliers_from='valid' needs groups"):
        clf.fit(X, y, sensitive_features=group)


def test_equal_loss_where_it_does_not_act_needs_no_validation_set(digits):
    X, y, group = digits
    clf = constrained(multipliers_from="valid", phase="after", train_split=None)
    clf.fit(X, y, sensitive_features=group)
    assert np.isnan(clf.history[-1, "loss_gap"])
    with pytest.raises(ValueError, match="needs a validation set with groups"):
        clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=1)
    assert clf.sparsity_ == 0


@pytest.mark.parametrize("split", [None, "without groups"])
def test_equal_loss_validation_set_without_groups_is_refused(fitted, digits, split):
    X, y, group = digits
    before = fitted.predict_proba(X)
    if split is not None:
        split = predefined_split(Dataset(X[:300].astype(np.float32), y[:300]))
    constraint = EqualLossConstraint(multipliers_from="valid")
    fitted.set_params(callbacks=[("equal_loss", constraint)], train_split=split)
    with pytest.raises(ValueError, match="multipliers_from='valid' needs a validation set with"):
        fitted.fit(X, y, sensitive_features=group)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


def test_equal_loss_one_group_trains_as_without_a_constraint(digits):
    X, y, _ = digits
    alone = np.full(len(y), "all")
    clf = constrained().fit(X, y, sensitive_features=alone)
    assert state(clf).multipliers_.to_dict() == {"all": 0.0}
    assert_same_weights(clf.module_, classifier().fit(X, y, sensitive_features=alone).module_)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [16, 512])
def test_equal_loss_any_batch_size_narrows_the_gap(digits, batch_size):
    X, y = long_tailed(digits)
    options = {"max_epochs": 12, "train_split": None, "batch_size": batch_size, "lr": 0.5}
    gaps = [
        constrained(step_size=step, **options)
        .fit(X, y, sensitive_features=y)
        .history[-3:, "loss_gap"]
        for step in (0.0, 0.5)
    ]
    assert np.mean(gaps[1]) < 0.8 * np.mean(gaps[0])


def test_equal_loss_diverged_net_keeps_multipliers_finite(digits):
    X, y, group = digits
    clf = constrained(lr=1e30, max_epochs=2).fit(X, y, sensitive_features=group)
    assert np.isnan(clf.history[-1, "loss_gap"])
    assert np.isfinite(state(clf).multipliers_).all()


def test_equal_loss_warm_start_with_other_groups_starts_at_zero(digits):
    X, y, group = digits
    clf = constrained(warm_start=True).fit(X, y, sensitive_features=group)
    clf.fit(X, y, sensitive_features=y % 3)
    assert state(clf).multipliers_.index.tolist() == [0, 1, 2]


def test_equal_loss_constraint_narrows_the_losses(digits):
    X, y = long_tailed(digits)
    options = {"max_epochs": 12, "train_split": None, "module__dropout": 0.0}
    plain = constrained(step_size=0.0, **options).fit(X, y, sensitive_features=y)
    fair = constrained(step_size=0.5, **options).fit(X, y, sensitive_features=y)
    assert fair.history[-1, "loss_gap"] < 0.7 * plain.history[-1, "loss_gap"]


def test_equal_loss_second_fit_starts_again(digits):
    X, y, group = digits
    given = EqualLossConstraint()
    clf = classifier(callbacks=[("equal_loss", given)])
    first = state(clf.fit(X, y, sensitive_features=group)).multipliers_
    second = state(clf.fit(X, y, sensitive_features=group)).multipliers_
    pd.testing.assert_series_equal(first, second)
    assert not hasattr(given, "dense_")
    assert first.index.tolist() == ["other", "round"]
    unfitted = clone(clf).set_params(module__n_features=64, classes=list(range(10))).initialize()
    assert state(unfitted).multipliers_ is None


def test_equal_loss_multipliers_carry_over_into_fine_tuning(digits):
    X, y = long_tailed(digits)
    clf = constrained(phase="both").fit(X, y, sensitive_features=y)
    dense = state(clf).multipliers_.copy()
    clf.prune(0.9, X, y, sensitive_features=y, finetune_epochs=1)
    moved = state(clf).multipliers_
    assert 0 < (moved - dense).abs().max() < dense.abs().max()
    pd.testing.assert_series_equal(state(clf.prune(0.9)).multipliers_, dense)
    before = constrained(phase="before").fit(X, y, sensitive_features=y)
    frozen = state(before).multipliers_.copy()
    before.prune(0.9, X, y, sensitive_features=y, finetune_epochs=1)
    pd.testing.assert_series_equal(state(before).multipliers_, frozen)


def test_equal_loss_pretrained_net_starts_every_prune_at_zero(digits):
    X, y = long_tailed(digits)
    dense = classifier().fit(X, y).module_
    given = {"sensitive_features": y, "finetune_epochs": 1}
    nets = []
    for rates in ((0.9,), (0.5, 0.9)):
        clf = constrained(module=dense, classes=list(range(10))).initialize()
        for rate in rates:
            clf.prune(rate, X, y, **given)
        nets.append(clf)
    pd.testing.assert_series_equal(*(state(clf).multipliers_ for clf in nets))
    assert_same_weights(*(clf.module_ for clf in nets))
    assert state(clf.prune(0.9)).multipliers_ is None


def test_equal_loss_where_it_does_not_act_needs_no_groups(digits):
    X, y, group = digits
    clf = constrained(phase="before").fit(X, y, sensitive_features=group)
    gap = clf.history[-1, "loss_gap"]
    clf.prune(0.9, X, y, finetune_epochs=1)
    assert gap > 0
    assert np.isnan(clf.history[-1, "loss_gap"])


@pytest.mark.parametrize("violation", ["signed", "absolute"])
def test_equal_loss_in_double_precision_equals_single(digits, violation):
    X, y = long_tailed(digits)
    dense = classifier(module__dropout=0.0).fit(X, y).module_
    found = []
    for module in (dense, copy.deepcopy(dense).double()):
        clf = constrained(module=module, classes=list(range(10)), violation=violation)
        clf.initialize().prune(0.5, X, y, sensitive_features=y, finetune_epochs=3)
        found.append(state(clf).multipliers_)
    assert found[0].abs().max() > 0.01
    np.testing.assert_allclose(*found, atol=1e-3)


def test_equal_loss_set_params_reaches_the_constraint(digits):
    X, y, group = digits
    clf = constrained().set_params(callbacks__equal_loss__step_size=0.0)
    clf.fit(X, y, sensitive_features=group)
    assert (state(clf).multipliers_ == 0).all()
    assert clf.get_params()["callbacks__equal_loss__step_size"] == 0.0
    off = constrained().set_params(callbacks__equal_loss=None).fit(X, y, sensitive_features=group)
    assert "equal_loss" not in dict(off.callbacks_)


@pytest.mark.parametrize(
    "bad",
    [
        {"phase": "during"},
        {"step_size": -1.0},
        {"step_size": float("inf")},
        {"step_size": "0.5"},
        {"max_accuracy_loss": "0.02"},
        {"violation": "squared"},
        {"max_multiplier": 0.0},
        {"max_accuracy_loss": -0.1},
        {"max_accuracy_loss": 1.1},
        {"multipliers_from": "test"},
        {"by": "luck"},
        {"average": "sometimes"},
    ],
    ids=str,
)
def test_equal_loss_bad_parameters_are_refused(fitted, digits, bad):
    X, y, group = digits
    module = fitted.module_
    fitted.set_params(callbacks=[("equal_loss", EqualLossConstraint(**bad))])
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name} must be"):
        fitted.fit(X, y, sensitive_features=group)
    assert fitted.module_ is module


def test_equal_loss_valid_loss_is_the_plain_loss(digits):
    X, y, group = digits
    clf = constrained(violation="absolute", step_size=1.0)
    clf.fit(X[300:], y[300:], sensitive_features=group[300:])
    valid = GroupDataset(X[:300].astype(np.float32), y[:300])
    clf.set_params(train_split=predefined_split(valid), lr=0.0, max_epochs=1)
    clf.partial_fit(X[300:], y[300:], sensitive_features=group[300:])
    assert (state(clf).multipliers_ > 0.1).all()
    plain = log_loss(y[:300], clf.predict_proba(X[:300]))
    assert clf.history[-1, "valid_loss"] == pytest.approx(plain, rel=0.05)


def test_equal_loss_five_hundred_groups_and_lbfgs_work(digits):
    X, y, _ = digits
    group = np.random.default_rng(0).integers(0, 500, len(y))
    clf = constrained().fit(X, y, sensitive_features=group)
    assert len(state(clf).multipliers_) == len(np.unique(group))
    lbfgs = constrained(
        optimizer=torch.optim.LBFGS,
        optimizer__line_search_fn="strong_wolfe",
        module__dropout=0.0,
        batch_size=-1,
        violation="absolute",
    )
    lbfgs.fit(X, y, sensitive_features=y)
    n_batches = lbfgs.history[-1, "train_batch_count"]
    assert n_batches == len(lbfgs.history[-1, "batches", :, "train_loss"])
    assert lbfgs.score(X, y) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("step_size", [1e-3, 1e-2, 0.1, 1.0, 10.0])
def test_equal_loss_any_step_size_keeps_accuracy(digits, step_size):
    X, y, _ = digits
    test = np.arange(len(y)) % 2 == 0
    X_train, y_train = long_tailed((X[~test], y[~test], None))
    options = {"max_epochs": 12, "train_split": None, "prune_rate": 0.7, "finetune_epochs": 3}
    fits = [classifier(**options), constrained(step_size=step_size, **options)]
    scores = []
    for clf in fits:
        clf.fit(X_train, y_train, sensitive_features=y_train)
        report = clf.fairness_report(X[test], y[test], sensitive_features=y[test])
        scores.append([net.overall["accuracy"] for net in (report.dense, report.pruned)])
    assert np.isfinite(state(fits[1]).multipliers_).all()
    assert (np.subtract(*scores) < 0.05).all()


@pytest.mark.slow
def test_equal_loss_max_accuracy_loss_bounds_the_best_groups_loss():
    # What is right for one group is wrong for the other: equal losses take from the first.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 8))
    group = np.where(rng.random(3000) < 0.2, "few", "many")
    y = (X[:, 0] > 0) ^ (group == "few")
    accuracy = {}
    for limit in (None, 0.15):
        clf = constrained(max_accuracy_loss=limit, max_epochs=16, train_split=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clf.fit(X, y, sensitive_features=group)
        many = group == "many"
        accuracy[limit] = clf.score(X[many], y[many])
    assert accuracy[None] < 0.6
    assert accuracy[0.15] > 0.7
    assert max(clf.history[6:, "best_group_loss"]) < 0.15 + 0.03


@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_equal_loss_beyond_max_accuracy_loss_halves_multipliers_and_warns(digits):
    X, y = long_tailed(digits)
    clf = constrained(max_accuracy_loss=0.05, train_split=None).fit(X, y, sensitive_features=y)
    before = state(clf).multipliers_.copy()
    with pytest.warns(UserWarning, match=r"more than max_accuracy_loss=0\.05"):
        clf.prune(0.98, X, y, sensitive_features=y, finetune_epochs=1)
    pd.testing.assert_series_equal(state(clf).multipliers_, before / 2)
    # A new pruning knows nothing of the one before.
    assert state(clf.prune(0.0)).limit_.is_kept


# ------------------------------------------------------ what label rates explain


def test_explained_by_labels_has_mean_zero_and_is_zero_where_the_group_is_the_label():
    shares, entropies = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.6, 0.3])
    found = explained_by_labels(0.2, entropies, shares)
    assert shares @ found == pytest.approx(0)
    mean = 0.02 + 0.18 + 0.15
    np.testing.assert_allclose(found, 0.2 / mean * entropies - 0.2)
    np.testing.assert_array_equal(explained_by_labels(0.2, np.zeros(3), shares), np.zeros(3))


def test_label_entropies_equal_a_loop_by_hand():
    y, group = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 1, 1, 1])
    weight = np.array([1, 1, 1, 3, 2, 1, 1], dtype=np.float32)
    data = GroupDataset(np.zeros((7, 1), np.float32), y, group, weight)
    p, q = np.array([2, 4]) / 6, np.array([2, 2]) / 4
    expected = [-(p * np.log(p)).sum(), -(q * np.log(q)).sum(), 0.0]
    np.testing.assert_allclose(label_entropies(data, 3), expected, rtol=1e-6)
    part = label_entropies(data.subset([0, 1, 4]), 2)
    np.testing.assert_allclose(part, [0, 0])


def synthetic(rates, n=6000, tells=2.0, seed=0):
    """Return groups of known label rates whose features tell equally much of the labels."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, len(rates), n)
    y = (rng.random(n) < np.asarray(rates)[group]).astype(int)
    X = np.c_[tells * (y - 0.5) + rng.normal(size=n), np.eye(len(rates))[group]]
    return X.astype(np.float32), y, group


def bayes_losses(X, y, group, rates, tells=2.0):
    """Return each group's mean loss under the true probabilities."""
    prior = np.log(np.asarray(rates) / (1 - np.asarray(rates)))[group]
    p = 1 / (1 + np.exp(-(prior + tells * X[:, 0])))
    losses = -np.log(np.where(y == 1, p, 1 - p))
    return np.array([losses[group == each].mean() for each in range(len(rates))])


def test_explained_by_labels_is_most_of_what_bayes_losses_differ_by():
    rates = [0.5, 0.2, 0.05]
    X, y, group = synthetic(rates, n=60_000)
    losses = bayes_losses(X, y, group, rates)
    shares = np.bincount(group) / len(group)
    overall = shares @ losses
    data = GroupDataset(X, y, group)
    told = explained_by_labels(overall, label_entropies(data, 3), shares)
    before = np.abs(losses - overall)
    after = np.abs(losses - overall - told)
    assert (after < 0.25 * before).all()


@pytest.mark.parametrize(("explained", "moves"), [("labels", False), (None, True)])
def test_equal_loss_groups_at_their_bayes_losses_keep_multipliers(explained, moves):
    X, y, group = synthetic([0.5, 0.1])
    constraint = EqualLossConstraint(explained=explained)
    clf = classifier(
        nn.Linear(3, 2), callbacks=[("equal", constraint)], max_epochs=6, train_split=None
    ).fit(X, y, sensitive_features=group)
    largest = constraint.multipliers_.abs().max()
    assert (largest > 0.5) if moves else (largest < 0.2)
    assert clf.score(X, y) > 0.8


def test_equal_loss_group_that_is_served_badly_is_still_helped():
    X, y, group = synthetic([0.5, 0.5])
    X[group == 1, 0] *= -1  # its features say the opposite
    rows = np.r_[np.flatnonzero(group == 0), np.flatnonzero(group)[:300]]
    X, y, group = X[rows], y[rows], group[rows]
    constraint = EqualLossConstraint(phase="before")
    classifier(callbacks=[("equal", constraint)], max_epochs=2, train_split=None).fit(
        X, y, sensitive_features=group
    )
    assert constraint.multipliers_[1] > 0.3


# -------------------------------------------------------------- draws and weights


@pytest.mark.parametrize("by", ["auto", "resampling", "reweighting"])
def test_row_factors_draws_times_weights_are_the_factors(by):
    factors = np.array([30.0, 3.0, 0.5])
    sizes = np.array([10, 90, 900])
    factors /= sizes @ factors / sizes.sum()
    rows = RowFactors(factors, by, sizes, 64, "cpu")
    group = torch.tensor([0, 1, 2])
    drawn, weights = rows.draws(group), rows.weights(group)
    drawn = torch.ones(3) if drawn is None else drawn
    weights = torch.ones(3) if weights is None else weights
    np.testing.assert_allclose(drawn * weights, factors, rtol=1e-5)


def test_draw_factors_reach_two_rows_and_no_more_than_the_factor():
    shares = np.array([0.002, 0.01, 0.2, 0.788])
    found = draw_factors(np.array([40.0, 1.5, 5.0, 0.4]), shares, 32)
    # 2 / (32 · share) is 31.25, 6.25, 0.3 and 0.08.
    np.testing.assert_allclose(found, [31.25, 1.5, 1.0, 1.0])
    # Rows that are not there are drawn once.
    np.testing.assert_allclose(draw_factors(np.array([8.0, 1.0]), np.array([0.0, 1.0]), 32), 1.0)


def test_equal_loss_by_auto_without_shuffling_weights_by_all_of_the_factor(digits):
    X, y = long_tailed(digits)
    nets = []
    for by in ("auto", "reweighting"):
        constraint = EqualLossConstraint(by=by)
        options = {"iterator_train__shuffle": False, "max_epochs": 3, "train_split": None}
        clf = classifier(callbacks=[("equal", constraint)], **options)
        nets.append(clf.fit(X, y, sensitive_features=y))
    for left, right in zip(*(net.module_.parameters() for net in nets), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("with_teacher", [False, True])
@pytest.mark.parametrize(("step_size", "n_rows"), [(10.0, 20), (0.5, 1), (10.0, 1)])
def test_auto_large_step_and_group_of_one_row_do_not_collapse(
    digits, step_size, n_rows, with_teacher
):
    X, y, _ = digits
    keep = np.r_[np.flatnonzero(y != 9)[:700], np.flatnonzero(y == 9)[:n_rows]]
    callbacks = [("equal_loss", EqualLossConstraint(step_size=step_size))]
    if with_teacher:
        callbacks.append(("distillation", Distillation()))
    accuracy = {}
    for name, given in (("none", []), ("ours", callbacks)):
        clf = classifier(callbacks=given, max_epochs=8)
        clf.fit(X[keep], y[keep], sensitive_features=y[keep])
        clf.prune(0.8, X[keep], y[keep], sensitive_features=y[keep], finetune_epochs=3)
        accuracy[name] = clf.score(X[900:], y[900:])
    assert all(np.isfinite(value).all() for value in weights(clf.module_).values())
    assert accuracy["none"] > 0.6
    assert accuracy["ours"] > accuracy["none"] - 0.05
