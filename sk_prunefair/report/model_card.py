"""A model card from a report: Markdown with Hugging Face's metadata block."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sk_prunefair._version import __version__
from sk_prunefair.report.figures import CONFIDENCE, Figures
from sk_prunefair.report.markdown import cell, gap_lines, groups_table
from sk_prunefair.report.text import costs

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

_MOST = 50  # number of groups, those that lost most

_LIMITS = (
    "Whether the samples were held out from training, and whether they represent those that the "
    "model will get, is not known from the figures.",
    "Groups that are not named in the data, and their intersections, are not covered.",
    "A gap may be small although all groups lost: read it beside the accuracies.",
)


def model_card(
    report: GroupComparison,
    path: str | PathLike[str] | None = None,
    *,
    title: str | None = None,
    dataset: str = "held-out samples",
    task: str = "other",
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Return a report as a model card, and write it to a file.

    Parameters
    ----------
    report : GroupComparison
        The report.
    path : str or path-like, default=None
        File to write, in UTF-8; Hugging Face looks for ``README.md``.
    title : str, default=None
        Name of the model; None takes the name of the compressed one.
    dataset : str, default="held-out samples"
        Description of the data.
    task : str, default="other"
        Hugging Face's name of the task, such as ``image-classification``.
    metadata : mapping, default=None
        Further entries of the block, such as ``{"license": "mit", "base_model":
        "bert-base-uncased"}``; JSON values.

    Returns
    -------
    str
        The card. The results in its block are the accuracy of all samples and of each group, and
        the gaps.
    """
    name = title or f"{report.names.compressed_model}"
    figures = Figures.of(report)
    block = _metadata(report, figures, name, dataset, task) | dict(metadata or {})
    # JSON is valid YAML, and quotes special characters in users' names.
    head = "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in block.items()
    )
    body = "\n\n".join(_sections(report, figures, name, dataset))
    card = f"---\n{head}\n---\n\n{body}\n"
    if path is not None:
        Path(path).write_text(card, encoding="utf-8")
    return card


def _metadata(
    report: GroupComparison, figures: Figures, name: str, dataset: str, task: str
) -> dict[str, Any]:
    after, gaps = report.names.compressed, figures.gaps
    results = [_metric("accuracy", "accuracy, all samples", figures.overall["accuracy"][after])]
    for group in figures.groups[:_MOST]:
        label = ", ".join(f"{key}={value}" for key, value in group["group"].items())
        results += [
            _metric("accuracy", f"accuracy, {label}", group["accuracy"][after]),
            _metric("accuracy_drop", f"accuracy lost, {label}", group["accuracy_drop"]),
        ]
    results.append(_metric("accuracy_gap", "accuracy gap", gaps["accuracy_gap"][after]))
    if gaps["fairness_violation"] is not None:
        found = gaps["fairness_violation"]
        results.append(_metric("fairness_violation", "fairness violation ξ", found))
    source = {
        "task": {"type": task},
        "dataset": {"type": "custom", "name": dataset},
        "metrics": [result for result in results if result["value"] is not None],
    }
    return {
        "library_name": "sk_prunefair",
        "tags": [report.names.process, "fairness"],
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": [source]}],
    }


def _metric(kind: str, name: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "name": name, "value": figure["value"]}


def _sections(report: GroupComparison, figures: Figures, name: str, dataset: str) -> list[str]:
    before, after = report.names
    n = report.n_samples
    parts = [
        f"# {cell(name)}",
        f"What {report.names.process} did to each group, on {n:,} samples ({cell(dataset)}): "
        f"{cell(before)} → {cell(after)}. Intervals are of {CONFIDENCE:.0%} confidence.",
        *(f"**{cell(found)}**" for found in report.findings),
        "## Groups, the most harmed first",
        groups_table(report, figures, _MOST),
        *_left_out(figures),
        "## Gaps between groups",
        "\n".join(gap_lines(figures.gaps)),
    ]
    if found := costs(report.compression, report.latency):
        parts += ["## Size and time", "\n".join(f"- {cell(line)}" for line in found)]
    return [
        *parts,
        "## How to read it",
        "- Accuracy lost: the accuracy before minus that after, on the same samples "
        "(Tango's interval); accuracies have Wilson's.\n"
        "- Answers changed: share of changed predictions, correct or wrong; it needs no labels, "
        "and "
        "the accuracy lost cannot be larger (Wilson's interval).\n"
        "- Excessive risk R(a): mean loss after minus before (Student's interval, corrected for "
        "skewness); ξ is the largest minus the smallest (Tran et al., *Pruning has a disparate "
        "impact on model accuracy*). Intervals of gaps follow from those of the groups by "
        "Bonferroni's rule.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in _LIMITS),
        f"Made by sk_prunefair {__version__}.",
    ]


def _left_out(figures: Figures) -> list[str]:
    n_groups = len(figures.groups)
    return [f"The {_MOST} of {n_groups:,} groups that lost most."] if n_groups > _MOST else []
