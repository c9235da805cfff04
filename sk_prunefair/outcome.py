"""What one classifier does on one data set, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_MAX_NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """Losses, predictions and truth of one classifier over one data set.

    Parameters
    ----------
    losses : ndarray of shape (n_samples,), dtype float64
        Loss of each sample.
    labels, truth : ndarray of shape (n_samples,), dtype int64
        Code of the predicted label and of the right one.

    Examples
    --------
    >>> outcome = Outcome(np.array([0.1, 2.0]), labels=np.array([0, 1]), truth=np.array([0, 0]))
    >>> outcome.is_right.tolist()
    [True, False]
    """

    losses: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int64]

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is right."""
        return self.labels == self.truth


@dataclass(frozen=True)
class LabelUse:
    """Which labels a pruned net still predicts, compared with its dense net.

    Parameters
    ----------
    n_given : int
        How many labels the pruned net predicts at least once.
    lost : tuple
        The labels that the dense net predicts at least once, and the pruned net never.

    Examples
    --------
    >>> LabelUse.compare(["no", "yes"], ["no", "no"])
    LabelUse(n_given=1, lost=('yes',))
    >>> str(LabelUse.compare(["no", "yes"], ["no", "no"]))
    "the pruned net predicts one label for every sample, and never 'yes', which the dense net does"
    """

    n_given: int
    lost: tuple[Any, ...]

    @classmethod
    def compare(
        cls,
        dense: npt.ArrayLike,
        pruned: npt.ArrayLike,
        labels: Sequence[Any] | npt.NDArray[Any] | None = None,
    ) -> LabelUse:
        """Compare the predictions of two nets.

        Parameters
        ----------
        dense, pruned : array-like of shape (n_samples,)
            Predicted labels or, with `labels`, their codes.
        labels : sequence, default=None
            The label of each code.

        Returns
        -------
        LabelUse
            Of the pruned net.
        """
        given = np.unique(np.asarray(pruned))
        lost = np.setdiff1d(np.asarray(dense), given)
        names = lost.tolist()
        if labels is not None:
            names = np.asarray(labels)[lost.astype(np.int64)].tolist()
        return cls(len(given), tuple(names))

    @property
    def is_fine(self) -> bool:
        """Whether there are several labels, and none is lost: otherwise no promise is kept."""
        return self.n_given > 1 and not self.lost

    def __str__(self) -> str:
        named = ", ".join(map(repr, self.lost[:_MAX_NAMED]))
        if len(self.lost) > _MAX_NAMED:
            named += f" and {len(self.lost) - _MAX_NAMED} others"
        if self.n_given == 1:
            rest = f"and never {named}, which the dense net does" if self.lost else ""
            rest = rest or "as the dense net does"
            return f"the pruned net predicts one label for every sample, {rest}"
        if self.lost:
            return f"the pruned net never predicts {named}, which the dense net does"
        return f"the pruned net predicts {self.n_given} labels, all that the dense net does"
