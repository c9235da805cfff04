"""Write an audit: page, tables, JSON, a comment in Markdown, test results for a CI server."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from sk_prunefair.acceptance import Acceptance
from sk_prunefair.acceptance.result import shown_group
from sk_prunefair.cli.reports import Audit
from sk_prunefair.documents import named_columns
from sk_prunefair.promise import Verdict
from sk_prunefair.report import FairnessReport
from sk_prunefair.report.markdown import comment


def write_outputs(
    args: argparse.Namespace,
    audit: Audit,
    verdict: Verdict | None,
    acceptance: Acceptance | None,
    approved: bool,
) -> None:
    """Write all requested outputs."""
    report, curve, facts, _ = audit
    if args.out is not None:
        options = {"title": args.title, "curve": curve, "facts": facts, "promise": verdict}
        options["acceptance"] = acceptance
        report.to_html(args.out, pictures=args.pictures, **options)
    if args.tables is not None:
        write_tables(args.tables, report, curve, verdict, acceptance)
    if args.json is not None:
        found = report.to_dict() | {
            "approved": approved,
            "promise": None if verdict is None else verdict.to_dict(),
            "acceptance": None if acceptance is None else acceptance.to_dict(),
            "facts": facts,
        }
        args.json.write_text(json.dumps(found, allow_nan=False, ensure_ascii=False), "utf-8")
    if args.markdown is not None:
        said = comment(report, verdict, title=args.title, acceptance=acceptance)
        args.markdown.write_text(said, "utf-8")
    if args.junit is not None:
        args.junit.write_bytes(junit(report, verdict, acceptance))
    if args.documents is not None:
        write_documents(args.documents, report, args.title, facts)


def write_tables(
    folder: Path,
    report: FairnessReport,
    curve: pd.DataFrame | None,
    verdict: Verdict | None,
    acceptance: Acceptance | None = None,
) -> None:
    """Write the tables of an audit as CSV files into a folder.

    Parameters
    ----------
    folder : Path
        Folder, created if necessary.
    report : FairnessReport
        Written to ``groups.csv``, ``summary.csv`` and, unless made from parts, ``exemplars.csv``;
        latencies, if measured, to ``latency.csv``.
    curve : DataFrame or None
        Written to ``curve.csv``.
    verdict : Verdict or None
        Written to ``promise.csv``.
    acceptance : Acceptance or None
        Written to ``acceptance.csv``, by criterion and group.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report.to_frame().to_csv(folder / "groups.csv")
    if report.kinds is None:
        report.exemplars.to_csv(folder / "exemplars.csv", index_label="row")
    frames = dict(zip(report.names, (report.dense, report.pruned), strict=True))
    summary: dict[str, Any] = {
        f"accuracy_{name}": frame.overall["accuracy"] for name, frame in frames.items()
    }
    summary |= {f"accuracy_gap_{name}": value for name, value in report.accuracy_gap.items()}
    if report.fairness_violation is not None:
        summary["fairness_violation"] = report.fairness_violation
    if report.compression is not None:
        summary |= {str(name): value for name, value in report.compression.items()}
    values = pd.Series(summary, name="value").rename_axis("quantity")
    values.to_csv(folder / "summary.csv")
    if report.latency is not None:
        report.latency.to_csv(folder / "latency.csv", index=False)
    if curve is not None:
        curve.to_csv(folder / "curve.csv", index=False)
    if verdict is not None:
        verdict.table.to_csv(folder / "promise.csv", index=False)
    if acceptance is not None:
        acceptance.table.to_csv(folder / "acceptance.csv", index=False)


