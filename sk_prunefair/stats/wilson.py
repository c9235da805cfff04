"""Intervals of shares, such as accuracies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def wilson_interval(
    share: npt.ArrayLike, count: npt.ArrayLike, z: float = 1.96
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return Wilson's score interval of binomial shares (Wilson 1927); 95 % by default.

    ``(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)``

    >>> low, high = wilson_interval([0.5, 1.0], [10, 10])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237, 0.722], [0.763, 1.0])
    """
    p, n = np.asarray(share, dtype=float), np.asarray(count, dtype=float)
    middle = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
