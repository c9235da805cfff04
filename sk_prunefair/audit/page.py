"""audit_page: one HTML file that says what pruning did to each group."""

from __future__ import annotations

import datetime
import html
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from sk_prunefair.audit._gaps import curve_table, gap_table
from sk_prunefair.audit._html import Html, definitions, items, join, name, section, table
from sk_prunefair.audit._order import harmed_first
from sk_prunefair.audit._pictures import pictures as draw_pictures
from sk_prunefair.audit._style import STYLE
from sk_prunefair.audit._words import limits, methods, verdict
from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.checks import check_count
from sk_prunefair.plotting._common import check_columns, plain_text
from sk_prunefair.plotting.group_risk import quantile_columns

CURVE = (
    *("rate", "group", "count", "accuracy"),
    *("accuracy_overall", "accuracy_gap", "fairness_violation"),
)
MAX_CLASSES = 30
_SORTED = "sorted by accuracy lost, then by excessive risk"
# A browser that shows the page loads and runs nothing, whatever should have slipped through.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def audit_page(
    report: AuditedReport,
    path: str | PathLike[str] | None = None,
    *,
    title: str = "What pruning did to each group",
    curve: pd.DataFrame | None = None,
    facts: Mapping[str, Any] | None = None,
    min_count: int = 30,
    pictures: bool = True,
) -> str:
    """Return a report as one HTML page that needs nothing else: no network, no scripts.

    A verdict, which begins with what no average shows; groups, the most harmed first; every gap
    beside what chance alone would make; pictures; the data's and the model's facts; how each number
    was computed, and what it cannot say. All names are escaped. The page is the same for the same
    report but for the date at its end.

    Parameters
    ----------
    report : FairnessReport
        Or another `AuditedReport`; with ``n_boot`` the page has intervals, with
        ``diagnostics`` possible reasons.
    path : str or path-like, default=None
        File to write, in UTF-8.
    title : str
        Heading of the page.
    curve : pandas.DataFrame, default=None
        What other rates do, as `sk_prunefair.selection.pruning_curve` returns it.
    facts : mapping, default=None
        More to say of data and model, such as ``{"Data": "Adult, test part"}``.
    min_count : int, default=30
        Groups with fewer samples are flagged.
    pictures : bool, default=True
        Whether to draw, which needs matplotlib; without, the page says that there are none.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ImportError
        If matplotlib is not there, the extra ``plot``, and ``pictures=True``.
    TypeError, ValueError
        If an argument is malformed.

    Examples
    --------
    >>> from sk_prunefair import FairnessReport
    >>> report = FairnessReport(
    ...     [0, 1, 0, 1],
    ...     dense_pred=[0, 1, 0, 1],
    ...     pruned_pred=[0, 1, 1, 1],
    ...     dense_losses=[0.1, 0.1, 0.2, 0.2],
    ...     pruned_losses=[0.2, 0.2, 0.9, 0.3],
    ...     sensitive_features=["a", "a", "<b>", "<b>"],
    ... )
    >>> page = audit_page(report, pictures=False)
    >>> "<bdi>&lt;b&gt;</bdi>" in page
    True
    """
    check_count("min_count", min_count)
    if curve is not None:
        check_columns(curve, CURVE, "curve", "the frame of pruning_curve")
    if facts is not None and not isinstance(facts, Mapping):
        raise TypeError(f"facts must be a mapping, got {type(facts).__name__}")
    drawn = draw_pictures(report, curve) if pictures else Html("<p>None were asked for.</p>\n")
    gaps = gap_table(report)
    sections = [
        section("Groups, the most harmed first", _groups(report, int(min_count))),
        section("Gaps between groups, beside what chance makes of them", _gaps(gaps)),
        section("Other pruning rates", _curve(curve)) if curve is not None else "",
        section("Pictures", drawn),
        section("Possible reasons", _reasons(report.diagnostics, report))
        if report.diagnostics is not None
        else "",
        section("Data and model", _facts(report, facts or {})),
        section("How each number was computed", definitions(methods(len(report.samples)))),
        section("What this page cannot say", items(limits(report, int(min_count)))),
    ]
    page = _document(title, verdict(report, gaps, int(min_count)), "".join(sections))
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def _document(title: str, verdict: Html, sections: str) -> str:
    from sk_prunefair._version import __version__

    heading = html.escape(plain_text(title))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1 dir="auto">{heading}</h1>\n<p class="verdict"><strong>{verdict}</strong></p>\n'
        f"{sections}</main>\n<footer><p>Made by sk_prunefair {__version__} on "
        f"{datetime.date.today().isoformat()}.</p></footer>\n</body>\n</html>\n"
    )


