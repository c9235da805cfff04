"""Tables and figure of the comparison with fairlearn, from its CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sk_prunefair.plotting._common import style

COLUMNS = {
    "accuracy": "accuracy",
    "balanced": "balanced accuracy",
    "worst": "worst group",
    "excess": "excess gap",
    "xi": "ξ",
    "dp": "demographic parity",
    "eo": "equalized odds",
}
SHOWN = ((0.0, False), (0.9, False), (0.9, True), (0.95, True))

HEAD = """# fairlearn's methods, pruned

Written by `benchmarks/fairlearn_baselines.py` from `fairlearn_baselines.csv`: held-out test rows,
mean ± standard deviation over seeds. The excess gap is the accuracy gap minus what equally good
groups of these sizes would show; the last two are fairlearn's differences. *Fit* is the time to fit
÷ that of plain (median), *kB* what the nets take at 0.9, *groups* whether the sensitive feature is
needed to predict, *diverged* in how many seeds the training did; those are left out. A reduction is
a mixture of nets, all of which are pruned and stored; ξ is that of the mixture's probabilities.
Thresholds do not change probabilities: their ξ is that of the plain net. Adversarial training and
the correlation remover are for rows of features, and the constraints of eq. 6 too costly for this
on faces. fairlearn's reductions take six iterations; their bounded loss is the plain net's training
error. COMPAS groups are races, two of them tiny; German's sex × age; Adult's race × sex; faces'
races, with 2,000 images for training, gender the label. On faces the reductions and equal losses
have one seed, and the bounded loss was not run. Equal losses ran again later than the others, on a
busier machine: `training_overhead.py` says what they cost.
"""


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the Markdown page of whatever cells there are."""
    rows = rows.assign(excess=(rows["gap"] - rows["floor"]).clip(lower=0))
    parts = [HEAD]
    for task, part in rows.groupby("task", sort=False):
        parts.append(f"\n## {task} (seeds: {part['seed'].nunique()})\n\n{cost_table(part)}")
        for rate, tuned in SHOWN:
            chosen = part[(part["rate"] == rate) & (part["finetuned"] == tuned)]
            how = "dense" if not rate else f"{rate}, {'fine-tuned' if tuned else 'one-shot'}"
            parts.append(f"\n### {task}, {how}\n\n{table(chosen)}")
    path.write_text("".join(parts))


def cost_table(part: pd.DataFrame) -> str:
    """Return what each method costs."""
    dense = part[part["rate"] == 0]
    seconds = dense.pivot_table(index="seed", columns="method", values="fit_seconds", sort=False)
    at_90 = part[part["rate"] == 0.9].groupby("method", sort=False)
    shown = pd.DataFrame(
        {
            "fit": seconds.div(seconds["plain"], axis=0).median().round(1),
            "nets": at_90["nets"].mean().round(1),
            "diverged": dense.groupby("method", sort=False)["accuracy"].apply(_n_missing),
            "kB": (at_90["bytes"].mean() / 1000).round(1),
            "groups": at_90["needs_group"].first().map({True: "needed", False: "no"}),
        }
    )
    return shown.reindex(dense["method"].unique()).reset_index().to_markdown(index=False) + "\n"


def _n_missing(values: pd.Series) -> str:
    return f"{values.isna().sum()} of {len(values)}"


def table(part: pd.DataFrame) -> str:
    """Return mean ± standard deviation of each method."""
    grouped = part.groupby("method", sort=False)[list(COLUMNS)]
    spread = grouped.std().fillna(0).map("{:.3f}".format)
    shown = grouped.mean().map("{:.3f}".format) + " ± " + spread
    return shown.rename(columns=COLUMNS).reset_index().to_markdown(index=False) + "\n"


def draw_figure(rows: pd.DataFrame, path: Path) -> None:
    """Draw accuracy against the accuracy gap, fine-tuned, one panel for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tasks = list(rows["task"].unique())
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(4 * len(tasks), 5), layout="constrained", squeeze=False
    )
    for axis, task in zip(axes[0], tasks, strict=True):
        part = rows[(rows["task"] == task) & (rows["finetuned"]) & (rows["rate"] == 0.9)]
        means = part.groupby("method")[["accuracy", "gap"]].mean()
        # Not every method is in every panel, and each has one mark in all.
        for number, method in enumerate(rows["method"].unique()):
            own = means.reindex([method])
            look = style(number) | {"linestyle": "none"}
            axis.plot(own["gap"], own["accuracy"], **look, label=method)
        axis.set_title(f"{task}, 0.9, fine-tuned", fontsize="medium")
        axis.set_xlabel("accuracy gap (less is better)")
        axis.set_ylabel("accuracy")
        axis.spines[["top", "right"]].set_visible(False)
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)
    plt.close(figure)
