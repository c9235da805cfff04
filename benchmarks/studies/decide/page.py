"""The page of the study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.lib.pages import by_hand, markdown, write

PAGE = Path(__file__).with_name("page.md")
LIMITS = {
    "bank": "0.02, 12,000 held-out rows",
    "adult": "0.02, 12,000 held-out rows",
    "compas": "0.05, 2,500 held-out rows",
    "digits": "0.05, 800 held-out rows",
    "fashion": "0.03, 6,000 held-out rows",
    "faces_gender": "0.03, 8,000 held-out rows",
}
TITLES = {"bytes": "Bytes", "macs": "Multiply-accumulates", "latency": "Latency"}


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write one table per cost over all data sets, and one per data set."""
    parts = [by_hand(PAGE)]
    for cost, of_cost in rows.groupby("cost", sort=False):
        n_cells = len(of_cost[["task", "seed"]].drop_duplicates())
        title = TITLES[str(cost)]
        said = f"The cheapest by {title.lower()} is returned. Over {n_cells} cells:"
        parts += [f"## {title}", said, _table(of_cost)]
        for task, part in of_cost.groupby("task", sort=False):
            seeds = part["seed"].nunique()
            dense = part["accuracy_dense"].mean()
            head = f"### {task}: at most {LIMITS[str(task)]}, {seeds} seed(s), dense accuracy"
            parts += [f"{head} {dense:.3f}", _table(part, often=True)]
    write(path, parts)


def _table(rows: pd.DataFrame, often: bool = False) -> str:
    grouped = rows.groupby("way", sort=False)
    found = grouped[["broken", "none", *TITLES, "worst_drop"]].mean()
    found.insert(1, "broken, worst cell", grouped["broken"].max())
    if often:
        found["most often"] = grouped["most_often"].agg(lambda names: names.mode()[0])
    found = found.rename(columns={"none": "nothing", "worst_drop": "worst drop"})
    return markdown(found, floatfmt=".3f")
