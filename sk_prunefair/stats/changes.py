r"""Tests of a group's accuracy drop from changed predictions, with few labels or none.

A row with an unchanged prediction is correct or wrong as before. So with π the share of rows whose
prediction changed and δ the mean loss over those (1: correct before, −1: correct after, 0:
neither),

.. math:: \text{drop} = π δ \le π

Labels are needed only for δ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, binom, norm

from sk_prunefair.stats.paired_many import GRID, clopper_pearson, drop_p_values

# Parts of the level for excluding large shares of changed predictions (at least), for excluding
# small ones, and the nuisance level of the changed rows.
_LARGE, _SMALL, _NUISANCE = 0.05, 0.01, 0.001
_FEW = 50  # number of labelled rows at which half of the level is used for changes
_CELLS = 40  # cells of the grid of shares


def changes_p_value(n: int, n_changed: int, max_drop: float) -> float:
    r"""P-value of "the accuracy drop is at least `max_drop`", from changes, without labels.

    The drop is at most the share of rows that changed, so that ``P(Bin(n, max_drop) ≤ n_changed)``
    is valid at any size: the exact binomial test of Clopper and Pearson.

    Parameters
    ----------
    n, n_changed : int
        Number of rows of the group, and of those whose prediction changed.
    max_drop : float in [0, 1)
        The drop to be refuted.

    Examples
    --------
    >>> round(changes_p_value(1000, 10, 0.02), 4), changes_p_value(1000, 10, 0.0)
    (0.0102, 1.0)
    """
    return float(binom.cdf(n_changed, n, max_drop))


def changes_upper_bound(n: int, n_changed: int, confidence: float = 0.95) -> float:
    """Return Clopper and Pearson's upper bound of the share of changed rows.

    Examples
    --------
    >>> round(changes_upper_bound(1000, 10), 4)
    0.0169
    """
    return 1.0 if n_changed == n else float(beta.isf(1 - confidence, n_changed + 1, n - n_changed))


def combined_p_value(
    labelled: tuple[int, int, int, int],
    unlabelled: tuple[int, int],
    max_drop: float,
    confidence: float = 0.95,
) -> float:
    r"""P-value of "the accuracy drop is at least `max_drop`", from rows with and without labels.

    For any share π of changed rows, the hypothesis is that δ is at least `max_drop` / π. All rows
    test π, by a binomial p-value :math:`p_1(π)`. The labelled rows that changed test δ, by
    `sk_prunefair.stats.paired.drop_p_value` over them only, :math:`p_2(π)`; it is valid for any set
    of changed rows, and so independent of the first. Their normal quantiles are added (Stouffer):

    .. math:: p = β + \sup_{π ∈ C_β} \bar Φ\bigl(w_1(π) z(p_1(π)) + w_2(π) z(p_2(π))\bigr)

    with :math:`z = \bar Φ^{-1}` and :math:`w_1^2 + w_2^2 = 1`. C_β is an exact interval of π, which
    excludes large shares at the part 1 / (1 + n / 50) of α = 1 − `confidence`, with n the number
    of labelled rows, or a twentieth, and small ones at a hundredth (Berger and Boos 1994). With
    few labels that may be enough: then no share remains. At the true π the sum is at most
    standard normal under the hypothesis, so that p is valid at any size. The weights are nearly
    those of the best control variate, the number of changed rows, at the edge of the hypothesis:

    .. math:: w_1^2 : w_2^2 = (Δ/π)^2 n / N \; : \; 1 - (Δ/π)^2 + (Δ/π)^4

    with N rows in total; without the last term labels would have no weight if all changes would
    have to be losses. They depend only on the design and π, so the test remains valid. The supremum
    is bounded, cell by cell of a grid in π: :math:`p_1` is largest at a cell's least π, and
    δ ≥ `max_drop` / π implies the same with the cell's largest π.

    Parameters
    ----------
    labelled : tuple of four int
        Numbers of labelled rows: all, with changed predictions, lost, and won.
    unlabelled : tuple of two int
        Numbers of unlabelled rows: all, and with changed predictions.
    max_drop : float in [0, 1)
        The drop to be refuted.
    confidence : float in (0, 1), default=0.95
        Level 1 − α that p is compared with; it determines β.

    Returns
    -------
    float
        In (0, 1], at least β.

    Notes
    -----
    Rows must be independent, and which of them have labels must not depend on the labels.

    References
    ----------
    Berger and Boos (1994), JASA 89; Angelopoulos et al. (2023), Prediction-powered inference,
    Science 382, whose intervals hold for large samples.

    Examples
    --------
    Of 200 labelled rows six changed, three of them lost: that proves nothing. With 5,000 more, of
    which 105 changed, it does.

    >>> from sk_prunefair.stats.paired import drop_p_value
    >>> round(drop_p_value(200, 3, 3, 0.02), 2)
    0.1
    >>> round(combined_p_value((200, 6, 3, 3), (5000, 105), 0.02), 3)
    0.022
    """
    (n, seen, lost, won), (n_more, seen_more) = labelled, unlabelled
    level, total, changed = 1 - confidence, n + n_more, seen + seen_more
    least = clopper_pearson(changed, total, 2 * _SMALL * level)[0]
    large = min(max(_LARGE, 1 / (1 + n / _FEW)), 1 - 2 * _SMALL)
    most = clopper_pearson(changed, total, 2 * large * level)[1]
    spent = (large + _SMALL) * level
    if most <= max_drop:
        return spent
    if seen == 0 or changed == total:
        return 1.0
    edges = np.linspace(max(float(least), max_drop), float(most), _CELLS + 1)
    lower, upper = edges[:-1], edges[1:]
    every = np.ones(_CELLS, dtype=np.int64)
    drops = np.minimum(max_drop / upper, 0.9999)
    of_labels = drop_p_values(every * seen, every * lost, every * won, drops, _NUISANCE * level)
    z_changes = norm.isf(binom.cdf(changed, total, lower))
    z_labels = norm.isf(np.minimum(of_labels, 1.0))
    # A positively weighted sum has no minimum between its two ends.
    sums = [
        w * z_changes + np.sqrt(1 - w**2) * z_labels
        for w in (_weight(share, max_drop, n / total) for share in (lower, upper))
    ]
    return float(min(1.0, spent + norm.sf(np.min(sums))))


def combined_upper_bound(
    labelled: tuple[int, int, int, int], unlabelled: tuple[int, int], confidence: float = 0.95
) -> float:
    """Largest accuracy drop that rows with and without labels do not refute.

    Parameters
    ----------
    labelled, unlabelled : tuple of int
        As in `combined_p_value`.
    confidence : float in (0, 1), default=0.95
        Probability with which the bound holds.

    Returns
    -------
    float
        In (0, 1]. Found to 4 digits, rounded up.

    Examples
    --------
    >>> combined_upper_bound((200, 6, 3, 3), (5000, 105))
    0.0172
    """
    low, high = 0, GRID
    while high - low > 1:
        middle = (low + high) // 2
        p = combined_p_value(labelled, unlabelled, middle / GRID, confidence)
        low, high = (low, middle) if p <= 1 - confidence else (middle, high)
    return high / GRID


def _weight(share: npt.NDArray[Any], max_drop: float, of_labels: float) -> npt.NDArray[Any]:
    """Return w_1 of each share of changed rows."""
    loss = np.minimum(max_drop / share, 1.0) ** 2
    return np.asarray(np.sqrt(loss * of_labels / (loss * of_labels + 1 - loss + loss**2)))
