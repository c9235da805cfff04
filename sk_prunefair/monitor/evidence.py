"""The questions of a monitor for every group, and the evidence for an alarm."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sk_prunefair.monitor.counts import BatchCounts
from sk_prunefair.stats.restarts import RestartedBets

Array = npt.NDArray[np.float64]
_FOR_KNOWN = 0.9
_LEAST = 1e-6  # bets need a limit strictly between 0 and 1


class Evidence:
    """Bets on each question, for all groups.

    Parameters
    ----------
    drop : float or None
        Accepted loss of a group's accuracy; None omits the question, here and below.
    changed : float or None
        Accepted share of a group's predictions that differ.
    shift : float or None
        Accepted change of a group's share of the rows; needs two bets, up and down.
    """

    def __init__(self, drop: float | None, changed: float | None, shift: float | None) -> None:
        self.drop, self.changed, self.shift = drop, changed, shift
        asked = {"accuracy": drop, "answers changed": changed, "share": shift, "share down": shift}
        self.bets = {
            kind: RestartedBets(-1 if kind == "accuracy" else 0)
            for kind, limit in asked.items()
            if limit is not None
        }

    @property
    def kinds(self) -> list[str]:
        """The questions in use."""
        return [kind for kind in self.bets if kind != "share down"]

    def add_groups(self, shares: Array) -> None:
        """Add groups, with their shares at release."""
        shift = 0.0 if self.shift is None else self.shift
        limits = {
            "accuracy": np.full(len(shares), self.drop),
            "answers changed": np.full(len(shares), self.changed),
            "share": np.clip(shares + shift, _LEAST, 1 - _LEAST),
            "share down": np.clip(1 - shares + shift, _LEAST, 1 - _LEAST),
        }
        for kind, bets in self.bets.items():
            bets.add_streams(limits[kind])

    def take(self, counts: BatchCounts) -> None:
        """Update with the counts of a batch."""
        none = np.zeros_like(counts.rows)
        inside, outside = counts.rows, counts.rows.sum() - counts.rows
        values = {
            "accuracy": (counts.lost, counts.labelled - counts.lost - counts.won, counts.won),
            "answers changed": (counts.changed, counts.rows - counts.changed, none),
            "share": (inside, outside, none),
            "share down": (outside, inside, none),
        }
        for kind, bets in self.bets.items():
            bets.update(*values[kind])

    def log_evidence(self, kind: str) -> Array:
        """Natural logarithm of the evidence of each group; of two bets, of their average."""
        if kind != "share":
            return self.bets[kind].log_evidence
        both = [self.bets[name].log_evidence for name in ("share", "share down")]
        return np.logaddexp(*both) - np.log(2)

    def merged(self, other: Evidence, places: npt.NDArray[np.int64]) -> Evidence:
        """Return the combined evidence; `places` are the positions of the other's groups."""
        both = copy.copy(self)
        both.bets = {k: bets.merged(other.bets[k], places) for k, bets in self.bets.items()}
        return both

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {kind: bets.to_dict() for kind, bets in self.bets.items()}

    def set_state(self, state: dict[str, Any]) -> Self:
        """Set the state from the result of `to_dict`."""
        self.bets = {kind: RestartedBets.from_dict(each) for kind, each in state.items()}
        return self


def log_thresholds(alpha: float, n_kinds: int, n_known: int, n_groups: int) -> Array:
    """Logarithm of the evidence at which an alarm is raised for each group.

    α is split evenly over the questions. Groups that are known in advance share nine tenths of it
    evenly; the k-th later group gets 1 / (k (k + 1)) of the rest, or of all if none is known.

    >>> np.exp(log_thresholds(0.05, 1, 2, 2)).round(1).tolist()
    [44.4, 44.4]
    >>> np.exp(log_thresholds(0.05, 1, 0, 2)).round().tolist()
    [40.0, 120.0]
    """
    k = np.arange(1, n_groups - n_known + 1)
    late = np.log(k) + np.log1p(k)
    if n_known:
        known = np.full(n_known, np.log(n_known) - np.log(_FOR_KNOWN))
        late = np.concatenate([known, late - np.log1p(-_FOR_KNOWN)])
    return late + np.log(n_kinds / alpha)
