"""The section of monitoring: the groups and alarms since the release."""

from __future__ import annotations

from sk_prunefair.audit._html import Html, folded, join, name, section, table
from sk_prunefair.audit._numbers import points
from sk_prunefair.audit.protocol import AuditedMonitor

_MAX_ROWS = 60


def monitor_section(monitor: AuditedMonitor) -> Html:
    """Return the alarms, and the groups since the release, the most evidence first."""
    alarms, frame = monitor.alarms_, monitor.table_
    parts = [_said(monitor)]
    if len(alarms):
        shown = alarms.head(_MAX_ROWS)
        columns = ["batch", "group", "kind", "rows", "observed", "evidence"]
        rows = [
            [batch, name(group), kind, n, Html(points(observed)), evidence]
            for batch, group, kind, n, observed, evidence in shown[columns].to_numpy(dtype=object)
        ]
        header = ["batch", "group", "question", "samples", "observed, points", "evidence"]
        parts.append(table("Alarms", header, rows, "alarms"))
    evidence = [column for column in map(str, frame) if column.startswith("evidence")]
    frame = frame.sort_values(evidence, ascending=False).head(_MAX_ROWS)
    rows = [
        [
            name(group),
            row["rows"],
            row["labelled"],
            Html(points(row["accuracy_drop"]) if row["labelled"] else "not known"),
            Html(points(row["changed"])),
            *(row[column] for column in evidence),
        ]
        for group, row in zip(frame.index, frame.to_dict("records"), strict=True)
    ]
    header = ["group", "samples", "with label", "accuracy lost, points", "answers changed, points"]
    whole = table("By group, the most evidence first", [*header, *evidence], rows, "watched")
    return section("monitor", "Since the release", *parts, folded("All groups", whole))


def _said(monitor: AuditedMonitor) -> Html:
    n_batches, alarms = monitor.n_batches_, len(monitor.alarms_)
    batches = f"{n_batches:,} batch{'es' * (n_batches != 1)}"
    found = f"{alarms} alarm{'s' * (alarms != 1)}" if alarms else "no alarm"
    return join(
        "<p>{} in {}. If no limit is exceeded, the probability that there is ever one is at most "
        "{}.</p>\n",
        found.capitalize(),
        batches,
        f"{1 - monitor.confidence:.3g}",
    )
