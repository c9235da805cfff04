"""The equal-curvature constraint: against whole Hessians, its effect, its state, bad parameters."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.func import functional_call

from sk_prunefair import EqualCurvatureConstraint
from sk_prunefair.constraints._autograd import chosen_parameters, top_eigenvector
from sk_prunefair.modules import MLP
from tests.conftest import assert_same_weights, classifier
from tests.constraints.tiny import (
    BAD,
    Frozen,
    constrained,
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


def exact(**params):
    """Return a constraint with enough iterations for an exact eigenvector of the tiny net."""
    return EqualCurvatureConstraint(n_iter=40, **params)


def naive_hessian(module, data, a, layers):
    named = chosen_parameters(module, layers)
    sizes = [value.numel() for value in named.values()]

    def loss(vector):
        parts = vector.split(sizes)
        given = {
            name: part.view_as(value)
            for (name, value), part in zip(named.items(), parts, strict=True)
        }
        return group_loss(lambda X: functional_call(module, given, X), data, a)

    start = torch.cat([value.detach().flatten() for value in named.values()])
    return torch.autograd.functional.hessian(loss, start)


def naive_eigenvalues(module, data, layers):
    hessians = [naive_hessian(module, data, a, layers) for a in range(3)]
    return np.array([float(torch.linalg.eigvalsh(hessian)[-1]) for hessian in hessians])


@pytest.mark.parametrize("layers", [1, 2, "all"])
def test_equal_curvature_penalty_equals_that_of_whole_hessians(layers):
    module, data = tiny_net(), tiny_data()
    constraint = exact(strength=0.3, interval=2, layers=layers)
    value = penalty_of(constraint, module, data)
    values = naive_eigenvalues(module, data, layers)
    expected = 0.3 * 2 * mean_loss(module, data) * spread(values) / values.mean()
    assert float(value.detach()) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(constraint.step_values_[:3], values, rtol=1e-5)
    assert constraint.step_values_[3].isnan()


def test_equal_curvature_pruned_weights_do_not_count():
    module, data = tiny_net(), tiny_data()
    mask = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) > 0.5
    constraint = exact()
    penalty_of(constraint, module, data, {"2.weight": mask})
    kept = mask.flatten()
    for a in range(3):
        part = naive_hessian(module, data, a, 1)[kept][:, kept]
        top = float(torch.linalg.eigvalsh(part)[-1])
        assert float(constraint.step_values_[a]) == pytest.approx(top, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, "all"])
def test_equal_curvature_penalty_gradient_equals_finite_differences(layers):
    module, data = tiny_net(), tiny_data()
    found = flat_grad(
        penalty_of(exact(interval=1, layers=layers, max_ratio=None), module, data), module
    )
    factor = mean_loss(module, data) / naive_eigenvalues(module, data, layers).mean()
    slopes = finite_differences(
        lambda: spread(naive_eigenvalues(module, data, layers)), module, step=1e-5
    )
    np.testing.assert_allclose(found, factor * slopes, atol=1e-6)


@pytest.mark.parametrize("values", [[-9, -1, 0.5, 2], [-9, -5, -3, -1], [0, 0, 0, 0], [1, 1, 1, 1]])
def test_top_eigenvector_negative_values_finds_the_largest_algebraic(values):
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(4, 4).double()).Q
    matrix = rotation @ torch.diag(torch.tensor(values).double()) @ rotation.T
    vector = top_eigenvector(lambda v: matrix @ v, torch.randn(4).double(), n_iter=4)
    assert float(vector @ matrix @ vector) == pytest.approx(max(values), abs=1e-9)
    assert float(vector.norm()) == pytest.approx(1)
    # A few warm starts get there as well.
    vector = torch.randn(4).double()
    for _ in range(20):
        vector = top_eigenvector(lambda v: matrix @ v, vector, n_iter=2)
    assert float(vector @ matrix @ vector) == pytest.approx(max(values), abs=1e-3)


def test_equal_curvature_concave_net_takes_the_largest_algebraic():
    module, (X, y, group, weight) = tiny_net(), tiny_data()
    for seed in range(50):
        # Labels that the net is sure are wrong make the loss concave in places.
        torch.manual_seed(seed)
        for value in module.parameters():
            torch.nn.init.normal_(value, std=2.0)
        y = module(X).argmin(1)
        ends = torch.linalg.eigvalsh(naive_hessian(module, (X, y, group, weight), 2, "all"))[
            [0, -1]
        ]
        if -ends[0] > 1.2 * ends[1]:
            break
    assert -ends[0] > 1.2 * ends[1] > 0
    constraint = exact(layers="all")
    penalty_of(constraint, module, (X, y, group, weight))
    assert float(constraint.step_values_[2]) == pytest.approx(float(ends[1]), rel=1e-4)


def test_equal_curvature_eigenvectors_are_refreshed():
    module, data = tiny_net(), tiny_data()
    constraint = EqualCurvatureConstraint(refresh=2, n_iter=1, interval=1)
    penalty_of(constraint, module, data)
    seen = [constraint.eigenvectors_[0][1]]
    X, y, group, _ = data
    for _ in range(3):
        losses = torch.nn.functional.cross_entropy(module(X), y, reduction="none")
        constraint.penalty(_Net(), losses, {"group": group})
        seen.append(constraint.eigenvectors_[0][1])
    assert seen == [1, 2, 1, 2]


class _Net:
    groups_ = range(4)
    module_ = tiny_net()


@pytest.mark.slow
def test_equal_curvature_constraint_narrows_the_eigenvalues(digits):
    X, y, _ = digits
    plain = constrained(EqualCurvatureConstraint(strength=0.0, interval=1), MLP)
    plain.fit(X, y, sensitive_features=y)
    fair = constrained(EqualCurvatureConstraint(interval=1), MLP)
    fair.fit(X, y, sensitive_features=y)
    ours, theirs = fair.history[-1, "curvature_gap"], plain.history[-1, "curvature_gap"]
    assert ours < 0.8 * theirs
    assert fair.score(X, y) > plain.score(X, y) - 0.02
    values = state(fair).eigenvalues_
    assert ours == pytest.approx((values.max() - values.min()) / values.mean())
    assert values.index.tolist() == list(range(10))


def test_equal_curvature_after_prune_keeps_zeros_rewinds_and_pickles(digits):
    X, y, group = digits
    clf = constrained(EqualCurvatureConstraint(interval=3), max_epochs=2)
    clf.fit(X, y, sensitive_features=group)
    dense = state(clf).eigenvalues_
    clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=2)
    assert len(clf.history[:, "curvature_gap"]) == 4
    assert all((clf.module_.get_parameter(n)[~m] == 0).all() for n, m in clf.masks_.items())
    copy = pickle.loads(pickle.dumps(clf))
    assert (copy.predict(X) == clf.predict(X)).all()
    assert len(pickle.dumps(state(clf))) < 5000
    assert state(clf.prune(0.9)).eigenvalues_.equals(dense)


def test_equal_curvature_one_group_and_groups_of_one_work(digits):
    X, y, _ = digits
    X, y = X[:300], y[:300]
    one = constrained(EqualCurvatureConstraint(), max_epochs=1).fit(X, y, sensitive_features=0 * y)
    plain = classifier(max_epochs=1, train_split=None).fit(X, y, sensitive_features=0 * y)
    assert_same_weights(one.module_, plain.module_)
    assert one.history[-1, "curvature_gap"] == 0
    many = constrained(EqualCurvatureConstraint(interval=5, max_samples=1), max_epochs=1)
    many.fit(X, y, sensitive_features=np.arange(300) // 2)
    assert state(many).eigenvalues_.shape == (150,)


@pytest.mark.parametrize("layers", [1, "all"])
def test_equal_curvature_frozen_parameters_are_skipped(digits, layers):
    X, y, group = digits
    clf = classifier(
        Frozen,
        module__frozen=[0],
        max_epochs=1,
        callbacks=[("constraint", EqualCurvatureConstraint(layers=layers))],
    )
    assert clf.fit(X, y, sensitive_features=group).history[-1, "curvature_gap"] > 0


@pytest.mark.parametrize("bad", [*BAD, {"refresh": 0}, {"n_iter": 0.5}, {"n_iter": True}], ids=str)
def test_equal_curvature_bad_parameters_are_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name} must be .*{value!r}"):
        EqualCurvatureConstraint(**bad).initialize()
