"""The accuracy gap that is expected from sampling alone."""

from __future__ import annotations

from numbers import Real

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from sk_prunefair.checks import as_vector, check_count


def accuracy_gap_floor(
    accuracy: float,
    counts: npt.ArrayLike,
    *,
    n_draws: int = 10_000,
    random_state: int | np.random.RandomState | None = 0,
) -> float:
    """Accuracy gap that is expected from sampling alone, if all groups had the same accuracy.

    ``E[max_a K_a / n_a − min_a K_a / n_a]`` with independent ``K_a ~ Binomial(n_a, accuracy)``,
    computed by simulation. A measured gap near this floor is no evidence of a difference between
    groups: small groups lead to large gaps.

    Parameters
    ----------
    accuracy : float
        The true accuracy of every group, in [0, 1].
    counts : array-like of shape (n_groups,)
        Samples n_a of each group, whole numbers of at least 1.
    n_draws : int, default=10_000
        Simulated data sets. The standard error of the result is at most ``0.5 / sqrt(n_draws)``.
    random_state : int, RandomState or None, default=0
        The same number gives the same floor.

    Returns
    -------
    float
        In [0, 1]; 0 for a single group.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> round(accuracy_gap_floor(0.8, [1000, 1000]), 2)
    0.01
    >>> round(accuracy_gap_floor(0.8, [1000, 1000, 10]), 2)
    0.11
    """
    if not (isinstance(accuracy, Real) and 0 <= accuracy <= 1):
        raise ValueError(f"accuracy must be a number in [0, 1], got {accuracy!r}")
    check_count("n_draws", n_draws)
    sizes = as_vector(counts, "counts", np.float64)
    if not (np.all(sizes >= 1) and np.all(sizes == np.floor(sizes)) and np.all(sizes < 2**53)):
        raise ValueError(f"counts must be whole numbers >= 1, got {sizes.tolist()}")
    draws = check_random_state(random_state).binomial(
        sizes.astype(np.int64), accuracy, size=(n_draws, len(sizes))
    )
    return float(np.ptp(draws / sizes, axis=1).mean())
