"""Approximate numbers of samples needed, for many groups at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, norm

from sk_prunefair.stats.paired_many import score

_MAX_SAMPLES, _HALVINGS = 1e7, 40
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def samples_about(
    share_lost: Floats, share_won: Floats, max_drop: float, confidence: float
) -> Floats:
    """Return about how many samples would refute a drop, if they differed in the same shares.

    With this number Tango's score refutes it, and a Poisson count of the net losses is
    too small for the drop. Compared with `sk_prunefair.stats.paired.samples_needed`, which
    uses the exact test, it is mostly within a tenth, at a thousandth of the cost.

    Returns
    -------
    ndarray of shape (n_groups,)
        Infinite if the drop is not below `max_drop`, or more than ten million are needed.

    Examples
    --------
    >>> samples_about(np.array([0.0, 0.01, 0.02]), np.zeros(3), 0.02, 0.95)
    array([153., 663.,  inf])
    """
    level = 0.95 * (1 - confidence)  # β is a twentieth
    z, share = float(norm.isf(level)), share_lost - share_won
    low, high = np.ones(len(share)), np.full(len(share), _MAX_SAMPLES)
    for _ in range(_HALVINGS):
        n = np.sqrt(low * high)
        lost, won = np.ceil(share_lost * n - 1e-9), np.floor(share_won * n + 1e-9)
        is_far = chi2.isf(level, 2 * (np.maximum(lost - won, 0) + 1)) <= 2 * n * max_drop
        is_far |= won > lost
        is_enough = is_far & (score(lost, won, n, max_drop) <= -z)
        low, high = np.where(is_enough, low, n), np.where(is_enough, n, high)
    return np.where((share < max_drop) & (high < _MAX_SAMPLES), np.ceil(high), np.inf)


def drop_lower_bounds_about(n: Ints, lost: Ints, won: Ints, confidence: float) -> Floats:
    """Return the least drop of 0 or more that Tango's score does not refute."""
    z = float(norm.isf(0.95 * (1 - confidence)))
    low, high = np.zeros(len(n)), np.maximum((lost - won) / n, 0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_refuted = score(lost, won, n, middle) >= z
        low, high = np.where(is_refuted, middle, low), np.where(is_refuted, high, middle)
    return low
