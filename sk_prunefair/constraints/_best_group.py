"""A limit on what the best group may lose to the others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class BestGroupLimit:
    """The highest accuracies of the groups so far, and how far the best of them has fallen.

    Parameters
    ----------
    limit : float
        How far it may fall, in [0, 1].
    highest : ndarray of shape (n_groups,)
        Highest accuracy of each group after any epoch; NaN before the first.
    fallen : float, default=0.0
        Highest accuracy of the best group less its accuracy after the last epoch.
    """

    limit: float
    highest: npt.NDArray[np.float64]
    fallen: float = 0.0

    def after(self, accuracy: npt.NDArray[np.float64]) -> BestGroupLimit:
        """Return the state after an epoch with these accuracies, NaN for an absent group."""
        highest = np.fmax(self.highest, accuracy)
        if np.isnan(highest).all():
            return self
        best = np.nanargmax(highest)
        fallen = highest[best] - accuracy[best]
        return BestGroupLimit(self.limit, highest, self.fallen if np.isnan(fallen) else fallen)

    @property
    def is_kept(self) -> bool:
        """Whether the best group is no further below its highest accuracy than allowed."""
        return bool(self.fallen <= self.limit)

    @property
    def slack(self) -> float:
        """How much of the limit is left, from 1 to 0."""
        return max(0.0, 1 - self.fallen / self.limit) if self.limit > 0 else float(self.is_kept)

    def warn(self, groups: npt.NDArray[np.object_]) -> None:
        """Say so if the limit is not kept."""
        if not self.is_kept:
            best = groups[np.nanargmax(self.highest)]
            warnings.warn(
                f"the accuracy of the best group, {best}, is {self.fallen:.3f} below the highest "
                f"that it had, more than max_accuracy_loss={self.limit}; pruning may cost it that "
                "without any constraint, a lower rate or more fine-tuning may give it back",
                UserWarning,
                stacklevel=2,
            )
