"""Combine p-values: for a difference between two groups, and for many groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import chi2, norm


def squared_z(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the squares of the normal quantiles of p-values; 0 where p is 0.5 or more.

    Parameters
    ----------
    p_values : array-like of any shape
        Values in [0, 1].

    Returns
    -------
    ndarray of the same shape, dtype float64
        For a uniform p-value it is 0 with probability ½, and chi-squared (1) otherwise.

    Examples
    --------
    >>> squared_z([0.9, 0.025]).round(2).tolist()
    [0.0, 3.84]
    """
    return np.maximum(norm.isf(np.asarray(p_values, dtype=float)), 0) ** 2


def two_squared_z_p_value(total: npt.ArrayLike) -> npt.NDArray[np.float64]:
    r"""P-value of the sum of `squared_z` of two independent p-values.

    .. math:: ½ P(χ²_1 ≥ t) + ¼ P(χ²_2 ≥ t)

    for t > 0 (the chi-bar-squared distribution of Kudo 1963, with the weights ¼, ½, ¼). For t = 0
    it is 1.

    To refute ``a − b ≥ δ`` for two independent parameters, take the least sum over all c of
    the p-values of ``a ≥ c`` and ``b ≤ c − δ``. If the difference is δ or more, both hold at
    c = a, so that the p-value is exactly valid. For normal estimates, the least sum is
    the squared difference in units of its standard error, for any shares of the groups.

    Parameters
    ----------
    total : array-like of float
        The sum, 0 or more.

    Returns
    -------
    ndarray of the same shape, dtype float64
        Values in [0, 1].

    References
    ----------
    Kudo (1963), A multivariate analogue of the one-sided test, Biometrika 50.

    Examples
    --------
    >>> two_squared_z_p_value([0.0, 4.231]).round(3).tolist()
    [1.0, 0.05]
    """
    total = np.asarray(total, dtype=float)
    p = chi2.sf(total, 1) / 2 + chi2.sf(total, 2) / 4
    return np.where(total > 0, p, 1.0)


def two_squared_z_critical(level: float) -> float:
    """Return the sum whose `two_squared_z_p_value` is `level`, a number in (0, 0.75).

    Examples
    --------
    >>> round(two_squared_z_critical(0.05), 3)
    4.231
    """
    return float(brentq(lambda total: float(two_squared_z_p_value(total)) - level, 1e-12, 1e4))


def hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values of independent hypotheses for their number, by Hochberg's step-up procedure.

    It is a shortcut of the closed test with Simes's tests, which are valid for independent
    p-values, and rejects all hypotheses that Holm's procedure rejects. All are rejected at a level
    if and only if the largest p-value is at most that level.

    Parameters
    ----------
    p_values : array-like of shape (n,)
        Values in [0, 1].

    Returns
    -------
    ndarray of shape (n,), dtype float64
        Adjusted p-values: rejecting those of at most α has a family-wise error rate of at most α.

    References
    ----------
    Hochberg (1988), A sharper Bonferroni procedure for multiple tests of significance, Biometrika
    75.

    Examples
    --------
    >>> hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[::-1]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum.accumulate(p[order] * np.arange(1, len(p) + 1))
    return adjusted


def holm(p_values: npt.ArrayLike, n_tests: int | None = None) -> npt.NDArray[np.float64]:
    """Adjust p-values for their number, by Holm's procedure, for any dependence.

    Parameters
    ----------
    p_values : array-like of shape (n,)
        Values in [0, 1].
    n_tests : int, default=None
        Number of hypotheses, at least n; None takes n.

    Returns
    -------
    ndarray of shape (n,), dtype float64
        Adjusted p-values: rejecting those of at most α has a family-wise error rate of at most α.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    factors = (len(values) if n_tests is None else n_tests) - np.arange(len(values))
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * factors)
    return np.minimum(adjusted, 1.0)
