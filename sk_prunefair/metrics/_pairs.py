"""Outcomes of two classifiers over the same samples, and the scores where they are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sk_prunefair.outcome import Outcome


def known_scores(outcome: Outcome) -> npt.NDArray[np.float64] | None:
    """Return the probabilities of an outcome, or None where it has labels alone.

    Raises
    ------
    ValueError
        If there is not one row per sample and one column per label, or a number is not finite.

    Examples
    --------
    >>> known_scores(Outcome(np.zeros(1), np.array([0]), np.array([0]))) is None
    True
    """
    given = getattr(outcome, "scores", None)
    if given is None:
        return None
    scores = np.asarray(given, dtype=float)
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
