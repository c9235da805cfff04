"""The path integral against numbers by hand, a naive sum, and the excessive risk itself."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.theory.path import excessive_risk_by_layer, risk_attribution
from tests.conftest import assert_same_weights, classifier


def train(net, X, y, epochs=8):
    """Return the net, trained by hand, in training mode."""
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(X), generator=generator).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(X[rows]), y[rows]).backward()
            optimizer.step()
    return net


def pruned_at(net, rate, kinds=(nn.Linear, nn.Conv2d)):
    """Return a copy whose smallest weights, over all layers, are zero."""
    pruned = copy.deepcopy(net)
    weights = [part.weight for part in pruned.modules() if isinstance(part, kinds)]
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    threshold = sizes.kthvalue(int(rate * len(sizes))).values
    with torch.no_grad():
        for weight in weights:
            weight[weight.abs() <= threshold] = 0
    return pruned


def naive_parts(dense, pruned, X, y, n_nodes=2000):
    """Return the integral of each parameter's part, by midpoints, over one group."""
    net = copy.deepcopy(dense).double().eval()
    start = [value.detach().double() for value in dense.parameters()]
    delta = [
        value.detach().double() - other
        for value, other in zip(pruned.parameters(), start, strict=True)
    ]
    parts = np.zeros(len(start))
    for t in (np.arange(n_nodes) + 0.5) / n_nodes:
        with torch.no_grad():
            for value, other, step in zip(net.parameters(), start, delta, strict=True):
                value.copy_(other + t * step)
        loss = nn.functional.cross_entropy(net(torch.tensor(X).double()), torch.tensor(y))
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        parts += [float((g * step).sum()) for g, step in zip(gradients, delta, strict=True)]
    return parts / n_nodes


def assert_sums(path, rel=1e-3):
    risk = path.excessive_risk
    assert path.converged
    np.testing.assert_allclose(path.by_tensor.sum(axis=1), risk, rtol=rel)
    np.testing.assert_allclose(path.by_layer.sum(axis=1), risk, rtol=rel)
    np.testing.assert_allclose(path.error, path.by_tensor.sum(axis=1) - risk, atol=1e-12)


@pytest.fixture(scope="module")
def images(digits):
    X, y, group = digits
    return X[:300].reshape(-1, 1, 8, 8).astype(np.float32), y[:300], group[:300]


@pytest.fixture(scope="module")
def mlp(digits):
    X, y, _ = digits
    torch.manual_seed(0)
    return train(MLP(64, 10, hidden=(24, 16)), X[:400], y[:400])


@pytest.fixture(scope="module")
def resnet(images):
    X, y, _ = images
    torch.manual_seed(0)
    return train(ResNet18(10, in_channels=1, width=3), X, y, epochs=15)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_risk_by_layer_of_a_resnet_sums_to_the_risk(resnet, images, rate):
    X, y, group = (values[:60] for values in images)
    path = excessive_risk_by_layer(resnet, pruned_at(resnet, rate), X, y, group)
    assert_sums(path)
    assert path.by_layer.columns[0] == "stem.0"
    assert path.by_layer.columns[-1] == "classifier"
    assert path.by_layer.index.equals(path.excessive_risk.index)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_risk_by_layer_of_an_mlp_equals_a_naive_sum(mlp, digits, rate):
    X, y, group = (values[:80] for values in digits)
    X = X.astype(np.float32)
    pruned = pruned_at(mlp, rate)
    path = excessive_risk_by_layer(mlp, pruned, X, y, group)
    assert_sums(path)
    for name, parts in path.by_tensor.iterrows():
        rows = group == name
        allowed = 2e-3 * abs(path.excessive_risk[name])
        naive = naive_parts(mlp, pruned, X[rows], y[rows])
        np.testing.assert_allclose(parts, naive, atol=allowed)


def line(weight, bias):
    net = nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.fill_(weight)
        net.bias.fill_(bias)
    return net


def squares(scores, y):
    return (scores[:, 0] - y) ** 2


