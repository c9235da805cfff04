"""Propositions 1 and 2 by hand and on real data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sk_prunefair.datasets import long_tailed
from sk_prunefair.theory import error_and_gradient, group_gradient_norms, size_and_gradient
from tests.conftest import classifier
from tests.theory.test_hessians import smooth_net


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    group = np.repeat(["few", "many", "some"], [3, 30, 11])
    return rng.normal(size=(44, 4)), rng.integers(0, 3, 44), group


def test_propositions_tables_by_hand(data):
    X, y, group = data
    net = smooth_net()
    by_size = size_and_gradient(net, X, y, group)
    norms = group_gradient_norms(net, X, y, group)
    assert by_size.table["size"].to_dict() == {"few": 3, "many": 30, "some": 11}
    np.testing.assert_allclose(by_size.table["gradient_norm"], norms)
    assert by_size.rank_correlation == pytest.approx(spearmanr([3, 30, 11], norms).statistic)
    by_error = error_and_gradient(net, X, y, group, batch_size=4)
    parameters = list(net.parameters())
    for name in norms.index:
        errors, products = [], []
        for x, label in zip(torch.tensor(X[group == name]), y[group == name], strict=True):
            z = net(x[None])[0]
            error = (z.softmax(0) - torch.eye(3, dtype=torch.float64)[label]).detach().norm()
            rows = [torch.autograd.grad(score, parameters, retain_graph=True) for score in z]
            jacobian = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
            errors.append(float(error))
            products.append(float(error * jacobian.norm()))
        assert by_error.table.loc[name, "mean_error"] == pytest.approx(np.mean(errors))
        assert by_error.table.loc[name, "error_bound"] == pytest.approx(np.mean(products))
    assert (by_error.table["gradient_norm"] <= by_error.table["error_bound"]).all()


def test_propositions_on_long_tailed_digits_hold(digits):
    X, y, _ = digits
    rows = long_tailed(y, 10, random_state=0)
    X, y = X[rows], y[rows]
    clf = classifier(max_epochs=15, train_split=None).fit(X, y, sensitive_features=y)
    by_size = size_and_gradient(clf.module_, X, y, y)
    by_error = error_and_gradient(clf.module_, X, y, y)
    assert (by_error.table["gradient_norm"] <= by_error.table["error_bound"]).all()
    # Both hold here, by far: the correlations are -0.9 and 1.0.
    assert by_size.rank_correlation < -0.5
    assert by_error.rank_correlation > 0.5


def test_size_and_gradient_two_groups_at_a_stationary_point_by_hand():
    # One weight per class and no features but a constant: gradient descent gets there.
    X, y = np.ones((40, 1)), np.repeat([0, 1], [30, 10])
    net = torch.nn.Linear(1, 2, bias=False).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(500):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.tensor(X)), torch.tensor(y)).backward()
        optimizer.step()
    relation = size_and_gradient(net, X, y, y)
    norms = relation.table["gradient_norm"]
    # 30 g_0 = -10 g_1: the smaller group's gradient is three times as long.
    assert norms[1] / norms[0] == pytest.approx(3, rel=1e-3)
    assert relation.rank_correlation == pytest.approx(-1)


def test_size_and_gradient_one_group_has_no_rank(data):
    X, y, _ = data
    assert np.isnan(size_and_gradient(smooth_net(), X, y, np.zeros(44)).rank_correlation)
    frame = pd.DataFrame({"g": ["a"] * 44}, index=range(7, 51))
    assert error_and_gradient(smooth_net(), X, y, frame).table.index.tolist() == ["a"]
    with pytest.raises(ValueError, match="X must be finite"):
        error_and_gradient(smooth_net(), np.full((44, 4), np.nan), y, frame)
