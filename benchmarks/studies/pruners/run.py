"""Which weights to remove: the criteria side by side, on Adult and UTKFace, held out.

Run ``python -m benchmarks.studies.pruners.run`` (two hours on one core; it takes up again where it
stopped, and ``--tasks adult`` is a matter of minutes). Rows go to ``rows.csv``, a table of the test
rows to ``page.md``. All criteria prune the same dense net of a seed; nothing is tuned.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tables import SCORES, mean_and_spread, with_excess
from benchmarks.lib.tasks import TASKS, Split
from benchmarks.lib.training import FINETUNE_EPOCHS, dense_net, prune, scores
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.pruning import GradualPruning, IterativePruning

RATES = (0.9, 0.95)
SEEDS = 3
GROUP_AWARE = ["magnitude", "fairgrape", "fairprune"]
OTHERS = ["layer_magnitude", "random", "taylor", "snip"]
SCHEDULES = {
    "magnitude, iterative": ("magnitude", IterativePruning(3)),
    "magnitude, gradual": ("magnitude", GradualPruning()),
    "fairgrape, iterative": ("fairgrape", IterativePruning(3)),
}
PAGE = Path(__file__).with_name("page.md")


@functools.lru_cache(maxsize=1)
def trained(task_name: str, seed: int) -> tuple[FairPrunedClassifier, Split, Split]:
    """Return a dense net, what it was trained on, and the test rows."""
    task = TASKS[task_name]
    train, _, test = task.load(seed)
    # That pruner keeps the initial net.
    return dense_net(task, (train, test), seed, pruner="snip"), train, test


def work(cell: Cell) -> list[dict[str, Any]]:
    """Prune one net by one criterion, at each rate, without and with fine-tuning."""
    clf, train, test = trained(cell["task"], cell["seed"])
    pruner, schedule = SCHEDULES.get(cell["pruner"], (cell["pruner"], None))
    clf.set_params(pruner=pruner)
    clf.callbacks_ = [(name, c) for name, c in clf.callbacks_ if name != "schedule"]
    if schedule is not None:
        clf.callbacks_.append(("schedule", schedule.initialize()))
    rows = []
    for rate in RATES:
        for epochs in (0, FINETUNE_EPOCHS):
            if schedule is not None and not epochs:
                continue
            prune(clf, rate, train, epochs)
            rows.append({"rate": rate, "finetuned": bool(epochs)} | scores(clf, test))
    return rows


def cells(tasks: list[str]) -> list[Cell]:
    """Return the cells, those of the group-aware criteria first, all of a net in one go."""
    return [
        cell
        for task in tasks
        for pruners in (GROUP_AWARE, [*OTHERS, *SCHEDULES])
        for cell in grid(task=[task], seed=range(SEEDS), pruner=pruners)
    ]


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write mean ± standard deviation over seeds."""
    rows = with_excess(rows)
    parts = [by_hand(PAGE)]
    for (task, rate, tuned), part in rows.groupby(["task", "rate", "finetuned"]):
        how = f"{FINETUNE_EPOCHS} epochs of fine-tuning" if tuned else "one-shot"
        parts.append(f"## {task}, rate {rate}, {how} (seeds: {part['seed'].nunique()})")
        by_pruner = part.groupby("pruner", sort=False)[SCORES]
        parts.append(markdown(mean_and_spread(by_pruner).rename_axis("criterion")))
    write(path, parts)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the table."""
    args = options(__doc__, tasks=("adult", "faces_race")).parse_args(argv)
    run_study(__file__, args, cells(args.tasks), work, write_table)


if __name__ == "__main__":
    main()
