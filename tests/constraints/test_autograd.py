"""What the constraints on derivatives ask of autograd, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.constraints._autograd import (
    bounded,
    chosen_parameters,
    first_rows,
    flat_mask,
    group_weights,
    top_eigenvector,
)


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))


def test_chosen_parameters_are_the_last_trainable_weights_or_all_that_is_trainable():
    module = net()
    assert list(chosen_parameters(module, 1)) == ["2.weight"]
    assert list(chosen_parameters(module, 5)) == ["0.weight", "2.weight"]
    module[2].weight.requires_grad_(False)
    assert list(chosen_parameters(module, 1)) == ["0.weight"]
    assert list(chosen_parameters(module, "all")) == ["0.weight", "0.bias", "2.bias"]
    module[0].weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"layers=2 selects .*: all weight tensors of module"):
        chosen_parameters(module, 2)
    module.requires_grad_(False)
    with pytest.raises(ValueError, match=r"layers='all' selects .*: all parameters of module"):
        chosen_parameters(module, "all")


def test_flat_mask_is_true_where_there_is_no_mask():
    mask = torch.tensor([[True, False, True], [False, True, True]])
    flat = flat_mask(dict(net()[2].named_parameters()), {"weight": mask})
    assert flat.int().tolist() == [1, 0, 1, 0, 1, 1, 1, 1]


def test_group_weights_leave_out_groups_that_weigh_nothing():
    codes, shares = group_weights(torch.tensor([3, 0, 3, 1]), torch.tensor([1.0, 2.0, 3.0, 0.0]))
    assert codes.tolist() == [0, 3]
    assert shares.tolist() == [[0, 1, 0, 0], [0.25, 0, 0.75, 0]]


def test_first_rows_are_those_that_come_first_in_each_group():
    group = torch.tensor([2, 0, 2, 2, 0, 0, 3])
    assert first_rows(group, 2).tolist() == [1, 4, 0, 2, 6]
    assert first_rows(group, 1).tolist() == [1, 0, 6]


@pytest.mark.parametrize(("max_ratio", "length"), [(0.5, 2.5), (1.5, 6.0)])
def test_bounded_gradient_is_shortened_or_left_alone(max_ratio, length):
    module = nn.Linear(2, 1, bias=False)
    module.weight.data = torch.tensor([[3.0, 4.0]])
    # Gradients: (3, 4) of the loss, of length 5; (0, 6) of the penalty.
    loss, penalty = module.weight.square().sum() / 2, 6 * module.weight[0, 1]
    found = bounded(penalty, loss, max_ratio, module)
    assert found.item() == 24.0
    (gradient,) = torch.autograd.grad(found, [module.weight])
    np.testing.assert_allclose(gradient, [[0.0, length]])


def test_bounded_penalty_without_a_gradient_has_none():
    module = nn.Linear(2, 1, bias=False)
    loss, penalty = module.weight.square().sum(), (0 * module.weight).sum()
    (gradient,) = torch.autograd.grad(bounded(penalty, loss, 0.5, module), [module.weight])
    assert gradient.tolist() == [[0.0, 0.0]]


def test_top_eigenvector_asks_for_as_many_products_as_allowed_or_needed():
    matrix, asked = torch.diag(torch.tensor([-9.0, 5.0, 1.0, 2.0])).double(), []

    def product(v):
        asked.append(v)
        return matrix @ v

    # Not that of -9, which is larger in size.
    vector = top_eigenvector(product, torch.ones(4).double(), n_iter=9)
    np.testing.assert_allclose(abs(vector), [0, 1, 0, 0], atol=1e-9)
    assert len(asked) == 4
    top_eigenvector(product, torch.ones(4).double(), n_iter=2)
    assert len(asked) == 4 + 2
    # The start is an eigenvector: one product shows it.
    vector = top_eigenvector(product, torch.tensor([0.0, 0.0, 3.0, 0.0]).double(), n_iter=9)
    assert vector.tolist() == [0, 0, 1, 0]
    assert len(asked) == 4 + 2 + 1
