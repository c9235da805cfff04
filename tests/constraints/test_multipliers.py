"""What multipliers weigh, by hand."""

from __future__ import annotations

import numpy as np

from sk_prunefair.constraints._multipliers import multiplier_steps, row_factors


def test_row_factors_of_tiny_groups_are_bounded():
    shares = np.array([0.6, 0.3999, 0.0001, 0.0])
    factors = row_factors(np.array([-1.0, 0.0, 4.0, 0.0]), shares)
    # 1 - 1 / 2.4, 1, 1 + 4 / 0.0004 cut to 50, and 1 for the group without a share.
    by_hand = np.array([1 - 1 / 2.4, 1, 50, 1])
    np.testing.assert_allclose(factors, by_hand / (shares @ by_hand))


def test_moves_of_groups_without_loss_are_zero():
    assert multiplier_steps(np.zeros(3), 0.0, 0.0, 0.0, 0.5).tolist() == [0, 0, 0]
