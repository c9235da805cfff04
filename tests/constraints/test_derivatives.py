"""What both constraints on derivatives do with their numbers, here plain losses, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sk_prunefair.constraints._derivatives import DerivativeConstraint
from sk_prunefair.hooks import Training
from sk_prunefair.ranks import ALONE
from tests.constraints.tiny import BAD

GROUP = torch.tensor([0, 0, 2, 2])
WEIGHT = torch.tensor([1.0, 3.0, 1.0, 1.0])


class MeanLosses(DerivativeConstraint):
    _value_name, _history_key = "mean", "mean_gap"

    def __init__(
        self, phase="both", strength=2.0, interval=1, layers=1, max_samples=None, max_ratio=None
    ):
        super().__init__(phase, strength, interval, layers, max_samples, max_ratio)

    def _group_values(self, losses, shares, codes):
        self.codes = codes
        return shares @ losses


def make_net(module=None, **attributes):
    recorded = {}
    return SimpleNamespace(
        module_=module or nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
        groups_=["a", "b", "c"],
        training_=Training("before", epochs=1),
        device="cpu",
        ranks=ALONE,
        zeroed_={},
        recorded=recorded,
        history=SimpleNamespace(record=recorded.__setitem__),
        sample_losses=lambda output, y: cross_entropy(output, y, reduction="none"),
        **attributes,
    )


def begun(constraint, net):
    constraint.initialize().on_train_begin(net)
    return constraint


def step(constraint, net, losses, X=None, y=None, **columns):
    batch = {"X": X, "group": GROUP} | columns
    constraint.on_batch_begin(net, batch=(batch, y), training=True)
    penalty = constraint.penalty(net, losses, batch)
    constraint.on_batch_end(net, training=True)
    return penalty


def losses(*values):
    return torch.tensor(values, requires_grad=True)


def test_derivative_constraint_penalty_with_and_without_weights_by_hand():
    net = make_net()
    constraint = begun(MeanLosses(), net)
    found = step(constraint, net, losses(1.0, 3.0, 5.0, 7.0), sample_weight=WEIGHT)
    # Means 2.5 and 6, 1.75 around 4.25; the loss is 22 / 6.
    assert found.item() == pytest.approx(2.0 * 22 / 6 * 1.75 / 4.25)
    assert constraint.codes == [0, 2]
    found = step(constraint, net, losses(1.0, 3.0, 5.0, 7.0))
    # Means 2 and 6, 2 around 4; the loss is 4.
    assert found.item() == pytest.approx(2.0 * 4 * 2 / 4)
    assert step(constraint, net, losses(1.0, 3.0, 5.0, 7.0), sample_weight=0 * WEIGHT) is None


def test_derivative_constraint_penalty_without_strength_or_gradient_is_none_and_recorded():
    net = make_net()
    for constraint, given in (
        (MeanLosses(strength=0), losses(1.0, 3.0, 5.0, 7.0)),
        (MeanLosses(), losses(1.0, 3.0, 5.0, 7.0).detach()),
    ):
        assert step(begun(constraint, net), net, given) is None
        constraint.on_epoch_end(net)
        assert net.recorded.pop("mean_gap") == pytest.approx((6 - 2) / 4)


def test_derivative_constraint_penalty_every_third_step_counts_three_times():
    net = make_net()
    constraint = begun(MeanLosses(interval=3), net)
    found = [step(constraint, net, losses(1.0, 3.0, 5.0, 7.0)) for _ in range(7)]
    assert [penalty is None for penalty in found] == [False, True, True] * 2 + [False]
    assert found[3].item() == pytest.approx(3 * 2.0 * 2)


def test_derivative_constraint_epoch_records_means_over_the_steps_that_had_a_group():
    net = make_net()
    constraint = begun(MeanLosses(), net)
    constraint.on_epoch_end(net)
    assert np.isnan(net.recorded["mean_gap"])
    assert constraint.values_ is None
    step(constraint, net, losses(1.0, 3.0, 5.0, 7.0))
    step(constraint, net, losses(2.0, 4.0, 5.0, 9.0), group=torch.tensor([0, 0, 1, 1]))
    # A batch of the validation set is no step.
    constraint.on_batch_end(net, training=False)
    constraint.on_epoch_end(net)
    assert constraint.values_.to_dict() == {"a": 2.5, "b": 7.0, "c": 6.0}
    assert constraint.values_.name == "mean"
    assert net.recorded["mean_gap"] == pytest.approx((7 - 2.5) / np.mean([2.5, 7, 6]))
    constraint.reset_states("epoch")
    step(constraint, net, losses(1.0, 1.0, 1.0, 1.0))
    constraint.on_epoch_end(net)
    assert net.recorded["mean_gap"] == 0
    assert constraint.values_.dropna().to_dict() == {"a": 1.0, "c": 1.0}
    net.training_ = Training("after", epochs=1)
    constraint.phase = "before"
    constraint.on_epoch_end(net)
    assert np.isnan(net.recorded["mean_gap"])


def test_derivative_constraint_max_samples_rows_are_run_again_without_moving_batch_norm():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).train()
    net, X, y = make_net(module), torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    constraint = begun(MeanLosses(max_samples=1), net)
    found = step(constraint, net, losses(9.0, 9.0, 9.0, 9.0), X, y)
    assert module[1].running_mean.tolist() == [0, 0, 0]
    a, c = cross_entropy(module(X[[0, 2]]), y[[0, 2]], reduction="none").tolist()
    expected = 2.0 * (a + c) / 2 * abs(a - c) / 2 / ((a + c) / 2)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_derivative_constraint_gradient_of_a_pruned_net_is_zero_at_removed_weights():
    net = make_net()
    net.zeroed_ = {"1.weight": torch.tensor([[True, False], [False, True]])}
    for parameter in net.module_.parameters():
        parameter.data.fill_(1.0)
    constraint = begun(MeanLosses(layers="all"), net)
    constraint.on_batch_begin(net, batch=({"group": GROUP}, None), training=True)
    parameters = enumerate(net.module_.parameters())
    output = sum((i + 1) * p.square().sum() / 2 for i, p in parameters)
    for factor in (2.0, 1.0):  # the graph is walked several times
        found = constraint._derivative(output, torch.tensor(factor), create_graph=False)
    assert found.tolist() == [1.0] * 4 + [2.0] * 2 + [3.0, 0.0, 0.0, 3.0] + [4.0] * 2


@pytest.mark.parametrize("bad", BAD)
def test_derivative_constraint_bad_parameters_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        MeanLosses(**bad).initialize()


def test_derivative_constraint_check_needs_weights_that_are_trained():
    net = make_net()
    MeanLosses().check(net)
    net.module_.requires_grad_(False)
    with pytest.raises(ValueError, match="layers=1 selects no trainable parameter"):
        MeanLosses().check(net)
