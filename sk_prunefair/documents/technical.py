"""Accuracy by group, as a section of a technical documentation under the EU's AI Act."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from sk_prunefair.checks import check_count
from sk_prunefair.documents.cyclonedx import slice_name
from sk_prunefair.documents.scope import made_by, scope, today, written
from sk_prunefair.metrics.practice import practice_summary
from sk_prunefair.report.figures import CONFIDENCE, Figures
from sk_prunefair.report.markdown import cell, gap_lines, groups_table, shown

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

_OPEN = "*To be completed by the provider:*"
_NOT_COVERED = (
    "the intended purpose, and whether these metrics suit it",
    "training and validation data: origin, selection, labelling, and whether they represent those "
    "on whom the system is used",
    "robustness, cybersecurity and human oversight, and risks to health, safety and fundamental "
    "rights beyond unequal accuracy",
    "the other points of Annex IV, such as the design, the risk management, the changes and the "
    "monitoring after the release",
)


def technical_documentation(
    report: GroupComparison,
    path: str | PathLike[str] | None = None,
    *,
    title: str | None = None,
    dataset: str = "held-out samples",
    min_count: int = 100,
) -> str:
    """Return the section on accuracy by group of a technical documentation, in Markdown.

    Regulation (EU) 2024/1689, Annex IV: point 2 (g) asks for the metrics of accuracy and of
    potentially discriminatory impacts, point 3 for the accuracy for specific persons or groups, the
    overall level that is expected, and foreseeable limits. Parts that the audit does not cover are
    listed as open.

    Parameters
    ----------
    report : FairnessReport
        The audit.
    path : str or path-like, default=None
        File to write, in UTF-8.
    title : str, default=None
        Name of the system; None takes the name of the compressed model.
    dataset : str, default="held-out samples"
        Description of the data.
    min_count : int, default=100
        Groups with fewer rows are listed among the limits.

    Returns
    -------
    str
        The section.

    Examples
    --------
    >>> from sk_prunefair import FairnessReport
    >>> report = FairnessReport(
    ...     [0, 1, 0, 1],
    ...     dense_pred=[0, 1, 0, 1],
    ...     pruned_pred=[0, 1, 1, 1],
    ...     sensitive_features=["a", "a", "b", "b"],
    ... )
    >>> print(technical_documentation(report).splitlines()[0])
    # Accuracy by group: pruned net
    """
    check_count("min_count", min_count)
    figures = Figures.of(report)
    parts = [
        f"# Accuracy by group: {cell(title or report.names.compressed_model)}",
        "A section of the technical documentation of Regulation (EU) 2024/1689 (AI Act), Annex IV, "
        "points 2 (g), 3 and 4, as far as one audit can fill it.",
        *_tested(report, figures, dataset),
        *_metrics(report),
        *_found(report, figures),
        *_limits(report, figures, dataset, min_count),
        made_by(),
    ]
    return written("\n\n".join(parts) + "\n", path)


def _tested(report: GroupComparison, figures: Figures, dataset: str) -> list[str]:
    columns = ", ".join(cell(column) for column in report.sensitive_features)
    return [
        "## What was tested (point 2 (g))",
        f"- Data: {cell(dataset)}, {report.n_samples:,} rows in {len(figures.groups)} groups, "
        f"made of: {columns}.\n"
        f"- Compared: {cell(report.names.dense_model)}, before {report.names.process}, and "
        f"{cell(report.names.compressed_model)}, after it, on the same rows.\n"
        f"- Date of the test: {today()}.\n"
        f"- {_OPEN} origin and main characteristics of the data; who is responsible for the test; "
        "signature.",
    ]


def _metrics(report: GroupComparison) -> list[str]:
    losses = (
        "\n- Excessive risk R: mean loss after minus before; ξ is its largest minus its smallest "
        "value over the groups."
        if report.has_losses
        else ""
    )
    return [
        "## Metrics (points 2 (g) and 4)",
        "- Accuracy: share of the rows whose answer is right.\n"
        "- Accuracy lost: accuracy before minus after, on the same rows.\n"
        "- Accuracy gap: largest minus smallest accuracy of a group, beside the gap that equally "
        f"good groups of these sizes would show by chance.{losses}\n"
        f"- Intervals in brackets are of {CONFIDENCE:.0%} confidence, each by itself.\n"
        f"- {_OPEN} why these metrics are appropriate to the system.",
    ]


def _found(report: GroupComparison, figures: Figures) -> list[str]:
    accuracy = figures.overall["accuracy"]
    overall = "\n".join(f"- {cell(name)}: {shown(found)}" for name, found in accuracy.items())
    parts = [
        "## Overall accuracy (point 3)",
        overall,
        f"- {_OPEN} the level that is expected for the intended purpose.",
        "## Accuracy for specific groups (point 3)",
        groups_table(report, figures),
        "## Potentially discriminatory impacts (point 2 (g))",
        "\n".join(gap_lines(figures.gaps)),
    ]
    if len(report.labels) == 2 and len(figures.groups) > 1:
        parts.append(_rates(report))
    return parts


def _rates(report: GroupComparison) -> str:
    label = report.labels.tolist()[1]
    groups = report.sensitive_features
    frame = practice_summary(*report.outcomes, report.labels, groups, n_boot=2)
    lines = [
        f"Differences between groups, of the label {cell(repr(label))} as the positive one:",
        "",
        f"| measure | {cell(report.names.dense)} | {cell(report.names.compressed)} |",
        "| --- | --- | --- |",
    ]
    known = frame.dropna(subset=["dense", "compressed"])
    lines += [
        f"| {cell(name)} | {row['dense']:.3f} | {row['compressed']:.3f} |"
        for name, row in known.iterrows()
    ]
    return "\n".join(lines)


def _limits(report: GroupComparison, figures: Figures, dataset: str, min_count: int) -> list[str]:
    lines = [*report.findings]
    small = [row for row in figures.groups if row["count"] < min_count]
    if small:
        named = "; ".join(f"{slice_name(row['group'])} ({row['count']:,})" for row in small)
        lines.append(
            f"Of groups with fewer than {min_count:,} rows little is known; see their intervals: "
            f"{named}."
        )
    worst = [row for row in figures.groups if (row["accuracy_drop"]["low"] or 0) > 0]
    if worst:
        named = "; ".join(slice_name(row["group"]) for row in worst)
        lines.append(
            f"Accuracy was lost, by an interval of {CONFIDENCE:.0%} of each group by itself, in: "
            f"{named}."
        )
    lines += scope(report, dataset)
    return [
        "## Foreseeable limits (point 3)",
        "\n".join(f"- {cell(line)}" for line in lines),
        "## What this section does not cover",
        "\n".join(f"- {line}" for line in _NOT_COVERED),
    ]
