"""Gradients of runs of rows against autograd, run by run."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sk_prunefair.modules import MLP, ResNet18, TabularNet
from sk_prunefair.nested import run, take
from sk_prunefair.runs import RunGradients

LENGTHS = [5, 1, 7, 3]
N = sum(LENGTHS)


class Tokens(nn.Module):
    """Linear layers and norms of tokens, a table with a padding index."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 6, padding_idx=0)
        self.layers = nn.Sequential(
            nn.Linear(6, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 5, bias=False)
        )
        self.head = nn.Linear(5, 3)

    def forward(self, X):
        return self.head(self.layers(self.table(X)).mean(1))


class Twice(nn.Module):
    """One layer that is called twice, and two layers of one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.head = nn.Linear(4, 3)

    def forward(self, X):
        return self.head(self.second(torch.tanh(self.first(torch.tanh(self.first(X))))))


class InPlace(nn.Module):
    """What a layer returns is changed in place, and what a layer was given is kept beside it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2)
        self.norm = nn.GroupNorm(2, 4)
        self.line = nn.Conv1d(4, 4, 3, dilation=2, padding=2)
        self.head = nn.Linear(4, 3)

    def forward(self, X):
        X = F.relu_(self.norm(self.conv(X))).flatten(2)
        X = F.relu_(self.line(X) + X)
        return self.head(X.mean(2))


class Functional(nn.Module):
    """A layer, and its weight once more behind its back."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, X):
        return self.head(torch.tanh(F.linear(self.layer(X), self.layer.weight)))


class Loose(nn.Module):
    """A parameter of no layer."""

    def __init__(self):
        super().__init__()
        self.scale, self.head = nn.Parameter(torch.ones(4)), nn.Linear(4, 3)

    def forward(self, X):
        return self.head(X * self.scale)


class Shuffled(nn.Module):
    """Rows that change places between two layers, and go back."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, X):
        order = X[:, 0].argsort()
        return self.head(torch.tanh(self.layer(X[order]))[order.argsort()])


class Mixed(nn.Module):
    """Rows that look at each other."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, X):
        X = self.layer(X)
        return self.head(torch.tanh(X - X.mean(0)))


class Spoiled(nn.Module):
    """What a layer was given is changed afterwards: autograd refuses that for its weight."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, X):
        given = X * 1
        out = self.layer(given)
        given.mul_(2)
        return self.head(out)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, X):
        return self.head(self.encoder(X).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, X):
        return self.head(self.cell(X)[0][:, -1])


def numbers(*shape):
    return torch.randn(N, *shape, dtype=torch.float64)


def net_and_data(make, shape):
    torch.manual_seed(0)
    net = make().double().eval()
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._NormBase):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
            nn.init.normal_(part.weight)
    if shape == "table":
        categories = torch.stack([torch.randint(0, 3, (N,)), torch.randint(3, 5, (N,))], 1)
        X = {"numbers": numbers(3), "categories": categories}
    elif shape == "tokens":
        X = torch.randint(0, 7, (N, 5))
    else:
        X = numbers(*shape)
    return net, X, torch.randint(0, 3, (N,)), torch.rand(N, dtype=torch.float64) + 0.5


def losses_of(net):
    return lambda X, y: F.cross_entropy(run(net, X), y, reduction="none")


def one_by_one(net, weights, X, y, row_weights):
    out, start = [], 0
    for length in LENGTHS:
        rows = slice(start, start + length)
        total = losses_of(net)(take(X, rows), y[rows]) @ row_weights[rows]
        out.append(torch.autograd.grad(total, list(weights.values())))
        start += length
    return {
        name: torch.stack(parts)
        for name, parts in zip(weights, zip(*out, strict=True), strict=True)
    }


def pruned_mlp():
    net = MLP(4, 3, hidden=(6, 5))
    with torch.no_grad():
        for value in net.parameters():
            value[value.abs() < 0.2] = 0
    return net


