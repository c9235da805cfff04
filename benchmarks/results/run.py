"""docs/results.md: what to use when, what it costs, where it does not help, from the CSVs.

Run ``python -m benchmarks.results.run``; it takes seconds, and every number on the page is computed
from a CSV that a benchmark wrote.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import t

from benchmarks.lib.harness import ROOT
from benchmarks.lib.pages import by_hand, markdown, wrapped, write
from benchmarks.lib.tables import with_excess
from benchmarks.results.advice import choices, limits
from benchmarks.results.data import peers, poster_nets, ratio, rows
from benchmarks.studies.constraints.page import epoch_cost
from benchmarks.studies.fairlearn_baselines.page import one_label, same_seeds, times_plain
from benchmarks.studies.field.page import pick_literal
from benchmarks.studies.field.page import same_seeds as same_field_seeds
from benchmarks.studies.field.page import verdicts as field_verdicts
from benchmarks.studies.poster.page import measure_all

MODELS = ("none", "old default", "equal losses", "recipe")
NAMED = {"accuracy": "accuracy", "worst": "worst group", "excess": "excess gap", "xi": "ξ"}
PAGE = ROOT / "docs" / "results.md"


def harm() -> list[str]:
    """Return the section on the harm of pruning without constraint, one-shot and fine-tuned."""
    nets = poster_nets().reset_index()
    nets = nets[nets["model"] == "none"].assign(gap=nets["gap"].where(nets["predicts"]))
    steps = [(0.0, False), (0.5, False), (0.7, False), (0.9, True)]
    lines = []
    for (task, net), part in nets.groupby(["task", "net"], sort=False):
        at = part.groupby(["rate", "finetuned"])[["accuracy", "worst", "gap"]].mean()
        at["gap"] = at["gap"].map("{:.2f}".format, na_action="ignore").fillna("–")
        line = {"data, net": f"{task}, {net}"}
        for name, title in (("accuracy", "accuracy"), ("worst", "worst group")):
            line[title] = " → ".join(f"{at.at[step, name]:.2f}" for step in steps)
        lines.append(line | {"gap": " → ".join(at.at[step, "gap"] for step in steps)})
    claims = measure_all(rows("poster"), poster_nets())
    wider = {
        name: f"{(values > 0).sum()} of the {len(values)}"
        for name in ("gap_0.5", "gap_0.7", "gap_tuned")
        for values in [claims[name].dropna()]
    }
    text = wrapped(
        f"At high rates, yes. Of {len(claims)} slim nets (data × seed), pruned one-shot by "
        f"magnitude without any constraint, the gap is wider in {wider['gap_0.5']} that still "
        f"predict at 0.5, and in {wider['gap_0.7']} at 0.7 (the others are within five points of "
        "guessing; their gaps have no meaning and are left out). Two epochs of fine-tuning restore "
        "much of the accuracy; at 0.9 the gap is then wider than before pruning in "
        f"{wider['gap_tuned']}. [`poster.md`](../benchmarks/studies/poster/page.md) checks the "
        "poster's claims one by one, including those that were not reproduced. At 0 → 0.5 → 0.7 → "
        "0.9, the last fine-tuned:"
    )
    return [text, markdown(pd.DataFrame(lines))]


def tuned() -> str:
    """Return the table of no constraint, both defaults and the recipe, fine-tuned."""
    lines = []
    for (task, rate), part in with_excess(rows("mitigation")).groupby(["task", "rate"], sort=False):
        line, clear = {"data": task, "rate": rate}, []
        for name, title in NAMED.items():
            by_seed = part.pivot(index="seed", columns="method", values=name)
            line[title] = " / ".join(f"{by_seed[method].mean():.3f}" for method in MODELS)
            change = by_seed["recipe"] - by_seed["none"]
            if abs(change.mean()) > t.ppf(0.975, len(change) - 1) * change.sem():
                clear.append(title)
        lines.append(line | {"clear of noise": ", ".join(clear) or "nothing"})
    return markdown(pd.DataFrame(lines))


def costs() -> str:
    """Return the section on the costs of groups, constraints and curves."""
    overhead, constraint_cost = rows("training_overhead"), rows("constraint_cost")
    curve = rows("curve_cost")["ratio"]
    steps = {
        name: ratio(constraint_cost, name, "no constraint", data="digits")
        for name in ("accuracy gap", "equal gradient", "equal curvature")
    }
    return wrapped(
        f"An epoch with equal losses takes {epoch_cost():.2f} times one without, and "
        f"{ratio(overhead, 'ours, equal loss', 'skorch, no constraint'):.2f} times one of plain "
        f"skorch (Adult). A step with `AccuracyGapConstraint` takes {steps['accuracy gap']:.1f}, "
        f"with `EqualGradientConstraint` {steps['equal gradient']:.1f} and with "
        f"`EqualCurvatureConstraint` {steps['equal curvature']:.1f} times one without (digits). A "
        f"curve over ten rates costs {curve.min():.2f} to {curve.max():.2f} times its inference."
    )


def page() -> list[str]:
    """Return the page, block by block."""
    field = pick_literal(with_excess(rows("field")))
    same = same_field_seeds(field)
    cells = [part.groupby("method", sort=False) for _, part in same.groupby(["task", "rate"])]
    parts = [by_hand(PAGE), "## Is there harm?", *harm()]
    parts += [by_hand(PAGE, "If there is training data"), "## What to use when", choices(field)]
    parts += [by_hand(PAGE, "Fine-tuned nets with"), tuned()]
    parts += [by_hand(PAGE, "## Comparison with", until="Share of"), *field_verdicts(cells)]
    parts += [by_hand(PAGE, "Ours was developed", until="fairlearn's"), *fairlearn()]
    parts += [by_hand(PAGE, "![Accuracy against"), "## What it costs", costs()]
    return [*parts, "## Where it does not help", limits(field)]


def fairlearn() -> list[str]:
    """Return the section on fairlearn's methods after pruning."""
    found = same_seeds(peers())
    tuned = found[found["finetuned"] & (found["rate"] == 0.9)]
    columns = {}
    for task, part in tuned.groupby("task", sort=False):
        means = part.groupby("method", sort=False)[["accuracy", "excess", "xi"]].mean()
        columns[f"{task}: accuracy, excess gap, ξ"] = means.apply(
            lambda row: " / ".join(f"{value:.3f}" for value in row), axis=1
        )
    dense = found[(found["rate"] == 0) & (found["task"] == "adult")]
    on_adult = tuned[tuned["task"] == "adult"]
    adult = on_adult.groupby("method", sort=False)
    for name, times in (
        ("dense fit ÷ plain", times_plain(dense, "fit_seconds")),
        ("prune, fine-tune ÷ plain", times_plain(on_adult, "prune_seconds")),
    ):
        columns[name] = times.map("{:.1f}".format)
    columns["kB"] = (adult["bytes"].mean() / 1000).map("{:.0f}".format)
    columns["groups beside X"] = adult["needs_group"].first().map({True: "needed", False: "no"})
    table = pd.DataFrame(columns).reindex(tuned["method"].unique()).fillna("–")
    adversary = tuned[(tuned["task"] == "faces") & tuned["method"].str.startswith("adversarial")]
    text = wrapped(
        "fairlearn's methods, pruned to 0.9 and fine-tuned: each net of a reduction on the labels "
        "and weights it was trained on, thresholds optimised again, adversarial nets on the "
        "original rows. Reductions run six iterations unless stated otherwise, fifty by "
        "fairlearn's default. Thresholds change only labels, so their ξ equals plain's. Of the "
        f"adversarial nets on faces {one_label(adversary).sum()} of {len(adversary)} predict one "
        "label for all samples, which leads to a small gap and ξ; – means that training diverged "
        "in a seed, or that the method was not run. Costs are those on Adult; on the tables, race "
        "and sex are among the features, with or without groups beside X. Spreads, other rates, "
        "other measures and the fronts: "
        "[`fairlearn_baselines.md`](../benchmarks/studies/fairlearn_baselines/page.md)."
    )
    return [text, markdown(table.rename_axis("method"))]


def main(argv: list[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    write(args.out, page())


if __name__ == "__main__":
    main()
