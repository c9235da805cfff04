"""A tiny net, its data and naive references, for the tests of both constraints on derivatives."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sk_prunefair.hooks import Training
from tests.conftest import SmallNet, classifier


def tiny_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def tiny_data(n_groups=4):
    torch.manual_seed(1)
    X, y = torch.randn(30, 3).double(), torch.arange(30) % 3
    # The last group is absent, the one before has a single row.
    group = torch.arange(30) % (n_groups - 2)
    group[7] = n_groups - 2
    return X, y, group, torch.rand(30).double() + 0.5


def fake(module, n_groups=4, masks=None):
    return SimpleNamespace(
        module_=module,
        groups_=list(range(n_groups)),
        training_=Training("before", epochs=1),
        device="cpu",
        zeroed_=masks or {},
        sample_losses=lambda output, y: cross_entropy(output, y, reduction="none"),
    )


def penalty_of(constraint, module, data, masks=None):
    X, y, group, weight = data
    net = fake(module, masks=masks)
    batch = {"X": X, "group": group, "sample_weight": weight}
    constraint.initialize().on_train_begin(net)
    constraint.on_epoch_begin(net)
    constraint.on_batch_begin(net, batch=(batch, y), training=True)
    losses = net.sample_losses(module(X), y)
    return constraint.penalty(net, losses, batch)


def group_loss(module, data, a):
    X, y, group, weight = data
    rows = group == a
    losses = cross_entropy(module(X[rows]), y[rows], reduction="none")
    return (weight[rows] * losses).sum() / weight[rows].sum()


def mean_loss(module, data):
    X, y, _, weight = data
    losses = cross_entropy(module(X), y, reduction="none")
    return float(((weight * losses).sum() / weight.sum()).detach())


def spread(values):
    return abs(values - values.mean()).mean()


def finite_differences(function, module, step=1e-6):
    slopes = []
    for parameter in module.parameters():
        flat = parameter.data.view(-1)
        for i in range(len(flat)):
            middle = float(flat[i])
            ends = []
            for sign in (1, -1):
                flat[i] = middle + sign * step
                ends.append(function())
            flat[i] = middle
            slopes.append((ends[0] - ends[1]) / (2 * step))
    return np.array(slopes)


def flat_grad(value, module):
    gradients = torch.autograd.grad(value, list(module.parameters()))
    return torch.cat([g.flatten() for g in gradients])


def constrained(constraint, module=SmallNet, **params):
    options = {"max_epochs": 12, "train_split": None}
    return classifier(module, callbacks=[("constraint", constraint)], **(options | params))


def state(clf):
    return dict(clf.callbacks_)["constraint"]


class Frozen(nn.Sequential):
    def __init__(self, frozen):
        super().__init__(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
        for i in frozen:
            self[i].requires_grad_(False)


BAD = [
    {"phase": "during"},
    {"strength": -1.0},
    {"strength": float("nan")},
    {"strength": "1"},
    {"interval": 0},
    {"interval": 1.5},
    {"layers": 0},
    {"layers": "last"},
    {"max_samples": 0},
    {"max_ratio": 0.0},
    {"max_ratio": float("inf")},
]
