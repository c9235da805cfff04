"""The sentences of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame

from sk_prunefair.outcome import Outcome, lost_labels


def label_findings(dense: Outcome, pruned: Outcome, labels: Any) -> list[str]:
    """Return what the pruned net does that no average shows: one label for all, labels lost.

    Parameters
    ----------
    dense, pruned : Outcome
        On the same data.
    labels : sequence
        What the codes stand for.

    Examples
    --------
    >>> truth = np.array([0, 1, 1])
    >>> dense = Outcome(np.zeros(3), np.array([0, 1, 0]), truth)
    >>> label_findings(dense, Outcome(np.zeros(3), np.array([1, 1, 1]), truth), ["no", "yes"])
    ["the pruned net gives every sample the label 'yes'"]
    """
    if pruned.is_constant:
        return [f"the pruned net gives every sample the label {_plain(labels[pruned.labels[0]])!r}"]
    lost = [_plain(labels[code]) for code in lost_labels(dense, pruned)]
    if not lost:
        return []
    shown = ", ".join(map(repr, lost[:5])) + " and others" * (len(lost) > 5)
    noun = "labels" if len(lost) > 1 else "label"
    return [f"the pruned net gives no sample the {noun} {shown}, which the dense net gave"]


def layer_findings(empty_layers: Sequence[str], compression: pd.Series | None) -> list[str]:
    """Return which layers have no weights left, and at what share of the net's."""
    if not empty_layers:
        return []
    shown = ", ".join(empty_layers[:5]) + " and others" * (len(empty_layers) > 5)
    at = ""
    if compression is not None and "sparsity" in compression:
        at = f" with {compression['sparsity']:.1%} of the prunable weights removed"
    return [f"no weight is left of {shown}{at}"]


def best_and_worst_group(dense: MetricFrame, pruned: MetricFrame) -> str:
    """Return what became of the best group and who is worst off: a small gap may hide a loss."""
    before, after = (net.by_group["accuracy"].dropna() for net in (dense, pruned))
    best, worst = before.idxmax(), after.idxmin()
    return (
        f"best group before, {best}: accuracy {before[best]:.3f} → {after[best]:.3f}; "
        f"worst after, {worst}: {before[worst]:.3f} → {after[worst]:.3f}"
    )


def compression_lines(compression: pd.Series) -> list[str]:
    """Return what the pruning saved."""
    c = compression
    lines = [
        f"{c['sparsity']:.1%} of the prunable weights removed; {c['bytes_dense']:,.0f} → "
        f"{c['bytes_stored']:,.0f} bytes stored, {c['macs_dense']:,.0f} → "
        f"{c['macs_pruned']:,.0f} multiply-accumulates"
    ]
    if "latency_dense" in c:
        seconds = (c["latency_dense"], c["latency_pruned"])
        lines.append("{:.3g} → {:.3g} ms for one sample".format(*(1e3 * s for s in seconds)))
    return lines


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
