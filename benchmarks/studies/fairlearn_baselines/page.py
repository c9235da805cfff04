"""Tables and figure of the comparison with fairlearn, from its CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.lib.pages import by_hand, markdown, write
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

PAGE = Path(__file__).with_name("page.md")


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the Markdown page of whatever cells there are."""
    rows = with_excess(rows)
    parts = [by_hand(PAGE), by_hand(PAGE, "## In short"), fronts(rows), *summary(same_seeds(rows))]
    for task, part in rows.groupby("task", sort=False):
        parts += [f"## {task} (seeds: {part['seed'].nunique()})", cost_table(part)]
        for rate, tuned in SHOWN:
            chosen = part[(part["rate"] == rate) & (part["finetuned"] == tuned)]
            how = "dense" if not rate else f"{rate}, {'fine-tuned' if tuned else 'one-shot'}"
            table = mean_and_spread(chosen.groupby("method", sort=False)[COLUMNS])
            parts += [f"### {task}, {how}", markdown(table)]
    write(path, parts)


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
    return markdown(share.rename_axis("method"))


def summary(rows: pd.DataFrame) -> list[str]:
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
    said = (
        "What each is meant to bring about, dense → at 0.9, fine-tuned; first the method's, then "
        f"plain's (means\nover seeds). In {len(kept)} cells the dense nets have more of it than "
        f"plain ones, and in {sum(kept)} of those so\nhave the pruned ones:"
    )
    return [said, markdown(pd.DataFrame(lines).fillna(""))]


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
    return markdown(shown.reindex(dense["method"].unique()))


def one_label(rows: pd.DataFrame) -> pd.Series:
    """Tell where everybody is given the same label: both differences are exactly 0."""
    return (rows[["dp", "eo"]] == 0).all(axis=1)


def times_plain(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return for each method the median over seeds of a time ÷ that of plain."""
    seconds = rows.pivot_table(index="seed", columns="method", values=column, sort=False)
    return seconds.div(seconds["plain"], axis=0).median()


def _n_missing(values: pd.Series) -> str:
    return f"{values.isna().sum()} of {len(values)}"


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
