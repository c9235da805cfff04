"""required_samples: the number of rows of each group that a promise needs, before training."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm

from sk_prunefair.checks import is_finite
from sk_prunefair.stats.paired_many import drop_p_values, last_as_extreme, score

_MOST = 10**7
_REST = 1e-6  # probability of all counts that are omitted from the power
_FEW = 20  # number of differing rows up to which each count is tested
_NEAR = 12  # number of counts next to the edge of the test that are tried


def required_samples(
    max_accuracy_drop: float,
    disagreement: npt.ArrayLike | None = None,
    *,
    accuracy: npt.ArrayLike | None = None,
    expected_drop: npt.ArrayLike = 0.0,
    confidence: float = 0.95,
    power: float = 0.8,
    shares: npt.ArrayLike | None = None,
) -> Any:
    r"""Return the number of held-out rows of a group that a proof of the promise needs.

    The test is that of `PruneRateSearchCV` and of a report's promise, exact and paired; the rows
    that differ are multinomial: lost with (ψ + d) / 2, won with (ψ − d) / 2, where ψ is the
    disagreement and d the expected drop. The power is summed over all counts; the edge of the test
    is computed by exact p-values: for all counts if few rows differ, else at the likeliest number
    of differing rows, and then used, in units of Tango's score, for all others.

    Parameters
    ----------
    max_accuracy_drop : float in (0, 1)
        The promise: the accuracy falls by less than this.
    disagreement : float or array-like of shape (n_groups,), default=None
        Share of the rows that exactly one net predicts correctly. None takes the largest possible,
        2 (1 − `accuracy`) + d, for two nets whose errors are on different rows. Pruned nets
        mostly differ by far less; measure it on a validation set if possible.
    accuracy : float or array-like of shape (n_groups,), default=None
        Accuracy of the dense net. Required if `disagreement` is None.
    expected_drop : float or array-like of shape (n_groups,), default=0.0
        True drop of the accuracy, below `max_accuracy_drop`.
    confidence : float in (0, 1), default=0.95
        Confidence of the promise.
    power : float in (0, 1), default=0.8
        Probability that the promise is proven for all groups: with k independent groups each needs
        its k-th root.
    shares : array-like of shape (n_groups,), default=None
        Share of each group in the data, in (0, 1].

    Returns
    -------
    int, or ndarray of shape (n_groups,), dtype int64
        Number of rows of each group, to 1 %. With `shares` a single int: number of rows to hold
        out, so that the expected number of each group is enough.

    Raises
    ------
    ValueError
        If an argument is out of range, neither accuracy nor disagreement is given, the disagreement
        is impossible for the accuracy, or more than ten million rows are needed.

    Examples
    --------
    Two points, for nets that differ on one row in twenty:

    >>> required_samples(0.02, disagreement=0.05)
    912
    >>> required_samples(0.02, disagreement=[0.05, 0.02])
    array([1232,  576])
    >>> required_samples(0.02, disagreement=[0.05, 0.02], shares=[0.9, 0.1])
    5760
    """
    drop = max_accuracy_drop
    for name, value in (("max_accuracy_drop", drop), ("confidence", confidence), ("power", power)):
        if not (is_finite(value) and not isinstance(value, bool) and 0 < value < 1):
            raise ValueError(f"{name} must be a number in (0, 1), got {value!r}")
    lost, won = _chances(drop, accuracy, disagreement, expected_drop)
    is_one = lost.ndim == 0 and shares is None
    lost, won = np.atleast_1d(lost), np.atleast_1d(won)
    parts = _check_shares(shares, len(lost))
    if parts is not None and len(lost) == 1:
        lost, won = np.repeat(lost, len(parts)), np.repeat(won, len(parts))
    each = power ** (1 / len(lost))
    found = {
        pair: _least(drop, *pair, 1 - confidence, each)
        for pair in set(zip(lost.tolist(), won.tolist(), strict=True))
    }
    rows = np.array([found[pair] for pair in zip(lost.tolist(), won.tolist(), strict=True)])
    if parts is not None:
        return int(np.ceil(rows / parts - 1e-9).max())
    return int(rows[0]) if is_one else rows


def power_of(n: int, drop: float, lost: float, won: float, level: float) -> float:
    """Return the probability that n rows refute a drop, given the shares of lost and won rows.

    Examples
    --------
    If nothing changes, 152 rows do so with certainty, and fewer never.

    >>> [power_of(n, 0.02, 0.0, 0.0, 0.05) for n in (140, 152)]
    [0.0, 1.0]
    """
    differ = lost + won
    low, high = binom.ppf(_REST / 2, n, differ), binom.isf(_REST / 2, n, differ)
    m = np.arange(max(int(low), 0), int(high) + 1)
    share = lost / differ if differ else 0.0
    if m[-1] <= _FEW:
        m, minus = np.concatenate([[(each, k) for k in range(each + 1)] for each in m]).T
        drops = np.full(len(m), drop)
        p = drop_p_values(np.full(len(m), n), minus, m - minus, drops, level / 20)
        passes = np.where(p <= level, binom.pmf(minus, m, share), 0.0)
        return float((binom.pmf(m, n, differ) * passes).sum())
    edge = _edge(n, drop, round(n * differ), level)
    if edge is None:
        return 0.0
    tails = binom.cdf(last_as_extreme(m, n, drop, edge), m, share)
    return float((binom.pmf(m, n, differ) * tails).sum())


def _edge(n: int, drop: float, m: int, level: float) -> float | None:
    """Return the score up to which the exact test refutes if m rows differ, or None."""
    z = float(norm.isf(0.95 * level))
    guess = int(last_as_extreme(np.array([m]), n, drop, -z)[0])
    lost = np.arange(max(guess - _NEAR, 0), min(guess + _NEAR, m) + 1)
    won, sizes = m - lost, np.full(len(lost), n)
    p = drop_p_values(sizes, lost, won, np.full(len(lost), drop), level / 20)
    [refuted] = np.nonzero(p <= level)
    if len(refuted) == 0:
        return None
    # The edge is between the last refuted and the first not refuted score, nearer to the latter.
    last, next_ = refuted[-1], min(refuted[-1] + 1, len(lost) - 1)
    scores = score(lost, won, n, drop)
    return float(0.75 * scores[last] + 0.25 * scores[next_])


def _least(drop: float, lost: float, won: float, level: float, power: float) -> int:
    """Return the least number of rows, to 1 %, whose test has the power."""
    low, high = 1, 8
    while power_of(high, drop, lost, won, level) < power:
        low, high = high, 2 * high
        if high > _MOST:
            raise ValueError(
                f"more than {_MOST:,} rows are needed to prove a drop below {drop} where "
                f"{lost - won:.4g} is expected; increase max_accuracy_drop"
            )
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        is_enough = power_of(middle, drop, lost, won, level) >= power
        low, high = (low, middle) if is_enough else (middle, high)
    return high


def _chances(drop: float, accuracy: Any, disagreement: Any, expected: Any) -> tuple[Any, Any]:
    """Return the probabilities that a row is lost and won, checked."""
    truth = _check_array(
        "expected_drop", expected, -1, drop, f"[-1, {drop:g}), below max_accuracy_drop"
    )
    right = None if accuracy is None else _check_array("accuracy", accuracy, 0, 1 + 1e-12, "[0, 1]")
    if disagreement is None:
        if right is None:
            raise ValueError("accuracy or disagreement must be given, got neither")
        differ = np.minimum(2 * (1 - right) + truth, 1.0)
        differ = np.maximum(differ, np.abs(truth))
    else:
        differ = _check_array("disagreement", disagreement, 0, 1 + 1e-12, "[0, 1]")
    try:
        differ, truth, right_or = np.broadcast_arrays(
            differ, truth, 1.0 if right is None else right
        )
    except ValueError:
        raise ValueError(
            "accuracy, disagreement and expected_drop must be numbers or have one value per group"
        ) from None
    lost, won = (differ + truth) / 2, (differ - truth) / 2
    if (np.minimum(lost, won) < -1e-12).any():
        raise ValueError(
            f"disagreement must be at least expected_drop, got {disagreement!r} and {expected!r}"
        )
    if right is not None and ((lost > right_or + 1e-9) | (won > 1 - right_or + 1e-9)).any():
        raise ValueError(
            "disagreement, the share of rows that exactly one net classifies correctly, is too "
            f"large for accuracy={accuracy!r}, got {disagreement!r}"
        )
    return np.maximum(lost, 0), np.maximum(won, 0)


def _check_array(name: str, value: Any, low: float, high: float, accepted: str) -> Any:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.ndim > 1 or array.size == 0 or not ((array >= low) & (array < high)).all():
        raise ValueError(f"{name} must be a number or one per group, in {accepted}, got {value!r}")
    return array


def _check_shares(shares: Any, n_groups: int) -> npt.NDArray[np.float64] | None:
    if shares is None:
        return None
    parts = np.atleast_1d(_check_array("shares", shares, 0, 1 + 1e-12, "(0, 1]"))
    if (parts <= 0).any() or parts.sum() > 1 + 1e-9 or n_groups not in (1, len(parts)):
        raise ValueError(
            f"shares must be above 0, add up to at most 1, and be one per group, got {shares!r}"
        )
    return parts
