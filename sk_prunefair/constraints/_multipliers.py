"""Weights from the multipliers of the equal-loss constraint, and their step after an epoch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Bounds on the factor of a row, relative to a row of a group with λ = 0.
FACTORS = (0.1, 50.0)

# Largest step of λ in one epoch, or its ratio to a violation above 1.
MOST = 0.5


def row_factors(multipliers: Floats, shares: Floats) -> Floats:
    """Return the factor of the rows of each group, (share + λ / G) / share; its mean is 1."""
    more = np.divide(multipliers, len(shares) * shares, out=np.zeros_like(shares), where=shares > 0)
    factors = (1 + more).clip(*FACTORS)
    return factors / (shares @ factors)


def overall_loss(means: Floats, shares: Floats) -> float:
    """Return J, the mean loss over the data of the groups that have a loss."""
    seen = np.isfinite(means)
    return float(np.average(means[seen], weights=shares[seen])) if seen.any() else 0.0


def explained_by_labels(overall: float, entropies: Floats | None, shares: Floats) -> Floats:
    r"""Return the part of each group's distance from J that its label rates explain.

    The best prediction from the group alone has the loss H_a on group a, the entropy of its labels,
    and H̄, their mean, over the data. Equally informative features reduce the entropy of every
    group by the same share, so that a net with loss J has the loss (J / H̄) H_a on group a. Where
    the group is the label, all entropies are zero, and nothing is explained.

    Parameters
    ----------
    overall : float
        J.
    entropies : ndarray of shape (n_groups,) or None
        H_a in nats; None if label rates are not taken into account.
    shares : ndarray of shape (n_groups,)
        Shares of the data.

    Examples
    --------
    >>> explained_by_labels(0.3, np.array([0.6, 0.2]), np.array([0.5, 0.5]))
    array([ 0.15, -0.15])
    """
    mean = 0.0 if entropies is None else float(shares @ entropies)
    if entropies is None or mean <= 0:
        return np.zeros_like(shares)
    return overall / mean * (entropies - mean)


def multiplier_steps(
    means: Floats, errors: Floats | float, overall: float, least: float, step_size: float
) -> Floats:
    """Return the steps of the multipliers, zero for a group without a finite loss.

    Parameters
    ----------
    means, errors : ndarray of shape (n_groups,)
        Mean loss of each group and its standard error.
    overall : float
        J.
    least : float
        Distances from J are divided by the larger of this and J.
    step_size : float
        η.
    """
    distances = np.where(np.isfinite(means), means - overall, 0.0)
    beyond = np.sign(distances) * np.nan_to_num(np.abs(distances) - errors).clip(min=0)
    scale = max(overall, least)
    violation = beyond / scale if scale > 0 else np.zeros_like(means)
    most = MOST * np.maximum(np.abs(violation), 1.0)
    return (step_size * violation).clip(-most, most)
