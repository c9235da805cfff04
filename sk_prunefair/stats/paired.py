"""An exact test of a group's accuracy drop on held-out samples, for pairs.

Both nets predict the same samples, so that only the samples on which they differ matter: ``n_lost``
that only the dense net predicts correctly, and ``n_won`` that only the pruned net does. The drop of
a population is the share of the former minus the share of the latter.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.stats import norm

from sk_prunefair.stats.paired_many import drop_p_values, drop_upper_bounds

_MAX_SAMPLES = 10**7


@functools.lru_cache(maxsize=4096)
def drop_p_value(
    n_samples: int, n_lost: int, n_won: int, max_drop: float, nuisance_level: float = 0.0025
) -> float:
    r"""P-value of "the accuracy drop is at least `max_drop`", from pairs, valid at any size.

    Given that m samples differ, the lost ones are binomial, with the probability
    ``q = (1 + max_drop / ψ) / 2`` on the edge of the hypothesis, where ψ is the share of samples
    that differ. Outcomes are ordered by Tango's score; the p-value is the probability of all
    outcomes that are as extreme, at the worst ψ:

    .. math:: p = β + \sup_{ψ ∈ C_β} \sum_m B(m; n, ψ) \, P(\mathrm{Bin}(m, q(ψ)) ≤ c_m)

    C_β is a Clopper-Pearson interval for ψ at level 1 − β (Berger and Boos 1994), so that few ψ
    need be considered. The supremum is not searched for but bounded, cell by cell: in ψ, each
    P(Bin ≤ c_m) is monotone, and each B(m; n, ψ) has one peak. Further into the hypothesis, at a
    larger drop, q is larger and the sum smaller; so the p-value holds for all of it.

    A negative `max_drop` tests for a gain: "the drop is at least −0.01" is refuted if the
    pruned net is better by more than 0.01. The same p-value with `n_lost` and `n_won` exchanged and
    `max_drop` negated is that of "the drop is at most `max_drop`".

    Parameters
    ----------
    n_samples : int
        Number of samples of the group.
    n_lost, n_won : int
        Number of samples that only the dense, and only the pruned net predicts correctly.
    max_drop : float in (-1, 1)
        The drop to be refuted.
    nuisance_level : float in (0, 1), default=0.0025
        β; no p-value is smaller. Must not depend on the data.

    Returns
    -------
    float
        In (0, 1]. ``P(p ≤ α) ≤ α`` whenever the drop of the population is `max_drop` or more.

    Raises
    ------
    ValueError
        If the counts are inconsistent, or `max_drop` or `nuisance_level` is out of range.

    References
    ----------
    Tango (1998), Statistics in Medicine 17; Berger and Boos (1994), JASA 89; Hsueh, Liu and Chen
    (2001), Biometrics 57, whose exact unconditional test this is, with C_β for all ψ.

    Examples
    --------
    One sample in a hundred is lost: with 300 samples that does not prove a drop below 0.02, with
    3,000 it does.

    >>> round(drop_p_value(300, 3, 0, 0.02), 2), round(drop_p_value(3000, 30, 0, 0.02), 4)
    (0.15, 0.0025)
    """
    _check_counts(n_samples, n_lost, n_won, max_drop, nuisance_level)
    n, lost, won = np.array([[n_samples], [n_lost], [n_won]])
    return float(drop_p_values(n, lost, won, np.array([float(max_drop)]), nuisance_level)[0])


def drop_upper_bound(n_samples: int, n_lost: int, n_won: int, confidence: float = 0.95) -> float:
    """Largest accuracy drop that the samples do not refute, by `drop_p_value`.

    Parameters
    ----------
    n_samples, n_lost, n_won : int
        As in `drop_p_value`.
    confidence : float in (0, 1), default=0.95
        Probability with which the bound holds.

    Returns
    -------
    float
        In (0, 1]. Found to 4 digits, rounded up.

    Examples
    --------
    >>> drop_upper_bound(3000, 30, 0)
    0.0137
    """
    n, lost, won = np.array([[n_samples], [n_lost], [n_won]])
    return float(drop_upper_bounds(n, lost, won, confidence)[0])


def drop_lower_bound(n_samples: int, n_lost: int, n_won: int, confidence: float = 0.95) -> float:
    """Smallest accuracy drop of 0 or more that the samples do not refute, by `drop_p_value`.

    Parameters
    ----------
    n_samples, n_lost, n_won : int
        As in `drop_p_value`.
    confidence : float in (0, 1), default=0.95
        Probability with which the bound holds.

    Returns
    -------
    float
        In [0, 1). Found to 4 digits, rounded down.

    Examples
    --------
    >>> drop_lower_bound(3000, 30, 0), drop_lower_bound(34, 1, 0)
    (0.007, 0.0)
    """
    level = 1 - confidence
    low, high = 0, 10_000
    while high - low > 1:
        middle = (low + high) // 2
        p = drop_p_value(n_samples, n_won, n_lost, -middle / 10_000, level / 20)
        low, high = (middle, high) if p <= level else (low, middle)
    return low / 10_000


def samples_needed(
    share_lost: float, share_won: float, max_drop: float, confidence: float = 0.95
) -> int | None:
    """Return how many samples would refute a drop, if they differed in the same shares.

    Parameters
    ----------
    share_lost, share_won : float in [0, 1]
        Shares of the samples that only the dense, and only the pruned net predicts correctly.
    max_drop : float in [0, 1)
        The drop to be refuted.
    confidence : float in (0, 1), default=0.95
        Confidence of the refutation.

    Returns
    -------
    int or None
        Approximate number, as p is not monotone. None if no number is enough, as the drop is not
        below `max_drop`, or if more than ten million are needed.

    Examples
    --------
    If nothing was lost, any test needs at least log(0.05) / log(1 - 0.02) = 148 samples.

    >>> samples_needed(0.0, 0.0, 0.02)
    152
    >>> samples_needed(0.02, 0.0, 0.02) is None
    True
    """
    level = 1 - confidence

    def is_enough(n: int) -> bool:
        # Rounded against the claim, so that the result is monotone in the number of samples.
        lost, won = int(np.ceil(share_lost * n - 1e-9)), int(share_won * n + 1e-9)
        return drop_p_value(n, lost, min(won, n - lost), max_drop, level / 20) <= level

    if share_lost - share_won >= max_drop:
        return None
    # The normal approximation is close; if it is too large, the search starts low.
    gap, differ = max_drop - (share_lost - share_won), share_lost + share_won
    guess = norm.isf(level) ** 2 * differ / gap**2 if level < 0.5 else 0.0
    high = 8 if guess > _MAX_SAMPLES else 2 ** max(3, int(np.log2(max(guess, 8))) - 1)
    if is_enough(high):
        high = 8
    while not is_enough(high):
        high *= 2
        if high > _MAX_SAMPLES:
            return None
    low = high // 2
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _check_counts(n: int, lost: int, won: int, max_drop: float, level: float) -> None:
    if not (lost >= 0 and won >= 0 and n >= 1 and lost + won <= n):
        raise ValueError(
            "n_lost and n_won must be counts >= 0 with a sum of at most n_samples >= 1, got "
            f"n_samples={n}, n_lost={lost}, n_won={won}"
        )
    if not -1 < max_drop < 1:
        raise ValueError(f"max_drop must be in (-1, 1), got {max_drop!r}")
    if not 0 < level < 1:
        raise ValueError(f"nuisance_level must be in (0, 1), got {level!r}")
