"""Accuracy under attack against a naive attack and outcomes by hand."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sk_prunefair.modules import MLP
from sk_prunefair.theory.robustness import group_robustness
from tests.conftest import assert_same_weights
from tests.theory.test_path import pruned_at, train

pytest.importorskip("art.attacks.evasion")


@pytest.fixture(scope="module")
def mlp(digits):
    X, y, _ = digits
    torch.manual_seed(0)
    return train(MLP(64, 10, hidden=(24, 16)), X[:400], y[:400])


def plane(weight):
    """Return a binary linear net: class 1 where x · weight > 0."""
    net = nn.Linear(len(weight), 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0] * len(weight), weight]))
    return net


def naive_fgsm(net, X, y, epsilon, clip=None):
    """Return the accuracy of each sample after one step along the sign of the input gradient."""
    net = copy.deepcopy(net).eval()
    X = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    y = torch.tensor(y)
    nn.functional.cross_entropy(net(X), y, reduction="sum").backward()
    moved = X.detach() + epsilon * X.grad.sign()
    if clip is not None:
        moved = moved.clamp(*clip)
    return (net(moved).argmax(1) == y).numpy()


def test_group_robustness_of_a_plane_by_hand():
    # The distance of x to x · w = 0 in the largest norm is |x · w| / Σ|w|, here |2a − b| / 3.
    X = np.array([[1.0, 0.2], [0.5, 0.7], [0.0, 0.9], [0.1, 2.0], [-0.2, 0.2]])
    y = np.array([1, 1, 0, 0, 1])
    # 1.8, 0.3, −0.9, −1.8, −0.6 over 3: margins 0.6, 0.1, 0.3, 0.6, and a wrong one.
    group = ["a", "a", "b", "b", "b"]
    table = group_robustness(plane([2.0, -1.0]), X, y, group, epsilon=0.2)
    assert table.columns.tolist() == ["count", "clean", "fgsm", "pgd", "boundary_closeness"]
    assert table["count"].tolist() == [2, 3]
    np.testing.assert_allclose(table["clean"], [1, 2 / 3])
    np.testing.assert_allclose(table["fgsm"], [1 / 2, 2 / 3])
    np.testing.assert_allclose(table["pgd"], [1 / 2, 2 / 3])
    more = group_robustness(plane([2.0, -1.0]), X, y, group, epsilon=0.5, attacks=["pgd"])
    np.testing.assert_allclose(more["pgd"], [1 / 2, 1 / 3])
    assert "fgsm" not in more
    # Top minus second probability of two classes: |2σ(z) − 1| = tanh(|z| / 2).
    close = (1 - np.tanh(X @ [2, -1] / 2) ** 2) / 4
    expected = [close[:2].mean(), close[2:].mean()]
    np.testing.assert_allclose(table["boundary_closeness"], expected, rtol=1e-6)


@pytest.mark.parametrize("clip", [None, (0, 1)])
def test_group_robustness_fgsm_equals_the_naive_one(mlp, digits, clip):
    X, y, group = (values[:300] for values in digits)
    X = X.astype(np.float32)
    table = group_robustness(mlp, X, y, group, epsilon=0.1, attacks=("fgsm",), clip=clip)
    right = pd.Series(naive_fgsm(mlp, X, y, 0.1, clip)).groupby(group).mean()
    np.testing.assert_allclose(table["fgsm"], right, atol=0.01)
    assert (table["fgsm"] < table["clean"]).all()


def test_group_robustness_pgd_is_no_weaker_than_fgsm(mlp, digits):
    X, y, group = (values[:300] for values in digits)
    for net in (mlp, pruned_at(mlp, 0.7)):
        table = group_robustness(net, X, y, group, epsilon=0.1, clip=(0, 1))
        assert (table["pgd"] <= table["fgsm"] + 0.01).all()
        assert (table["pgd"] < table["clean"]).all()
        assert table["boundary_closeness"].between(0, 1).all()


def test_group_robustness_epsilon_zero_moves_nothing(mlp, digits):
    X, y, group = (values[:100] for values in digits)
    table = group_robustness(mlp, X, y, group, epsilon=0, step_size=0.01)
    np.testing.assert_array_equal(table["fgsm"], table["clean"])
    np.testing.assert_array_equal(table["pgd"], table["clean"])
    with torch.no_grad():
        right = mlp(torch.tensor(X, dtype=torch.float32)).argmax(1).numpy() == y
    np.testing.assert_allclose(table["clean"], pd.Series(right).groupby(group).mean())


def test_group_robustness_chunks_and_double_precision_change_nothing(mlp, digits):
    X, y, group = (values[:60] for values in digits)
    table = group_robustness(mlp, X, y, group, epsilon=0.1)
    chunks = group_robustness(mlp, X, y, group, epsilon=0.1, batch_size=7)
    pd.testing.assert_frame_equal(table, chunks)
    double = group_robustness(copy.deepcopy(mlp).double(), X, y, group, epsilon=0.1)
    pd.testing.assert_frame_equal(table, double, atol=0.05)


def test_group_robustness_other_criteria_one_group_and_odd_index_work(mlp, digits):
    X, y, _ = (values[:40] for values in digits)
    index = np.arange(40)[::-1] * 3
    group = pd.Series(["all"] * 40, index=index, name="who")
    table = group_robustness(
        mlp,
        pd.DataFrame(X, index=index),
        pd.Series(y, index=index),
        group,
        epsilon=0.1,
        criterion=nn.MultiMarginLoss,
    )
    assert table.index.tolist() == ["all"]
    assert table.index.name == "who"
    assert table.loc["all", "count"] == 40
    assert table.loc["all", "pgd"] < table.loc["all", "clean"]


def test_group_robustness_leaves_net_and_generators_as_they_are(mlp, digits):
    X, y, group = (values[:20] for values in digits)
    before, state = copy.deepcopy(mlp), torch.get_rng_state()
    drawn = np.random.get_state()[1].copy()  # noqa: NPY002
    mlp.zero_grad()
    group_robustness(mlp, X, y, group, epsilon=0.1)
    assert_same_weights(mlp, before)
    assert mlp.training
    assert all(value.requires_grad and value.grad is None for value in mlp.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)  # noqa: NPY002


def test_group_robustness_without_the_toolbox_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "art.attacks.evasion", None)
    with pytest.raises(ImportError, match=r"pip install 'sk-prunefair\[attacks\]'"):
        group_robustness(plane([1.0]), [[1.0]], [1], ["a"], epsilon=0.1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"module": "net"}, "module must be a torch.nn.Module, got str"),
        (
            {"module": nn.Linear(2, 1), "y": [0, 0, 0], "criterion": lambda s, y: s[:, 0]},
            "module must return scores of shape",
        ),
        ({"X": np.ones((3, 2), dtype=int)}, "X must be of a float dtype"),
        ({"X": np.full((3, 2), np.inf)}, "X must be finite"),
        ({"y": [0, 1]}, "y has 2 rows, but X has 3"),
        ({"sensitive_features": ["a"]}, "sensitive_features has 1 rows"),
        ({"epsilon": -0.1}, "epsilon must be a finite number >= 0, got -0.1"),
        ({"epsilon": np.nan}, "epsilon must be a finite number"),
        ({"epsilon": "much"}, "epsilon must be a finite number"),
        ({"attacks": "fgsm"}, "attacks must be a sequence of some of"),
        ({"attacks": ["cw"]}, r"attacks must be .* got \['cw'\]"),
        ({"attacks": ()}, "attacks must be a sequence"),
        ({"steps": 0}, "steps must be an integer >= 1, got 0"),
        ({"step_size": 0}, "step_size must be a number > 0 or None, got 0"),
        ({"clip": (1, 0)}, "clip must be a pair of numbers, low < high"),
        ({"clip": 1}, "clip must be a pair of numbers"),
        ({"clip": (0, 0.5)}, r"X must lie within clip=\(0, 0.5\), got values from 1 to 1"),
    ],
)
def test_group_robustness_bad_input_raises(spoil, message):
    arguments = {
        "module": plane([1.0, 1.0]),
        "X": np.ones((3, 2), dtype=np.float32),
        "y": [0, 1, 1],
        "sensitive_features": ["a", "a", "b"],
        "epsilon": 0.1,
    }
    with pytest.raises(ValueError, match=message):
        group_robustness(**(arguments | spoil))