def _groups(report: AuditedReport, min_count: int) -> Html:
    frame = report.to_frame()
    counts = [n if n >= min_count else join("{} (few)", n) for n in frame["count"]]
    # Not a dict: a sensitive feature may be called "samples".
    columns: list[tuple[str, Iterable[Any]]] = [
        (_heading(frame), map(name, frame.index)),
        ("samples", counts),
    ]
    ends = {key: quantile_columns(frame, key) for key in ("accuracy_drop", "excessive_risk")}
    between = {column for pairs in ends.values() for _, column in pairs}
    for column in frame.columns[1:]:
        if ends.get(column):
            (low, low_column), (high, high_column) = ends[column][0], ends[column][-1]
            title = f"{_spaced(column)} (quantiles {low:g} to {high:g})"
            values = frame[[column, low_column, high_column]].itertuples(index=False)
            columns.append((title, [join("{} ({} to {})", *row) for row in values]))
        elif column not in between:
            columns.append((_spaced(column), frame[column]))
    header, cells = zip(*columns, strict=True)
    rows = zip(*cells, strict=True)
    return table(f"By group, {_SORTED}", header, rows, "groups")


def _gaps(gaps: pd.DataFrame) -> Html:
    has_levels = gaps["level"].notna().any()
    rows = [
        [f"{row.gap}, {plain_text(row.level)}" if has_levels else row.gap, *row[3:]]
        for row in gaps.itertuples()
    ]
    header = ["gap", "measured", "of shuffled groups", "p"]
    return table("Largest minus smallest over the groups", header, rows, "gaps")


def _curve(curve: pd.DataFrame) -> Html:
    frame = curve_table(curve)
    # Not by a column of the frame: pandas makes plain strings of what is HTML already.
    rows = [[*row[:-2], name(row[-2]), row[-1]] for row in frame.itertuples(index=False, name=None)]
    header = [
        *("pruning rate", "accuracy of all", "accuracy gap", "gap of equally good groups"),
        *("fairness violation ξ", "worst group", "its accuracy"),
    ]
    return table("By pruning rate", header, rows, "rates")


def _reasons(diagnostics: pd.DataFrame, report: AuditedReport) -> Html:
    frame = harmed_first(diagnostics, report)
    rows = [[name(group), *row] for group, row in frame.astype(object).iterrows()]
    header = [_heading(frame), *map(_spaced, frame)]
    about = (
        "<p>By the theory of the paper, groups with large gradients, large Hessians and samples "
        "near the decision boundary should lose more. Whether they did: compare the columns.</p>\n"
    )
    return Html(about + table(f"By group, {_SORTED}", header, rows, "reasons"))


def _facts(report: AuditedReport, facts: Mapping[str, Any]) -> Html:
    samples, counts = report.samples, report.to_frame()["count"]
    classes = samples["y_true"].value_counts()
    shown = Html(
        "; ".join(join("{}: {}", name(label), n) for label, n in classes[:MAX_CLASSES].items())
    )
    if len(classes) > MAX_CLASSES:
        shown = join("{}; and {} more", shown, len(classes) - MAX_CLASSES)
    terms: dict[str, Any] = {
        "Samples": len(samples),
        "Groups": join("{}, of {} to {} samples", len(counts), counts.min(), counts.max()),
        "Classes and their samples": shown,
    }
    if report.empty_layers:
        terms["layers without weights"] = ", ".join(report.empty_layers)
    if report.compression is not None:
        counted = report.compression.drop("sparsity", errors="ignore")
        terms |= {_spaced(key): _count_or_seconds(key, value) for key, value in counted.items()}
        if "sparsity" in report.compression:
            terms["share of prunable weights removed"] = report.compression["sparsity"]
    return Html(definitions(facts) + definitions(terms))


def _count_or_seconds(key: Any, value: float) -> Any:
    return f"{value:.3g} s" if str(key).startswith("latency") else round(value)


def _heading(frame: pd.DataFrame) -> str:
    return _spaced(", ".join(map(str, frame.index.names)))


def _spaced(text: Any) -> str:
    return str(text).replace("_", " ")
