"""The copy of a net that is traced in its place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sk_prunefair.pruning._stand_in import stand_in


class Attention(nn.Module):
    """Its layers, without what is between them."""

    def __init__(self):
        super().__init__()
        self.q_lin, self.k_lin, self.v_lin, self.out_lin = (nn.Linear(4, 4) for _ in range(4))
        self.attention_head_size = 2

    def forward(self, X):
        return self.out_lin(self.q_lin(X) + self.k_lin(X) + self.v_lin(X))


def test_stand_in_attention_is_not_traced_into_from_its_output():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), Attention())
    copied, X = stand_in(net), torch.randn(3, 4)
    torch.testing.assert_close(copied(X), net(X))
    for each, is_reached in ((net, True), (copied, False)):
        each(X).sum().backward()
        assert each[1].out_lin.weight.grad is not None
        assert (each[1].q_lin.weight.grad is not None) is is_reached
        assert (each[0].weight.grad is not None) is is_reached


def test_stand_in_conv1d_is_a_linear_layer_of_the_same_function():
    conv1d = pytest.importorskip("transformers.pytorch_utils").Conv1D
    torch.manual_seed(0)
    net = nn.Sequential(conv1d(3, 4), nn.ReLU(), conv1d(3, 3))
    net.append(net[2])  # used twice
    net[1].register_module("none", None)
    before = torch.get_rng_state()
    copied, X = stand_in(net), torch.randn(5, 4)
    assert [type(layer) for layer in copied] == [nn.Linear, nn.ReLU, nn.Linear, nn.Linear]
    assert copied[2] is copied[3]
    assert isinstance(net[0], conv1d)
    torch.set_rng_state(before)
    torch.testing.assert_close(copied(X), net(X))
    # No weights were drawn on the way.
    stand_in(net)
    assert torch.equal(torch.get_rng_state(), before)
