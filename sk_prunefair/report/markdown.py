"""A report in Markdown: the tables of a model card, and a comment on a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sk_prunefair.report.figures import Figures
from sk_prunefair.report.text import costs

if TYPE_CHECKING:
    from sk_prunefair.promise import Verdict
    from sk_prunefair.report.comparison import GroupComparison

_SHOWN = 12


def comment(
    report: GroupComparison, verdict: Verdict | None = None, *, title: str | None = None
) -> str:
    """Return a short text for a pull request: the verdict, the groups, what was saved.

    Parameters
    ----------
    report : GroupComparison
        The report.
    verdict : Verdict, default=None
        What became of a promise.
    title : str, default=None
        Heading; None says what was done.

    Returns
    -------
    str
        Markdown, with the 12 groups that lost most.
    """
    process = report.names.process
    parts = [f"### {cell(title or f'What {process} did to each group')}"]
    if verdict is not None:
        mark = "✅" if verdict.kept else "❌"
        parts.append(f"{mark} {cell(verdict.sentence)}")
    known = verdict.findings if verdict is not None else ()
    parts += [f"**{cell(found)}**" for found in report.findings if found not in known]
    figures = Figures.of(report)
    n_groups = len(figures.groups)
    parts.append(groups_table(report, figures, _SHOWN))
    if n_groups > _SHOWN:
        parts.append(f"The {_SHOWN} of {n_groups} groups that lost most accuracy.")
    parts.append("\n".join(gap_lines(figures.gaps)))
    if found := costs(report.compression, report.latency):
        parts.append("\n".join(f"- {cell(line)}" for line in found))
    return "\n\n".join(parts) + "\n"


def groups_table(report: GroupComparison, figures: Figures, most: int | None = None) -> str:
    """Return the groups as a table with intervals, the most harmed first, and all samples last."""
    before, after = report.names
    rows = figures.groups[:most]
    header = [*rows[0]["group"], "samples", f"accuracy {before}", f"accuracy {after}"]
    header += ["accuracy lost", "answers changed", *["excessive risk R"] * report.has_losses]
    lines = [header, ["---"] * len(header)]
    if report.control_features is None:
        everyone = figures.overall | {
            "group": dict.fromkeys(rows[0]["group"], "all"),
            "count": len(report.samples),
        }
        rows = [*rows, everyone]
    for row in rows:
        found = [*row["accuracy"].values(), row["accuracy_drop"], row["changed"]]
        found += [row["excessive_risk"]] if report.has_losses else []
        lines.append([*row["group"].values(), f"{row['count']:,}", *map(shown, found)])
    head, rule, *body = lines
    cells = [map(cell, head), rule, *(map(cell, line) for line in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def gap_lines(gaps: Mapping[str, Any]) -> list[str]:
    """Return the gaps between groups, one line each."""
    floors = gaps["accuracy_gap_floor"]
    lines = [
        f"- accuracy gap, {cell(name)}: {shown(found)}; equally good groups of these sizes "
        f"would show {floors[name]:.3f}"
        for name, found in gaps["accuracy_gap"].items()
    ]
    if gaps["fairness_violation"] is not None:
        lines.append(f"- fairness violation ξ: {shown(gaps['fairness_violation'])}")
    return lines


def shown(found: Mapping[str, Any]) -> str:
    """Return a figure with its interval.

    Examples
    --------
    >>> shown({"value": 0.5, "n": 10, "low": 0.25, "high": 0.75})
    '0.500 (0.250 to 0.750)'
    """
    value = "n/a" if found["value"] is None else f"{found['value']:.3f}"
    if found["low"] is None or found["high"] is None:
        return value
    return f"{value} ({found['low']:.3f} to {found['high']:.3f})"


def cell(value: Any) -> str:
    r"""Return a text that stays one cell, and no markup: names come from users' data.

    Examples
    --------
    >>> cell("<b>|x\ny")
    '\\<b\\>\\|x y'
    """
    text = " ".join(str(value).split())
    for character in "\\`*_{}[]<>|#$@":
        text = text.replace(character, "\\" + character)
    return text
