"""Two classifiers over the same samples: labels, and scores if both have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sk_prunefair.outcome import Outcome

_Labels = npt.NDArray[np.int64]
_Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Predictions of two classifiers for the same samples.

    Parameters
    ----------
    truth, dense, compressed : ndarray of shape (n_samples,), dtype int64
        Encoded labels, and the predictions of each classifier.
    scores : tuple of two ndarray of shape (n_samples, n_labels), or None
        Scores of both, or None if one has none.
    classes : ndarray of shape (n_classes,), dtype int64
        Positive labels: a single one, or each in turn.
    """

    truth: _Labels
    dense: _Labels
    compressed: _Labels
    scores: tuple[_Scores, _Scores] | None
    classes: _Labels

    def take(self, rows: npt.NDArray[np.int64]) -> Pair:
        """Return the pair restricted to some samples."""
        scores = self.scores and (self.scores[0][rows], self.scores[1][rows])
        return replace(
            self,
            truth=self.truth[rows],
            dense=self.dense[rows],
            compressed=self.compressed[rows],
            scores=scores,
        )

    def cells(self) -> tuple[Pair, npt.NDArray[np.int64]]:
        """Return the distinct rows of labels as a pair without scores, and their counts."""
        table = np.stack([self.truth, self.dense, self.compressed], axis=1)
        different, sizes = np.unique(table, axis=0, return_counts=True)
        truth, dense, compressed = different.T
        return Pair(truth, dense, compressed, None, self.classes), sizes


def as_pair(dense: Outcome, compressed: Outcome, labels: npt.ArrayLike, pos_label: Any) -> Pair:
    """Return two outcomes as a pair, with the code of the positive label, or of all.

    Raises
    ------
    ValueError
        If the outcomes have different samples, or `pos_label` is not one of the labels.

    Examples
    --------
    >>> outcome = Outcome(np.zeros(2), np.array([0, 1]), np.array([0, 1]))
    >>> as_pair(outcome, outcome, ["no", "yes"], None).classes
    array([1])
    """
    check_same_samples(dense, compressed)
    known = np.asarray(labels).tolist()
    if pos_label is None:
        classes = list(range(len(known))) if len(known) > 2 else [known.index(max(known))]
    elif pos_label in known:
        classes = [known.index(pos_label)]
    else:
        raise ValueError(f"pos_label must be one of the labels {known[:10]}, got {pos_label!r}")
    first, second = known_scores(dense), known_scores(compressed)
    scores = None if first is None or second is None else (first, second)
    return Pair(dense.truth, dense.labels, compressed.labels, scores, np.array(classes))


def known_scores(outcome: Outcome) -> _Scores | None:
    """Return the probabilities of an outcome, or None if it has only labels.

    Raises
    ------
    ValueError
        If the shape is not one row per sample and one column per label, or a number is not finite.

    Examples
    --------
    >>> known_scores(Outcome(np.zeros(1), np.array([0]), np.array([0]))) is None
    True
    """
    if outcome.scores is None:
        return None
    scores = np.asarray(outcome.scores, dtype=float)
    n, least = len(outcome.truth), int(max(outcome.labels.max(), outcome.truth.max())) + 1
    if scores.ndim != 2 or len(scores) != n or scores.shape[1] < least:
        raise ValueError(
            f"scores must have shape ({n}, n_labels) with at least {least} labels, "
            f"got {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite, got NaN or infinite values")
    return scores


def check_same_samples(dense: Outcome, compressed: Outcome) -> None:
    """Raise ValueError unless both outcomes have the same truth."""
    if not np.array_equal(dense.truth, compressed.truth):
        raise ValueError(
            "dense and compressed must be outcomes of the same samples, got "
            f"{len(dense.truth)} and {len(compressed.truth)} samples whose labels differ"
        )
