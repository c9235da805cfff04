"""Findings on a compressed net beyond averages."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_prunefair.names import PRUNING, Names
from sk_prunefair.outcome import Outcome, lost_labels


def label_findings(
    dense: Outcome, pruned: Outcome, labels: Any, names: Names = PRUNING
) -> list[str]:
    """Return findings beyond averages: one label for all, or lost labels.

    Parameters
    ----------
    dense, pruned : Outcome
        Outcomes on the same data.
    labels : sequence
        Labels of the codes.
    names : Names
        Names of the two models.

    Examples
    --------
    >>> truth = np.array([0, 1, 1])
    >>> dense = Outcome(np.zeros(3), np.array([0, 1, 0]), truth)
    >>> label_findings(dense, Outcome(np.zeros(3), np.array([1, 1, 1]), truth), ["no", "yes"])
    ["the pruned net gives every sample the label 'yes'"]
    """
    if pruned.is_constant:
        label = _plain(labels[pruned.labels[0]])
        return [f"the {names.compressed_model} gives every sample the label {label!r}"]
    lost = [_plain(labels[code]) for code in lost_labels(dense, pruned)]
    if not lost:
        return []
    shown = ", ".join(map(repr, lost[:5])) + " and others" * (len(lost) > 5)
    noun = "labels" if len(lost) > 1 else "label"
    return [
        f"the {names.compressed_model} gives no sample the {noun} {shown}, which the "
        f"{names.dense_model} gave"
    ]


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
