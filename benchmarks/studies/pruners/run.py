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

from benchmarks.lib.harness import Cell
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tables import mean_and_spread, with_excess
from benchmarks.lib.tasks import TASKS, Split
from benchmarks.lib.training import FINETUNE_EPOCHS, dense_net, prune, scores
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.pruning import GradualPruning, IterativePruning

RATES = (0.9, 0.95)
SEEDS = 3
COLUMNS = ["accuracy", "balanced", "worst", "excess", "xi"]
GROUP_AWARE = ["magnitude", "fairgrape", "fairprune"]
OTHERS = ["layer_magnitude", "random", "taylor", "snip"]
SCHEDULES = {
    "magnitude, iterative": ("magnitude", IterativePruning(3)),
    "magnitude, gradual": ("magnitude", GradualPruning()),
    "fairgrape, iterative": ("fairgrape", IterativePruning(3)),
}

HEAD = f"""# Criteria side by side

Written by `benchmarks/studies/pruners/run.py` from `rows.csv`: held-out test rows, mean ± standard
deviation over the seeds; per task and seed all criteria prune the same dense net. The excess gap is
the accuracy gap minus what equally good groups of these sizes would show, of each seed at least 0.
Fine-tuning takes {FINETUNE_EPOCHS} epochs; iterative and gradual pruning spread over those.
"""


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
        {"task": task, "seed": seed, "pruner": pruner}
        for task in tasks
        for pruners in (GROUP_AWARE, [*OTHERS, *SCHEDULES])
        for seed in range(SEEDS)
        for pruner in pruners
    ]


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write mean ± standard deviation over seeds."""
    rows = with_excess(rows)
    parts = [HEAD]
    for (task, rate, tuned), part in rows.groupby(["task", "rate", "finetuned"]):
        how = f"{FINETUNE_EPOCHS} epochs of fine-tuning" if tuned else "one-shot"
        parts.append(f"\n## {task}, rate {rate}, {how} (seeds: {part['seed'].nunique()})\n\n")
        by_pruner = part.groupby("pruner", sort=False)[COLUMNS]
        shown = mean_and_spread(by_pruner).rename_axis("criterion")
        parts.append(shown.reset_index().to_markdown(index=False) + "\n")
    path.write_text("".join(parts))


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the table."""
    args = options(__doc__, tasks=("adult", "faces_race")).parse_args(argv)
    run_study(__file__, args, cells(args.tasks), work, write_table)


if __name__ == "__main__":
    main()
