"""The README's picture of the recipe, docs/pictures/mitigation.png, from the rows.

Run ``python -m benchmarks.studies.mitigation.picture``; it takes seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.lib.harness import ROOT, committed
from benchmarks.lib.tables import NAMES, with_excess
from sk_prunefair.plotting._common import style

PICTURE = ROOT / "docs" / "pictures" / "mitigation.png"
METHODS = {
    "none": "no constraint",
    "distillation": "distillation alone",
    "equal losses": "equal losses alone",
    "recipe": "recipe: both",
}
PANELS = {
    "digits": ("digits",),
    "Fashion-MNIST": ("fashion",),
    "UTKFace race": ("faces_race",),
    "four tables, mean": ("adult", "bank", "compas", "german"),
}


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Draw excess gap and ξ against the rate, means over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = with_excess(rows)
    figure, axes = plt.subplots(
        2, len(PANELS), figsize=(11, 4.8), sharex=True, layout="constrained"
    )
    for column, (title, tasks) in enumerate(PANELS.items()):
        part = rows[rows["task"].isin(tasks)]
        for row, measure in enumerate(("excess", "xi")):
            axis = axes[row, column]
            means = part.pivot_table(index="rate", columns="method", values=measure)
            for number, (method, name) in enumerate(METHODS.items()):
                look = style(number) | {"linewidth": 3 if method == "recipe" else 1.2}
                axis.plot(range(len(means)), means[method], label=name, **look)
            axis.set_xticks(range(len(means)), [f"{rate:g}" for rate in means.index])
            axis.set_ylim(bottom=0)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0, column].set_title(title, fontsize="medium")
        axes[1, column].set_xlabel("share of weights removed")
    for row, measure in enumerate(("excess", "xi")):
        axes[row, 0].set_ylabel(f"{NAMES[measure]} (less is better)")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(METHODS), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=76)
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PICTURE)
    args = parser.parse_args(argv)
    draw(committed("mitigation"), args.out)


if __name__ == "__main__":
    main()
