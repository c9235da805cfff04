r"""One-sided confidence bounds of figures: exact, from counts.

For a share they are Clopper and Pearson's, for a paired change those of
`sk_prunefair.stats.paired.drop_upper_bound`. A gap between groups is the largest share minus the
smallest one. So with upper ends U and lower ends L of all groups, each at half the level,

.. math:: \max θ - \min θ \le \max U - \min L, \qquad
          \min θ \, / \max θ \ge \min L \, / \max U

hold if the ends of these two groups hold, so that no correction for the number of groups is needed.
This is also true for the largest of several gaps, as it is one of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sk_prunefair.acceptance.shares import Counts, Shares
from sk_prunefair.stats.paired_many import clopper_pearson, drop_upper_bounds

Ends = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def share_ends(found: Shares, level: float) -> Ends:
    """Return the lower and the upper bound of each share, each at 1 − `level`.

    Examples
    --------
    >>> low, high = share_ends(Shares(np.array([0, 90]), np.array([0, 100])), 0.05)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.836], [1.0, 0.945])
    """
    low, high = clopper_pearson(found.hits, found.rows, 2 * level)
    return low, high


def gap_bound(found: Shares, level: float) -> float:
    """Return an upper bound of the largest minus the smallest share.

    Examples
    --------
    >>> round(gap_bound(Shares(np.array([90, 80]), np.array([100, 100])), 0.05), 3)
    0.243
    """
    low, high = share_ends(found, level / 2)
    return float(high.max() - low.min())


def ratio_bound(found: Shares, level: float) -> float:
    """Return a lower bound of the smallest divided by the largest share.

    Examples
    --------
    >>> round(ratio_bound(Shares(np.array([50, 40]), np.array([100, 100])), 0.05), 3)
    0.504
    """
    low, high = share_ends(found, level / 2)
    return float(low.min() / high.max())


def change_bounds(n: Counts, fewer: Counts, more: Counts, level: float) -> Ends:
    """Return upper bounds of the decrease and the increase of shares, for paired rows.

    Examples
    --------
    >>> fell, rose = change_bounds(*np.array([[400], [6], [0]]), 0.05)
    >>> fell.tolist(), rose.tolist()
    ([0.0297], [0.0001])
    """
    fell = drop_upper_bounds(n, fewer, more, 1 - level)
    return fell, drop_upper_bounds(n, more, fewer, 1 - level)


def change_difference_bound(n: Counts, fewer: Counts, more: Counts, level: float) -> float:
    """Return an upper bound of the largest difference between the decreases of two groups.

    It is also an upper bound of the increase of a gap, which is never larger.

    Examples
    --------
    >>> change_difference_bound(*np.array([[400, 400], [6, 0], [0, 0]]), 0.05)
    0.0421
    """
    fell, rose = change_bounds(n, fewer, more, level / 2)
    return round(float(min(1.0, fell.max() + rose.max())), 12)
