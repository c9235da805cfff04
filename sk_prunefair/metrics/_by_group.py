"""The metrics of one group: both classifiers, the change, and its interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from sk_prunefair.metrics._pairs import Pair
from sk_prunefair.metrics._rates import (
    Counts,
    auc,
    brier_terms,
    calibration_error,
    label_rates,
    macro_auc,
    macro_rates,
)
from sk_prunefair.stats.bootstrap import bootstrap_values, normal_interval
from sk_prunefair.stats.tango import tango_interval
from sk_prunefair.stats.wilson import wilson_interval

# Dense, compressed, change, its interval, and the number of samples.
Figures = tuple[float, float, float, float, float, int]
# Function of counts that returns all metrics of both classifiers, of shape (n_draws, 2, n_metrics).
_Statistic = Callable[[Counts], npt.NDArray[np.float64]]


def group_metrics(
    pair: Pair, n_boot: int, confidence: float, rng: np.random.Generator
) -> dict[str, Figures]:
    """Return the metrics of a group's samples, by name."""
    found: dict[str, Figures] = {}
    if len(pair.classes) == 1:
        found |= _rates(pair, confidence)
    found |= _resampled_labels(pair, n_boot, confidence, rng)
    if pair.scores is not None:
        found |= _resampled_scores(pair, n_boot, confidence, rng)
        found["brier_score"] = _brier(pair, confidence)
    found["disagreement_rate"] = _disagreement(pair, confidence)
    return found


def _rates(pair: Pair, confidence: float) -> dict[str, Figures]:
    """Return the rates of the positive label, each with its number of samples."""
    positive = pair.classes[0]
    is_of, dense, compressed = (
        each == positive for each in (pair.truth, pair.dense, pair.compressed)
    )
    over = {
        "selection_rate": np.ones_like(is_of),
        "true_positive_rate": is_of,
        "false_positive_rate": ~is_of,
    }
    return {name: _rate(dense[rows], compressed[rows], confidence) for name, rows in over.items()}


def _rate(
    dense: npt.NDArray[np.bool_], compressed: npt.NDArray[np.bool_], confidence: float
) -> Figures:
    n = len(dense)
    if n == 0:
        return (np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    before, after = dense.mean(), compressed.mean()
    # An increase of the compressed model's rate is a negative drop.
    more, fewer = (compressed & ~dense).sum(), (dense & ~compressed).sum()
    low, high = tango_interval(n, more, fewer, confidence)
    return (before, after, after - before, float(low), float(high), n)


def _resampled_labels(
    pair: Pair, n_boot: int, confidence: float, rng: np.random.Generator
) -> dict[str, Figures]:
    """Return the precision and, for several classes, the mean rates, by bootstrap."""
    cells, sizes = pair.cells()
    is_single = len(pair.classes) == 1
    names = ["precision"]
    if not is_single:
        names = ["true_positive_rate", "false_positive_rate", *names]

    def statistic(counts: Counts) -> npt.NDArray[np.float64]:
        both = []
        for labels in (cells.dense, cells.compressed):
            if is_single:
                rates = label_rates(counts, labels, cells.truth, cells.classes)
                both.append([rates[name][:, 0] for name in names])
            else:
                means = macro_rates(counts, labels, cells.truth, cells.classes)
                both.append([means[name] for name in names])
        return np.moveaxis(np.array(both), 2, 0)

    return _resampled(names, statistic, sizes, n_boot, confidence, rng)


def _resampled_scores(
    pair: Pair, n_boot: int, confidence: float, rng: np.random.Generator
) -> dict[str, Figures]:
    """Return AUC and calibration error, by bootstrap."""
    assert pair.scores is not None
    truth, classes = pair.truth, pair.classes
    models = list(zip((pair.dense, pair.compressed), pair.scores, strict=True))
    rows = np.arange(len(truth))

    def statistic(counts: Counts) -> npt.NDArray[np.float64]:
        both = []
        for labels, scores in models:
            area = (
                auc(counts, scores[:, classes[0]], truth == classes[0])
                if len(classes) == 1
                else macro_auc(counts, scores, truth, classes)
            )
            error = calibration_error(counts, scores[rows, labels], labels == truth)
            both.append([area, error])
        return np.moveaxis(np.array(both), 2, 0)

    ones = np.ones(len(truth), dtype=np.int64)
    names = ["auc", "calibration_error"]
    return _resampled(names, statistic, ones, n_boot, confidence, rng)


def _resampled(
    names: list[str],
    statistic: _Statistic,
    sizes: npt.NDArray[np.int64],
    n_boot: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Figures]:
    before, after = statistic(sizes[np.newaxis].astype(float))[0]
    draws = bootstrap_values(statistic, sizes, n_boot, rng)
    low, high = normal_interval(after - before, draws[:, 1] - draws[:, 0], confidence)
    columns = np.stack([before, after, after - before, low, high], axis=1).tolist()
    n = int(sizes.sum())
    return {name: (*row, n) for name, row in zip(names, columns, strict=True)}


def _brier(pair: Pair, confidence: float) -> Figures:
    assert pair.scores is not None
    before, after = (brier_terms(scores, pair.truth) for scores in pair.scores)
    n, rise = len(before), after - before
    error = rise.std(ddof=1) / np.sqrt(n) if n > 1 and np.ptp(rise) > 0 else np.nan
    half = float(norm.isf((1 - confidence) / 2)) * error
    change = rise.mean()
    return (before.mean(), after.mean(), change, change - half, change + half, n)


def _disagreement(pair: Pair, confidence: float) -> Figures:
    n = len(pair.truth)
    share = float((pair.dense != pair.compressed).mean())
    low, high = wilson_interval(share, n, float(norm.isf((1 - confidence) / 2)))
    return (np.nan, np.nan, share, float(low), float(high), n)
