"""Rows of balanced data whose class sizes decay exponentially."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state, column_or_1d

from sk_prunefair.checks import check_number


def long_tailed(
    target: npt.ArrayLike,
    ratio: float,
    random_state: int | np.random.RandomState | None = None,
) -> npt.NDArray[np.int64]:
    """Choose rows so that class sizes decay exponentially from the first class to the last.

    Of k classes in sorted order, class i keeps about n · ratio^(−i / (k − 1)) rows, where n is
    the largest size for which every class has enough rows. The first class is the largest and has
    `ratio` times the rows of the last, up to rounding to whole rows.

    Parameters
    ----------
    target : array-like of shape (n_samples,)
        Class of each row.
    ratio : float
        Size of the first class over the size of the last, at least 1. With 1 all sizes are equal.
    random_state : int, RandomState or None, default=None
        Seed of the choice of rows. An int gives the same rows every time.

    Returns
    -------
    numpy.ndarray of shape (n_kept,) and dtype int64
        Positions of the kept rows, ascending.

    Raises
    ------
    ValueError
        If target is empty or not one-dimensional, ratio is below 1, or ratio is so large that
        the last class would keep no row.

    Examples
    --------
    >>> import numpy as np
    >>> target = np.repeat(["a", "b", "c"], 100)
    >>> rows = long_tailed(target, ratio=4, random_state=0)
    >>> np.unique(target[rows], return_counts=True)[1].tolist()
    [100, 50, 25]
    """
    return select_long_tail(target, ratio, random_state, name="ratio")


def select_long_tail(
    target: npt.ArrayLike,
    ratio: float,
    random_state: int | np.random.RandomState | None,
    name: str,
) -> npt.NDArray[np.int64]:
    """Do the same as `long_tailed`, with the ratio under the caller's argument name in errors."""
    check_number(name, ratio, least=1)
    labels = column_or_1d(target)
    if len(labels) == 0:
        raise ValueError("target must hold at least one label, got none")
    _, codes, available = np.unique(labels, return_inverse=True, return_counts=True)
    sizes = _class_sizes(available, ratio, name)
    rng = check_random_state(random_state)
    rows = [
        rng.choice(np.flatnonzero(codes == code), size, replace=False)
        for code, size in enumerate(sizes)
    ]
    return np.sort(np.concatenate(rows)).astype(np.int64)


def _class_sizes(
    available: npt.NDArray[np.integer], ratio: float, name: str
) -> npt.NDArray[np.int64]:
    """Return the number of rows that each class keeps."""
    growth = ratio ** (np.arange(len(available)) / max(len(available) - 1, 1))
    largest = np.min(available * growth)
    sizes = np.rint(largest / growth).astype(np.int64)
    if sizes[-1] < 1:
        raise ValueError(
            f"{name}={ratio:g} leaves no row for the last class, as the first can have at most "
            f"{largest:g}; pass a smaller {name}"
        )
    return sizes
