"""The theory in one frame, through the report of a classifier."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sk_prunefair.plotting import GroupTheoryDisplay
from sk_prunefair.theory import (
    boundary_bounds,
    boundary_closeness,
    error_and_gradient,
    group_diagnostics,
    group_gradient_norms,
    group_hessian_eigenvalues,
    risk_bounds,
)
from sk_prunefair.theory.diagnostics import BOUNDARY_SAMPLES
from sk_prunefair.theory.grouped import GroupedNet
from tests.conftest import SmallNet, classifier, weights

NAMES = [
    "size",
    "gradient_norm",
    "hessian_max_eigenvalue",
    "boundary_closeness",
    "mean_error",
    "risk_bound",
]


@pytest.fixture
def clf(digits):
    X, y, group = digits
    names = np.array([f"digit {digit}" for digit in range(10)])
    return classifier(prune_rate=0.8).fit(X, names[y], sensitive_features=group)


def test_report_diagnostics_are_those_of_the_functions(clf, digits):
    X, y, group = digits
    labels = clf.classes_[y]
    before = weights(clf.module_), weights(clf.dense_module_)
    report = clf.fairness_report(X, labels, sensitive_features=group, diagnostics=True)
    frame = report.diagnostics
    assert set(NAMES) <= set(frame.columns)
    data = (X, y, group)
    bounds = risk_bounds(clf.dense_module_, clf.module_, *data)
    for name in ("risk_bound", "risk_estimate", "excessive_risk"):
        np.testing.assert_allclose(frame[name], bounds[name], rtol=1e-3)
    np.testing.assert_allclose(frame.excessive_risk, report.excessive_risk, rtol=1e-3)
    dense = clf.dense_module_
    np.testing.assert_allclose(frame.gradient_norm, group_gradient_norms(dense, *data), rtol=1e-4)
    np.testing.assert_allclose(frame.boundary_closeness, boundary_closeness(dense, *data))
    eigenvalues = group_hessian_eigenvalues(dense, *data)["eigenvalue"]
    np.testing.assert_allclose(frame.hessian_max_eigenvalue, eigenvalues, rtol=1e-2)
    assert clf.fairness_report(X, labels, sensitive_features=group).diagnostics is None
    options = {"max_samples": 50}
    drawn = clf.fairness_report(X, labels, sensitive_features=group, diagnostics=options)
    assert (drawn.diagnostics.hessian_max_eigenvalue > frame.hessian_max_eigenvalue).all()
    for net, known in zip((clf.module_, clf.dense_module_), before, strict=True):
        for name, value in weights(net).items():
            np.testing.assert_array_equal(value, known[name])
    assert "boundary_bound" not in frame


class Probabilities(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(nn.Linear(n_features, n_classes), nn.Softmax(dim=1))


def test_report_diagnostics_of_probabilities_and_two_classes_equal_those_of_logits(digits):
    X, y, group = digits
    clf = classifier(Probabilities, criterion=nn.NLLLoss, prune_rate=0.5)
    clf.fit(X, y % 2, sensitive_features=group)
    report = clf.fairness_report(X, y % 2, sensitive_features=group, diagnostics=True)
    logits = nn.Linear(64, 2)
    logits.load_state_dict(clf.dense_module_[0].state_dict())
    expected = group_gradient_norms(logits, X, y % 2, group)
    np.testing.assert_allclose(report.diagnostics.gradient_norm, expected, rtol=1e-3)
    np.testing.assert_allclose(report.diagnostics.excessive_risk, report.excessive_risk, rtol=1e-3)
    drawn = report.diagnostics["hessian_max_eigenvalue_drawn"]
    assert (drawn <= report.diagnostics["boundary_bound"]).all()


class Items(torch.utils.data.Dataset):
    def __init__(self, X, y):
        self.X, self.targets = X.astype(np.float32), y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.targets[index]


def test_report_diagnostics_of_items_with_an_odd_index_equal_those_of_arrays(digits):
    X, y, group = digits
    clf = classifier(criterion__label_smoothing=0.1, prune_rate=0.5)
    clf.fit(X, y, sensitive_features=group)
    frame = pd.DataFrame({"shape": group}, index=np.arange(len(y))[::-1])
    report = clf.fairness_report(Items(X, y), sensitive_features=frame, diagnostics=True)
    plain = clf.fairness_report(X, y, sensitive_features=group, diagnostics=True)
    assert report.diagnostics.index.name == "shape"
    np.testing.assert_allclose(report.diagnostics, plain.diagnostics, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(plain.diagnostics.excessive_risk, plain.excessive_risk, rtol=1e-3)


def test_group_theory_display_from_an_estimator_shows_its_diagnostics(clf, digits):
    pytest.importorskip("matplotlib")
    X, y, group = digits
    display = GroupTheoryDisplay.from_estimator(clf, X, clf.classes_[y], sensitive_features=group)
    widths = [bar.get_width() for bar in display.ax_[0].patches]
    assert widths == sorted(pd.Series(group).value_counts())


@pytest.fixture
def built(monkeypatch):
    """Nets that are bound to data."""
    found = []
    init = GroupedNet.__init__

    def counted(self, *args, **kwargs):
        found.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(GroupedNet, "__init__", counted)
    return found


def test_report_with_diagnostics_binds_net_and_data_once(clf, digits, built):
    X, y, group = digits
    options = {"diagnostics": {"max_samples": 5}}
    clf.fairness_report(X, clf.classes_[y], sensitive_features=group, **options)
    assert len(built) == 1


@pytest.mark.parametrize(("n_classes", "max_samples"), [(2, None), (2, 20), (10, 20)])
def test_group_diagnostics_binds_net_and_data_once(digits, built, n_classes, max_samples):
    X, y, group = digits
    torch.manual_seed(0)
    dense, pruned = SmallNet(64, n_classes), SmallNet(64, n_classes)
    group_diagnostics(dense, pruned, X, y % n_classes, group, max_samples=max_samples)
    assert len(built) == 1
    # What is drawn for one function is not what the next one is given.
    assert built[0].sizes.sum() == len(y)


def test_group_diagnostics_equals_the_public_functions(digits):
    X, y, group = digits
    torch.manual_seed(0)
    dense, pruned = SmallNet(64, 2), SmallNet(64, 2)
    data, options = (X, y % 2, group), {"criterion": nn.CrossEntropyLoss(label_smoothing=0.1)}
    frame = group_diagnostics(dense, pruned, *data, max_samples=30, random_state=1, **options)
    bounds = risk_bounds(dense, pruned, *data, max_samples=30, random_state=1, **options)
    pd.testing.assert_frame_equal(frame[bounds.columns], bounds)
    errors = error_and_gradient(dense, *data).table[["mean_error", "error_bound"]]
    pd.testing.assert_frame_equal(frame[errors.columns], errors)
    pd.testing.assert_series_equal(frame["boundary_closeness"], boundary_closeness(dense, *data))
    theorem2 = boundary_bounds(dense, *data, max_samples=BOUNDARY_SAMPLES, random_state=1)
    np.testing.assert_array_equal(frame["boundary_bound"], theorem2["boundary_bound"])
    np.testing.assert_array_equal(
        frame["hessian_max_eigenvalue_drawn"], theorem2["hessian_max_eigenvalue"]
    )


def test_group_diagnostics_label_above_the_scores_raises(digits):
    X, y, group = digits

    def any_labels(scores, y):
        return scores.square().sum(1)

    net = SmallNet(64, 3)
    with pytest.raises(ValueError, match="y must hold labels below the number of scores, 3"):
        group_diagnostics(net, net, X, y, group, criterion=any_labels)
