"""Bad input: an error that names the argument, and everything that was fitted still there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

from sk_prunefair import EqualLossConstraint
from tests.conftest import SmallNet, classifier, weights


def nan_in(X):
    X = X.copy()
    X[3, 5] = np.nan
    return X


def spoiled(digits):
    """Return arguments of fit by what is wrong with them, and what the error must say."""
    X, y, group = digits
    half = len(y) // 2
    missing = pd.Series(group).where(np.arange(len(y)) != 7)
    return {
        "X with NaN": ((nan_in(X), y, group), "X contains NaN"),
        "X of strings": ((np.full(X.shape, "a"), y, group), "numeric"),
        "X 1-D": ((X[:, 0], y, group), "Expected 2D array"),
        "X empty": ((X[:0], y[:0], group[:0]), "0 sample"),
        "y None": ((X, None, group), "requires y"),
        "y too short": ((X, y[:half], group), f"y has {half} rows, but X has {len(y)}"),
        "y continuous": ((X, y + 0.5, group), "Unknown label type"),
        "y with NaN": ((X, np.where(y == 0, np.nan, y), group), "y contains NaN"),
        "y 2-D": ((X, np.c_[y, y], group), "should be a 1d array"),
        "one class": ((X, np.zeros_like(y), group), "at least two classes, got 1 class"),
        "groups too short": ((X, y, group[:half]), "sensitive_features has"),
        "groups missing": ((X, y, missing), "sensitive_features"),
        "groups 3-D": ((X, y, np.zeros((len(y), 1, 1))), "sensitive_features"),
    }


NAMES = list(spoiled((np.zeros((4, 6)), np.array([0, 1, 0, 1]), np.array(list("abab")))))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "prune"])
def test_fit_bad_data_raises_and_leaves_the_fitted_net(fitted, digits, name, method):
    X, y, _ = digits
    (bad_X, bad_y, bad_group), message = spoiled(digits)[name]
    if name == "one class" and method != "fit":
        pytest.skip("one known class is fine in training on")
    fitted.prune(0.5)
    before, proba = weights(fitted.module_), fitted.predict_proba(X)
    state = {k: v for k, v in vars(fitted).items() if isinstance(v, (int, float, str))}
    arguments = (0.9, bad_X, bad_y) if method == "prune" else (bad_X, bad_y)
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(*arguments, sensitive_features=bad_group)
    for tensor, value in weights(fitted.module_).items():
        np.testing.assert_array_equal(value, before[tensor])
    np.testing.assert_array_equal(fitted.predict_proba(X), proba)
    assert {k: vars(fitted)[k] for k in state} == state
    assert fitted.prune_rate_ == 0.5
    assert fitted.groups_.tolist() == ["other", "round"]
    assert fitted.score(X, y) > 0.3


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), "0.5", None, True, 1, [0.5]])
def test_prune_rate_outside_raises_and_the_net_stays(fitted, digits, rate):
    X, y, group = digits
    fitted.prune(0.5)
    with pytest.raises(ValueError, match=r"rate must be a number in \[0, 1\).*got"):
        fitted.prune(rate)
    assert fitted.prune_rate_ == 0.5
    if rate is not None:
        module = fitted.module_
        with pytest.raises(ValueError, match="prune_rate must be a number"):
            fitted.set_params(prune_rate=rate).fit(X, y, sensitive_features=group)
        assert fitted.module_ is module


def test_prune_rate_of_any_kind_of_number_is_taken(fitted):
    assert fitted.prune(np.float32(0.5)).prune_rate_ == 0.5
    assert fitted.prune(0).prune_rate_ == 0.0


def test_prune_fine_tuning_without_data_raises(fitted):
    with pytest.raises(ValueError, match="finetune_epochs=3 needs data"):
        fitted.prune(0.5, finetune_epochs=3)
    assert fitted.prune_rate_ == 0.0


@pytest.mark.parametrize("epochs", [-1, 1.5, "2", True])
def test_finetune_epochs_bad_number_raises(fitted, digits, epochs):
    X, y, group = digits
    with pytest.raises(ValueError, match="finetune_epochs must be an integer >= 0"):
        fitted.prune(0.5, X, y, sensitive_features=group, finetune_epochs=epochs)
    with pytest.raises(ValueError, match="finetune_epochs must be an integer >= 0"):
        classifier(finetune_epochs=epochs).fit(X, y, sensitive_features=group)


def test_unfitted_classifier_raises_in_every_method(digits, tmp_path):
    X, y, group = digits
    clf = classifier()
    calls = [
        lambda: clf.prune(0.5),
        lambda: clf.predict(X),
        lambda: clf.predict_proba(X),
        lambda: clf.fairness_report(X, y, sensitive_features=group),
        lambda: clf.masks_,
        lambda: clf.dense_module_,
        lambda: clf.sparsity_,
        lambda: clf.save_params(f_params=tmp_path / "f"),
    ]
    for call in calls:
        with pytest.raises(NotFittedError):
            call()


def test_pruner_unknown_raises(fitted, digits):
    X, y, _ = digits
    for pruner in ("magnitud", 3, nn.Linear):
        with pytest.raises(ValueError, match="pruner must be one of"):
            classifier(pruner=pruner).fit(X, y)
    with pytest.raises(ValueError, match="pruner must be one of"):
        fitted.set_params(pruner="none").prune(0.5)


class Masks:
    def __init__(self, masks):
        self.given = masks

    def masks(self, module, rate):
        return self.given


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"layers.9.weight": torch.ones(2, 2, dtype=torch.bool)}, "a mask for 'layers.9.weight'"),
        ({"layers.1.weight": torch.ones(2, 2, dtype=torch.bool)}, r"shape \(24, 64\)"),
        ({"layers.1.weight": torch.ones(24, 64)}, "boolean mask"),
    ],
)
def test_prune_masks_that_do_not_fit_raise_and_the_net_stays(fitted, digits, masks, message):
    X, _, _ = digits
    proba = fitted.prune(0.3).predict_proba(X)
    with pytest.raises(ValueError, match=message):
        fitted.set_params(pruner=Masks(masks)).prune(0.5)
    np.testing.assert_array_equal(fitted.predict_proba(X), proba)
    assert fitted.prune_rate_ == 0.3


@pytest.mark.parametrize("params", [{"module__breadth": 3}, {"module__n_classes": 3}], ids=str)
def test_fit_net_that_cannot_be_made_leaves_the_old_one(fitted, digits, params):
    X, y, group = digits
    proba, epochs = fitted.prune(0.3).predict_proba(X), len(fitted.history)
    vars(fitted).update(params)
    with pytest.raises((TypeError, ValueError), match=r"breadth|one score per class"):
        fitted.fit(X[:, :32], np.array(list("abcdefghij"))[y], sensitive_features=group)
    for name in params:
        delattr(fitted, name)
    np.testing.assert_array_equal(fitted.predict_proba(X), proba)
    assert len(fitted.history) == epochs
    assert fitted.prune_rate_ == 0.3
    assert fitted.classes_.tolist() == list(range(10))


def test_known_classifier_unseen_groups_and_labels_raise(fitted, digits):
    X, y, group = digits
    strangers = np.where(y == 1, "thin", group)
    for call in (
        lambda: fitted.partial_fit(X, y, sensitive_features=strangers),
        lambda: fitted.prune(0.5, X, y, sensitive_features=strangers, finetune_epochs=1),
    ):
        with pytest.raises(ValueError, match="thin"):
            call()
    with pytest.raises(ValueError, match=r"not among the classes: \[11\]"):
        fitted.fairness_report(X, y + 2 * (y == 9), sensitive_features=group)
    fitted.fairness_report(X, y, sensitive_features=strangers)


def test_partial_fit_groups_of_other_columns_raises(digits):
    X, y, group = digits
    frame = pd.DataFrame({"shape": group, "even": y % 2})
    clf = classifier().fit(X, y, sensitive_features=frame)
    with pytest.raises(ValueError, match="sensitive_features"):
        clf.partial_fit(X, y, sensitive_features=group)


def test_fit_constraint_without_groups_raises(digits):
    X, y, _ = digits
    for callbacks in ([("equal_loss", EqualLossConstraint())], [EqualLossConstraint]):
        with pytest.raises(ValueError, match="sensitive_features is None, but EqualLoss"):
            classifier(callbacks=callbacks).fit(X, y)


def test_predict_other_shapes_than_in_fit_raise(fitted, digits):
    X, y, group = digits
    with pytest.raises(ValueError, match=r"X has 60 features, but .* is expecting 64"):
        fitted.predict(X[:, :60])
    images = classifier().fit(X.reshape(-1, 1, 8, 8), y, sensitive_features=group)
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, 1, 8, 8\) as in fit"):
        images.predict(X.reshape(-1, 1, 16, 4))


@pytest.mark.parametrize("weight", [[1.0, 2.0], "many", -1.0, np.nan, 0.0])
def test_fit_bad_sample_weight_raises_and_the_net_stays(fitted, digits, weight):
    X, y, group = digits
    if isinstance(weight, float):
        weight = np.full(len(y), weight)
    before = weights(fitted.module_)
    with pytest.raises(ValueError, match=r"sample_weight|Sample weights|could not convert"):
        fitted.fit(X, y, sensitive_features=group, sample_weight=weight)
    for name, value in weights(fitted.module_).items():
        np.testing.assert_array_equal(value, before[name])


def test_fit_logits_with_the_default_criterion_warns_and_report_raises(digits):
    X, y, group = digits
    with pytest.warns(UserWarning, match=r"criterion=NLLLoss .* takes probabilities"):
        clf = classifier(criterion=nn.NLLLoss, train_split=None).fit(X, y)  # as in skorch
    with pytest.raises(ValueError, match=r"criterion=NLLLoss .* takes probabilities"):
        clf.fairness_report(X, y, sensitive_features=group)
    pretrained = classifier(clf.module_, criterion=nn.NLLLoss, classes=range(10)).initialize()
    with pytest.raises(ValueError, match=r"criterion=NLLLoss .* takes probabilities"):
        pretrained.prune(0.5, X, y)
    assert pretrained.sparsity_ == 0


def test_fit_module_with_another_number_of_outputs_raises(digits):
    X, y, _ = digits
    with pytest.raises(ValueError, match=r"module must return one score per class"):
        classifier(SmallNet, module__n_classes=7).fit(X, y)


class Mean(nn.Module):
    def forward(self, y_pred, y):
        return nn.functional.cross_entropy(y_pred, y)


def test_report_criterion_of_one_number_is_asked_sample_by_sample(digits):
    X, y, group = digits
    params = {"predict_nonlinearity": lambda scores: scores.softmax(1)}
    clf = classifier(criterion=Mean, **params).fit(X, y, sensitive_features=group).prune(0.5)
    plain = classifier().fit(X, y, sensitive_features=group).prune(0.5)
    risks = (each.fairness_report(X, y, sensitive_features=group) for each in (clf, plain))
    left, right = (report.excessive_risk for report in risks)
    np.testing.assert_allclose(left, right, rtol=1e-5)


class Matrix(nn.Module):
    reduction = "mean"

    def forward(self, y_pred, y):
        return y_pred


def test_fit_criterion_without_a_loss_per_sample_raises(digits):
    X, y, _ = digits
    with pytest.raises(ValueError, match="criterion must give one loss per sample"):
        classifier(criterion=Matrix).fit(X, y)


def test_report_initialized_without_classes_takes_integers_only(digits, fitted):
    X, y, group = digits
    clf = classifier(fitted.module_).initialize().prune(0.5)
    report = clf.fairness_report(X, y, sensitive_features=group)
    expected = fitted.prune(0.5).fairness_report(X, y, sensitive_features=group)
    np.testing.assert_allclose(report.excessive_risk, expected.excessive_risk, rtol=1e-6)
    with pytest.raises(ValueError, match=r"pass classes=\[...\]"):
        clf.fairness_report(X, [f"digit {label}" for label in y], sensitive_features=group)


def test_prune_net_without_weights_raises(digits):
    X, y, _ = digits

    class Scale(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(n_classes))

        def forward(self, X):
            return X[:, : len(self.factor)] * self.factor

    clf = classifier(Scale).fit(X, y)
    with pytest.raises(ValueError, match="module=Scale has nothing to prune"):
        clf.prune(0.5)
    assert clf.prune_rate_ == 0.0


def test_prune_diverged_net_raises(digits):
    X, y, _ = digits
    clf = classifier(lr=1e30, optimizer=torch.optim.SGD).fit(X, y)
    with pytest.raises(ValueError, match="scores contain NaN"):
        clf.prune(0.5)


@pytest.mark.parametrize("size", [1, 2])
def test_fit_tiny_groups_stay_finite(digits, size):
    X, y, group = digits
    group = group.astype(object)
    group[:size] = "tiny"
    callbacks = [("equal_loss", EqualLossConstraint())]
    clf = classifier(callbacks=callbacks, prune_rate=0.5, finetune_epochs=1)
    clf.fit(X, y, sensitive_features=group)
    report = clf.fairness_report(X, y, sensitive_features=group)
    assert report.pruned.by_group.loc["tiny", "count"] == size
    assert np.isfinite(report.fairness_violation)
    assert np.isfinite(dict(clf.callbacks_)["equal_loss"].multipliers_).all()


def test_fit_one_group_equals_no_groups(digits):
    X, y, _ = digits
    callbacks = [("equal_loss", EqualLossConstraint())]
    one = np.full(len(y), "all")
    clf = classifier(callbacks=callbacks).fit(X, y, sensitive_features=one)
    plain = classifier().fit(X, y)
    for name, value in weights(plain.module_).items():
        np.testing.assert_array_equal(weights(clf.module_)[name], value)
    report = clf.prune(0.9).fairness_report(X, y, sensitive_features=one)
    assert report.fairness_violation == 0
    assert report.accuracy_gap.to_list() == [0, 0]