KNOWN = {
    "mlp": (lambda: MLP(4, 3, hidden=(6, 5)), (4,)),
    "pruned": (pruned_mlp, (4,)),
    "frozen layer": (lambda: nn.Sequential(nn.Linear(4, 4).requires_grad_(False), MLP(4, 3)), (4,)),
    "batch norm 1d": (lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), MLP(5, 3)), (4,)),
    "resnet": (lambda: ResNet18(3, in_channels=2, width=2), (2, 8, 8)),
    "in place": (InPlace, (2, 6, 6)),
    "table": (lambda: TabularNet(3, 5, 3, width=6), "table"),
    "tokens": (Tokens, "tokens"),
    "twice": (Twice, (4,)),
}
UNKNOWN = {
    "functional": (Functional, (4,)),
    "loose": (Loose, (4,)),
    "shuffled": (Shuffled, (4,)),
    "mixed": (Mixed, (4,)),
    "attention": (Attention, (5, 4)),
    "recurrent": (Recurrent, (5, 4)),
    "prelu": (lambda: nn.Sequential(nn.Linear(4, 3), nn.PReLU()), (4,)),
    "spoiled": (Spoiled, (4,)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_run_gradients_equal_autograd_run_by_run(name):
    net, X, y, row_weights = net_and_data(*KNOWN[name])
    weights = {key: value for key, value in net.named_parameters() if value.requires_grad}
    found = RunGradients(net, weights, losses_of(net))(X, y, LENGTHS, row_weights)
    assert found is not None
    expected = one_by_one(net, weights, X, y, row_weights)
    assert list(found) == list(expected)
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-9, atol=1e-12, msg=key)
    assert not any(part._forward_hooks for part in net.modules())
    assert all(value.grad is None for value in weights.values())


@pytest.mark.parametrize("name", UNKNOWN)
def test_run_gradients_where_the_formulas_do_not_hold_are_none(name):
    net, X, y, row_weights = net_and_data(*UNKNOWN[name])
    gradients = RunGradients(net, dict(net.named_parameters()), losses_of(net))
    assert gradients(X, y, LENGTHS, row_weights) is None
    assert not gradients.is_possible


def test_run_gradients_axes_that_change_places_are_none():
    class RowsSecond(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, X):
            return self.head(torch.tanh(self.layer(X.transpose(0, 1))).cumsum(0)[-1])

    # As many tokens as rows: the shapes do not tell one from the other.
    net, X, y, row_weights = net_and_data(RowsSecond, (N, 4))
    gradients = RunGradients(net, dict(net.named_parameters()), losses_of(net))
    assert gradients(X, y, LENGTHS, row_weights) is None


def test_run_gradients_of_some_weights_leave_the_others_out():
    net, X, y, row_weights = net_and_data(*KNOWN["mlp"])
    weights = {"layers.4.weight": net.layers[4].weight}
    net.layers[:4].requires_grad_(False)
    found = RunGradients(net, weights, losses_of(net))(X, y, LENGTHS, row_weights)
    torch.testing.assert_close(found, one_by_one(net, weights, X, y, row_weights))


def test_run_gradients_autocast_is_none():
    torch.manual_seed(0)
    net = MLP(4, 3)

    def losses(X, y):
        with torch.autocast("cpu", torch.bfloat16):
            return F.cross_entropy(net(X), y, reduction="none").float()

    gradients = RunGradients(net, dict(net.named_parameters()), losses)
    y = torch.zeros(N, dtype=torch.int64)
    assert gradients(torch.randn(N, 4), y, LENGTHS, torch.ones(N)) is None


def test_run_gradients_replaced_forward_is_none():
    net, X, y, row_weights = net_and_data(*KNOWN["mlp"])
    layer = net.layers[0]
    layer.forward = lambda given: F.linear(given, 2 * layer.weight, layer.bias)
    gradients = RunGradients(net, dict(net.named_parameters()), losses_of(net))
    assert gradients(X, y, LENGTHS, row_weights) is None
