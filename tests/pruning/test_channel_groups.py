"""Where layers hold their channels, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sk_prunefair.pruning.channel_groups import _channel_dims, output_tensors, traced_groups

VECTORS = ("weight", "bias", "running_mean", "running_var")


@pytest.mark.parametrize(
    ("layer", "outputs", "inputs"),
    [
        (nn.Linear(3, 4), {"weight": 0, "bias": 0}, {"weight": 1}),
        (nn.Linear(3, 4, bias=False), {"weight": 0}, {"weight": 1}),
        (nn.Conv2d(3, 4, 1), {"weight": 0, "bias": 0}, {"weight": 1}),
        (nn.ConvTranspose1d(3, 4, 1), {"weight": 1, "bias": 0}, {"weight": 0}),
        (nn.Conv1d(4, 4, 1, groups=4), {"weight": 0, "bias": 0}, {"weight": 0, "bias": 0}),
        (nn.Conv1d(4, 8, 1, groups=4), None, None),
        (nn.Conv1d(4, 4, 1, groups=2), None, None),
        (nn.BatchNorm1d(4), dict.fromkeys(VECTORS, 0), dict.fromkeys(VECTORS, 0)),
        (
            nn.BatchNorm1d(4, affine=False),
            {"running_mean": 0, "running_var": 0},
            {"running_mean": 0, "running_var": 0},
        ),
        (nn.LayerNorm(4), {"weight": 0, "bias": 0}, {"weight": 0, "bias": 0}),
        (nn.LayerNorm(4, bias=False), {"weight": 0}, {"weight": 0}),
        (nn.LayerNorm((4, 4)), None, None),
        (nn.LayerNorm(4, elementwise_affine=False), None, None),
        (nn.PReLU(4), {"weight": 0}, {"weight": 0}),
        (nn.PReLU(), {}, {}),
        (nn.Embedding(5, 4), {"weight": 1}, {"weight": 1}),
        (nn.GroupNorm(2, 4), None, None),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), None, None),
    ],
)
def test_channel_dims_by_hand(layer, outputs, inputs):
    assert _channel_dims(layer, is_output=True) == outputs
    assert _channel_dims(layer, is_output=False) == inputs


def test_channel_dims_of_conv1d_of_transformers_are_the_other_way_round():
    layer = pytest.importorskip("transformers.pytorch_utils").Conv1D(4, 3)
    assert _channel_dims(layer, is_output=True) == {"weight": 1, "bias": 0}
    assert _channel_dims(layer, is_output=False) == {"weight": 0}


def test_traced_groups_net_is_run_on_a_batch_of_one_sample_alone():
    # A net may take a single sample without complaint, and compute something else.
    pytest.importorskip("torch_pruning")
    net, seen = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), []
    net.register_forward_pre_hook(lambda module, args: seen.append(tuple(args[0].shape)))
    [group] = traced_groups(net, torch.zeros(1, 2))
    assert group.size == 3
    assert set(seen) == {(1, 2)}


def test_output_tensors_of_nested_outputs_are_in_order():
    a, b, c = torch.zeros(1), torch.ones(2), torch.zeros(3)
    assert output_tensors(a) == [a]
    found = output_tensors([{"x": (b, None), "y": 3}, "name", c, a])
    assert [id(tensor) for tensor in found] == [id(b), id(c), id(a)]
    assert output_tensors(None) == []
