"""Group gradients and Hessians against derivatives of whole, small nets in float64."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.func import functional_call

from sk_prunefair.theory import group_gradient_norms, group_hessian_eigenvalues
from tests.conftest import SmallNet, classifier, weights


def smooth_net(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    group = np.repeat(["many", "few", "one"], [60, 12, 1])
    rng.shuffle(group)
    X = rng.normal(size=(73, 4)) * np.where(group == "few", 2.0, 1.0)[:, None]
    return X, rng.integers(0, 3, 73), group


def loss_of(net, X, y):
    """Return the mean cross entropy as a function of one flat vector, and that vector."""
    named = {name: value.detach() for name, value in net.named_parameters()}

    def loss(flat):
        parts = flat.split([value.numel() for value in named.values()])
        given = {n: p.view_as(v) for (n, v), p in zip(named.items(), parts, strict=True)}
        return nn.functional.cross_entropy(functional_call(net, given, X), y)

    return loss, torch.cat([value.flatten() for value in named.values()])


def by_group(net, X, y, group):
    for name in sorted(set(group)):
        rows = group == name
        yield name, *loss_of(net, torch.tensor(X[rows]), torch.tensor(y[rows]))


@pytest.mark.parametrize("batch_size", [None, 5])
def test_group_gradient_norms_are_exact(data, batch_size):
    net = smooth_net()
    norms = group_gradient_norms(net, *data, batch_size=batch_size)
    assert norms.index.tolist() == ["few", "many", "one"]
    for name, loss, flat in by_group(net, *data):
        assert norms[name] == pytest.approx(float(torch.func.grad(loss)(flat).norm()), abs=1e-9)


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("batch_size", [None, 5])
def test_group_eigenvalues_are_exact_within_their_residuals(data, which, batch_size):
    net = smooth_net()
    options = {"k": 3, "which": which, "tol": 1e-6, "batch_size": batch_size}
    frame = group_hessian_eigenvalues(net, *data, **options)
    for name, loss, flat in by_group(net, *data):
        truth = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat)).numpy()
        expected = truth[::-1][:3] if which == "largest" else truth[:3]
        found = frame.loc[name, ["eigenvalue", "eigenvalue_2", "eigenvalue_3"]].astype(float)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        loose = group_hessian_eigenvalues(net, *data, which=which, tol=0.05).loc[name]
        off = np.abs(truth - loose["eigenvalue"]).min()
        assert off <= loose["residual"] + 1e-12


def test_group_eigenvalues_too_few_products_warn(data):
    with pytest.warns(ConvergenceWarning, match=r"groups \['few', 'many'"):
        frame = group_hessian_eigenvalues(smooth_net(), *data, max_iter=2, tol=1e-6)
    assert (frame["n_iter"] == 2).all()
    assert (frame["residual"] > 0).any()


def test_group_eigenvalues_of_sub_samples_are_biased_upward_and_flagged(digits):
    X, y, group = digits
    clf = classifier(max_epochs=8).fit(X, y, sensitive_features=group)
    whole = group_hessian_eigenvalues(clf.module_, X, y, group)
    few = group_hessian_eigenvalues(clf.module_, X, y, group, max_samples=50, n_resamples=5)
    assert (few["eigenvalue"] > whole["eigenvalue"]).all()
    assert (few["eigenvalue_std"] > 0).all()
    assert (few["n_samples"] == 50).all()
    sizes = pd.Series(group).value_counts()
    between = int(sizes.mean())
    flagged = group_hessian_eigenvalues(clf.module_, X, y, group, max_samples=between)
    assert flagged["is_small"].to_dict() == (sizes < between).to_dict()


def test_group_eigenvalues_leave_the_net_as_it_was(digits):
    X, y, group = digits
    torch.manual_seed(0)
    net = SmallNet(64, 10)
    before = weights(net)
    first = group_hessian_eigenvalues(net, X[:200], y[:200], group[:200])
    norms = group_gradient_norms(net, X[:200], y[:200], group[:200])
    assert net.training
    assert all(value.grad is None for value in net.parameters())
    for name, value in weights(net).items():
        np.testing.assert_array_equal(value, before[name])
    # Batch norm is frozen and dropout off: chunks and order do not matter.
    order = np.random.default_rng(0).permutation(200)
    again = group_gradient_norms(net, X[order], y[order], group[order], batch_size=7)
    np.testing.assert_allclose(again, norms, rtol=1e-4)
    assert (first["eigenvalue"] > 0).all()


def test_group_eigenvalues_frozen_parameters_are_left_out(data):
    net = smooth_net()
    net[0].requires_grad_(False)
    last = net[2]
    X, y, group = data
    inner = torch.tanh(net[0](torch.tensor(X))).detach().numpy()
    pd.testing.assert_series_equal(
        group_gradient_norms(net, X, y, group), group_gradient_norms(last, inner, y, group)
    )
    net.requires_grad_(False)
    with pytest.raises(ValueError, match="at least one parameter that requires a gradient"):
        group_gradient_norms(net, X, y, group)


def test_group_eigenvalues_odd_indexes_and_one_group_work(data):
    X, y, group = data
    net = smooth_net()
    index = np.arange(73) * 3 + 5
    features = pd.DataFrame({"g": group, "h": "all"}, index=index)
    norms = group_gradient_norms(net, pd.DataFrame(X, index=index), pd.Series(y, index), features)
    plain = group_gradient_norms(net, X, y, group)
    np.testing.assert_allclose(norms.to_numpy(), plain.to_numpy())
    assert norms.index.names == ["g", "h"]
    one = group_hessian_eigenvalues(net, X, y, np.zeros(73))
    assert one.shape[0] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.full((73, 4), np.nan)}, "X must be finite"),
        ({"X": np.zeros((0, 4))}, "X must hold at least one sample"),
        ({"y": np.zeros(5, int)}, "y has 5 rows, but X has 73"),
        ({"y": np.array(["a"] * 73)}, "y must hold integers"),
        ({"y": np.full(73, -1)}, "y must hold integers"),
        ({"sensitive_features": ["a"] * 5}, "sensitive_features has 5 rows"),
        ({"sensitive_features": None}, "sensitive_features must hold"),
        ({"module": "net"}, "module must be a torch.nn.Module"),
        ({"criterion": lambda scores, y: scores}, "criterion must return one loss per sample"),
        ({"criterion": lambda scores, y: 1.0}, "criterion must return"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"k": 0}, "k must be an integer from 1"),
        ({"k": 44}, "k must be an integer from 1 to the number of parameters, 43"),
        ({"which": "all"}, "which must be"),
        ({"max_samples": 0}, "max_samples must be"),
        ({"n_resamples": 0}, "n_resamples must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"tol": 0.0}, "tol must be in"),
    ],
)
def test_group_eigenvalues_bad_input_raises(data, change, message):
    X, y, group = data
    given = {"module": smooth_net(), "X": X, "y": y, "sensitive_features": group} | change
    with pytest.raises(ValueError, match=message):
        group_hessian_eigenvalues(**given)
