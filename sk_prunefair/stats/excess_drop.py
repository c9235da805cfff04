"""Test whether one part of the samples loses more than the rest, from pairs."""

from __future__ import annotations

import functools

import numpy as np
from scipy.stats import binom

from sk_prunefair.stats.paired import _check_counts
from sk_prunefair.stats.paired_many import CELLS, REST, clopper_pearson, likely_counts

_NODES = 9  # nodes of the quadrature
_LARGEST = 0.999  # largest drop that can be tested


def excess_drop_p_value(
    part: tuple[int, int, int], rest: tuple[int, int, int], nuisance_level: float = 0.0025
) -> float:
    r"""P-value of "the part loses no more than the rest, or nothing at all".

    Let d be the drop of the part and d' that of the rest, in the population. The hypothesis is
    ``d ≤ max(d', 0)``. Predictions may change more often in the part than in the rest, as long as
    they do in both directions; a test that permutes samples between the two would report that as a
    loss.

    With p(u) the exact p-value of "d ≤ u" from the part alone, `larger_drop_p_value`, and u drawn
    from the distribution of d' given the rest,

    .. math:: p = E[p(\max(u, 0))], \quad u ∼ N(\hat d', \hat σ'^2)

    by Gauss-Hermite quadrature. For normal p(u) this is the test of two means with
    unequal variances. The rest is usually large, so that a normal approximation is sufficient for
    it; one sample lost and one won are added to it, so that its variance is positive.

    Parameters
    ----------
    part, rest : tuple of three int
        Number of samples, and of those that only the first or only the second classifier predicts
        correctly.
    nuisance_level : float in (0, 1), default=0.0025
        Nuisance level of `larger_drop_p_value`; no p-value is smaller. Must not depend on the data.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        If counts are inconsistent.

    Examples
    --------
    >>> round(excess_drop_p_value((150, 17, 2), (2850, 40, 40)), 3)
    0.003
    >>> excess_drop_p_value((150, 17, 12), (2850, 40, 40)) > 0.1
    True
    """
    _check_counts(*rest, 0.0, nuisance_level)
    n, lost, won = rest[0] + 2, rest[1] + 1, rest[2] + 1
    drop = (lost - won) / n
    error = np.sqrt(((lost + won) / n - drop**2) / n)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    drops = np.clip(drop + error * nodes, 0, _LARGEST).tolist()
    values = [larger_drop_p_value(*part, each, nuisance_level) for each in drops]
    return float(min(1.0, np.average(values, weights=weights)))


@functools.lru_cache(maxsize=4096)
def larger_drop_p_value(
    n_samples: int, n_lost: int, n_won: int, drop: float, nuisance_level: float = 0.0025
) -> float:
    r"""P-value of "the drop is at most `drop`", from pairs, valid at any size.

    The counterpart of `sk_prunefair.stats.paired.drop_p_value`: the lost ones of m samples that
    differ are binomial, with a probability of at most ``q(ψ) = min(1, (1 + drop / ψ) / 2)``, which
    decreases in the share ψ of samples that differ. Outcomes are ordered by
    ``(n_lost − n_won − n_samples · drop) / sqrt(m)``, and the supremum over ψ is bounded cell by
    cell of a Clopper-Pearson interval at level 1 − β, which is added.

    Parameters
    ----------
    n_samples, n_lost, n_won : int
        Number of samples, and of those that only the first or only the second classifier predicts
        correctly.
    drop : float in [0, 1)
        The drop to be exceeded.
    nuisance_level : float in (0, 1), default=0.0025
        β; no p-value is smaller. Must not depend on the data.

    Returns
    -------
    float
        In (0, 1]. ``P(p ≤ α) ≤ α`` whenever the drop of the population is `drop` or less.

    Examples
    --------
    For a drop of zero it is close to the sign test, which has 1/128 for 7 of 7 lost.

    >>> round(larger_drop_p_value(100, 7, 0, 0.0, 1e-5), 4)
    0.004
    """
    _check_counts(n_samples, n_lost, n_won, drop, nuisance_level)
    n_differ = n_lost + n_won
    if n_differ == 0:
        return 1.0
    low, high = clopper_pearson(n_differ, n_samples, nuisance_level)
    edges = np.linspace(low, high, CELLS + 1)[:, np.newaxis]
    lower, upper = edges[:-1], edges[1:]
    first, size = likely_counts(n_samples, low, high)
    m = first + np.arange(size)
    peaks = binom.pmf(m, n_samples, np.clip(m / n_samples, lower, upper))
    score = (n_lost - n_won - n_samples * drop) / np.sqrt(n_differ)
    # The fewest lost ones of m that are as extreme: lost − (m − lost) − n · drop ≥ score · √m.
    fewest = np.ceil((m + n_samples * drop + score * np.sqrt(m)) / 2 - 1e-9)
    # If nothing differs and nothing is to be exceeded, the score is 0.
    fewest[m == 0] = 0 if drop == 0 and score <= 0 else 1
    most_lost = np.minimum(1.0, (1 + drop / np.maximum(lower, REST)) / 2)
    tails = binom.sf(fewest - 1, m, most_lost)
    return float(min(1.0, nuisance_level + REST + (peaks * tails).sum(axis=1).max()))
