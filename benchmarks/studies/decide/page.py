"""The page of the study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

HEAD = """# Which net is shipped, and does it keep its promise?

Written by `run.py`. One dense net a cell (data set × seed). Candidates are magnitude and FairGRAPE
at 0.3, 0.5, 0.7, 0.8, 0.9 and 0.95, one-shot and with three epochs of fine-tuning; half and a
quarter of the channels removed, fine-tuned; and the dense net in int8. The rows that no net was
trained on are the population, so that it is known which candidates break the promise "no group
loses more accuracy than this". Held-out rows are drawn from it with replacement, {draws} times a
cell; the promise is tested on them at a confidence of 0.95.

- *Broken*: the share of draws in which the net that is returned breaks the promise in the
  population.
- *Nothing*: the share in which no net is returned. The dense net is then shipped; its cost is 1.
- *Bytes*, *macs*, *latency*: of what is shipped ÷ those of the dense net, the mean over draws.
- *Worst drop*: of the worst group's accuracy in the population, the mean over nets returned.

`CompressionSearchCV` orders candidates by the rows of the training, or by a share of the held-out
rows; the dense net is among its candidates. `PruneRateSearchCV` chooses among the one-shot
magnitude nets, as it does by default; all others choose among all candidates. Bytes are those of
`FairnessReport`, of int8 those of the ONNX file. Latency is the median time of a call with 64 rows
on one thread, all candidates turn by turn. Unstructured candidates run as `sparse_module`, which
keeps each layer dense where that is faster. Other work ran on the machine.

That Holm's correction returns nothing too often on Bank was seen on seeds 0 and 1. What to do
instead was chosen on seeds 10 and 11 of the tables and of digits: the order by rows of the training
beside orders by the share of changed answers, and beside levels that are split between the order
and Holm's correction (no better).
"""
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
    parts = [HEAD.format(draws=int(rows["draws"].iloc[0]))]
    for cost, of_cost in rows.groupby("cost", sort=False):
        n_cells = len(of_cost[["task", "seed"]].drop_duplicates())
        parts.append(
            f"\n## {TITLES[str(cost)]}\n\nThe cheapest by {TITLES[str(cost)].lower()} is returned. "
            f"Over {n_cells} cells:\n\n{_table(of_cost)}\n"
        )
        for task, part in of_cost.groupby("task", sort=False):
            seeds = part["seed"].nunique()
            dense = part["accuracy_dense"].mean()
            parts.append(
                f"\n### {task}: at most {LIMITS[str(task)]}, {seeds} seed(s), dense accuracy "
                f"{dense:.3f}\n\n{_table(part, often=True)}\n"
            )
    path.write_text("".join(parts))


def _table(rows: pd.DataFrame, often: bool = False) -> str:
    grouped = rows.groupby("way", sort=False)
    found = grouped[["broken", "none", *TITLES, "worst_drop"]].mean()
    found.insert(1, "broken, worst cell", grouped["broken"].max())
    if often:
        found["most often"] = grouped["most_often"].agg(lambda names: names.mode()[0])
    found = found.rename(columns={"none": "nothing", "worst_drop": "worst drop"})
    return found.reset_index().to_markdown(index=False, floatfmt=".3f")
