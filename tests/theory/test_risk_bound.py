"""Theorem 1 against whole derivatives, and its rest of third order."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sk_prunefair.theory import risk_bounds
from tests.conftest import classifier, weights
from tests.theory.test_hessians import by_group, smooth_net


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    group = np.repeat(["f", "m"], [25, 60])
    X = rng.normal(size=(85, 4)) * np.where(group == "f", 2.0, 1.0)[:, None]
    return X, rng.integers(0, 3, 85), group


def displaced(net, direction, length):
    moved = copy.deepcopy(net)
    with torch.no_grad():
        for value, part in zip(moved.parameters(), direction, strict=True):
            value += length * part
    return moved


def test_risk_bounds_every_term_equals_whole_derivatives(data):
    net = smooth_net()
    pruned = copy.deepcopy(net)
    with torch.no_grad():
        for value in pruned.parameters():
            value[value.abs() < 0.3] = 0.0
    frame = risk_bounds(net, pruned, *data, tol=1e-6)
    flat, other = (nn.utils.parameters_to_vector(n.parameters()).detach() for n in (net, pruned))
    delta = other - flat
    for name, loss, theta in by_group(net, *data):
        gradient = torch.func.grad(loss)(theta)
        hessian = torch.autograd.functional.hessian(loss, theta)
        top, length = float(torch.linalg.eigvalsh(hessian)[-1]), float(delta.norm())
        expected = {
            "gradient_norm": float(gradient.norm()),
            "hessian_max_eigenvalue": top,
            "displacement_norm": length,
            "first_order": float(gradient.norm()) * length,
            "second_order": 0.5 * top * length**2,
            "risk_bound": float(gradient.norm()) * length + 0.5 * top * length**2,
            "risk_estimate": float(gradient @ delta + 0.5 * delta @ hessian @ delta),
            "excessive_risk": float(loss(other) - loss(theta)),
        }
        found = frame.loc[name]
        for term, value in expected.items():
            assert found[term] == pytest.approx(value, rel=1e-5, abs=1e-9), term
        assert found["size"] == (data[2] == name).sum()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Softplus])
def test_risk_bounds_what_is_missing_vanishes_with_the_third_power(data, activation):
    net = smooth_net()
    net[1] = activation()
    torch.manual_seed(1)
    direction = [torch.randn_like(value) for value in net.parameters()]
    nets = {length: displaced(net, direction, length) for length in (0.02, 0.01, 0.005)}
    frame = risk_bounds(net, nets, *data, tol=1e-6)
    rest = (frame["excessive_risk"] - frame["risk_estimate"]).abs().unstack("net")
    for larger, smaller in ((0.02, 0.01), (0.01, 0.005)):
        np.testing.assert_allclose(rest[larger] / rest[smaller], 8, rtol=0.25)
    # The bound is not below the estimate, so what it may miss is of third order too.
    assert (frame["risk_bound"] >= frame["risk_estimate"]).all()
    assert (frame["excessive_risk"] <= frame["risk_bound"] + rest.max().max()).all()


def test_risk_bounds_of_a_curve_equal_those_of_single_rates(digits):
    X, y, group = digits
    clf = classifier().fit(X, y, sensitive_features=group)
    nets = {rate: copy.deepcopy(clf.prune(rate).module_) for rate in (0.3, 0.9)}
    before = weights(clf.dense_module_)
    curve = risk_bounds(clf.dense_module_, nets, X, y, group)
    for rate, net in nets.items():
        pd.testing.assert_frame_equal(
            curve.loc[rate], risk_bounds(clf.dense_module_, net, X, y, group)
        )
    report = clf.prune(0.9).fairness_report(X, y, sensitive_features=group)
    np.testing.assert_allclose(
        curve.loc[0.9, "excessive_risk"], report.excessive_risk, rtol=1e-4, atol=1e-5
    )
    assert (curve["risk_bound"] > curve["excessive_risk"]).all()
    for name, value in weights(clf.dense_module_).items():
        np.testing.assert_array_equal(value, before[name])


def test_risk_bounds_nets_that_do_not_match_raise(data):
    net = smooth_net()
    with pytest.raises(ValueError, match=r"'0\.weight' of shape \(5, 4\) in dense and \(4, 4\)"):
        risk_bounds(net, nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)), *data)
    with pytest.raises(ValueError, match="and none in pruned"):
        risk_bounds(net, nn.Linear(4, 3), *data)
