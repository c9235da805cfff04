"""The average of the last epoch's weights, with which the equal-loss constraint ends a training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sk_prunefair import EqualLossConstraint
from sk_prunefair.constraints._average import WeightAverage
from tests.conftest import assert_same_weights, classifier, weights


class Path(Callback):
    """Keeps the weights after each batch of the last epoch."""

    def on_epoch_begin(self, net, **kwargs):
        self.steps_ = []

    def on_batch_end(self, net, training=None, **kwargs):
        if training:
            self.steps_.append(copy.deepcopy(net.module_.state_dict()))


@pytest.mark.parametrize("phase", ["before", "after", "both"])
def test_equal_loss_average_ends_training_with_the_last_epochs_average(digits, phase):
    X, y, group = digits

    class Normed(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))

    callbacks = [("equal_loss", EqualLossConstraint(phase=phase)), ("path", Path())]
    clf = classifier(module=Normed, callbacks=callbacks, max_epochs=2, batch_size=100)
    clf.fit(X, y, sensitive_features=group)

    def steps_and_average():
        steps = dict(clf.callbacks_)["path"].steps_
        average = {name: tensor.double() for name, tensor in steps[0].items()}
        for n, step in enumerate(steps[1:], start=2):
            share = 9 / (8 + n)
            for name, tensor in step.items():
                average[name] = (1 - share) * average[name] + share * tensor.double()
        return steps, average

    for net_phase in ("before", "after"):
        steps, average = steps_and_average()
        expected = average if phase in (net_phase, "both") else steps[-1]
        found = clf.module_.state_dict()
        for name in found.keys() - {"1.num_batches_tracked"}:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
        assert found["1.num_batches_tracked"] == steps[-1]["1.num_batches_tracked"]
        if net_phase == "before":
            assert_same_weights(clf.dense_module_, clf.module_)
            clf.prune(0.8, X, y, sensitive_features=group, finetune_epochs=1)
    assert clf.sparsity_ == pytest.approx(0.8, abs=0.01)
    assert (weights(clf.module_)["0.weight"][~clf.masks_["0.weight"].numpy()] == 0).all()


@pytest.mark.parametrize("params", [{"average": False}, {"violation": "absolute"}], ids=str)
def test_equal_loss_without_average_keeps_the_last_weights(digits, params):
    X, y, group = digits
    callbacks = [("equal_loss", EqualLossConstraint(**params)), ("path", Path())]
    clf = classifier(callbacks=callbacks, max_epochs=1).fit(X, y, sensitive_features=group)
    last = dict(clf.callbacks_)["path"].steps_[-1]
    for name, value in clf.module_.state_dict().items():
        assert torch.equal(value, last[name])


def test_weight_average_without_an_update_leaves_the_weights():
    net = nn.Linear(3, 2)
    before = copy.deepcopy(net.state_dict())
    WeightAverage(net).load()
    assert torch.equal(net.weight, before["weight"])


def test_weight_average_of_circling_steps_settles_in_the_middle():
    # Steps that go round (0, 0) on a circle that shrinks slowly, as those of a saddle point do.
    point = nn.Linear(2, 1, bias=False)
    average = WeightAverage(point)
    for k in range(200):
        angle = torch.tensor(0.7 * k)
        circle = 0.99**k * torch.stack([angle.cos(), angle.sin()])
        point.weight.data = circle[None]
        average.update()
    assert not average.means[0].requires_grad  # no graph grows from step to step
    last = point.weight.norm()
    average.load()
    assert point.weight.norm() < 0.2 * last
