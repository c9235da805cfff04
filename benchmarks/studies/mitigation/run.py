"""Repair before, preserve after: the recommended recipe against no constraint, cell by cell.

Run ``python -m benchmarks.studies.mitigation.run`` (hours on one core; it goes on where it was
stopped), or ``--quick`` for digits alone, tiny. A cell is a data set, a method and a seed: one
dense training, then a pruning and three epochs of fine-tuning at each rate. Choices were made on
seeds 0 to 4; the page reports seeds from 10 on, which nothing was decided by. Data is looked for in
the folder SK_PRUNEFAIR_DATA. Rows go to ``rows.csv``, the page to ``page.md``.

Methods: ``none``; ``old default``, of ``lib/first_default.py``; ``equal losses``, the default now;
``distillation`` alone, which uses no groups; and ``recipe``, the two together.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.harness import Cell, out_path, page_path, run_cells
from benchmarks.lib.tasks import MITIGATION_TASKS
from benchmarks.studies.constraints.run import PRUNERS, scores
from benchmarks.studies.mitigation.page import write_page
from sk_prunefair import Distillation, EqualLossConstraint, FairPrunedClassifier

RATES = (0.8, 0.9, 0.95, 0.98)
FINETUNE_EPOCHS = 3
REPORTED, CHOSEN = (10, 11, 12, 13, 14), (0, 1, 2, 3, 4)
IMAGES = ("fashion", "faces_race")
Callbacks = list[tuple[str, Any]]


def equal(**options: Any) -> tuple[str, EqualLossConstraint]:
    """Return the constraint with its name."""
    return ("equal_loss", EqualLossConstraint(**options))


METHODS: dict[str, Callable[[], Callbacks]] = {
    "none": lambda: [],
    "old default": lambda: [("equal_loss", FirstDefault())],
    "equal losses": lambda: [equal()],
    "distillation": lambda: [("distillation", Distillation())],
    "recipe": lambda: [equal(), ("distillation", Distillation())],
}


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Return the scores on held-out rows at each rate."""
    task = MITIGATION_TASKS[cell["task"]]
    train, _, test = task.load(cell["seed"])
    params = task.params | {"pruner": PRUNERS.get(cell["task"], "magnitude")}
    clf = FairPrunedClassifier(
        **(params | ({"max_epochs": 2} if quick else {})),
        classes=sorted(set(test.y.tolist())),
        callbacks=METHODS[cell["method"]](),
        random_state=cell["seed"],
    )
    clf.fit(train.X, train.y, sensitive_features=train.group)
    rows = []
    for rate in RATES[:2] if quick else RATES:
        start = time.process_time()
        clf.prune(
            rate,
            train.X,
            train.y,
            sensitive_features=train.group,
            finetune_epochs=FINETUNE_EPOCHS,
        )
        seconds = time.process_time() - start
        rows.append({"rate": rate} | scores(clf, test) | {"seconds": seconds})
    return rows


def cells(tasks: list[str], methods: list[str], seeds: tuple[int, ...]) -> list[Cell]:
    """Return all cells, the first seed of everything before the second of anything."""
    return [
        {"task": task, "method": method, "seed": seed}
        for number, seed in enumerate(seeds)
        for task in tasks
        for method in methods
        if number < (3 if task in IMAGES else 5)
    ]


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tasks", nargs="+", default=list(MITIGATION_TASKS), choices=list(MITIGATION_TASKS)
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--choose", action="store_true", help="the seeds that choices are made on")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    out = out_path(__file__, args.out, args.quick)
    if args.choose:
        out = out.with_name(f"{out.stem}_chosen.csv")
    todo = cells(args.tasks, args.methods, CHOSEN if args.choose else REPORTED)
    if args.quick:
        todo = [{"task": "digits", "method": method, "seed": 10} for method in METHODS]
    rows = run_cells(todo, functools.partial(work, quick=args.quick), out, args.n_jobs)
    write_page(rows, page_path(out))


if __name__ == "__main__":
    main()
