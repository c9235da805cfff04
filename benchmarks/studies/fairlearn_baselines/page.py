"""Tables and figure of the comparison with fairlearn, from its CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.lib.tables import NAMES, mean_and_spread, with_excess
from benchmarks.studies.field.page import on_front
from sk_prunefair.plotting._common import style

COLUMNS = ["accuracy", "class_balanced", "balanced", "worst", "excess", "xi", "dp", "eo"]
# What fairlearn's methods are for.
AIMS = {
    "reduction, equalized odds": "eo",
    "reduction, equalized odds, 50 iterations": "eo",
    "reduction, error-rate parity": "excess",
    "reduction, bounded loss": "worst",
    "thresholds, equalized odds": "eo",
    "adversarial, equalized odds": "eo",
    "correlation remover": "dp",
}
SHOWN = ((0.0, False), (0.9, False), (0.9, True), (0.95, True))

HEAD = """# fairlearn's methods, pruned

*Equal losses*, alone and with FairGRAPE, are the default before the one of today, without
distillation: `lib/first_default.py`. "equal losses, today" is `EqualLossConstraint()` as it is,
"recipe" the same with `Distillation()`; those two did not run on Adult and faces.

Written by `benchmarks/studies/fairlearn_baselines/run.py` from `rows.csv`: held-out test rows,
mean ± standard deviation over seeds. *Balanced accuracy* is the mean over the two labels, *group
mean* over the groups (balanced accuracy and the time of pruning are of one seed on faces). The
excess gap is the accuracy gap minus what equally good groups of these sizes would show, of each
seed at least 0; the last two are fairlearn's differences. COMPAS groups are races, two of them
tiny; German's sex × age; Adult's race × sex; faces' races, with 2,000 images for training, gender
the label.

*Fit* is the time to train the dense nets, *prune* to prune them to 0.9 and fine-tune, ÷ that of
plain (median), *kB* what the nets take at 0.9, *groups* whether the sensitive feature is asked for
beside X to predict (on the tables, race and sex are among the features for all methods), *diverged*
in how many seeds the training did; those are left out. *One label* counts the fine-tuned nets at
0.9 and 0.95 that predict the same for all: on COMPAS two weights of 128 may be all that is left in
an output layer. They stay in the means, where they lose accuracy and have no gap.

A reduction is a mixture of nets, all of which are pruned and stored; ξ is that of the mixture's
probabilities. Thresholds do not change probabilities: their ξ is that of the plain net. fairlearn's
reductions take six iterations, where its default is fifty; that is tried for equalized odds on
tables, where six cost it accuracy. Their bounded loss is the plain net's training error.
Adversarial training and the correlation remover take rows of numbers, which images are made into.
The adversary mostly fails with fairlearn's defaults (two differences between groups, of demographic
parity and equalized odds, near 0 or near 1, by seed), on the ResNet's filters in particular.

What is fine-tuned goes on with what it was trained on where that is rows and weights: each net of a
reduction with its own labels and weights (on the rows as they are it unlearns what the reduction
did), ours with its constraint; thresholds are found again afterwards; adversarial training does not
go on, its nets are fine-tuned on the rows as they are.
"""


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the Markdown page of whatever cells there are."""
    rows = with_excess(rows)
    parts = [HEAD, "\n## In short\n\n", fronts(rows)]
    for task, part in rows.groupby("task", sort=False):
        parts.append(f"\n## {task} (seeds: {part['seed'].nunique()})\n\n{cost_table(part)}")
        for rate, tuned in SHOWN:
            chosen = part[(part["rate"] == rate) & (part["finetuned"] == tuned)]
            how = "dense" if not rate else f"{rate}, {'fine-tuned' if tuned else 'one-shot'}"
            parts.append(f"\n### {task}, {how}\n\n{table(chosen)}")
    path.write_text("".join(parts))


def same_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of those seeds of each data set that all of its methods have.

    Methods whose training diverged in a seed are left out of that data set.
    """
    rows = rows[rows.groupby(["task", "method"])["accuracy"].transform(lambda a: a.notna().all())]
    methods = rows.groupby("task")["method"].transform("nunique")
    return rows[rows.groupby(["task", "seed"])["method"].transform("nunique") == methods]


def fronts(rows: pd.DataFrame) -> str:
    """Return in how many of a method's cells no other is better in both of two measures."""
    rows = same_seeds(rows)
    tuned = rows[rows["finetuned"]]
    pairs = {f"accuracy and {NAMES[name]}": name for name in ("worst", "excess")}
    found = [
        pd.DataFrame({pair: on_front(means, name) for pair, name in pairs.items()})
        for _, part in tuned.groupby(["task", "rate"])
        for means in [part.groupby("method")[COLUMNS].mean()]
    ]
    by_method = pd.concat(found).groupby(level=0)
    share = by_method.mean().map("{:.2f}".format).reindex(rows["method"].unique())
    share.insert(0, "cells", by_method.size())
    return (
        "Share of a method's cells (data set × rate, fine-tuned) in which no other is better in\n"
        "both measures, by means over the seeds that all methods have, noise or not; where the\n"
        "training diverged in a seed, a method has no cell of that data set:\n\n"
        + share.rename_axis("method").reset_index().to_markdown(index=False)
        + "\n"
        + summary(rows)
    )


