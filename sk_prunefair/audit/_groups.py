"""The section of groups: a picture of those that lost most accuracy, and a table of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import pandas as pd

from sk_prunefair.audit._html import Html, folded, join, name, section, table
from sk_prunefair.audit._numbers import lost, percent, points
from sk_prunefair.audit._svg import Scale, axis, dumbbell
from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.names import Names
from sk_prunefair.plotting.group_risk import quantile_columns

MAX_DRAWN = 24
MAX_LISTED = 1000  # rows of the folded table; to_frame() and JSON have all
_MAX_OPEN = 12  # a longer table is folded
_MAX_NAME = 80  # characters of a name beside a picture; tables have all
_SOME = f"All numbers of the {MAX_LISTED:,} of {{}} that lost most"
_SORTED = "sorted by accuracy lost"
_UNITS = {
    "accuracy_drop": "accuracy lost, points",
    "excessive_risk": "excessive risk R (rise in loss)",
    "changed": "answers changed, points",
}
_IN_POINTS = ("accuracy_drop", "changed")


def groups_section(report: AuditedReport, frame: pd.DataFrame, min_count: int) -> Html:
    """Return the picture and the table of groups.

    Parameters
    ----------
    report : AuditedReport
        The report.
    frame : pandas.DataFrame
        Its ``by_group``.
    min_count : int
        Groups with fewer samples are flagged.
    """
    n_groups = len(frame)
    noun = "group" if n_groups == 1 else f"{n_groups:,} groups"
    return section(
        "groups",
        "Groups, those that lost most accuracy first" if n_groups > 1 else "The one group",
        _picture(frame, (*report.overall_accuracy, report.n_samples), report, min_count),
        folded(
            f"All numbers of the {noun}" if n_groups <= MAX_LISTED else _SOME.format(noun),
            _table(frame, report, min_count),
            is_open=n_groups <= _MAX_OPEN,
        ),
    )


def count_of(n: int, min_count: int) -> Html:
    """Return a number of samples, flagged if it is small."""
    return Html(f"{n:,}") if n >= min_count else join("{} (few)", n)


def _picture(
    frame: pd.DataFrame, of_all: tuple[float, float, int], report: AuditedReport, min_count: int
) -> Html:
    drawn, names = frame.head(MAX_DRAWN), report.names
    before, after = drawn["accuracy_dense"], drawn["accuracy_pruned"]
    quantiles = quantile_columns(drawn, "accuracy_drop")
    ends: Sequence[tuple[float, float] | None] = [None] * len(drawn)
    if quantiles:
        # A smaller loss of accuracy is a higher accuracy.
        lows = (before - drawn[quantiles[-1][1]]).clip(0, 1).tolist()
        highs = (before - drawn[quantiles[0][1]]).clip(0, 1).tolist()
        ends = [*zip(lows, highs, strict=True)]
    known = chain.from_iterable(end for end in ends if end is not None)
    scale = Scale.over([*before, *after, *of_all[:2], *known])
    rows = [_row(Html("All samples"), *of_all, None, scale, names, 0, "all")]
    rows += [
        _row(name(group, _MAX_NAME), b, a, n, end, scale, names, min_count)
        for group, b, a, n, end in zip(
            drawn.index, before, after, drawn["count"], ends, strict=True
        )
    ]
    shown = f"The {MAX_DRAWN} of {len(frame):,} groups that lost most. " * (len(drawn) < len(frame))
    line = (
        f" Thin line: bootstrap quantiles {quantiles[0][0]:g} to {quantiles[-1][0]:g} of what was "
        "lost."
        if quantiles
        else ""
    )
    legend = join(
        f"{shown}Accuracy of each group: ring, {{}}; dot, {{}}.{line} Changes are in percentage "
        "points.",
        names.dense_model,
        names.compressed_model,
    )
    labels = [f"{100 * tick:g}%" for tick in scale.ticks]
    head = f'<div class="bar head">{axis(scale, labels)}</div>\n'
    return Html(
        f'<figure class="bars"><figcaption>{legend}</figcaption>\n{head}'
        f'<ol role="list">\n{"".join(rows)}</ol></figure>\n'
    )


def _row(
    who: Html,
    before: float,
    after: float,
    n: int,
    ends: tuple[float, float] | None,
    scale: Scale,
    names: Names,
    min_count: int,
    kind: str = "",
) -> Html:
    title = f"{percent(before)} with the {names.dense_model}, {percent(after)} with the "
    title += names.compressed_model
    if ends is not None:
        title += f", interval {percent(ends[0])} to {percent(ends[1])}"
    # Not before - after: the report's drop is exactly 0 where nothing changed.
    change = lost(round(before - after, 12))
    return Html(
        f'<li class="bar {kind}"><span class="who">{who} <small>n = {count_of(n, min_count)}'
        f"</small></span>{dumbbell(before, after, ends, scale, title)}"
        f'<span class="value" aria-hidden="true">{percent(before)} → {percent(after)}</span>'
        f'<span class="change">{change}</span></li>\n'
    )


def _table(groups: pd.DataFrame, report: AuditedReport, min_count: int) -> Html:
    frame = groups.head(MAX_LISTED)
    # Not a dict, as a sensitive feature may be called "samples".
    columns: list[tuple[str, Iterable[Any]]] = [
        (_spaced(", ".join(map(str, frame.index.names))), map(name, frame.index)),
        ("samples", [count_of(n, min_count) for n in frame["count"]]),
    ]
    ends = {key: quantile_columns(frame, key) for key in _UNITS}
    between = {column for pairs in ends.values() for _, column in pairs}
    for column in frame.columns[1:]:
        in_points = column in _IN_POINTS
        if ends.get(column):
            (low, low_column), (high, high_column) = ends[column][0], ends[column][-1]
            title = f"{_UNITS[column]} (quantiles {low:g} to {high:g})"
            values = frame[[column, low_column, high_column]].itertuples(index=False)
            columns.append((title, [_with_ends(in_points, *row) for row in values]))
        elif column not in between:
            columns.append((_heading(column, report.names), _cells(column, frame[column])))
    header, cells = zip(*columns, strict=True)
    rule = f"{_SORTED}, then by excessive risk" if report.has_losses else _SORTED
    of_all = f", {len(frame):,} of {len(groups):,} groups" * (len(frame) < len(groups))
    return table(f"By group, {rule}{of_all}", header, zip(*cells, strict=True), "by-group")


def _cells(column: str, values: pd.Series) -> Iterable[Any]:
    if column in ("accuracy_dense", "accuracy_pruned"):
        return (Html(percent(value)) for value in values)
    return (Html(points(value)) for value in values) if column in _IN_POINTS else values


def _with_ends(in_points: bool, *values: float) -> Html:
    shown = [Html(points(value)) for value in values] if in_points else values
    return join("{} ({} to {})", *shown)


def _heading(column: str, names: Names) -> str:
    """Return the heading of a column, with the names of the two models.

    >>> _heading("loss_pruned", Names("fp32", "int8"))
    'loss, int8'
    """
    if column in _UNITS:
        return _UNITS[column]
    for suffix, model in (("_dense", names.dense), ("_pruned", names.compressed)):
        if column.endswith(suffix):
            return f"{_spaced(column.removesuffix(suffix))}, {model}"
    return _spaced(column)


def _spaced(text: Any) -> str:
    return str(text).replace("_", " ")
