"""The page of ``run.py``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.lib.harness import page_path
from benchmarks.lib.tables import mean_and_spread, with_excess

_HEAD = """# The nets that people have

Made by `python -m benchmarks.studies.nets.run`; its docstring says what the nets and the data are.
All figures are of held-out rows.

"""


def write_page(path: Path, pruners: Path, times: Path) -> None:
    """Write the page beside the CSV files."""
    parts = [_HEAD, _pruners(pd.read_csv(pruners)), _times(pd.read_csv(times))]
    parts.append(_groups(pd.read_csv(path)))
    page_path(path).write_text("\n".join(parts))


def _pruners(rows: pd.DataFrame) -> str:
    rows = rows.assign(reason=rows["reason"].fillna(""))
    rows["cell"] = rows["accuracy"].map("{:.2f}".format).where(rows["reason"] == "", "–")
    table = rows.pivot(index="net", columns="pruner", values="cell")[rows["pruner"].unique()]
    table.insert(0, "dense", rows.groupby("net")["accuracy_dense"].first().map("{:.2f}".format))
    refused = rows[rows["reason"] != ""]
    why = [f"- {row.net}, `{row.pruner}`: {row.reason}" for row in refused.itertuples()]
    said = "\n".join(why) if why else "All pruners work on all nets."
    return (
        "## Which pruners work\n\nAccuracy after three epochs of training and one pruning of half "
        "the weights (or channels), without\nfine-tuning, one seed. A dash is a refusal.\n\n"
        f"{table.to_markdown()}\n\n{said}\n"
    )


def _times(rows: pd.DataFrame) -> str:
    rows = rows.assign(ratio=rows["ours"] / rows["by_hand"])
    table = rows.groupby("net")[["by_hand", "ours", "ratio"]].median()
    table["from to"] = rows.groupby("net")["ratio"].agg(lambda r: f"{r.min():.2f}–{r.max():.2f}")
    table.columns = ["by hand, s", "ours, s", "ratio", "from–to"]
    return (
        "## What an epoch costs\n\nProcessor seconds of an epoch with groups, against a bare loop "
        "over the same tensors, in turns, one thread;\nmedians over five rounds, and of the ratios "
        f"within a round.\n\n{table.to_markdown(floatfmt='.3g')}\n"
    )


def _groups(rows: pd.DataFrame) -> str:
    columns = ["accuracy", "gap", "excess", "worst", "xi"]
    rows = with_excess(rows)
    table = mean_and_spread(rows.groupby(["net", "rate"], sort=False)[columns])
    names = {"accuracy_dense": "dense accuracy", "gap_dense": "dense gap"}
    once = rows.drop_duplicates(["net", "seed"]).groupby("net", sort=False)
    dense = mean_and_spread(once[list(names)]).rename(columns=names)
    n_seeds = rows["seed"].nunique()
    return (
        f"## What groups lose\n\nPruned by magnitude and fine-tuned for three epochs; means over "
        f"{n_seeds} seeds ± standard deviation. *Excess gap*\nis what the gap has beyond what "
        f"equally good groups of these sizes would show.\n\n{dense.to_markdown()}\n\n"
        f"{table.reset_index().to_markdown(index=False)}\n"
    )