def summary(rows: pd.DataFrame) -> str:
    """Say what becomes of what each of fairlearn's methods is for."""
    tuned = rows[(rows["rate"] == 0) | (rows["finetuned"] & (rows["rate"] == 0.9))]
    lines, kept = [], []
    for method, measure in AIMS.items():
        line = {"method": method, "measure": NAMES[measure]}
        for task, part in tuned.groupby("task", sort=False):
            means = part.groupby(["method", "rate"])[measure].mean().unstack()
            if method not in means.index:
                continue
            own, plain = means.loc[method], means.loc["plain"]
            line[task] = "; ".join(f"{x[0.0]:.2f} → {x[0.9]:.2f}" for x in (own, plain))
            gain = (own - plain) * (1 if measure == "worst" else -1)
            if gain[0.0] > 0:
                kept.append(gain[0.9] > 0)
        if len(line) > 2:
            lines.append(line)
    return (
        "\nWhat each is meant to bring about, dense → at 0.9, fine-tuned; first the method's, then "
        f"plain's (means\nover seeds). In {len(kept)} cells the dense nets have more of it than "
        f"plain ones, and in {sum(kept)} of those so\nhave the pruned ones:\n\n"
        + pd.DataFrame(lines).fillna("").to_markdown(index=False)
        + "\n"
    )


def cost_table(part: pd.DataFrame) -> str:
    """Return what each method costs."""
    dense, at_90 = part[part["rate"] == 0], part[part["finetuned"] & (part["rate"] == 0.9)]
    by_method = at_90.groupby("method", sort=False)
    tuned = part[part["finetuned"] & part["rate"].isin([0.9, 0.95])].dropna(subset="accuracy")
    same = one_label(tuned).groupby(tuned["method"])
    shown = pd.DataFrame(
        {
            "fit": times_plain(dense, "fit_seconds").round(1),
            "prune": times_plain(at_90, "prune_seconds").round(1),
            "nets": by_method["nets"].mean().round(1),
            "diverged": dense.groupby("method", sort=False)["accuracy"].apply(_n_missing),
            "one label": same.sum().astype(str) + " of " + same.size().astype(str),
            "kB": (by_method["bytes"].mean() / 1000).round(1),
            "groups": by_method["needs_group"].first().map({True: "needed", False: "no"}),
        }
    )
    return shown.reindex(dense["method"].unique()).reset_index().to_markdown(index=False) + "\n"


def one_label(rows: pd.DataFrame) -> pd.Series:
    """Tell where everybody is given the same label: both differences are exactly 0."""
    return (rows[["dp", "eo"]] == 0).all(axis=1)


def times_plain(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return for each method the median over seeds of a time ÷ that of plain."""
    seconds = rows.pivot_table(index="seed", columns="method", values=column, sort=False)
    return seconds.div(seconds["plain"], axis=0).median()


def _n_missing(values: pd.Series) -> str:
    return f"{values.isna().sum()} of {len(values)}"


def table(part: pd.DataFrame) -> str:
    """Return mean ± standard deviation of each method, the mean alone of one seed."""
    grouped = part.groupby("method", sort=False)[COLUMNS]
    return mean_and_spread(grouped).reset_index().to_markdown(index=False) + "\n"


def draw_figure(rows: pd.DataFrame, path: Path) -> None:
    """Draw accuracy against the excess gap, fine-tuned, ± s.d.; one seed is a hollow mark."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = with_excess(rows)
    tasks = list(rows["task"].unique())
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(4 * len(tasks), 5), layout="constrained", squeeze=False
    )
    for axis, task in zip(axes[0], tasks, strict=True):
        part = rows[(rows["task"] == task) & (rows["finetuned"]) & (rows["rate"] == 0.9)]
        part = part.dropna(subset="accuracy")
        by_method = part.groupby("method")[["accuracy", "excess"]]
        means, spread, n = by_method.mean(), by_method.std().fillna(0), by_method.size()
        # Not every method is in every panel, and each has one mark in all.
        for number, method in enumerate(rows["method"].unique()):
            own, bars = means.reindex([method]), spread.reindex([method])
            look = style(number) | {"linestyle": "none"}
            if n.get(method, 0) == 1:
                look["markerfacecolor"] = "none"
            axis.errorbar(
                *(own["excess"], own["accuracy"]),
                xerr=bars["excess"],
                yerr=bars["accuracy"],
                elinewidth=0.5,
                **look,
                label=method,
            )
        axis.set_title(f"{task}, 0.9, fine-tuned", fontsize="medium")
        axis.set_xlabel("excess accuracy gap (less is better)")
        axis.set_ylabel("accuracy")
        axis.spines[["top", "right"]].set_visible(False)
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)
    plt.close(figure)
