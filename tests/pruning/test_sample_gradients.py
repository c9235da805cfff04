"""Gradients of single samples, against a loop over them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.sample_gradients import SampleGradients


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, left, right):
        return self.second(torch.tanh(self.first(left * right)))


def test_sample_gradients_of_dicts_equal_a_loop_and_leave_the_net_alone():
    torch.manual_seed(0)
    net = Named()
    X = {"left": torch.randn(5, 3), "right": torch.randn(5, 3)}
    y = torch.tensor([0, 1, 2, 1, 0])
    chosen = {"second.weight": net.second.weight.detach()}
    found, losses = SampleGradients(net, PruningData([]), chosen)(X, y)
    assert list(found) == ["second.weight"]
    for i in range(5):
        loss = cross_entropy(net(X["left"][i : i + 1], X["right"][i : i + 1]), y[i : i + 1])
        (expected,) = torch.autograd.grad(loss, [net.second.weight])
        torch.testing.assert_close(found["second.weight"][i], expected)
        torch.testing.assert_close(losses[i], loss.detach())
    assert net.second.weight.grad is None
    # At other weights than the net's, and with a loss of the user's.
    zeros = {"second.weight": torch.zeros(3, 4)}
    data = PruningData([], sample_losses=lambda output, y: output.sum(1) - y)
    _, losses = SampleGradients(net, data, zeros)(X, y)
    torch.testing.assert_close(losses, net.second.bias.detach().sum() - y)
