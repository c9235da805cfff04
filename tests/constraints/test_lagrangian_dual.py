"""The literal Lagrangian dual, batch by batch and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sk_prunefair.constraints.lagrangian_dual import LagrangianDual

GROUP = torch.tensor([0, 0, 2])


def test_lagrangian_dual_penalty_and_step_by_hand():
    dual = LagrangianDual(np.array([1.0, 5.0, 0.5]))
    losses = torch.tensor([1.0, 3.0, 5.0], requires_grad=True)
    # J = 3; the first group is at 2, the second absent, the third at 5.
    penalty = dual.penalty(losses, {"group": GROUP})
    assert penalty.item() == pytest.approx(1.0 * 1 + 0.5 * 2)
    penalty.backward()
    # d(J - J_0) = 1/3 - 1/2 for its rows, d(J_2 - J) / 2; both feel J.
    ours = losses.grad.numpy()
    np.testing.assert_allclose(ours, [1 / 3 - 1 / 2 - 1 / 6] * 2 + [1 / 3 + 1 / 3], rtol=1e-6)
    dual.end_batch()
    # Weights of 3 and 1: the first group is at 1.5, J = (3 + 3 + 5) / 5 = 2.2.
    weight = torch.tensor([3.0, 1.0, 1.0])
    dual.penalty(losses, {"group": GROUP, "sample_weight": weight})
    dual.end_batch()
    np.testing.assert_allclose(
        dual.step(0.1), 0.1 * np.array([(1 + 0.7) / 2, 0, (2 + 2.8) / 2]), rtol=1e-6
    )


def test_lagrangian_dual_optimizer_that_asks_twice_counts_the_last_violation():
    dual = LagrangianDual(np.zeros(3))
    for losses in ([9.0, 9.0, 0.0], [1.0, 3.0, 5.0]):
        dual.penalty(torch.tensor(losses), {"group": GROUP})
    dual.end_batch()
    np.testing.assert_allclose(dual.step(1.0), [1, 0, 2])


def test_lagrangian_dual_without_batches_or_diverged_moves_nothing():
    assert LagrangianDual(np.ones(2)).step(1.0).tolist() == [0, 0]
    dual = LagrangianDual(np.ones(3))
    dual.penalty(torch.tensor([torch.nan, 1.0, 1.0]), {"group": GROUP})
    dual.end_batch()
    assert dual.step(1.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_lagrangian_dual_other_precision_works(dtype):
    dual = LagrangianDual(np.ones(3))
    losses = torch.tensor([1.0, 3.0, 5.0], dtype=dtype)
    assert float(dual.penalty(losses, {"group": GROUP})) == 3.0
