"""audit_page: write the effect of compression on each group as one HTML file."""

from __future__ import annotations

import datetime
import html
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from sk_prunefair.audit._acceptance import acceptance_section
from sk_prunefair.audit._curve import CURVE, curve_section
from sk_prunefair.audit._facts import facts_of
from sk_prunefair.audit._gaps import VIOLATION, gap_table
from sk_prunefair.audit._groups import groups_section
from sk_prunefair.audit._html import Html, definitions, folded, items, join, section, table
from sk_prunefair.audit._latency import latency_section
from sk_prunefair.audit._monitor import monitor_section
from sk_prunefair.audit._numbers import points
from sk_prunefair.audit._pictures import pictures_section
from sk_prunefair.audit._promise import promise_section
from sk_prunefair.audit._reasons import reasons_section
from sk_prunefair.audit._slices import SLICES, slices_section
from sk_prunefair.audit._style import STYLE
from sk_prunefair.audit._summary import summary
from sk_prunefair.audit._words import limits, methods
from sk_prunefair.audit.protocol import (
    AuditedAcceptance,
    AuditedMonitor,
    AuditedPromise,
    AuditedReport,
)
from sk_prunefair.checks import check_count
from sk_prunefair.plotting._common import check_columns, plain_text

# Content security policy: the browser loads and runs nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_LINKS = {
    "groups": "Groups",
    "slices": "Slices",
    "promise": "Promise",
    "acceptance": "Acceptance criteria",
    "monitor": "Since the release",
    "gaps": "Gaps and chance",
    "rates": "Other rates",
    "pictures": "Pictures",
    "reasons": "Possible reasons",
    "latency": "Time",
    "facts": "Data and model",
    "method": "Method",
    "limits": "Limits",
}


def audit_page(
    report: AuditedReport,
    path: str | PathLike[str] | None = None,
    *,
    title: str | None = None,
    curve: pd.DataFrame | None = None,
    slices: pd.DataFrame | None = None,
    promise: AuditedPromise | None = None,
    acceptance: AuditedAcceptance | None = None,
    monitor: AuditedMonitor | None = None,
    facts: Mapping[str, Any] | None = None,
    min_count: int = 30,
    pictures: bool = False,
) -> str:
    """Return a report as one self-contained HTML page, without network access and scripts.

    Its first screen has the findings, the verdict, accuracy before and after, the groups that lost
    most, and what was saved. Then come groups, those that lost most first; slices; the promise;
    every gap beside the gap expected by chance; other rates; possible reasons; how long the models
    take; facts about data and model; and how each number was computed, with its limits.
    Sections without data are left out. All names are escaped. The page follows the reader's light
    or dark mode, and folded parts are printed. The same report gives the same page, except
    for the date at the end.

    Parameters
    ----------
    report : FairnessReport
        A report or another `AuditedReport`; with ``n_boot`` the page has intervals, with
        ``diagnostics`` possible reasons.
    path : str or path-like, default=None
        File to write, in UTF-8.
    title : str, default=None
        Heading of the page; None makes one from the names of the two models in the
        report.
    curve : pandas.DataFrame, default=None
        Other pruning rates, as `sk_prunefair.selection.pruning_curve` returns them.
    slices : pandas.DataFrame, default=None
        Rules over features whose rows lost more: ``rule``, ``count``, ``drop``, ``lower``,
        ``upper`` (in shares of one) and ``p_value``. Without rows, the page says that none was
        found.
    promise : AuditedPromise, default=None
        Verdict on a promise to every group, such as `sk_prunefair.promise.Verdict`: ``kept``,
        ``table``, and text whose first line is a sentence.
    acceptance : Acceptance, default=None
        Verdicts on the criteria of a file, as `FairnessReport.accept` returns them.
    monitor : GroupMonitor, default=None
        Record since the release; or another `AuditedMonitor`.
    facts : mapping, default=None
        Further facts about data and model, such as ``{"Data": "Adult, test part"}``.
    min_count : int, default=30
        Groups with fewer samples are flagged.
    pictures : bool, default=False
        Whether to add pictures by matplotlib (the extra ``plot``): excessive risks where losses are
        known, and the paper's quantities with diagnostics. Accuracies of groups, slices and rates
        are always drawn, without matplotlib.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ImportError
        If `pictures` is True and matplotlib (the extra ``plot``) is not installed.
    TypeError, ValueError
        If an argument is malformed.

    Examples
    --------
    >>> from sk_prunefair import FairnessReport
    >>> report = FairnessReport(
    ...     [0, 1, 0, 1],
    ...     dense_pred=[0, 1, 0, 1],
    ...     pruned_pred=[0, 1, 1, 1],
    ...     sensitive_features=["a", "a", "<b>", "<b>"],
    ...     names=("fp32", "int8"),
    ... )
    >>> page = audit_page(report)
    >>> "<bdi>&lt;b&gt;</bdi>" in page, "What compression did to each group" in page
    (True, True)
    """
    check_count("min_count", min_count)
    if curve is not None:
        check_columns(curve, CURVE, "curve", "the frame of pruning_curve")
    if slices is not None:
        _check_slices(slices)
    if facts is not None and not isinstance(facts, Mapping):
        raise TypeError(f"facts must be a mapping, got {type(facts).__name__}")
    if promise is not None and not (hasattr(promise, "kept") and hasattr(promise, "table")):
        raise TypeError(
            "promise must have the attributes kept and table, as report.promise(...) returns it, "
            f"got {type(promise).__name__}"
        )
    frame, few = report.by_group, int(min_count)
    drawn = pictures_section(report, frame) if pictures else Html("")
    gaps = gap_table(report)
    sections = [
        groups_section(report, frame, few),
        slices_section(slices) if slices is not None else "",
        promise_section(promise, report.names) if promise is not None else "",
        acceptance_section(acceptance) if acceptance is not None else "",
        monitor_section(monitor) if monitor is not None else "",
        section("gaps", "Gaps between groups, beside those expected by chance", _gaps(gaps))
        if len(frame) > 1
        else "",
        curve_section(curve, report.names) if curve is not None else "",
        drawn,
        reasons_section(report, report.diagnostics) if report.diagnostics is not None else "",
        latency_section(report.latency) if report.latency is not None else "",
        section("facts", "Data and model", facts_of(report, facts or {})),
        section(
            "method",
            "How each number was computed",
            folded("Definitions", definitions(methods(report, curve is not None))),
        ),
        section(
            "limits",
            "Limits of this page",
            items(limits(report, frame, few, curve is not None)),
        ),
    ]
    first = summary(report, frame, gaps, promise, few, acceptance)
    heading = f"What {report.names.process} did to each group" if title is None else title
    page = _document(heading, _subtitle(report), first, sections)
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def _check_slices(slices: Any) -> None:
    source = "the frame of report.harmed_slices"
    if isinstance(slices, pd.DataFrame) and slices.empty:
        return  # no slices
    check_columns(slices, SLICES, "slices", source)


