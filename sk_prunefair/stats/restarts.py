"""Bets that a mean exceeds a limit, restarted with every batch: evidence valid at any time."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Shares of the largest safe stake, as the best one is not known in advance.
STAKES = 2.0 ** -np.arange(1.0, 9.0)


class RestartedBets:
    r"""Evidence for each of several streams that the mean of its values exceeds a limit.

    Values are 1, 0 or `low`. For a stake λ, a bet on values beyond the limit m is a factor
    1 + λ (x − m) for each value x; while the mean is at most m given the past, the product of such
    factors is a supermartingale. Harm may begin at any time, and a product over a long
    time without harm loses its capital. So a part of the capital is reserved for every start:

    .. math:: E_t = \sum_{j ≤ t} w_j \prod_{i=j}^{t} F_i + \sum_{j > t} w_j, \quad
              w_j = \frac{1}{j (j + 1)}, \quad F_i = \prod_{x \in \text{batch } i} (1 + λ (x - m)),

    averaged over eight stakes. E is a supermartingale that starts at 1: it reaches 1/α at any time
    with a probability of at most α (Ville's inequality). Batches without values are skipped. Two
    numbers are stored for each stake and stream.

    Parameters
    ----------
    low : {-1, 0}
        The smallest value.

    References
    ----------
    Shafer, Shen, Vereshchagin and Vovk (2011), Test martingales, Bayes factors and p-values.
    Shin, Ramdas and Rinaldo (2024), E-detectors: a nonparametric framework for sequential change
    detection.

    Examples
    --------
    >>> bets = RestartedBets(low=-1)
    >>> bets.add_streams([0.02])
    >>> for _ in range(100):  # ten of hundred rows are lost, five are won
    ...     bets.update([10], [85], [5])
    >>> bool(bets.log_evidence[0] > 10)
    True
    """

    def __init__(self, low: int) -> None:
        self.low = int(low)
        self.limits = np.empty(0)
        self.log_bets = np.empty((0, len(STAKES)))  # capital of the starts so far
        self.log_rest = np.empty(0)  # capital reserved for later starts
        self.clock = np.empty(0)

    def add_streams(self, limits: npt.ArrayLike) -> None:
        """Add streams, with a capital of 1 each.

        Parameters
        ----------
        limits : array-like of shape (n_more,)
            Limits of the mean; in (0, 1) if `low` is 0, in [0, 1) if it is −1.
        """
        limits = np.asarray(limits, dtype=float)
        n = len(limits)
        self.limits = np.append(self.limits, limits)
        self.log_bets = np.vstack([self.log_bets, np.full((n, len(STAKES)), -np.inf)])
        self.log_rest = np.append(self.log_rest, np.zeros(n))
        self.clock = np.append(self.clock, np.zeros(n))

    def update(self, ups: npt.ArrayLike, zeros: npt.ArrayLike, downs: npt.ArrayLike) -> None:
        """Update with one batch.

        Parameters
        ----------
        ups, zeros, downs : array-like of shape (n_streams,)
            Numbers of values 1, 0, and −1 (0 if `low` is 0).
        """
        counts = np.stack([np.asarray(c, dtype=float) for c in (ups, zeros, downs)])
        is_seen = counts.sum(axis=0) > 0
        self.clock += is_seen
        # w_j as a share of the remaining capital: equal to 1 / (j (j + 1)), also after a merge.
        log_start = self.log_rest - np.log1p(self.clock)
        begun = np.logaddexp(self.log_bets, log_start[:, None])
        beyond = np.array([1.0, 0.0, self.low])[:, None] - self.limits
        stakes = STAKES / (self.limits - self.low)[:, None]
        grown = (counts[:, :, None] * np.log1p(beyond[:, :, None] * stakes)).sum(axis=0)
        self.log_bets = np.where(is_seen[:, None], begun + grown, self.log_bets)
        kept = self.log_rest + np.log1p(-1 / (1 + np.maximum(self.clock, 1)))
        self.log_rest = np.where(is_seen, kept, self.log_rest)

    @property
    def log_evidence(self) -> Array:
        """Natural logarithm of E of each stream, shape (n_streams,)."""
        mean = np.logaddexp.reduce(self.log_bets, axis=1) - np.log(len(STAKES))
        return np.logaddexp(mean, self.log_rest)

    def merged(self, other: RestartedBets, places: npt.ArrayLike) -> RestartedBets:
        """Return the joint evidence of independent rows of the same streams.

        For each stake the product of both capitals is a supermartingale again.

        Parameters
        ----------
        other : RestartedBets
            Evidence of other rows, with the same limits.
        places : array-like of shape (n_streams of other,)
            Position among this object's streams of each of the other's.
        """
        both = copy.deepcopy(self)
        places = np.asarray(places, dtype=int)
        mine, rest = self.log_bets[places], self.log_rest[places, None]
        theirs, their_rest = other.log_bets, other.log_rest[:, None]
        both.log_bets[places] = np.logaddexp.reduce(
            [mine + theirs, mine + their_rest, rest + theirs], axis=0
        )
        both.log_rest[places] = (rest + their_rest)[:, 0]
        both.clock[places] = self.clock[places] + other.clock
        return both

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain values; −infinity is None."""
        bets = [[None if np.isneginf(v) else v for v in row] for row in self.log_bets.tolist()]
        return {
            "low": self.low,
            "limits": self.limits.tolist(),
            "log_bets": bets,
            "log_rest": self.log_rest.tolist(),
            "clock": self.clock.tolist(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the object from the result of `to_dict`."""
        bets = cls(state["low"])
        bets.limits = np.array(state["limits"], dtype=float)
        rows = [[-np.inf if v is None else v for v in row] for row in state["log_bets"]]
        bets.log_bets = np.array(rows, dtype=float).reshape(-1, len(STAKES))
        bets.log_rest = np.array(state["log_rest"], dtype=float)
        bets.clock = np.array(state["clock"], dtype=float)
        return bets
