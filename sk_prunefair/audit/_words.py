"""What the page says in words: the verdict, how numbers were computed, what they cannot say."""

from __future__ import annotations

import html

import pandas as pd

from sk_prunefair.audit._gaps import DROPS, N_SHUFFLES, VIOLATION
from sk_prunefair.audit._html import Html, join, name
from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.metrics._order import ExtremeGroups

LEVEL = 0.05


def verdict(report: AuditedReport, gaps: pd.DataFrame, min_count: int) -> Html:
    """Return whether pruning treated groups unequally, after what no average shows."""
    found = [Html(html.escape(f"{each[:1].upper()}{each[1:]}. ")) for each in report.findings]
    return Html("".join(found) + _difference(report, gaps, min_count))


def _difference(report: AuditedReport, gaps: pd.DataFrame, min_count: int) -> Html:
    """Return in one sentence how unequal the harm is, and which groups have most of it."""
    frame, samples = report.to_frame(), report.samples
    accuracy = samples["is_right_dense"].mean(), samples["is_right_pruned"].mean()
    if (samples["loss_pruned"] == samples["loss_dense"]).all():
        template = "Pruning changed nothing on these {} samples: both nets have the same losses."
        return join(template, len(samples))
    if len(frame) == 1:
        template = (
            "All samples belong to one group, so nothing can be said about differences; "
            "accuracy went from {} to {}."
        )
        return join(template, *accuracy)
    tests = gaps[gaps["gap"].isin([VIOLATION, DROPS])]
    # The smallest of several p-values is compared as Bonferroni does.
    p_value = min(1.0, tests["p_value"].min() * len(tests))
    who = _most_harmed(frame, min_count)
    overall = join("accuracy of all samples {} → {}", *accuracy)
    if p_value > LEVEL:
        template = (
            "No difference between groups beyond chance was found (p = {}), which does not show "
            "that there is none: {}; {}."
        )
    elif frame["excessive_risk"].max() <= 0 and frame["accuracy_drop"].max() <= 0:
        template = (
            "Pruning raised no group's loss and took accuracy from none, yet served groups "
            "unequally (p = {}): {}; {}."
        )
    else:
        template = "Pruning harmed groups unequally, beyond what chance makes (p = {}): {}; {}."
    return join(template, p_value, who, overall)


def _most_harmed(frame: pd.DataFrame, min_count: int) -> Html:
    """Name the group that lost most accuracy, and the one with the largest excessive risk."""

    def describe(row: int, what: str) -> Html:
        count = int(frame["count"].iloc[row])
        few = join(" (only {} samples)", count) if count < min_count else Html("")
        accuracy = frame["accuracy_dense"].iloc[row], frame["accuracy_pruned"].iloc[row]
        who = name(frame.index[row])
        return join("group {}{} {} (accuracy {} → {})", who, few, Html(what), *accuracy)

    extremes = ExtremeGroups.find(frame)
    lost, risk = extremes.lost_most, extremes.largest_risk
    rises = frame["excessive_risk"].iloc[risk] > 0
    what = "had the largest rise in loss" if rises else "had the smallest fall in loss"
    if frame["accuracy_drop"].iloc[lost] <= 0:
        return describe(risk, what)
    if lost == risk:
        return describe(lost, f"lost most accuracy and {what}")
    return join("{}; {}", describe(lost, "lost most accuracy"), describe(risk, what))


def methods(n_samples: int) -> dict[str, str]:
    """Return how each number was computed."""
    return {
        "accuracy": "Share of a group's samples whose predicted label is right.",
        "loss": "Mean of the training criterion over a group's samples, J(θ; D_a).",
        "accuracy drop": "Accuracy of the dense net minus accuracy of the pruned net; both saw the "
        "same samples. Negative where the group gained.",
        "excessive risk R": "Loss under the pruned net minus loss under the dense net, "
        "R(a) = J(θ̄; D_a) − J(θ*; D_a) (Tran et al., Pruning has a disparate impact on model "
        "accuracy, eq. 2). Groups are sorted by the accuracy they lost, then by it.",
        "fairness violation ξ": "Largest minus smallest excessive risk (eq. 3).",
        "accuracy gap": "Largest minus smallest group accuracy of one net.",
        "gap of shuffled groups": f"The gap that remains, on average, when the groups of the "
        f"{n_samples:,} samples are shuffled at random, {N_SHUFFLES} times: what chance alone "
        "makes of groups of these sizes.",
        "gap of equally good groups": "In the table of rates: the accuracy gap to expect from "
        "independent draws, were all groups served as well as all samples are.",
        "p": "Share of the shuffles, the data themselves counted in, in which some group is at "
        "least as far from the mean of all samples, in units of its standard error, as any group "
        "is. A gap between small groups may be near that of shuffled groups while large groups "
        "differ for certain: p tells. The verdict takes the smallest p of ξ and of the accuracy "
        f"drops, times the number of these, and speaks of a difference where that is at most "
        f"{LEVEL}.",
        "quantiles": "Of the bootstrap: the samples are drawn again with replacement, both nets on "
        "the same draw.",
        "possible reasons": "Of a group's mean loss under the dense net: gradient norm and largest "
        "Hessian eigenvalue; closeness to the decision boundary, f (1 − f) for two classes, else "
        "one minus the margin of the likeliest class; mean error; the terms of the paper's "
        "Theorem 1. See sk_prunefair.theory.group_diagnostics.",
        "bytes stored, macs": "A pruned tensor is stored as one bit per weight and the values that "
        "are left; multiply-accumulates of one forward pass, those of removed weights not counted, "
        "which takes sparse kernels to become time.",
    }


def limits(report: AuditedReport, min_count: int) -> list[Html | str]:
    """Return what the numbers cannot say; small groups by name."""
    frame = report.to_frame()
    said: list[Html | str] = []
    small = frame[frame["count"] < min_count]
    if len(small):
        sizes = small["count"].items()
        names = Html("; ".join(join("{} ({})", name(group), n) for group, n in sizes))
        said.append(
            join(
                "Groups with fewer than {} samples: {}. Their numbers may be far from what they "
                "would be on more data, and a harm to them may go unseen.",
                *(min_count, names),
            )
        )
    if not report.change.n_boot:
        said.append("No intervals were asked for: the table of groups shows estimates alone.")
    else:
        said.append(
            "A bootstrap interval without width says that the samples hold no such case, not that "
            "there is none."
        )
    said += [
        "Whether the samples were held out from training, and whether they are like those the net "
        "will meet: only who made this page knows.",
        "ξ and the gap in drops grow also where pruning repairs a group that the dense net had "
        "failed: read them beside the accuracies.",
        "A small gap may hide that all groups lost: read it beside the accuracies, too.",
        "p-values are of one pruned net on these samples. Another training, another seed or "
        "another rate was not tested, unless the table of rates has it; rates of one table were "
        "looked at together, without a correction for choosing among them.",
        "Groups that the data does not name, and their intersections, are not here.",
        "Why a group was harmed, and whether its labels are right, no number on this page says.",
    ]
    return said
