"""The section of facts about data and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sk_prunefair.audit._html import Html, definitions, join, name
from sk_prunefair.audit._numbers import percent
from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.latency.reading import seconds_text

_MAX_CLASSES = 30


def facts_of(report: AuditedReport, facts: Mapping[str, Any]) -> Html:
    """Return the facts about data and model that the user gave and that the report has."""
    samples = report.samples
    n = pd.Series(1 if report.kinds is None else report.kinds.counts, index=samples.index)
    counts = n.groupby(samples["group"]).sum()
    classes = n.groupby(samples["y_true"]).sum()
    shown = Html(
        "; ".join(join("{}: {}", name(label), n) for label, n in classes[:_MAX_CLASSES].items())
    )
    if len(classes) > _MAX_CLASSES:
        shown = join("{}; and {} more", shown, len(classes) - _MAX_CLASSES)
    terms: dict[str, Any] = {
        "Samples": report.n_samples,
        "Groups": join("{}, of {} to {} samples", len(counts), counts.min(), counts.max()),
        "Classes and their samples": shown,
    }
    if report.empty_layers:
        terms["Layers without weights"] = ", ".join(report.empty_layers)
    if report.compression is not None:
        terms |= {
            _term(str(key), report): _value(str(key), value)
            for key, value in report.compression.dropna().items()
        }
    # Two lists, as a user's term may equal one of the report's.
    return Html((definitions(facts) if facts else "") + definitions(terms))


def _term(key: str, report: AuditedReport) -> str:
    if key == "sparsity":
        return "Share of the prunable weights removed"
    words, model = key.replace("_", " "), ""
    for suffix, which in (("_dense", report.names.dense), ("_pruned", report.names.compressed)):
        if key.endswith(suffix):
            words, model = key.removesuffix(suffix).replace("_", " "), f", {which}"
    if key == "bytes_stored":
        words, model = "bytes", f", {report.names.compressed}"
    words = words.replace("macs", "multiply-accumulates").replace(
        "latency", "latency of one sample"
    )
    return f"{words[:1].upper()}{words[1:]}{model}"


def _value(key: str, value: float) -> Any:
    if key == "sparsity":
        return Html(percent(value))
    if key.startswith("latency"):
        return Html(seconds_text(value))
    return join("{} bytes", round(value)) if key.startswith("bytes") else round(value)
