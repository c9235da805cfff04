"""Differences between groups: both classifiers, the change, and its interval."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sk_prunefair.metrics._by_group import Figures
from sk_prunefair.metrics._pairs import Pair
from sk_prunefair.metrics._rates import Counts, label_rates, ratio
from sk_prunefair.stats.bootstrap import bootstrap_values, normal_interval

_NAMES = ("demographic_parity_difference", "equalized_odds_difference", "impact_ratio")
_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def between_groups(
    members: Sequence[Pair], n_boot: int, confidence: float, rng: np.random.Generator
) -> dict[str, Figures]:
    """Return the differences between the groups, by name; each pair has one group's samples."""
    cells = [pair.cells() for pair in members]
    seen = [_rates(pair, sizes[np.newaxis].astype(float)) for pair, sizes in cells]
    drawn = [
        bootstrap_values(functools.partial(_rates, pair), sizes, n_boot, rng)
        for pair, sizes in cells
    ]
    values, changed = _compared(np.stack(seen, axis=-1))
    draws, changed_draws = _compared(np.stack(drawn, axis=-1))
    before, after = values[0]
    low, high = normal_interval(after - before, draws[:, 1] - draws[:, 0], confidence)
    n = sum(len(pair.truth) for pair in members)
    columns = np.stack([before, after, after - before, low, high], axis=1).tolist()
    found: dict[str, Figures] = {name: (*row, n) for name, row in zip(_NAMES, columns, strict=True)}
    least, most = normal_interval(changed[0], changed_draws, confidence)
    found["disagreement_rate_difference"] = (
        *(np.nan, np.nan, float(changed[0]), float(least), float(most)),
        n,
    )
    return found


def _rates(pair: Pair, counts: Counts) -> npt.NDArray[np.float64]:
    """Return the rates of one group, of shape (n_draws, 2, 4, n_classes).

    The fourth is the share of changed predictions, the same for all classes.
    """
    both = []
    for labels in (pair.dense, pair.compressed):
        rates = label_rates(counts, labels, pair.truth, pair.classes)
        both.append([rates[name] for name in _RATES])
    found = np.moveaxis(np.array(both), 2, 0)
    is_changed = (pair.dense != pair.compressed).astype(float)
    changed = ratio(counts @ is_changed, counts.sum(axis=1))
    shape = (len(counts), 2, 1, len(pair.classes))
    last = np.broadcast_to(changed[:, np.newaxis, np.newaxis, np.newaxis], shape)
    return np.concatenate([found, last], axis=2)


def _compared(
    rates: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the three differences, of shape (n_draws, 2, 3), and that of the shares of changes.

    ``rates`` has shape (n_draws, 2, 4, n_classes, n_groups).
    """
    # Undefined in all groups: fmin and fmax stay NaN without a warning.
    most = np.fmax.reduce(rates, axis=-1)
    least = np.fmin.reduce(rates, axis=-1)
    gaps = np.fmax.reduce(most - least, axis=-1)
    impact = np.fmin.reduce(ratio(least, most)[:, :, 0], axis=-1)
    odds = np.fmax(gaps[:, :, 1], gaps[:, :, 2])
    return np.stack([gaps[:, :, 0], odds, impact], axis=2), gaps[:, 0, 3]
