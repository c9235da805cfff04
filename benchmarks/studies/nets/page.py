"""The page of ``run.py``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.tables import mean_and_spread, with_excess

FOLDER = Path(__file__).parent


def write_page(
    rows: pd.DataFrame,
    path: Path,
    pruners: Path = FOLDER / "rows_pruners.csv",
    times: Path = FOLDER / "rows_time.csv",
) -> None:
    """Write the page of what groups lose, and of the rows of the two other tables."""
    page = FOLDER / "page.md"
    parts = [by_hand(page), by_hand(page, "## Which pruners work"), *_pruners(pd.read_csv(pruners))]
    parts += [by_hand(page, "## What an epoch costs"), _times(pd.read_csv(times))]
    parts += [by_hand(page, "## What groups lose"), *_groups(with_excess(rows))]
    write(path, parts)


def _pruners(rows: pd.DataFrame) -> list[str]:
    rows = rows.assign(reason=rows["reason"].fillna(""))
    rows["cell"] = rows["accuracy"].map("{:.2f}".format).where(rows["reason"] == "", "–")
    table = rows.pivot(index="net", columns="pruner", values="cell")[rows["pruner"].unique()]
    table.insert(0, "dense", rows.groupby("net")["accuracy_dense"].first().map("{:.2f}".format))
    refused = rows[rows["reason"] != ""]
    why = [f"- {row.net}, `{row.pruner}`: {row.reason}" for row in refused.itertuples()]
    return [table.to_markdown(), "\n".join(why) or "All pruners work on all nets."]


def _times(rows: pd.DataFrame) -> str:
    rows = rows.assign(ratio=rows["ours"] / rows["by_hand"])
    table = rows.groupby("net")[["by_hand", "ours", "ratio"]].median()
    table["from to"] = rows.groupby("net")["ratio"].agg(lambda r: f"{r.min():.2f}–{r.max():.2f}")
    table.columns = ["by hand, s", "ours, s", "ratio", "from–to"]
    return table.to_markdown(floatfmt=".3g")


def _groups(rows: pd.DataFrame) -> list[str]:
    columns = ["accuracy", "gap", "excess", "worst", "xi"]
    names = {"accuracy_dense": "dense accuracy", "gap_dense": "dense gap"}
    once = rows.drop_duplicates(["net", "seed"]).groupby("net", sort=False)
    dense = mean_and_spread(once[list(names)]).rename(columns=names)
    pruned = mean_and_spread(rows.groupby(["net", "rate"], sort=False)[columns])
    return [dense.to_markdown(), markdown(pruned)]