def test_risk_by_layer_of_a_line_by_hand():
    # Residual at t: (1 − t)(2x + 1) − y. Of w: ∫ 2r · x · (−2) dt, of b: ∫ 2r · (−1) dt.
    # x = 1, y = 0: ∫ r = 3/2, parts −6 and −3, R = 0 − 9. x = 1, y = 1: ∫ r = 1/2, −2 and −1.
    path = excessive_risk_by_layer(
        line(2, 1), line(0, 0), [[1.0], [1.0]], [0, 1], ["a", "b"], criterion=squares
    )
    np.testing.assert_allclose(path.by_tensor, [[-6, -3], [-2, -1]], rtol=1e-6)
    np.testing.assert_allclose(path.excessive_risk, [-9, -3], rtol=1e-6)
    assert path.by_tensor.columns.tolist() == ["weight", "bias"]
    assert path.by_layer.columns.tolist() == ["Linear"]
    np.testing.assert_allclose(path.by_layer["Linear"], [-9, -3], rtol=1e-6)
    assert path.n_evaluations == 9  # Simpson's rule is exact: no panel is halved
    assert path.split_error.max() < 1e-6


def test_risk_by_layer_layers_that_stay_contribute_nothing(mlp, digits):
    X, y, group = (values[:60] for values in digits)
    pruned = copy.deepcopy(mlp)
    with torch.no_grad():
        pruned.layers[2].weight[:, ::2] = 0
    path = excessive_risk_by_layer(mlp, pruned, X, y, group)
    assert_sums(path)
    assert (path.by_layer[["layers.0", "layers.4"]] == 0).all(axis=None)
    assert (path.by_tensor["layers.2.bias"] == 0).all()
    pd.testing.assert_series_equal(
        path.by_layer["layers.2"], path.by_tensor["layers.2.weight"], check_names=False
    )


def test_risk_by_layer_of_the_same_nets_is_zero(mlp, digits):
    X, y, group = (values[:60] for values in digits)
    path = excessive_risk_by_layer(mlp, copy.deepcopy(mlp), X, y, group)
    assert (path.by_layer == 0).all(axis=None)
    assert (path.excessive_risk == 0).all()
    assert (path.error == 0).all()
    assert path.converged
    table = risk_attribution(mlp, mlp, X, y, group)
    pd.testing.assert_frame_equal(table, path.by_tensor)


def test_risk_by_layer_batch_norm_statistics_after_fine_tuning_have_parts(digits):
    X, y, group = digits
    clf = classifier(max_epochs=2).fit(X, y, sensitive_features=group)
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=1)
    dense, pruned = clf.dense_module_, clf.module_
    rows = X[:200].astype(np.float32), y[:200], group[:200]
    path = excessive_risk_by_layer(dense, pruned, *rows)
    # Fine-tuning may cancel what pruning did: the sum is held to the tolerance of the function.
    allowed = 1e-3 * np.maximum(path.excessive_risk.abs(), path.excessive_risk.abs().max() / 100)
    assert path.converged
    assert (path.error.abs() <= allowed + 1e-4).all()
    norms = ["layers.2.weight", "layers.2.bias", "layers.2.running_mean", "layers.2.running_var"]
    assert (path.by_tensor[norms] != 0).all(axis=None)
    assert "layers.2.num_batches_tracked" not in path.by_tensor
    np.testing.assert_allclose(path.by_layer["layers.2"], path.by_tensor[norms].sum(axis=1))


def test_risk_by_layer_statistics_alone_equal_finite_differences():
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2, affine=False), nn.Linear(2, 2)).double()
    X, y = np.array([[0.3, -1.0], [1.2, 0.4]]), [0, 1]
    moved = copy.deepcopy(net)
    with torch.no_grad():
        moved[1].running_mean += torch.tensor([0.5, -0.2])
    path = excessive_risk_by_layer(net, moved, X, y, ["a", "b"], tol=1e-8)
    with torch.no_grad():
        losses = [
            nn.functional.cross_entropy(
                part.eval()(torch.tensor(X)), torch.tensor(y), reduction="none"
            )
            for part in (net, moved)
        ]
    np.testing.assert_allclose(path.by_tensor["1.running_mean"], losses[1] - losses[0], rtol=1e-7)


@pytest.mark.slow
def test_risk_by_layer_leaves_the_nets_as_they_are(resnet, images):
    X, y, group = (values[:8] for values in images)
    pruned = pruned_at(resnet, 0.3)
    before = copy.deepcopy(resnet), copy.deepcopy(pruned)
    resnet.train()
    excessive_risk_by_layer(resnet, pruned, X, y, group, tol=0.2)
    assert resnet.training
    assert all(value.grad is None for value in pruned.parameters())
    assert all(value.requires_grad for value in resnet.parameters())
    assert "forward" not in vars(resnet.stem[1])
    assert_same_weights(resnet, before[0])
    assert_same_weights(pruned, before[1])


