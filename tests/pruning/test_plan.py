"""What goes of a net, carried out, packed and unpacked."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.pruning.plan import ChannelPlan, WeightPlan, below, unpack_plan
from sk_prunefair.pruning.pruned import Pruned, pack_state, unpack_state
from tests.conftest import assert_same_weights, weights

MASK = torch.tensor([[True, False], [False, True], [True, True]])


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).eval()


def channel_plan(dense):
    left = torch.tensor([0, 2])
    norm = {f"1.{name}": (left,) for name in ("weight", "bias", "running_mean", "running_var")}
    kept = {"0.weight": (left, None), "0.bias": (left,), "3.weight": (None, left)} | norm
    return ChannelPlan.of(dense, kept, rate=0.4)


def test_weight_plan_applies_to_a_copy_and_enforces_in_place():
    dense, plan = net(), WeightPlan({"0.weight": MASK}, rate=0.4)
    before = weights(dense)
    pruned = plan.apply(dense)
    np.testing.assert_array_equal(weights(pruned)["0.weight"], before["0.weight"] * MASK.numpy())
    np.testing.assert_array_equal(weights(pruned)["3.weight"], before["3.weight"])
    assert (weights(dense)["0.weight"] == before["0.weight"]).all()
    with torch.no_grad():
        pruned[0].weight.fill_(7.0)
    plan.enforce(pruned)
    assert pruned[0].weight.tolist() == (7.0 * MASK).tolist()
    assert plan.expand(dense, pruned) is pruned
    assert plan.zeroed is plan.masks
    assert plan.kept is None
    assert WeightPlan().masks == {}


def test_channel_plan_takes_channels_out_and_expand_puts_zeros_there():
    dense = net()
    plan = channel_plan(dense)
    with torch.no_grad():
        dense[1].running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    small = plan.apply(dense)
    assert [tuple(p.shape) for p in small.parameters()] == [(2, 2), (2,), (2,), (2,), (2, 2), (2,)]
    assert small[1].running_mean.tolist() == [1.0, 3.0]
    assert plan.zeroed == {}
    before = copy.deepcopy(small)
    plan.enforce(small)
    assert_same_weights(small, before)
    # Channel 1 is masked wherever it is a parameter, and only there.
    assert plan.masks["0.weight"].tolist() == [[True] * 2, [False] * 2, [True] * 2]
    assert plan.masks["1.bias"].tolist() == [True, False, True]
    assert plan.masks["3.weight"].tolist() == [[True, False, True]] * 2
    assert set(plan.masks) == {"0.weight", "0.bias", "1.weight", "1.bias", "3.weight"}
    full = plan.expand(dense, small)
    assert full[1].running_mean.tolist() == [1.0, 0.0, 3.0]
    assert full[1].weight.tolist() == [1.0, 0.0, 1.0]
    np.testing.assert_array_equal(full[3].bias.detach(), small[3].bias.detach())
    X = torch.randn(4, 2)
    torch.testing.assert_close(full(X), small(X))
    assert full[0].out_features == 3


@pytest.mark.parametrize("make", [lambda dense: WeightPlan({"0.weight": MASK}, 0.4), channel_plan])
def test_unpack_plan_of_a_packed_one_is_the_same(make):
    dense = net()
    plan = make(dense)
    found = unpack_plan(dense, dict(dense.state_dict()) | plan.pack())
    assert type(found) is type(plan)
    assert found.rate == plan.rate == 0.4
    assert found.masks.keys() == plan.masks.keys()
    assert all(torch.equal(found.masks[name], mask) for name, mask in plan.masks.items())
    if isinstance(plan, ChannelPlan):
        assert [len(dims) for dims in found.kept.values()] == [2, 1, 2, 1, 1, 1, 1]
        for name, dims in plan.kept.items():
            for left, right in zip(dims, found.kept[name], strict=True):
                assert (left is None and right is None) or torch.equal(left, right)


def test_plans_are_shared_by_nets_and_cannot_be_changed():
    dense = net()
    for each in (WeightPlan({}, 0.4), channel_plan(dense), Pruned(dense)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.masks = {}


def test_unpack_plan_without_one_is_none_and_of_another_net_raises():
    dense = net()
    assert unpack_plan(dense, dense.state_dict()) is None
    packed = channel_plan(dense).pack()
    with pytest.raises(ValueError, match=r"saved net has a tensor '.\..*', which the target lacks"):
        unpack_plan(nn.Linear(2, 3), packed)
    with pytest.raises(AttributeError):
        unpack_plan(nn.Linear(2, 3), WeightPlan({"0.weight": MASK}, 0.4).pack())


def test_below_keeps_names_with_a_prefix_and_drops_it():
    zero = torch.zeros(1)
    assert below({"a.b": zero, "a.a.c": zero, "b.a.": zero, "a": zero}, "a.") == {
        "b": zero,
        "a.c": zero,
    }


@pytest.mark.parametrize("make", [lambda dense: WeightPlan({"0.weight": MASK}, 0.4), channel_plan])
def test_unpack_state_gives_back_both_nets(make):
    dense, template = net(), net()
    plan = make(dense)
    module = plan.apply(dense)
    with torch.no_grad():
        module[3].weight.add_(1.0)
        template[0].weight.add_(5.0)
    before = weights(template)
    found, pruned = unpack_state(template, pack_state(module, Pruned(dense, plan)))
    assert_same_weights(found, module)
    assert_same_weights(pruned.dense, dense)
    assert pruned.rate == 0.4
    assert pruned.masks.keys() == pruned.plan.masks.keys()
    assert (pruned.kept is None) == (plan.kept is None)
    assert pruned.zeroed is pruned.plan.zeroed or pruned.zeroed == {}
    assert all((weights(template)[name] == value).all() for name, value in before.items())
    found, pruned = unpack_state(template, pack_state(dense, None))
    assert_same_weights(found, dense)
    assert pruned is None


def test_unpack_state_removes_again_what_a_file_brings_back_and_refuses_other_shapes():
    dense, plan = net(), WeightPlan({"0.weight": MASK}, 0.4)
    packed = pack_state(dense, Pruned(dense, plan))  # the module is not masked
    found, _ = unpack_state(net(), packed)
    assert not found[0].weight[~MASK].any()
    for name in ("3.weight", "sk_prunefair.dense.3.weight"):
        with pytest.raises(RuntimeError, match=r"size mismatch for 3\.weight"):
            unpack_state(net(), packed | {name: torch.zeros(1, 3)})
    with pytest.raises(RuntimeError, match="must match"):
        unpack_state(net(), packed | {"sk_prunefair.mask.0.weight": MASK[:2]})