def write_documents(
    folder: Path, report: FairnessReport, title: str | None, facts: Mapping[str, str]
) -> None:
    """Write the documents on one audit into a folder, created if necessary.

    Impact ratios are written if there are columns ``sex`` and ``race``, or with similar names, and
    two labels; those of scores as well, if the models give probabilities.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = facts.get("Data", facts.get("Predictions", "held-out samples"))
    options: dict[str, Any] = {"dataset": data}
    report.to_cyclonedx(folder / "model.cdx.json", name=title, **options)
    report.to_technical_documentation(folder / "accuracy_by_group.md", title=title, **options)
    named = named_columns(report.sensitive_features)
    if named is not None and len(report.labels) == 2:
        report.impact_ratios(**named).to_markdown(folder / "impact_ratios.md", **options)
        if report.outcomes[1].scores is not None:
            scored = report.impact_ratios(**named, of="scores")
            scored.to_markdown(folder / "scoring_rates.md", **options)


def junit(
    report: FairnessReport, verdict: Verdict | None, acceptance: Acceptance | None = None
) -> bytes:
    """Return test results in JUnit's format: one test per group and criterion.

    Groups that were not tested are skipped. A lost label is a failed test, as it sets the
    exit status; layers without weights are listed and fail no test.
    """
    cases = [*_cases(report, verdict)]
    if acceptance is not None:
        cases += _accepted(acceptance)
    suite = ElementTree.Element(
        "testsuite",
        name="sk_prunefair audit",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
    )
    suite.extend(cases)
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)


def _cases(report: FairnessReport, verdict: Verdict | None) -> Iterator[ElementTree.Element]:
    labels = _case("labels", "all labels are still given")
    for finding in report.label_findings:
        ElementTree.SubElement(labels, "failure", message=_text(finding))
    others = [each for each in report.findings if each not in report.label_findings]
    if others:
        ElementTree.SubElement(labels, "system-out").text = _text("; ".join(others))
    yield labels
    if verdict is None:
        return
    for row in verdict.table.to_dict("records"):
        case = _case(_text(row["criterion"]), _text(row["group"]))
        more = f" and {row['unlabelled']} without label" if row.get("unlabelled") else ""
        what = f"worse by {row['drop']:.4f} over {row['count']} rows{more}"
        if row.get("evidence") == "changes":
            what = f"{row['changed']:.4f} of {row['unlabelled']} answers changed"
        most = f"at most {row['drop_bound']:.4f} at the confidence"
        seen = f"{what}, {most}; {row['bound']:g} was promised"
        if pd.isna(row["passed"]):
            ElementTree.SubElement(case, "skipped", message="not tested: too few rows")
        elif not row["passed"]:
            ElementTree.SubElement(case, "failure", message=seen)
        yield case


def _accepted(acceptance: Acceptance) -> Iterator[ElementTree.Element]:
    """Return tests by criterion and group, and one per failed criterion without a failed group."""
    for row in acceptance.table.to_dict("records"):
        label = "" if row["label"] is None else f", label {row['label']}"
        group = f"{shown_group(row['group'])}{label}"
        case = _case(f"acceptance.{_text(row['name'])}", _text(group))
        measured = "not known" if pd.isna(row["measured"]) else f"{row['measured']:.4f}"
        may = "" if pd.isna(row["bound"]) else f", may be {row['bound']:.4f}"
        test = row["test"]
        if test == "proven":
            test += f" with confidence {row['confidence']:g}"
        said = (
            f"{row['verdict']}: {row['metric']} is {measured}{may} over {row['n']} rows, the "
            f"limit is {row['limit']:g} ({test})"
        )
        if pd.isna(row["passed"]):
            ElementTree.SubElement(case, "skipped", message=said)
        elif not row["passed"]:
            ElementTree.SubElement(case, "failure", message=said)
        yield case
    # If every group was skipped, no test above fails.
    failed = set(acceptance.table.loc[acceptance.table["passed"].eq(False), "name"])
    for row in acceptance.criteria[~acceptance.criteria["passed"]].to_dict("records"):
        if row["name"] not in failed:
            case = _case("acceptance", _text(row["name"]))
            ElementTree.SubElement(case, "failure", message="no group has enough rows")
            yield case


def _case(kind: str, name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=f"sk_prunefair.{kind}", name=name)


def _text(value: Any) -> str:
    """Return a string without characters that XML forbids."""
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
