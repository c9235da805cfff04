"""Theorem 2: its terms, the inequality that holds, and a case where the printed one does not."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_adult
from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.theory import boundary_bounds, boundary_closeness
from sk_prunefair.theory._per_sample import _by_vmap, squared_gradient_norms
from sk_prunefair.theory.boundary import logit
from sk_prunefair.theory.grouped import GroupedNet
from tests.conftest import data_home
from tests.theory.test_hessians import loss_of


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    group = np.repeat(["f", "m"], [8, 14])
    return rng.normal(size=(22, 3)), rng.integers(0, 2, 22), group


def net_of(n_scores=2, activation=nn.Tanh):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, n_scores)).double()


def test_boundary_closeness_by_hand(data):
    X, y, group = data
    net = net_of()
    p = net(torch.tensor(X)).softmax(1).detach().numpy()
    expected = pd.Series(p[:, 0] * p[:, 1]).groupby(group).mean()
    found = boundary_closeness(net, X, y, group, batch_size=3)
    np.testing.assert_allclose(found, expected)
    net = net_of(4)
    p = np.sort(net(torch.tensor(X)).softmax(1).detach().numpy(), axis=1)
    expected = pd.Series(1 - p[:, -1] + p[:, -2]).groupby(group).mean()
    np.testing.assert_allclose(boundary_closeness(net, X, y, group), expected)


def whole_terms(net, X, y, output):
    """Return of each sample f, ‖∇h‖² and the eigenvalues of ∇²h, from whole derivatives."""
    out = []
    for x, label in zip(torch.tensor(X), y, strict=True):
        named = {name: value.detach() for name, value in net.named_parameters()}

        def h(flat, x=x, named=named):
            parts = flat.split([value.numel() for value in named.values()])
            given = {n: p.view_as(v) for (n, v), p in zip(named.items(), parts, strict=True)}
            return output(torch.func.functional_call(net, given, x[None]))[0]

        flat = torch.cat([value.flatten() for value in named.values()])
        gradient = torch.func.grad(h)(flat)
        eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(h, flat))
        f = float(torch.sigmoid(logit(net(x[None]).detach())))
        out.append((f, label, float(gradient @ gradient), eigenvalues.numpy()))
    return out


@pytest.mark.parametrize("n_scores", [1, 2])
@pytest.mark.parametrize("form", ["logit", "printed"])
def test_boundary_bounds_every_term_equals_whole_derivatives(data, form, n_scores):
    X, y, group = data
    net = net_of(n_scores)
    frame = boundary_bounds(net, X, y, group, form=form, max_samples=None, tol=1e-6)

    def output(scores):
        return logit(scores) if form == "logit" else torch.sigmoid(logit(scores))

    for name in ("f", "m"):
        rows = group == name
        bounds, curvatures = [], []
        for f, label, squared, eigenvalues in whole_terms(net, X[rows], y[rows], output):
            is_turned = form == "logit" and f < label
            curvatures.append(-eigenvalues[0] if is_turned else eigenvalues[-1])
            bounds.append(f * (1 - f) * squared + abs(f - label) * curvatures[-1])
        assert frame.loc[name, "boundary_bound"] == pytest.approx(np.mean(bounds), rel=1e-4)
        assert frame.loc[name, "sample_curvature"] == pytest.approx(np.mean(curvatures), rel=1e-4)
        expected = np.std(bounds, ddof=1) / np.sqrt(len(bounds))
        assert frame.loc[name, "bound_se"] == pytest.approx(expected, rel=1e-3)
        if n_scores == 2:
            loss, flat = loss_of(net, torch.tensor(X[rows]), torch.tensor(y[rows]))
            top = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))[-1]
            assert frame.loc[name, "hessian_max_eigenvalue"] == pytest.approx(float(top), rel=1e-3)


def test_boundary_bounds_printed_form_fails_where_the_corrected_one_holds():
    # At f = 1/2 and no curvature, f(1-f)‖∇f‖² is a sixteenth of p(1-p)‖∇z‖², the true eigenvalue.
    net = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(net.weight)
    given = (net, np.array([[2.0], [2.0]]), np.array([0, 1]), ["a", "a"])
    printed, corrected = boundary_bounds(*given, form="printed"), boundary_bounds(*given)
    assert not printed["holds"].any()
    assert printed.loc["a", "hessian_max_eigenvalue"] == pytest.approx(2.0)
    assert printed.loc["a", "boundary_bound"] < 1.0
    assert corrected["holds"].all()


@pytest.mark.slow
def test_boundary_bounds_corrected_form_holds_for_every_group_of_adult():
    bunch = load_adult(data_home=data_home())
    encode = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    )
    X = encode.fit_transform(bunch.data).astype(np.float32)[:6000]
    y = np.asarray(bunch.target == ">50K")[:6000].astype(int)
    group = bunch.sensitive_features.iloc[:6000]
    clf = FairPrunedClassifier(
        MLP,
        module__hidden=(8,),
        module__activation=nn.Tanh,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=3,
        verbose=0,
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    frame = boundary_bounds(clf.module_, X, y, group, max_samples=20)
    assert len(frame) >= 8
    assert frame["holds"].all()
    assert (frame["n_samples"] <= 20).all()


@pytest.mark.parametrize("bias", [True, False])
def test_squared_gradient_norms_closed_form_equals_vmap(data, bias):
    X, y, group = data
    net = net_of(activation=nn.ReLU)
    net[0] = nn.Linear(3, 4, bias=bias).double()
    grouped = GroupedNet(net, X, y, group)
    closed = squared_gradient_norms(grouped, grouped.X, logit)
    np.testing.assert_allclose(closed, _by_vmap(grouped, grouped.X, logit))


class Twice(nn.Module):
    """The same layer twice: the closed form does not apply."""

    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, X):
        return self.out(torch.tanh(self.inner(torch.tanh(self.inner(X)))))


def one_by_one(net, X):
    out = []
    for x in X:
        net.zero_grad()
        logit(net(x[None])).sum().backward()
        out.append(sum(float(value.grad.square().sum()) for value in net.parameters()))
    return out


@pytest.mark.parametrize("kind", ["shared", "convolutions", "partly frozen"])
def test_squared_gradient_norms_of_other_nets_equal_one_by_one(data, kind):
    X, y, group = data
    torch.manual_seed(0)
    net = Twice().double()
    if kind == "convolutions":
        net = ResNet18(n_classes=2, width=2).double().eval()
        X = np.random.default_rng(0).normal(size=(6, 3, 8, 8))
        y, group = y[:6], group[:6]
    expected = one_by_one(net, torch.tensor(X))
    if kind == "partly frozen":
        net = net_of()
        net[0].requires_grad_(False)
        inner = torch.tanh(net[0](torch.tensor(X))).detach()
        expected = one_by_one(copy.deepcopy(net[2]), inner)
    grouped = GroupedNet(net, X, y, group)
    found = squared_gradient_norms(grouped, grouped.X, logit).numpy()
    np.testing.assert_allclose(found, np.array(expected)[grouped.order], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": net_of(3)}, "module must return one or two logits"),
        ({"y": np.arange(22) % 3}, "labels up to 2; the bound is for two classes"),
        ({"form": "both"}, "form must be 'logit' or 'printed'"),
        ({"max_samples": 0}, "max_samples must be an integer >= 1 or None"),
        ({"sensitive_features": [1, 2]}, "sensitive_features has 2 rows"),
    ],
    ids=str,
)
def test_boundary_bounds_bad_input_raises(data, change, message):
    X, y, group = data
    given = {"module": net_of(), "X": X, "y": y, "sensitive_features": group} | change
    with pytest.raises(ValueError, match=message):
        boundary_bounds(**given)


def test_boundary_bounds_two_columns_of_groups_and_a_group_of_one_work(data):
    X, y, _ = data
    frame = pd.DataFrame({"sex": ["f", "m"] * 11, "race": ["x"] + ["y"] * 21})
    found = boundary_bounds(net_of(), X, y, frame)
    assert found.index.names == ["sex", "race"]
    assert found.loc[("f", "x"), "n_samples"] == 1
    assert np.isnan(found.loc[("f", "x"), "bound_se"])
    assert found["holds"].all()
