"""What one classifier does on one data set, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Outcome:
    """Losses, predictions and truth of one classifier over one data set.

    Parameters
    ----------
    losses : ndarray of shape (n_samples,), dtype float64
        In the unit of the criterion.
    labels, truth : ndarray of shape (n_samples,), dtype int64
        Encoded predictions and labels.

    Examples
    --------
    >>> labels, truth = np.array([0, 1, 1]), np.array([0, 1, 0])
    >>> Outcome(np.zeros(3), labels, truth).is_right
    array([ True,  True, False])
    """

    losses: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int64]

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is right."""
        return self.labels == self.truth

    @property
    def is_constant(self) -> bool:
        """Whether all samples get one label, though there are several among the truth."""
        return len(np.unique(self.labels)) == 1 and len(np.unique(self.truth)) > 1


def lost_labels(dense: Outcome, pruned: Outcome) -> list[int]:
    """Return the labels that the dense net gives to some sample, and the pruned net to none.

    Examples
    --------
    >>> truth = np.array([0, 1, 1])
    >>> dense = Outcome(np.zeros(3), np.array([0, 1, 0]), truth)
    >>> lost_labels(dense, Outcome(np.zeros(3), np.array([1, 1, 1]), truth))
    [0]
    """
    return np.setdiff1d(dense.labels, pruned.labels).tolist()
