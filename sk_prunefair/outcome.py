"""Outcome: the losses and predictions of one classifier on one data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Outcome:
    """Losses, predictions and truth of one classifier over one data set.

    Parameters
    ----------
    losses : ndarray of shape (n_samples,), dtype float64, or None
        Losses in the unit of the criterion; None if only labels are known.
    labels, truth : ndarray of shape (n_samples,), dtype int64
        Encoded predictions and labels.
    scores : ndarray of shape (n_samples, n_labels), float, default=None
        Probability of each label, in the order of the codes; None if not known.

    Examples
    --------
    >>> labels, truth = np.array([0, 1, 1]), np.array([0, 1, 0])
    >>> Outcome(np.zeros(3), labels, truth).is_right
    array([ True,  True, False])
    """

    losses: npt.NDArray[np.float64] | None
    labels: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int64]
    scores: npt.NDArray[Any] | None = None

    def take(self, rows: npt.NDArray[Any]) -> Outcome:
        """Return the outcome of some of the rows."""
        losses, scores = (
            None if each is None else each[rows] for each in (self.losses, self.scores)
        )
        return Outcome(losses, self.labels[rows], self.truth[rows], scores)

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is correct."""
        return self.labels == self.truth

    @property
    def known_losses(self) -> npt.NDArray[np.float64]:
        """The losses; ValueError if there are none."""
        if self.losses is None:
            raise ValueError("losses are not available for predictions that are labels only")
        return self.losses

    @property
    def confidence(self) -> npt.NDArray[Any] | None:
        """Probability of the predicted label of each sample, None if not known."""
        if self.scores is None:
            return None
        return np.take_along_axis(self.scores, self.labels[:, None], axis=1)[:, 0]

    @property
    def is_constant(self) -> bool:
        """Whether all samples get one label, although the truth has several."""
        return len(np.unique(self.labels)) == 1 and len(np.unique(self.truth)) > 1


def paired_counts(
    dense: Outcome, pruned: Outcome, codes: npt.NDArray[np.int64], n_groups: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return by group the numbers of rows, and of rows that one net alone gets right: lost, won.

    Examples
    --------
    >>> truth = np.array([0, 1, 1])
    >>> dense, pruned = (Outcome(None, np.array(each), truth) for each in ([0, 1, 0], [1, 1, 1]))
    >>> [each.tolist() for each in paired_counts(dense, pruned, np.array([0, 0, 1]), 2)]
    [[2, 1], [1, 0], [0, 1]]
    """
    before, after = dense.is_right, pruned.is_right
    count, lost, won = (
        np.bincount(codes, each, n_groups).astype(np.int64)
        for each in (None, before & ~after, after & ~before)
    )
    return count, lost, won


def lost_labels(dense: Outcome, pruned: Outcome) -> list[int]:
    """Return the labels that the dense net predicts for some sample, and the pruned net for none.

    Examples
    --------
    >>> truth = np.array([0, 1, 1])
    >>> dense = Outcome(np.zeros(3), np.array([0, 1, 0]), truth)
    >>> lost_labels(dense, Outcome(np.zeros(3), np.array([1, 1, 1]), truth))
    [0]
    """
    return np.setdiff1d(dense.labels, pruned.labels).tolist()
