"""The report as text and as a cell of a notebook."""

from __future__ import annotations

import html

import pandas as pd

from sk_prunefair.audit._protocol import GroupReport
from sk_prunefair.audit._statements import ExtremeGroups, warnings_of

_NUMBER = "{:z.3f}".format


def report_text(report: GroupReport) -> str:
    """Return the table of groups and what follows from it, as plain text.

    Parameters
    ----------
    report : FairnessReport
        The report.

    Returns
    -------
    str
        First, where it is so, that the pruned net predicts one label for every sample, or never
        one that the dense net does.
    """
    table = report.to_frame().to_string(float_format=_NUMBER)
    lines = [*warnings_of(report), "Pruning by group (dense → pruned)", table, "", summary(report)]
    return "\n".join(lines)


def report_html(report: GroupReport) -> str:
    """Return the same as `report_text` for a notebook; names are escaped.

    Parameters
    ----------
    report : FairnessReport
        The report.

    Returns
    -------
    str
        One ``div``.
    """
    warned = "".join(
        f"<p><strong>{html.escape(sentence)}</strong></p>" for sentence in warnings_of(report)
    )
    # pandas escapes group names, which come from users' data.
    table = report.to_frame().to_html(float_format=_NUMBER, escape=True, border=0)
    words = html.escape(summary(report)).replace("\n", "<br>")
    return f"<div>{warned}{table}<p>{words}</p></div>"


def summary(report: GroupReport) -> str:
    """Return accuracy, gap, ξ, the groups at the ends and what was saved, one line each."""
    gap, expected = report.accuracy_gap, report.accuracy_gap_floor
    if report.dense.control_levels:
        overall = "within control levels"
    else:
        accuracy = report.dense.overall["accuracy"], report.pruned.overall["accuracy"]
        overall = "{:.3f} → {:.3f}".format(*accuracy)
    lines = [
        f"accuracy {overall}, accuracy gap {gap['dense']:.3f} → {gap['pruned']:.3f}, "
        f"fairness violation ξ = {report.fairness_violation:.3f}",
        f"equally good groups of these sizes would show a gap of {expected['dense']:.3f} → "
        f"{expected['pruned']:.3f}",
        _best_and_worst_group(report.to_frame()),
    ]
    if report.compression is not None:
        lines += _saved(report.compression)
    return "\n".join(lines)


def _best_and_worst_group(frame: pd.DataFrame) -> str:
    """Say what became of the best group, and who is worst off: a small gap may hide a loss."""
    extremes = ExtremeGroups.find(frame)

    def accuracies(row: int) -> str:
        before, after = frame["accuracy_dense"].iloc[row], frame["accuracy_pruned"].iloc[row]
        return f"{before:.3f} → {after:.3f}"

    best, worst = extremes.best_dense, extremes.worst_pruned
    return (
        f"best group before, {frame.index[best]}: accuracy {accuracies(best)}; "
        f"worst after, {frame.index[worst]}: {accuracies(worst)}"
    )


def _saved(compression: pd.Series) -> list[str]:
    c = compression
    lines = [
        f"{c['sparsity']:.1%} of the weights removed; {c['bytes_dense']:,.0f} → "
        f"{c['bytes_stored']:,.0f} bytes stored, {c['macs_dense']:,.0f} → "
        f"{c['macs_pruned']:,.0f} multiply-accumulates"
    ]
    if "latency_dense" in c:
        seconds = (c["latency_dense"], c["latency_pruned"])
        lines.append("{:.3g} → {:.3g} ms for one sample".format(*(1e3 * s for s in seconds)))
    return lines
