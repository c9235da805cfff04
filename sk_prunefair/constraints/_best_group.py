"""A limit on the accuracy that the best group may lose."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.stats.wilson import wilson_interval


@dataclass(frozen=True)
class BestGroupLimit:
    """The highest accuracies of the groups so far, and the loss of the best group since then.

    Parameters
    ----------
    limit : float
        Largest accepted loss of accuracy, in [0, 1].
    highest : ndarray of shape (n_groups,), default=None
        Highest accuracy of each group after any epoch; None before the first.
    best : int, default=-1
        The group with the highest of those, by Wilson's lower bound.
    fallen : float, default=0.0
        Highest accuracy of the best group minus its accuracy after the last epoch.
    """

    limit: float
    highest: npt.NDArray[np.float64] | None = None
    best: int = -1
    fallen: float = 0.0

    def after(
        self, accuracy: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64]
    ) -> BestGroupLimit:
        """Return the state after an epoch.

        Parameters
        ----------
        accuracy : ndarray of shape (n_groups,)
            Accuracy of each group, NaN for an absent one.
        sizes : ndarray of shape (n_groups,)
            Number of rows of each group.
        """
        highest = accuracy if self.highest is None else np.fmax(self.highest, accuracy)
        if np.isnan(highest).all():
            return self
        # One correct row may well be chance.
        least, _ = wilson_interval(highest, np.maximum(sizes, 1))
        best = int(np.nanargmax(least))
        fallen = highest[best] - accuracy[best]
        fallen = self.fallen if np.isnan(fallen) else float(fallen)
        return BestGroupLimit(self.limit, highest, best, fallen)

    @property
    def is_kept(self) -> bool:
        """Whether the best group is no further below its highest accuracy than allowed."""
        return bool(self.fallen <= self.limit)

    @property
    def slack(self) -> float:
        """The share of the limit that is left, from 1 to 0."""
        return max(0.0, 1 - self.fallen / self.limit) if self.limit > 0 else float(self.is_kept)

    def warn(self, groups: pd.Index) -> None:
        """Warn if the limit is not kept."""
        if not self.is_kept:
            warnings.warn(
                f"the accuracy of the best group, {groups[self.best]}, is {self.fallen:.3f} below "
                f"its highest so far, more than max_accuracy_loss={self.limit}; pruning alone may "
                "cause this: a lower rate or more fine-tuning may restore it",
                UserWarning,
                stacklevel=2,
            )
