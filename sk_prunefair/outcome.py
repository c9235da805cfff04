"""What one classifier does on one data set, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Outcome:
    """Losses, predictions and truth of one classifier over one data set."""

    losses: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int64]

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is right."""
        return self.labels == self.truth
