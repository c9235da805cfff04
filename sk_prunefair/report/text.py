"""The sentences of a report."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Protocol

import pandas as pd

from sk_prunefair.latency.reading import latency_lines
from sk_prunefair.metrics._order import ExtremeGroups
from sk_prunefair.names import Names
from sk_prunefair.promise.findings import label_findings as label_findings

SHOWN = 20
"""Number of groups in a printed table, the most harmed ones; frames and JSON have all."""

_NUMBER = "{:z.3f}".format


class TextReport(Protocol):
    """The parts of a report that its text needs; `sk_prunefair.FairnessReport` has them."""

    names: Names
    control_features: pd.DataFrame | None
    compression: pd.Series | None
    latency: pd.DataFrame | None

    @property
    def findings(self) -> list[str]:
        """Findings beyond averages."""

    @property
    def overall_accuracy(self) -> tuple[float, float]:
        """Accuracy of each net, over all samples."""

    @property
    def accuracy_gap(self) -> pd.Series:
        """Accuracy gap of each net."""

    @property
    def accuracy_gap_floor(self) -> pd.Series:
        """Gap expected for equal groups."""

    @property
    def fairness_violation(self) -> float | None:
        """Largest minus smallest excessive risk."""

    @property
    def by_group(self) -> pd.DataFrame:
        """One row per group, with the suffixes ``_dense`` and ``_pruned``."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group."""


def layer_findings(empty_layers: Sequence[str], compression: pd.Series | None) -> list[str]:
    """Return the layers without weights, and their share of the net's weights."""
    if not empty_layers:
        return []
    shown = ", ".join(empty_layers[:5]) + " and others" * (len(empty_layers) > 5)
    at = ""
    if compression is not None and "sparsity" in compression:
        at = f" with {compression['sparsity']:.1%} of the prunable weights removed"
    return [f"no weight is left of {shown}{at}"]


def report_text(report: TextReport) -> str:
    """Return findings, the table of groups and the summary, as plain text."""
    frame = report.to_frame()
    table = frame.head(SHOWN).to_string(float_format=_NUMBER)
    if rest := _rest(frame):
        table += f"\n{rest}"
    before, after = report.names
    title = f"{report.names.process.capitalize()} by group ({before} → {after})"
    first = [title, *report.findings]
    return "\n".join([*first, table, "", summary(report)])


def _rest(frame: pd.DataFrame) -> str:
    """Return the number of groups that the table leaves out as text; empty if it has all."""
    n_left = len(frame) - SHOWN
    if n_left <= 0:
        return ""
    return f"… {n_left:,} more group{'s' * (n_left > 1)}, which were harmed less: to_frame()"


def report_html(report: TextReport) -> str:
    """Return the content of `report_text` for a notebook, with names escaped."""
    first = "".join(f"<p><strong>{html.escape(each)}</strong></p>" for each in report.findings)
    # pandas escapes group names, which come from users' data.
    frame = report.to_frame()
    table = frame.head(SHOWN).to_html(float_format=_NUMBER, escape=True, border=0)
    if rest := _rest(frame):
        table += f"<p>{html.escape(rest)}</p>"
    words = html.escape(summary(report)).replace("\n", "<br>")
    return f"<div>{first}{table}<p>{words}</p></div>"


def summary(report: TextReport) -> str:
    """Return accuracy, gap, ξ, the best and worst groups and the savings, one line each."""
    gap, expected = report.accuracy_gap, report.accuracy_gap_floor
    overall = "within control levels"
    if report.control_features is None:
        overall = "{:.3f} → {:.3f}".format(*report.overall_accuracy)
    first = f"accuracy {overall}, accuracy gap {gap.iloc[0]:.3f} → {gap.iloc[1]:.3f}"
    if report.fairness_violation is not None:
        first += f", fairness violation ξ = {report.fairness_violation:.3f}"
    lines = [
        first,
        f"equally good groups of these sizes would show a gap of {expected.iloc[0]:.3f} → "
        f"{expected.iloc[1]:.3f}",
        best_and_worst_group(report.by_group),
    ]
    return "\n".join(lines + costs(report.compression, report.latency))


def best_and_worst_group(frame: pd.DataFrame) -> str:
    """Return the change of the best group and the worst group, as a small gap may hide a loss."""
    extremes = ExtremeGroups.find(frame)

    def accuracies(row: int) -> str:
        before, after = frame["accuracy_dense"].iloc[row], frame["accuracy_pruned"].iloc[row]
        return f"{before:.3f} → {after:.3f}"

    best, worst = extremes.best_dense, extremes.worst_pruned
    return (
        f"best group before, {frame.index[best]}: accuracy {accuracies(best)}; "
        f"worst after, {frame.index[worst]}: {accuracies(worst)}"
    )


def costs(compression: pd.Series | None, latency: pd.DataFrame | None) -> list[str]:
    """Return the savings of the compression and the latency of the models, as far as known."""
    return [*([] if compression is None else saved(compression)), *latency_lines(latency)]


def saved(compression: pd.Series) -> list[str]:
    """Return the savings of the compression, as far as known."""
    c, parts = compression, []
    if "sparsity" in c:
        parts.append(f"{c['sparsity']:.1%} of the prunable weights removed")
    counts = []
    if {"bytes_dense", "bytes_stored"} <= set(c.index):
        counts.append(f"{c['bytes_dense']:,.0f} → {c['bytes_stored']:,.0f} bytes stored")
    if {"macs_dense", "macs_pruned"} <= set(c.index):
        counts.append(f"{c['macs_dense']:,.0f} → {c['macs_pruned']:,.0f} multiply-accumulates")
    parts += [", ".join(counts)] * bool(counts)
    lines = ["; ".join(parts)] * bool(parts)
    if "latency_dense" in c:
        seconds = (c["latency_dense"], c["latency_pruned"])
        lines.append("{:.3g} → {:.3g} ms for one sample".format(*(1e3 * s for s in seconds)))
    return lines