def _subtitle(report: AuditedReport) -> Html:
    counts, names = report.samples["group"].nunique(), report.names
    noun = "group" if counts == 1 else "groups"
    return join(
        f"{{}} → {{}}: {{}} samples, {{}} {noun}",
        *(names.dense_model, names.compressed_model, report.n_samples, counts),
    )


def _document(title: str, subtitle: Html, first: Html, sections: Sequence[str]) -> str:
    from sk_prunefair._version import __version__

    heading = html.escape(plain_text(title))
    links = "".join(
        f'<li><a href="#{key}">{words}</a></li>'
        for key, words in _LINKS.items()
        if any(each.startswith(f'<section id="{key}"') for each in sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n"
        f'<h1 dir="auto">{heading}</h1>\n<p class="subtitle">{subtitle}</p>\n</header>\n<main>\n'
        f'{first}<nav aria-label="On this page"><ul>{links}</ul></nav>\n{"".join(sections)}'
        f"</main>\n<footer><p>Made by sk_prunefair {__version__} on "
        f"{datetime.date.today().isoformat()}.</p></footer>\n</body>\n</html>\n"
    )


def _gaps(gaps: pd.DataFrame) -> Html:
    has_levels = gaps["level"].notna().any()
    rows = []
    for level, gap, measured, shuffled, p_value in gaps.itertuples(index=False, name=None):
        who = f"{gap}, {plain_text(level)}" if has_levels else gap
        is_loss = gap == VIOLATION
        shown = (measured, shuffled) if is_loss else (_as_points(measured), _as_points(shuffled))
        rows.append([who, *shown, p_value])
    header = ["gap", "measured", "of shuffled groups", "p"]
    return table("Largest minus smallest over the groups", header, rows, "by-gap")


def _as_points(difference: float) -> Html:
    return Html(f"{points(difference)} points")