def test_risk_by_layer_tolerance_not_reached_warns(resnet, images):
    X, y, group = (values[:8] for values in images)
    with pytest.warns(ConvergenceWarning, match="tol=1e-06 in 9 evaluations"):
        path = excessive_risk_by_layer(
            resnet, pruned_at(resnet, 0.9), X, y, group, tol=1e-6, max_evaluations=9
        )
    assert not path.converged
    assert path.n_evaluations == 9
    np.testing.assert_allclose(
        path.by_tensor.sum(axis=1) - path.error, path.excessive_risk, rtol=1e-9
    )


@pytest.mark.slow
def test_risk_by_layer_groups_of_one_one_group_odd_index_and_chunks_work(mlp, digits):
    X, y, _ = (values[:12] for values in digits)
    pruned = pruned_at(mlp, 0.6)
    each = excessive_risk_by_layer(mlp, pruned, X, y, np.arange(12), max_evaluations=5000)
    assert_sums(each, rel=1e-2)
    index = np.arange(12)[::-1] * 7
    frames = pd.DataFrame(X, index=index), pd.Series(y, index=index)
    who = pd.Series(["all"] * 12, index=index, name="who")
    one = excessive_risk_by_layer(mlp, pruned, *frames, who)
    assert one.excessive_risk.index.tolist() == ["all"]
    assert one.excessive_risk.index.name == "who"
    assert one.excessive_risk["all"] == pytest.approx(each.excessive_risk.mean(), rel=1e-5)
    chunks = excessive_risk_by_layer(mlp, pruned, X, y, ["all"] * 12, batch_size=5)
    np.testing.assert_allclose(chunks.by_layer, one.by_layer, rtol=1e-3)
    frame = pd.DataFrame({"digit": y, "half": np.arange(12) % 2})
    table = risk_attribution(mlp, pruned, X, y, frame, tol=0.1)
    assert table.index.names == ["digit", "half"]


def test_risk_by_layer_of_frozen_nets_sums_to_the_risk(mlp, digits):
    X, y, group = (values[:30] for values in digits)
    frozen = copy.deepcopy(mlp).requires_grad_(False)
    path = excessive_risk_by_layer(frozen, pruned_at(mlp, 0.7).requires_grad_(False), X, y, group)
    assert_sums(path)
    assert not any(value.requires_grad for value in frozen.parameters())


SMALL = {"X": np.ones((3, 64)), "y": [0, 1, 2], "sensitive_features": ["a", "a", "b"]}


class Doubled(MLP):
    """The same tensors, another function."""

    def forward(self, X):
        return 2 * super().forward(X)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"dense": "net"}, "dense must be a torch.nn.Module, got str"),
        ({"pruned": None}, "pruned must be a torch.nn.Module, got NoneType"),
        ({"pruned": MLP(64, 10, hidden=(12, 16))}, "same shapes, got layers.0.weight of shape"),
        ({"pruned": MLP(64, 10, hidden=(24,))}, r"only one of them has \['layers.4.bias'"),
        ({"pruned": Doubled(64, 10, hidden=(24, 16))}, "must be nets of one architecture"),
        ({"X": np.full((3, 64), np.nan)}, "X must be finite"),
        ({"X": np.ones((0, 64))}, "X must hold at least one sample"),
        ({"y": [0, 1]}, "y has 2 rows, but X has 3"),
        ({"y": [0, 1, -1]}, "y must hold integers from 0"),
        ({"sensitive_features": ["a"]}, "sensitive_features has 1 rows"),
        ({"sensitive_features": None}, "sensitive_features must hold the group"),
        ({"sensitive_features": ["a", None, "b"]}, "sensitive_features must have no missing"),
        ({"tol": 0}, r"tol must be a number in \(0, 1\), got 0"),
        ({"tol": "small"}, "tol must be a number"),
        ({"max_evaluations": 8}, "max_evaluations must be an integer >= 9, got 8"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
    ],
)
def test_risk_by_layer_bad_input_raises(mlp, spoil, message):
    arguments = {"dense": mlp, "pruned": pruned_at(mlp, 0.5)} | SMALL
    with pytest.raises(ValueError, match=message):
        excessive_risk_by_layer(**(arguments | spoil))


def test_risk_by_layer_weights_that_are_not_finite_raise(mlp):
    pruned = copy.deepcopy(mlp)
    with torch.no_grad():
        pruned.layers[0].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="the losses of pruned must be finite"):
        excessive_risk_by_layer(mlp, pruned, **SMALL)
