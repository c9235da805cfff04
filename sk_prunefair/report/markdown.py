"""A report in Markdown: tables for a model card, and a comment for a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from sk_prunefair.acceptance.result import shown_group
from sk_prunefair.report.figures import Figures
from sk_prunefair.report.text import costs

if TYPE_CHECKING:
    from sk_prunefair.acceptance import Acceptance
    from sk_prunefair.promise import Verdict
    from sk_prunefair.report.comparison import GroupComparison

_SHOWN = 12


def comment(
    report: GroupComparison,
    verdict: Verdict | None = None,
    *,
    title: str | None = None,
    acceptance: Acceptance | None = None,
) -> str:
    """Return a short text for a pull request: the verdict, the groups, the savings.

    Parameters
    ----------
    report : GroupComparison
        The report.
    verdict : Verdict, default=None
        Verdict on a promise.
    title : str, default=None
        Heading; None makes one from the names of the models.
    acceptance : Acceptance, default=None
        Verdicts on the criteria of a file.

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
    if acceptance is not None:
        mark = "✅" if acceptance.kept else "❌"
        parts += [f"{mark} {cell(acceptance.sentence)}", acceptance_table(acceptance)]
    known = [found for each in (verdict, acceptance) if each is not None for found in each.findings]
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
            "count": report.n_samples,
        }
        rows = [*rows, everyone]
    for row in rows:
        found = [*row["accuracy"].values(), row["accuracy_drop"], row["changed"]]
        found += [row["excessive_risk"]] if report.has_losses else []
        lines.append([*row["group"].values(), f"{row['count']:,}", *map(shown, found)])
    head, rule, *body = lines
    cells = [map(cell, head), rule, *(map(cell, line) for line in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def acceptance_table(acceptance: Acceptance) -> str:
    """Return the verdict on each criterion of a file, one line each."""
    label = ["label"] * acceptance.has_labels
    figures = ["measured", "bound", "n", "verdict"]
    head = ["criterion", "metric", "test", "limit", "group that decides", *label, *figures]
    rows = [
        [
            row["name"],
            row["metric"],
            row["test"],
            f"{row['limit']:g}",
            shown_group(row["group"]),
            *("" if row[each] is None else row[each] for each in label),
            *("" if isnan(row[each]) else f"{row[each]:.4f}" for each in ("measured", "bound")),
            f"{row['n']:,}",
            row["verdict"],
        ]
        for row in acceptance.criteria.to_dict("records")
    ]
    lines = map(cell, head), ["---"] * len(head), *(map(cell, row) for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    r"""Return a text for one table cell, with markup escaped: names come from users' data.

    Examples
    --------
    >>> cell("<b>|x\ny")
    '\\<b\\>\\|x y'
    """
    text = " ".join(str(value).split())
    for character in "\\`*_{}[]<>|#$@":
        text = text.replace(character, "\\" + character)
    return text
