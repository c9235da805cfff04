"""What pruning does to a net, on a few rows: what is made anew, what is kept, what comes back."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.pruning import GradualPruning, IterativePruning, ScorePruner
from sk_prunefair.pruning.engine import (
    begin_pruned,
    check_request,
    find_schedule,
    make_plan,
    prune,
    raise_rate,
    restore_dense,
)
from sk_prunefair.pruning.plan import WeightPlan
from tests.conftest import classifier, weights

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3)).astype(np.float32)
Y, GROUP = np.arange(30) % 2, np.arange(30) // 3 % 2


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


class Scaled(nn.CrossEntropyLoss):
    """A criterion with a weight of its own."""

    def __init__(self, reduction="mean"):
        super().__init__(reduction=reduction)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, output, y):
        return super().forward(self.scale * output, y)


def fitted(**params):
    options = {"batch_size": 10, "max_epochs": 2, "train_split": None, "lr": 0.05}
    return classifier(Net, **(options | params)).fit(X, Y, sensitive_features=GROUP)


def same(left, right):
    return all(np.array_equal(left[name], right[name]) for name in left | right)


def test_prune_by_nothing_without_epochs_is_the_dense_net_itself():
    net = fitted()
    dense, before = net.module_, weights(net.module_)
    prune(net, 0.5, None, 0)
    assert net.module_ is not dense
    prune(net, 0.0, None, 0)
    assert net.module_ is dense
    assert net.pruned_ is None
    assert same(before, weights(dense))


def test_prune_with_epochs_trains_a_copy_and_without_none():
    net = fitted()
    dense, data = weights(net.module_), net.get_dataset(X, Y)
    prune(net, 0.5, data, 0)
    assert len(net.history) == 2
    for name, mask in net.masks_.items():
        np.testing.assert_array_equal(weights(net.module_)[name], dense[name] * mask.numpy())
    assert same(dense, weights(net.dense_module_))
    prune(net, 0.0, data, 3)
    assert len(net.history) == 2 + 3
    assert not same(dense, weights(net.module_))
    assert same(dense, weights(net.dense_module_))


def test_make_plan_of_several_ranks_is_that_of_the_main_one():
    net = fitted()
    other = WeightPlan({"0.weight": torch.ones(4, 3, dtype=torch.bool)}, rate=0.25)
    own = make_plan(net, net.module_, 0.5, None)
    packed = []
    net.ranks = SimpleNamespace(
        count=2, main=lambda tensors: packed.append(tensors) or other.pack()
    )
    plan = make_plan(net, net.module_, 0.5, None)
    assert (plan.rate, list(plan.masks)) == (0.25, ["0.weight"])
    assert packed[0].keys() == own.pack().keys()
    assert all(torch.equal(packed[0][name], value) for name, value in own.pack().items())


def test_begin_pruned_copies_the_criterion_and_restore_brings_the_dense_one_back():
    net = fitted(criterion=Scaled)
    dense, scale = net.criterion_, net.criterion_.scale.item()
    net.prune(0.5, X, Y, sensitive_features=GROUP, finetune_epochs=1)
    assert net.criterion_ is not dense
    assert net.criterion_.scale.item() != scale
    restore_dense(net)
    assert net.criterion_ is dense
    assert dense.scale.item() == scale


def moments(net):
    return net.optimizer_.state_dict()["state"]


def test_begin_pruned_goes_on_with_the_moments_of_the_dense_training_alone():
    net = fitted(optimizer=torch.optim.Adam)
    dense, start = copy.deepcopy(moments(net)), copy.deepcopy(net.module_)
    own = net.optimizer_
    begin_pruned(net, WeightPlan())
    assert moments(net).keys() == dense.keys()
    assert all(torch.equal(moments(net)[i]["exp_avg"], dense[i]["exp_avg"]) for i in dense)
    assert net.optimizer_ is not own
    # Its steps are the fine-tuning's own.
    moments(net)[0]["exp_avg"].zero_()
    restore_dense(net)
    assert net.optimizer_ is own
    assert torch.equal(moments(net)[0]["exp_avg"], dense[0]["exp_avg"])
    begin_pruned(net, WeightPlan(), start)  # weights of another epoch
    assert moments(net) == {}
    restore_dense(net)
    net.optimizer = torch.optim.Adagrad
    begin_pruned(net, WeightPlan())
    assert "exp_avg" not in moments(net)[0]


def test_begin_pruned_weights_of_other_shapes_begin_without_moments():
    pytest.importorskip("torch_pruning")
    net = fitted(optimizer=torch.optim.Adam).set_params(pruner="channel_magnitude")
    assert moments(net)
    begin_pruned(net, make_plan(net, net.module_, 0.5, net.get_dataset(X, Y)))
    assert moments(net) == {}


def test_restore_dense_of_a_loaded_net_makes_an_optimizer_for_it(tmp_path):
    saved, net = fitted().prune(0.5), fitted()
    saved.save_params(f_params=tmp_path / "net.pt")
    net.load_params(f_params=tmp_path / "net.pt")
    restore_dense(net)
    assert net.optimizer_.param_groups[0]["params"][0] is net.module_[0].weight
    assert same(weights(net.module_), weights(saved.dense_module_))


def test_raise_rate_prunes_what_is_left_of_the_pruned_net():
    net = fitted()
    prune(net, 0.5, None, 0)
    first = net.masks_
    with torch.no_grad():  # the smallest of what is left is in the last layer now
        net.module_[3].weight.mul_(1e-3)
    raise_rate(net, 0.6, net.get_dataset(X, Y))
    assert net.prune_rate_ == 0.6
    # round(0.6 * 20) = 12 of 20 weights; two more than before, both of the last layer.
    gone = {name: int((~mask).sum()) for name, mask in net.masks_.items()}
    assert sum(gone.values()) == 12
    assert gone["0.weight"] == int((~first["0.weight"]).sum())
    assert all(
        not net.module_.get_parameter(name)[~mask].any() for name, mask in net.masks_.items()
    )


def test_check_request_rewind_epoch_is_one_of_the_dense_training():
    net = fitted()
    for net.rewind_epoch in (None, 0, 2):
        check_request(net, 1)
    net.rewind_epoch = 3
    with pytest.raises(ValueError, match="rewind_epoch=3 must not be above max_epochs=2"):
        check_request(net, 1)


def test_check_request_schedule_of_more_steps_than_epochs_is_refused():
    net = fitted(callbacks=[("schedule", IterativePruning(3))])
    check_request(net, 3)
    with pytest.raises(ValueError, match="at most the epochs of fine-tuning, 2, got 3"):
        check_request(net, 2)


def test_find_schedule_is_the_only_one_and_none_without_epochs():
    both = [("one", IterativePruning(2)), ("two", GradualPruning())]
    net = fitted(callbacks=both[:1])
    assert find_schedule(net, 2) is dict(net.callbacks_)["one"]
    assert find_schedule(net, 0) is None
    assert find_schedule(fitted(), 2) is None
    with pytest.raises(ValueError, match="at most the epochs of fine-tuning, 1"):
        find_schedule(net, 1)
    with pytest.raises(ValueError, match="one pruning schedule at most, got 2"):
        find_schedule(fitted(callbacks=both), 2)
    net.set_params(pruner="channel_magnitude")
    with pytest.raises(
        ValueError, match="IterativePruning, but pruner='channel_magnitude' removes channels"
    ):
        find_schedule(net, 2)


def test_rewind_epoch_of_a_pruning_without_epochs_or_after_fit():
    net = fitted(rewind_epoch=0)
    dense = weights(net.module_)
    net.prune(0.5)
    kept = net.masks_["0.weight"]
    np.testing.assert_array_equal(
        weights(net.module_)["0.weight"], dense["0.weight"] * kept.numpy()
    )
    net.rewind_epoch = 1
    with pytest.raises(
        ValueError, match=r"rewind_epoch=1 needs .* only those after epochs \[0\] were kept"
    ):
        net.prune(0.5, X, Y, sensitive_features=GROUP, finetune_epochs=1)


def test_pruner_with_data_sees_all_rows_and_a_net_that_running_does_not_change():
    seen = {}

    def score(module, data):
        batches = list(data.batches())
        assert len(list(data.batches())) == len(batches)  # as often as one likes
        seen["X"], seen["y"], seen["group"] = map(torch.cat, zip(*batches, strict=True))
        seen["losses"] = data.losses(module, seen["X"], seen["y"])
        return {"0.weight": torch.rand(4, 3)}

    net = fitted(pruner=ScorePruner(score))
    dense = weights(net.module_)
    net.prune(0.5, X, Y, sensitive_features=GROUP)
    np.testing.assert_array_equal(seen["X"], X)
    np.testing.assert_array_equal(seen["y"], Y)
    np.testing.assert_array_equal(seen["group"], GROUP)
    expected = nn.functional.cross_entropy(
        net.dense_module_(torch.tensor(X)), torch.tensor(Y), reduction="none"
    )
    torch.testing.assert_close(seen["losses"], expected)
    assert same(dense, weights(net.dense_module_))
    with pytest.raises(ValueError, match="scores the weights on data: pass X, y and sensitive"):
        net.prune(0.5)
    # Random scores are the same ones at each rate, so that masks are nested.
    first = net.masks_["0.weight"]
    assert (first | ~net.prune(0.7, X, Y, sensitive_features=GROUP).masks_["0.weight"]).all()


@pytest.mark.parametrize("batch_size", [1, 10, -1])
@pytest.mark.parametrize("predicted", [{}, {"iterator_valid__batch_size": 1}])
def test_recalibrate_measures_all_rows_but_a_single_last_one(batch_size, predicted):
    net = fitted(**predicted)
    net.batch_size = batch_size
    with torch.no_grad():
        net.module_[1].running_mean.fill_(100.0)
    several = np.concatenate([X, X[:1]])
    prune(net, 0.5, net.get_dataset(several, np.append(Y, 0)), 0, recalibrate=True)
    rows = net.module_[0](torch.tensor(several)).detach()
    # Of batches of 2 and of 10 the last of the 31 rows is left out, so that the mean is only near.
    near = {"atol": 1e-5 if batch_size == -1 else float(rows.abs().max()) / 10, "rtol": 0}
    torch.testing.assert_close(net.module_[1].running_mean, rows.mean(dim=0), **near)
    assert float(net.dense_module_[1].running_mean[0]) == 100.0
    assert not net.dense_module_.training
