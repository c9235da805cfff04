"""scikit-learn's own checks, and the one that float32 cannot pass, at its own precision."""

from __future__ import annotations

import unittest

import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch import nn

from tests.conftest import SmallNet, classifier


def checked(**params):
    return classifier(**({"lr": 0.1, "max_epochs": 20, "batch_size": 32} | params))


ROUNDING = {
    "check_sample_weight_equivalence_on_dense_data": (
        "float32: sums in another order differ by rounding; tested at 1e-5 below"
    ),
    "check_sample_weight_equivalence_on_sparse_data": "the same, on rows that are made dense",
}


# skorch looks at some parameters when they are set, which the check allows, and warns of.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* occurred during set_params of param")
@pytest.mark.filterwarnings("ignore:Estimator's parameters changed after set_params raised")
@pytest.mark.parametrize("params", [{}, {"prune_rate": 0.5, "finetune_epochs": 2}], ids=str)
def test_classifier_passes_the_checks_of_scikit_learn(params):
    # Batch norm would see the rows of weight zero; every other check passes with it as well.
    estimator = checked(module=LinearNet, **params)
    names = []
    for instance, check in estimator_checks_generator(estimator, mark=None):
        name = check.func.__name__
        names.append(name)
        if name in ROUNDING:
            continue
        try:
            check(instance)
        except unittest.SkipTest as skipped:  # pytest would skip all checks that follow
            assert "SCIPY_ARRAY_API" in str(skipped)
    assert set(ROUNDING) < set(names)
    assert len(names) > 50


class LinearNet(nn.Module):
    def __init__(self, n_features, n_classes, hidden=20):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_classes)
        )

    def forward(self, X):
        return self.layers(X)


@pytest.mark.parametrize("module", [LinearNet])
def test_fit_sample_weight_equals_repetition(module):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5)).astype(np.float32)
    y = rng.integers(0, 3, 40)
    weight = rng.integers(0, 4, 40)
    options = {"batch_size": -1, "train_split": None}
    weighted = checked(module=module, **options).fit(X, y, sample_weight=weight)
    repeated = checked(module=module, **options).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    np.testing.assert_allclose(
        weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-5, atol=1e-5
    )


def test_fit_sample_weight_of_one_class_favours_it(digits):
    X, y, _ = digits
    weight = np.where(y == 3, 20.0, 1.0)
    plain = classifier(SmallNet).fit(X, y)
    heavy = classifier(SmallNet).fit(X, y, sample_weight=weight)
    assert heavy.score(X[y == 3], y[y == 3]) > plain.score(X[y == 3], y[y == 3])
