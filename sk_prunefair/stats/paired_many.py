"""The exact test for pairs, for many groups at once: see `sk_prunefair.stats.paired`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, xlog1py, xlogy
from scipy.stats import beta, binom, norm

CELLS = 128  # of the range of the nuisance parameter; the bound by cells adds some percent to p
REST = 1e-12  # probability of all counts that are omitted from the sum
GRID = 10_000  # drops for which a bound is computed
_FEW = 16  # cells that are evaluated during the search for a bound
_AT_ONCE = 200_000  # terms of all sums in memory
_TINY, _EPS = 1e-18, 1e-16  # replaces shares of 0, and keeps those of 1 below it
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def drop_p_values(n: Ints, lost: Ints, won: Ints, max_drop: Floats, level: float) -> Floats:
    """Return `sk_prunefair.stats.paired.drop_p_value` of each group.

    Parameters
    ----------
    n, lost, won : ndarray of shape (n_groups,), dtype int64
        Number of samples, and of those that only the dense, and only the pruned net predicts
        correctly.
    max_drop : ndarray of shape (n_groups,)
        The drops to be refuted, in (-1, 1).
    level : float
        β, the nuisance level.

    Returns
    -------
    ndarray of shape (n_groups,)

    Examples
    --------
    >>> n, lost, won = np.array([[300, 3000], [3, 30], [0, 0]])
    >>> drop_p_values(n, lost, won, np.array([0.02, 0.02]), 0.0025).round(4)
    array([0.1533, 0.0025])
    """
    return _largest(n, lost, won, max_drop, level)[0]


def drop_upper_bounds(n: Ints, lost: Ints, won: Ints, confidence: float) -> Floats:
    """Return `sk_prunefair.stats.paired.drop_upper_bound` of each group.

    The least of the drops 0.0001, 0.0002, … that `drop_p_values` refutes together with all larger
    ones; the search starts at the bound by Tango's score.

    Examples
    --------
    >>> n, lost, won = np.array([[300, 3000], [3, 30], [0, 0]])
    >>> drop_upper_bounds(n, lost, won, 0.95)
    array([0.026 , 0.0137])
    """
    level = 1 - confidence
    beta, near = level / 20, _score_bound(n, lost, won, float(norm.isf(0.95 * level)))
    near = np.clip(near, 1, GRID - 1)
    kept, refuted = np.zeros(len(n), dtype=np.int64), np.full(len(n), GRID, dtype=np.int64)
    likely, is_sure, in_doubt = np.zeros(len(n)), np.ones(len(n), dtype=bool), near > 0
    slope, aim = _slope(n, lost, won, near), float(norm.isf(0.95 * level))
    for step in itertools.count():
        # Drops refuted with few cells are checked with all of them at the end.
        is_found = refuted - kept <= 1
        near = np.where(is_found, refuted, near)
        [left] = np.nonzero(~is_found | ~is_sure)
        if len(left) == 0:
            return refuted / GRID
        at, in_all = near[left], (is_found | in_doubt)[left]
        p = np.empty(len(left))
        for part in (in_all, ~in_all):
            rows = left[part]
            psi = None if part is in_all else likely[rows]
            p[part], found = _largest(n[rows], lost[rows], won[rows], at[part] / GRID, beta, psi)
            likely[rows] = found
        is_refuted = p <= level
        # A wrongly refuted drop becomes the lower end; the drops above it are open again.
        open_again = is_found[left] & ~is_refuted
        in_doubt[left] = open_again | (in_doubt[left] & (step > 0))
        refuted[left] = np.where(is_refuted, at, np.where(open_again, GRID, refuted[left]))
        kept[left] = np.where(is_refuted, kept[left], at)
        is_sure[left] = np.where(is_refuted, in_all, is_sure[left] | open_again)
        # The p-value includes β, which is the same for every drop.
        z = norm.isf(np.clip(p - beta, 1e-12, 1 - 1e-12))
        move = (z - aim) / slope[left]
        nearer = np.where(
            is_refuted,
            np.minimum(np.floor(at + move), at - 1),
            np.maximum(np.ceil(at + move), at + 1),
        )
        if step > 6:  # p is not monotone: bisect
            is_between = (refuted[left] < GRID) | (step > 40)
            nearer = np.where(is_between, (kept[left] + refuted[left]) // 2, nearer)
        near[left] = np.clip(nearer, kept[left] + 1, refuted[left] - 1).astype(np.int64)
    raise AssertionError  # ends the bisection


def _score_bound(n: Ints, lost: Ints, won: Ints, z: float) -> Ints:
    """Return the least drop of the grid that is z standard errors above the observed one."""
    low, high = np.zeros(len(n), dtype=np.int64), np.full(len(n), GRID, dtype=np.int64)
    for _ in range(GRID.bit_length()):
        middle = (low + high) // 2
        is_refuted = score(lost, won, n, middle / GRID) <= -z
        low, high = np.where(is_refuted, low, middle), np.where(is_refuted, middle, high)
    return high


def _slope(n: Ints, lost: Ints, won: Ints, at: Ints) -> Floats:
    """Return the change of the score from one drop of the grid to the next, below 0."""
    step = np.maximum(at // 100, 1)
    before, after = (score(lost, won, n, (at + d).clip(0, GRID) / GRID) for d in (-step, step))
    return np.minimum((after - before) / (2 * step), -1e-6)


def clopper_pearson(count: Any, n: Any, level: float) -> tuple[Any, Any]:
    """Return the exact interval of binomial shares at 1 − level."""
    low = beta.ppf(level / 2, np.maximum(count, 1), n - count + 1)
    high = beta.isf(level / 2, count + 1, np.maximum(n - count, 1))
    return np.where(count > 0, low, 0.0), np.where(count < n, high, 1.0)


def score(lost: npt.ArrayLike, won: npt.ArrayLike, n: Any, max_drop: Any) -> npt.NDArray[Any]:
    """Tango's score: the drop beyond `max_drop`, in standard errors under the hypothesis."""
    lost, won = np.asarray(lost, dtype=float), np.asarray(won, dtype=float)
    # The likeliest share won if the drop is max_drop: the root of a quadratic.
    half = -lost - won + (2 * n - lost + won) * max_drop
    # Negative only by rounding.
    root = np.sqrt(np.maximum(half**2 + 8 * n * won * max_drop * (1 - max_drop), 0))
    share_won = (root - half) / (4 * n)
    spread = np.sqrt(n * (2 * share_won + max_drop * (1 - max_drop)))
    excess = lost - won - n * max_drop
    return np.divide(excess, spread, out=np.zeros_like(excess), where=spread > 0)


