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

import functools
from collections.abc import Callable
from typing import Any

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tasks import MITIGATION_TASKS
from benchmarks.lib.timing import seconds
from benchmarks.lib.training import PRUNERS, Given, dense_net, prune, recipe, scores
from benchmarks.studies.mitigation.page import write_page
from sk_prunefair import Distillation, EqualLossConstraint

RATES = (0.8, 0.9, 0.95, 0.98)
REPORTED, CHOSEN = (10, 11, 12, 13, 14), (0, 1, 2, 3, 4)
IMAGES = ("fashion", "faces_race")


METHODS: dict[str, Callable[[], Given]] = {
    "none": lambda: None,
    "old default": FirstDefault,
    "equal losses": EqualLossConstraint,
    "distillation": Distillation,
    "recipe": recipe,
}


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Return the scores on held-out rows at each rate."""
    task = MITIGATION_TASKS[cell["task"]]
    train, _, test = task.load(cell["seed"])
    params: dict[str, Any] = {"pruner": PRUNERS.get(cell["task"], "magnitude")}
    params |= {"max_epochs": 2} if quick else {}
    given = METHODS[cell["method"]]()
    clf = dense_net(task, (train, test), cell["seed"], given, **params)
    rows = []
    for rate in RATES[:2] if quick else RATES:
        took = seconds(functools.partial(prune, clf, rate, train))
        rows.append({"rate": rate} | scores(clf, test) | {"seconds": took})
    return rows


def cells(tasks: list[str], methods: list[str], seeds: tuple[int, ...]) -> list[Cell]:
    """Return all cells, the first seed of everything before the second of anything."""
    todo = grid(seed=seeds, task=tasks, method=methods)
    return [cell for cell in todo if cell["task"] not in IMAGES or cell["seed"] in seeds[:3]]


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    parser = options(__doc__, tasks=MITIGATION_TASKS, methods=METHODS, quick="digits, one seed")
    parser.add_argument("--choose", action="store_true", help="the seeds that choices are made on")
    args = parser.parse_args(argv)
    todo = cells(args.tasks, args.methods, CHOSEN if args.choose else REPORTED)
    if args.quick:
        todo = grid(task=["digits"], method=METHODS, seed=[10])
    run_study(__file__, args, todo, work, write_page, part="chosen" if args.choose else "")


if __name__ == "__main__":
    main()
