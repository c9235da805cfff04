"""The equal-gradient constraint: naive references, its effect, its state, bad parameters."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sk_prunefair import EqualGradientConstraint, FairPrunedClassifier
from sk_prunefair.constraints._autograd import (
    chosen_parameters,
    first_rows,
    flat_mask,
    group_weights,
)
from sk_prunefair.modules import MLP
from sk_prunefair.pruning import GradualPruning
from tests.conftest import assert_same_weights, classifier
from tests.constraints.tiny import (
    BAD,
    Frozen,
    constrained,
    fake,
    finite_differences,
    flat_grad,
    group_loss,
    mean_loss,
    penalty_of,
    spread,
    state,
    tiny_data,
    tiny_net,
)


def naive_norms(module, data, layers, masks=None):
    named = chosen_parameters(module, layers)
    norms = []
    for a in range(3):
        gradients = torch.autograd.grad(group_loss(module, data, a), list(named.values()))
        masked = [g * (masks or {}).get(n, 1) for n, g in zip(named, gradients, strict=True)]
        norms.append(sum(float((g**2).sum()) for g in masked) ** 0.5)
    return np.array(norms)


@pytest.mark.parametrize("layers", [1, 2, "all"])
def test_equal_gradient_penalty_equals_the_naive_one(layers):
    module, data = tiny_net(), tiny_data()
    constraint = EqualGradientConstraint(strength=0.3, interval=2, layers=layers)
    value = penalty_of(constraint, module, data)
    norms = naive_norms(module, data, layers)
    expected = 0.3 * 2 * mean_loss(module, data) * spread(norms) / norms.mean()
    assert float(value.detach()) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(constraint.step_values_[:3], norms, rtol=1e-5)
    assert constraint.step_values_[3].isnan()


def test_equal_gradient_pruned_weights_do_not_count():
    module, data = tiny_net(), tiny_data()
    masks = {"2.weight": torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) > 0.5}
    constraint = EqualGradientConstraint(layers="all")
    penalty_of(constraint, module, data, masks)
    norms = naive_norms(module, data, "all", masks)
    np.testing.assert_allclose(constraint.step_values_[:3], norms, rtol=1e-5)


@pytest.mark.parametrize("layers", [1, "all"])
def test_equal_gradient_penalty_gradient_equals_finite_differences(layers):
    module, data = tiny_net(), tiny_data()
    constraint = EqualGradientConstraint(interval=1, layers=layers, max_ratio=None)
    found = flat_grad(penalty_of(constraint, module, data), module)
    # The scales count as constants.
    factor = mean_loss(module, data) / naive_norms(module, data, layers).mean()
    slopes = finite_differences(lambda: spread(naive_norms(module, data, layers)), module)
    np.testing.assert_allclose(found, factor * slopes, atol=1e-6)


def test_equal_gradient_max_ratio_bounds_the_gradient():
    module, data = tiny_net(), tiny_data()
    X, y, _, weight = data
    free = penalty_of(EqualGradientConstraint(strength=100.0, max_ratio=None), module, data)
    bound = penalty_of(EqualGradientConstraint(strength=100.0, max_ratio=0.7), module, data)
    assert float(bound.detach()) == float(free.detach())
    loss = (weight * cross_entropy(module(X), y, reduction="none")).sum() / weight.sum()
    free, bound, plain = (flat_grad(value, module) for value in (free, bound, loss))
    assert float(bound.norm() / plain.norm()) == pytest.approx(0.7)
    np.testing.assert_allclose(bound / bound.norm(), free / free.norm(), atol=1e-9)


def test_equal_gradient_scaled_loss_scales_the_penalty():
    module, (X, y, group, _) = tiny_net(), tiny_data()
    losses = cross_entropy(module(X), y, reduction="none")
    constraint = EqualGradientConstraint().initialize()
    net = fake(module)
    constraint.on_train_begin(net)
    one = constraint.penalty(net, losses, {"group": group})
    thousand = constraint.penalty(net, 1000 * losses, {"group": group})
    assert float(thousand.detach() / one.detach()) == pytest.approx(1000)


def test_equal_gradient_zero_gradients_and_one_group_give_no_nan():
    module, (X, y, group, weight) = tiny_net(), tiny_data()
    (penalty := penalty_of(EqualGradientConstraint(), module, (X, y, 0 * group, weight))).backward()
    assert penalty.detach() == 0
    assert all((p.grad == 0).all() for p in module.parameters())
    dead = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3, bias=False)).double()
    nn.init.constant_(dead[0].bias, -100.0)
    penalty_of(EqualGradientConstraint(), dead, (X, y, group, weight)).backward()
    assert all((p.grad == 0).all() for p in dead.parameters())


def test_equal_gradient_max_samples_takes_the_first_rows_of_each_group():
    assert first_rows(torch.tensor([2, 0, 2, 2, 0, 5]), 2).tolist() == [1, 4, 0, 2, 5]
    module, (X, y, group, weight) = tiny_net(), tiny_data()
    module.append(nn.BatchNorm1d(3).double())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    limited = EqualGradientConstraint(max_samples=5)
    penalty_of(limited, module, (X, y, group, weight))
    assert module[3].num_batches_tracked == before["3.num_batches_tracked"] + 1
    rows = first_rows(group, 5)
    plain = EqualGradientConstraint()
    penalty_of(plain, module, (X[rows], y[rows], group[rows], weight[rows]))
    assert len(rows) == 11
    torch.testing.assert_close(limited.step_values_, plain.step_values_, equal_nan=True)


def test_equal_gradient_max_samples_in_double_precision_works(digits):
    X, y, group = digits
    dense = classifier().fit(X, y, sensitive_features=group).module_.double()
    clf = classifier(
        dense,
        classes=list(range(10)),
        callbacks=[("constraint", EqualGradientConstraint(max_samples=5))],
    ).initialize()
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert clf.history[-1, "gradient_norm_gap"] > 0


def test_equal_gradient_groups_without_weight_are_absent():
    codes, shares = group_weights(torch.tensor([0, 1, 3, 3]), torch.tensor([1.0, 0.0, 1.0, 3.0]))
    assert codes.tolist() == [0, 3]
    assert shares.tolist() == [[1, 0, 0, 0], [0, 0, 0.25, 0.75]]
    module, (X, y, group, weight) = tiny_net(), tiny_data()
    assert penalty_of(EqualGradientConstraint(), module, (X, y, group, 0 * weight)) is None


@pytest.mark.slow
def test_equal_gradient_constraint_narrows_the_norms(digits):
    X, y, _ = digits
    plain = constrained(EqualGradientConstraint(strength=0.0, interval=1), MLP)
    plain.fit(X, y, sensitive_features=y)
    fair = constrained(EqualGradientConstraint(interval=1), MLP).fit(X, y, sensitive_features=y)
    ours, theirs = fair.history[-1, "gradient_norm_gap"], plain.history[-1, "gradient_norm_gap"]
    assert ours < 0.8 * theirs
    assert fair.score(X, y) > plain.score(X, y) - 0.02
    norms = state(fair).gradient_norms_
    assert ours == pytest.approx((norms.max() - norms.min()) / norms.mean())
    assert norms.index.tolist() == list(range(10))
    after = constrained(EqualGradientConstraint(phase="after"), MLP)
    assert_same_weights(plain.module_, after.fit(X, y, sensitive_features=y).module_)


@pytest.mark.slow
def test_equal_gradient_huge_strength_keeps_accuracy(digits):
    X, y, _ = digits
    clf = constrained(EqualGradientConstraint(strength=1e4), MLP)
    assert clf.fit(X, y, sensitive_features=y).score(X, y) > 0.8


def test_equal_gradient_after_prune_keeps_zeros_rewinds_and_pickles(digits):
    X, y, group = digits
    clf = constrained(EqualGradientConstraint(interval=3), max_epochs=2)
    clf.fit(X, y, sensitive_features=group)
    dense = state(clf).gradient_norms_
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=2)
    assert len(clf.history[:, "gradient_norm_gap"]) == 4
    assert all((clf.module_.get_parameter(n)[~m] == 0).all() for n, m in clf.masks_.items())
    assert (state(clf).gradient_norms_ != dense).all()
    copy = pickle.loads(pickle.dumps(clf))
    assert (copy.predict(X) == clf.predict(X)).all()
    assert len(pickle.dumps(state(clf))) < 5000
    assert state(clf.prune(0.9)).gradient_norms_.equals(dense)
    before = constrained(EqualGradientConstraint(phase="before"), max_epochs=1)
    before.fit(X, y, sensitive_features=group)
    before.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert np.isnan(before.history[-1, "gradient_norm_gap"])
    assert state(before).gradient_norms_.notna().all()


def test_equal_gradient_one_group_many_groups_and_lbfgs_work(digits):
    X, y, _ = digits
    X, y = X[:600], y[:600]
    one = constrained(EqualGradientConstraint(), max_epochs=1).fit(X, y, sensitive_features=0 * y)
    plain = classifier(max_epochs=1, train_split=None).fit(X, y, sensitive_features=0 * y)
    assert_same_weights(one.module_, plain.module_)
    assert one.history[-1, "gradient_norm_gap"] == 0
    many = constrained(EqualGradientConstraint(interval=5), max_epochs=1)
    many.fit(X, y, sensitive_features=np.arange(600) // 2)
    assert state(many).gradient_norms_.shape == (300,)
    assert state(many).gradient_norms_.isna().any()
    lbfgs = constrained(
        EqualGradientConstraint(), MLP, max_epochs=2, batch_size=-1, optimizer=torch.optim.LBFGS
    )
    assert lbfgs.fit(X, y, sensitive_features=y % 2).score(X, y) > 0.5


@pytest.mark.parametrize("layers", [1, "all"])
def test_equal_gradient_frozen_parameters_are_skipped(digits, layers):
    X, y, group = digits
    assert next(iter(chosen_parameters(Frozen([2]), layers))) == "0.weight"
    clf = classifier(
        Frozen,
        module__frozen=[2],
        max_epochs=1,
        callbacks=[("constraint", EqualGradientConstraint(layers=layers))],
    )
    assert clf.fit(X, y, sensitive_features=group).history[-1, "gradient_norm_gap"] > 0
    with pytest.raises(ValueError, match="layers="):
        chosen_parameters(Frozen([0, 2]), layers)
    frozen = FairPrunedClassifier(
        Frozen([0, 2]),
        classes=list(range(10)),
        criterion=nn.CrossEntropyLoss,
        callbacks=[EqualGradientConstraint(layers=layers)],
    ).initialize()
    with pytest.raises(ValueError, match="of module are frozen"):
        frozen.prune(0.9, X, y, sensitive_features=group, finetune_epochs=1)
    assert frozen.sparsity_ == 0
    # Where it does not act, it asks for nothing.
    module = Frozen([0, 2])
    module[2].bias.requires_grad_(True)
    clf = FairPrunedClassifier(
        module,
        classes=list(range(10)),
        criterion=nn.CrossEntropyLoss,
        callbacks=[EqualGradientConstraint(phase="before", layers=1)],
        verbose=0,
    ).initialize()
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=1)
    assert clf.sparsity_ == pytest.approx(0.9, abs=0.01)


class Masks(EqualGradientConstraint):
    """Whether the mask is that of the net, batch by batch."""

    def initialize(self):
        self.agree_ = []
        return super().initialize()

    def penalty(self, net, losses, batch):
        named = chosen_parameters(net.module_, self.layers)
        self.agree_.append(bool((self.mask_ == flat_mask(named, net.zeroed_)).all()))
        return super().penalty(net, losses, batch)


@pytest.mark.parametrize("schedule_first", [False, True])
def test_equal_gradient_under_a_schedule_sees_its_masks_in_either_order(digits, schedule_first):
    X, y, group = digits
    callbacks = [("constraint", Masks(phase="after")), ("schedule", GradualPruning())]
    clf = classifier(callbacks=callbacks[:: -1 if schedule_first else 1], max_epochs=1)
    clf.fit(X, y, sensitive_features=group)
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=2)
    agree = dict(clf.callbacks_)["constraint"].agree_
    assert agree
    assert all(agree)


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_equal_gradient_bad_parameters_are_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name} must be .*{value!r}"):
        EqualGradientConstraint(**bad).initialize()
