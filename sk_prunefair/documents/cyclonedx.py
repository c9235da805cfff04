"""A CycloneDX bill of materials with the model card of a compressed model."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from sk_prunefair._version import __version__
from sk_prunefair.documents.scope import scope, written
from sk_prunefair.report.figures import CONFIDENCE, Figures
from sk_prunefair.report.text import costs

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

SPEC_VERSION = "1.6"


def cyclonedx(
    report: GroupComparison,
    path: str | PathLike[str] | None = None,
    *,
    name: str | None = None,
    version: str | None = None,
    dataset: str = "held-out samples",
    mitigation: str = "none is known to this audit",
) -> dict[str, Any]:
    """Return a CycloneDX 1.6 document with the model card of the compressed model.

    ``quantitativeAnalysis`` has the accuracy of all rows and of each group (its ``slice``), the
    loss of each group, and the gaps, with their confidence intervals; ``fairnessAssessments`` has
    one entry for each group. The format is https://cyclonedx.org/docs/1.6/json/ (``modelCard``);
    it is valid in version 1.7 as well.

    Parameters
    ----------
    report : FairnessReport
        The audit.
    path : str or path-like, default=None
        File to write, in UTF-8; its name should end in ``.cdx.json``.
    name, version : str, default=None
        Name and version of the model; None takes the compressed model's name, and no version.
    dataset : str, default="held-out samples"
        Description of the data.
    mitigation : str
        Mitigation of harms to groups.

    Returns
    -------
    dict
        The document. Its serial number is new each time, as the format requires.

    Raises
    ------
    ValueError
        If a string is empty, or not a string.

    Notes
    -----
    It covers the measurements of the audit. Training data, intended use, users, licences,
    dependencies and energy use are not included.

    Examples
    --------
    >>> from sk_prunefair import FairnessReport
    >>> report = FairnessReport(
    ...     [0, 1, 0, 1],
    ...     dense_pred=[0, 1, 0, 1],
    ...     pruned_pred=[0, 1, 1, 1],
    ...     sensitive_features={"sex": ["f", "f", "m", "m"]},
    ... )
    >>> card = cyclonedx(report, name="credit", version="2")["components"][0]["modelCard"]
    >>> card["quantitativeAnalysis"]["performanceMetrics"][1]["slice"]
    'sex=m'
    """
    texts = {"name": name or report.names.compressed_model, "dataset": dataset}
    texts |= {"mitigation": mitigation} | ({} if version is None else {"version": version})
    for key, value in texts.items():
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{key} must be a string, got {value!r}")
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "compressed-model",
        "name": texts["name"],
    }
    if version is not None:
        component["version"] = version
    tool = {"type": "library", "name": "sk_prunefair", "version": __version__}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {"timestamp": now, "tools": {"components": [tool]}},
        "components": [component | {"modelCard": _card(report, dataset, mitigation)}],
    }
    written(json.dumps(found, allow_nan=False, ensure_ascii=False, indent=2), path)
    return found


def _card(report: GroupComparison, dataset: str, mitigation: str) -> dict[str, Any]:
    figures = Figures.of(report)
    not_covered = (
        "Not covered: training data, intended use, users, licences, dependencies, energy, "
        "robustness, security."
    )
    considerations = {
        "technicalLimitations": [*report.findings, *scope(report, dataset), not_covered],
        "performanceTradeoffs": costs(report.compression, report.latency),
        "fairnessAssessments": [_assessment(report, row, mitigation) for row in figures.groups],
    }
    described = f"{report.n_samples:,} rows, in {len(figures.groups)} groups, for evaluation"
    return {
        "modelParameters": {
            "task": "classification",
            "datasets": [{"type": "dataset", "name": dataset, "description": described}],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(report, figures)},
        "considerations": {key: value for key, value in considerations.items() if value},
        "properties": [
            {"name": "sk_prunefair:model_before", "value": report.names.dense},
            {"name": "sk_prunefair:model_after", "value": report.names.compressed},
            {"name": "sk_prunefair:n_samples", "value": str(report.n_samples)},
            {"name": "sk_prunefair:confidence", "value": f"{CONFIDENCE:g}"},
        ],
    }


def _metrics(report: GroupComparison, figures: Figures) -> list[dict[str, Any]]:
    after, gaps = report.names.compressed, figures.gaps
    found = [_metric("accuracy", figures.overall["accuracy"][after])]
    for row in figures.groups:
        own = slice_name(row["group"])
        found.append(_metric("accuracy", row["accuracy"][after], own))
        found.append(_metric("accuracy lost by the compression", row["accuracy_drop"], own))
        if report.has_losses:
            found.append(_metric("excessive risk", row["excessive_risk"], own))
    found.append(_metric("accuracy gap between groups", gaps["accuracy_gap"][after]))
    if gaps["fairness_violation"] is not None:
        found.append(_metric("fairness violation", gaps["fairness_violation"]))
    return [each for each in found if "value" in each]


def _metric(kind: str, figure: Mapping[str, Any], own: str | None = None) -> dict[str, Any]:
    """Return a figure in the document's format, in which all values are strings."""
    found: dict[str, Any] = {"type": kind}
    if figure["value"] is not None:
        found["value"] = f"{figure['value']:.6g}"
    if own is not None:
        found["slice"] = own
    if figure["low"] is not None and figure["high"] is not None:
        found["confidenceInterval"] = {
            "lowerBound": f"{figure['low']:.6g}",
            "upperBound": f"{figure['high']:.6g}",
        }
    return found


def slice_name(group: Mapping[str, Any]) -> str:
    """Return the name of a group of rows.

    >>> slice_name({"race": "A", "sex": "f"})
    'race=A, sex=f'
    """
    return ", ".join(f"{column}={value}" for column, value in group.items())


def _assessment(report: GroupComparison, row: Mapping[str, Any], mitigation: str) -> dict[str, str]:
    before, after = (row["accuracy"][name] for name in report.names)
    lost, n = row["accuracy_drop"], row["count"]
    change = "lost" if lost["value"] > 0 else "gained" if lost["value"] < 0 else "unchanged"
    values = f"accuracy {before['value']:.3f} before the compression, {after['value']:.3f} after"
    found = {
        "lost": f"{values}, over {n:,} rows: {lost['value']:.3f} lost",
        "gained": f"none seen in accuracy, over {n:,} rows",
        "unchanged": f"none seen in accuracy, over {n:,} rows",
    }[change]
    if lost["low"] is not None:
        found += f" (at {CONFIDENCE:.0%}, lost {lost['low']:.3f} to {lost['high']:.3f})"
    benefits = f"{values}: {-lost['value']:.3f} gained" if change == "gained" else "not assessed"
    return {
        "groupAtRisk": slice_name(row["group"]),
        "benefits": benefits,
        "harms": found,
        "mitigationStrategy": mitigation,
    }
