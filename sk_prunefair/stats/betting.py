"""Confidence bounds for the mean of a bounded quantity by betting, valid at any sample size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sk_prunefair.checks import as_losses

_STAKE = 0.75  # largest share of the capital that one bet can lose
_HALVINGS = 40


def mean_lower_bound(
    values: npt.ArrayLike, *, low: float, high: float, confidence: float = 0.95
) -> float:
    r"""Lower confidence bound for the mean of values in [low, high].

    For each candidate m, a bet on a larger mean is placed, sample by sample:

    .. math:: K_t(m) = \prod_{i ≤ t} (1 + λ_i (x_i - m)), \quad
              λ_i = \min(\sqrt{2 \log(1/α) / (n \hat σ²_{i-1})}, 0.75 / m)

    with x scaled to [0, 1]. If the mean is at most m, the capital K is a supermartingale and
    reaches 1/α with a probability of at most α (Ville's inequality). The bound is the largest m for
    which it does, as K decreases in m. It adapts to the variance, which is small if values rarely
    differ.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
        Independent draws, in an order that does not depend on them.
    low, high : float
        The range of all possible values.
    confidence : float in (0, 1), default=0.95
        1 − α, the probability with which the bound is below the mean.

    Returns
    -------
    float
        At least `low`.

    Raises
    ------
    ValueError
        If a value is not finite or out of the range.

    References
    ----------
    Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B.

    Examples
    --------
    >>> round(mean_lower_bound([0.5] * 200, low=0, high=1), 2)
    0.49
    """
    x = _scaled(values, low, high)
    log_target = -np.log1p(-confidence)
    stakes = _stakes(x, log_target)
    below, above = 0.0, 1.0
    for _ in range(_HALVINGS):
        m = (below + above) / 2
        is_refuted = _log_capital(x, stakes, m) >= log_target
        below, above = (m, above) if is_refuted else (below, m)
    return float(low + below * (high - low))


def mean_upper_bound(
    values: npt.ArrayLike, *, low: float, high: float, confidence: float = 0.95
) -> float:
    """Upper confidence bound for the mean of values in [low, high], by `mean_lower_bound`.

    Parameters
    ----------
    values, low, high, confidence
        As in `mean_lower_bound`.

    Returns
    -------
    float
        At most `high`.

    Examples
    --------
    >>> round(mean_upper_bound([0.5] * 200, low=0, high=1), 2)
    0.51
    """
    mirrored = -as_losses(values, "values")
    return -mean_lower_bound(mirrored, low=-high, high=-low, confidence=confidence)


def mean_p_value(
    values: npt.ArrayLike, bound: float, *, low: float, high: float, confidence: float = 0.95
) -> float:
    """P-value of "the mean is at most `bound`", by the bets of `mean_lower_bound`.

    One over the largest capital that the bets reach (Ville's inequality).

    Parameters
    ----------
    values, low, high
        As in `mean_lower_bound`.
    bound : float
        The mean to be refuted.
    confidence : float in (0, 1), default=0.95
        Level for which the stakes are optimised. The p-value is valid at all levels.

    Returns
    -------
    float
        In (0, 1]; at most 1 − `confidence` if `mean_lower_bound` is above `bound`.

    Raises
    ------
    ValueError
        If a value is not finite or out of the range.

    Examples
    --------
    >>> round(mean_p_value([0.5] * 200, 0.48, low=0, high=1), 3)
    0.003
    """
    x = _scaled(values, low, high)
    m = (bound - low) / (high - low)
    if m >= 1:
        return 1.0
    if m < 0:
        return float(np.finfo(float).tiny)  # no value is below `low`
    stakes = _stakes(x, -np.log1p(-confidence))
    return float(np.exp(-max(_log_capital(x, stakes, m), 0.0)))


def _scaled(values: npt.ArrayLike, low: float, high: float) -> npt.NDArray[np.float64]:
    values = as_losses(values, "values")
    if values.min() < low or values.max() > high:
        raise ValueError(
            f"values must be in [{low}, {high}], got {values.min():.4g} to {values.max():.4g}"
        )
    return (values - low) / (high - low)


def _log_capital(x: npt.NDArray[np.float64], stakes: npt.NDArray[np.float64], m: float) -> float:
    """Return the largest logarithm of the capital of bets that the mean is above m."""
    most = _STAKE / m if m > 0 else np.inf
    return float(np.cumsum(np.log1p(np.minimum(stakes, most) * (x - m))).max())


def _stakes(x: npt.NDArray[np.float64], log_target: float) -> npt.NDArray[np.float64]:
    """Return the stake on each value, computed from earlier values only."""
    n = len(x)
    seen = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(x)) / (seen + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (seen + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.sqrt(2 * log_target / (n * before))