def _largest(
    n: Ints, lost: Ints, won: Ints, max_drop: Floats, level: float, near: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the p-value of each group, and the ψ where it is largest.

    With `near` only the cells around these ψ are evaluated, which gives a lower bound.
    """
    low, high = clopper_pearson(lost + won, n, level)
    # At least the drop itself must differ. For a negative one less may differ, too; then no
    # outcome is worse than all samples won, which is the edge.
    low, high = np.maximum(low, np.abs(max_drop)), np.maximum(high, np.abs(max_drop))
    n_cells = CELLS
    if near is not None:
        n_cells, step = _FEW, (high - low) / CELLS
        place = np.divide(near - low, step, out=np.zeros(len(n)), where=step > 0)
        low = low + step * np.clip(np.floor(place) - _FEW // 2, 0, CELLS - _FEW)
        high = low + step * _FEW
    first, sizes = likely_counts(n, low, high)
    value, psi = np.empty(len(n)), np.empty(len(n))
    chunk = (np.cumsum(sizes) - sizes) * n_cells // _AT_ONCE
    starts = np.flatnonzero(np.diff(chunk, prepend=-1))
    for part in (slice(a, b) for a, b in itertools.pairwise([*starts, len(n)])):
        each: list[Any] = [n, lost, won, max_drop, low, high, first, sizes]
        value[part], psi[part] = _largest_cell(n_cells, *(array[part] for array in each))
    return np.minimum(1.0, level + REST + value), psi


def _largest_cell(
    n_cells: int,
    n: Ints,
    lost: Ints,
    won: Ints,
    max_drop: Floats,
    low: Floats,
    high: Floats,
    first: Ints,
    sizes: Ints,
) -> tuple[Floats, Floats]:
    """Return the largest bound of a cell of each group, and the middle of that cell."""
    starts = np.cumsum(sizes) - sizes
    m = np.arange(sizes.sum()) - np.repeat(starts - first, sizes)
    of_all = (np.repeat(each, sizes) for each in (n, max_drop, score(lost, won, n, max_drop)))
    n_of, drop_of, seen = of_all
    last = last_as_extreme(m, n_of, drop_of, seen)
    edges = np.linspace(low, high, n_cells + 1, axis=1)
    terms = _peaks(m, n_of, edges, sizes)
    least = np.where(max_drop[:, np.newaxis] >= 0, edges[:, 1:], edges[:, :-1])
    share = np.divide(max_drop[:, np.newaxis], least, out=np.zeros_like(least), where=least > 0)
    terms *= _tails(m, last, (1 + share) / 2, starts, sizes)
    sums = np.add.reduceat(terms, starts, axis=0)
    place = np.arange(len(n)), sums.argmax(axis=1)
    return sums[place], edges[place] + (high - low) / n_cells / 2


def _peaks(m: Ints, n: Ints, edges: Floats, sizes: Ints) -> Floats:
    """Return the largest B(m; n, ψ) of each cell, shape (n_terms, n_cells)."""
    low, high, n_cells = edges[:, 0], edges[:, -1], edges.shape[1] - 1
    inner = np.clip(edges, _TINY, 1 - _EPS)
    coefficient = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)
    none = np.log1p(-inner)
    values = np.repeat(np.log(inner) - none, sizes, axis=0)
    values *= m[:, np.newaxis]
    values += np.repeat(none, sizes, axis=0) * n[:, np.newaxis]
    values += coefficient[:, np.newaxis]
    np.exp(values, out=values)
    peaks = np.maximum(values[:, :-1], values[:, 1:])
    # The cell with m / n contains the peak.
    psi, step = m / n, np.repeat((high - low) / n_cells, sizes)
    cell = np.divide(psi - np.repeat(low, sizes), step, out=np.full(len(m), -1.0), where=step > 0)
    [within] = np.nonzero((cell >= 0) & (cell < n_cells))
    top = coefficient + xlogy(m, psi) + xlog1py(n - m, -psi)
    peaks[within, cell[within].astype(int)] = np.exp(top[within])
    return np.asarray(peaks)


def _tails(m: Ints, last: Ints, lost: Floats, starts: Ints, sizes: Ints) -> Floats:
    r"""Return F(m) = P(Bin(m, q) ≤ last) for the q of each cell, shape (n_terms, n_cells).

    From one m to the next, with c the last before, `last` is c or c + 1, and F(m + 1) − F(m) is

    .. math:: - \binom{m}{c} q^{c+1} (1-q)^{m-c}  \quad\text{or}\quad
              + \binom{m}{c+1} q^{c+1} (1-q)^{m-c}
    """
    q = np.clip(lost, _EPS, 1 - _EPS)
    before, c = m - 1, np.roll(last, 1)
    is_more = last > c
    drawn = np.where(is_more, c + 1, c)
    is_any = (drawn >= 0) & (drawn <= before)
    is_any[starts] = False
    drawn, whole = np.where(is_any, drawn, 0), np.where(is_any, before, 0)
    coefficient = gammaln(whole + 1) - gammaln(drawn + 1) - gammaln(whole - drawn + 1)
    none = np.log1p(-q)
    steps = np.repeat(np.log(q) - none, sizes, axis=0)
    steps *= np.where(is_any, c + 1, 0)[:, np.newaxis]
    steps += np.repeat(none, sizes, axis=0) * np.where(is_any, m, 0)[:, np.newaxis]
    steps += coefficient[:, np.newaxis]
    np.exp(steps, out=steps)
    steps *= np.where(is_any, np.where(is_more, 1.0, -1.0), 0.0)[:, np.newaxis]
    np.cumsum(steps, axis=0, out=steps)
    first = binom.cdf(last[starts, np.newaxis], m[starts, np.newaxis], q) - steps[starts]
    steps += np.repeat(first, sizes, axis=0)
    return np.clip(steps, 0, 1, out=steps)


def likely_counts(n: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Return the first number of differing samples with positive probability, and their number."""
    first = np.where(low > 0, np.maximum(binom.ppf(REST / 2, n, low), 0), 0)
    last = np.where(high < 1, np.minimum(binom.isf(REST / 2, n, high), n), n)
    return first.astype(np.int64), (last - first + 1).astype(np.int64)


def last_as_extreme(m: Ints, n: Any, max_drop: Any, seen: Any) -> Ints:
    """Return, for m differing samples, the most lost ones whose score is no larger; -1 for none."""
    low, high = np.full(len(m), -1), m.copy()
    while (low < high).any():
        middle = np.maximum((low + high + 1) // 2, 0)
        is_extreme = score(middle, m - middle, n, max_drop) <= seen + 1e-9
        low, high = np.where(is_extreme, middle, low), np.where(is_extreme, high, middle - 1)
    return low
