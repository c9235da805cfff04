"""The sections on methods and limits of the numbers."""

from __future__ import annotations

import pandas as pd

from sk_prunefair.audit._gaps import N_SHUFFLES
from sk_prunefair.audit._html import Html, join, name
from sk_prunefair.audit._verdict import LEVEL
from sk_prunefair.audit.protocol import AuditedReport

_MAX_NAMED = 40


def methods(report: AuditedReport, has_curve: bool) -> dict[str, str]:
    """Return how each number on the page was computed."""
    names = report.names
    said = {
        "accuracy": "Share of a group's samples whose predicted label is correct.",
        "accuracy lost": f"Accuracy of the {names.dense_model} minus accuracy of the "
        f"{names.compressed_model}, in percentage points, on the same samples. "
        "Negative if the group gained.",
    }
    if report.has_losses:
        said |= {
            "loss": "Mean of the criterion over a group's samples, J(θ; D_a); for the cross "
            "entropy, in nats.",
            "excessive risk R": f"Loss under the {names.compressed_model} minus loss under the "
            f"{names.dense_model}, R(a) = J(θ̄; D_a) − J(θ*; D_a) (Tran et al., Pruning has a "
            "disparate impact on model accuracy, eq. 2). Groups are sorted by the accuracy they "
            "lost, then by it.",
            "fairness violation ξ": "Largest minus smallest excessive risk (eq. 3).",
        }
    said |= {
        "accuracy gap": f"Largest minus smallest group accuracy of one {names.kind}.",
        "gap by chance": f"The gap that remains, on average, when the groups of the "
        f"{report.n_samples:,} samples are shuffled at random, {N_SHUFFLES} times: the gap "
        "expected by chance for groups of these sizes.",
    }
    if has_curve:
        said["gap of equally good groups"] = (
            "In the table of rates: the accuracy gap expected from independent draws, if "
            "all groups had the overall accuracy."
        )
    tested = "ξ and of the accuracy lost" if report.has_losses else "the accuracy lost"
    times = ", times the number of these," if report.has_losses or _has_levels(report) else ""
    said["p"] = (
        "Share of the shuffles, including the data themselves, in which some group is at least as "
        "far from the mean of all samples, in units of its standard error, as any group is in the "
        "data. A gap between small groups may be near that of shuffled groups although large "
        "groups "
        "differ beyond doubt: then p is small. The verdict takes the smallest p of "
        f"{tested}{times} "
        f"and reports a difference if it is at most {LEVEL}."
    )
    if report.n_boot:
        said["quantiles"] = (
            f"Of the bootstrap: the samples are drawn again with replacement, the same for both "
            f"{names.kind}s."
        )
    if report.diagnostics is not None:
        said["possible reasons"] = (
            f"Of a group's mean loss under the {names.dense_model}: gradient norm and largest "
            "Hessian eigenvalue; closeness to the decision boundary, f (1 − f) for two classes, "
            "else one minus the margin of the likeliest class; mean error; the terms of the "
            "paper's Theorem 1. See sk_prunefair.theory.group_diagnostics."
        )
    compression = report.compression
    if compression is not None and {"bytes_stored", "macs_pruned"} & set(compression.index):
        said |= _sizes(compression)
    return said


def _sizes(compression: pd.Series) -> dict[str, str]:
    if "sparsity" not in compression:
        return {"bytes": "Size of each of the two on disk."}
    return {
        "bytes, multiply-accumulates": "A pruned tensor is stored as one bit per weight and the "
        "kept values; multiply-accumulates of one forward pass, without those of removed weights, "
        "which save time only with sparse kernels.",
    }


def _has_levels(report: AuditedReport) -> bool:
    return bool(report.samples["level"].notna().any())


def limits(
    report: AuditedReport, frame: pd.DataFrame, min_count: int, has_curve: bool
) -> list[Html | str]:
    """Return what the numbers do not show, with small groups by name."""
    names, said = report.names, list[Html | str]()
    if (frame["count"] < min_count).any():
        said.append(_small_groups(frame, min_count))
    if not report.n_boot:
        said.append("No intervals were computed: the groups have estimates only.")
    else:
        said.append(
            "A bootstrap interval of width zero means that there is no such case among the "
            "samples, "
            "not that there is none in the population."
        )
    both = (
        "ξ and the difference of accuracy lost grow"
        if report.has_losses
        else ("The difference of accuracy lost grows")
    )
    said += [
        "Whether the samples were held out from training, and whether they represent those that "
        "the "
        f"{names.kind} will get, is known only to the author of this page.",
        f"{both} also if {names.process} improves a group that the {names.dense_model} predicted "
        "badly: read this beside the accuracies.",
        "A gap may be small although all groups lost: read it beside the accuracies, too.",
        f"p-values are for one {names.compressed_model} on these samples. Another training, "
        "another "
        "seed or another rate was not tested"
        + (
            ", except the rates in the table; there is no correction for the choice of a rate from "
            "it."
            if has_curve
            else "."
        ),
        "Groups that are not named in the data, and their intersections, are not covered.",
        "No number on this page shows why a group was harmed, or whether its labels are correct.",
    ]
    return said


def _small_groups(frame: pd.DataFrame, min_count: int) -> Html:
    small = frame.loc[frame["count"] < min_count, "count"]
    named = "; ".join(join("{} ({})", name(group), n) for group, n in small[:_MAX_NAMED].items())
    if len(small) > _MAX_NAMED:
        named += f"; and {len(small) - _MAX_NAMED:,} more"
    return join(
        "Groups with fewer than {} samples: {}. Their numbers may be far from what they would be "
        "on more data, and a harm to them may go unseen.",
        *(min_count, Html(named)),
    )
