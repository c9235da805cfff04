"""Constraints side by side: data set × method × seed, every rate, one-shot and fine-tuned.

Run ``python -m benchmarks.studies.constraints.run`` (hours on two cores; it takes up again where it
stopped), or ``--quick`` for tiny sizes in seconds. Rows go to ``rows.csv``, the tables to
``page.md``. Data is looked for in the folder SK_PRUNEFAIR_DATA.

The step size of the literal method is chosen on the validation rows, per data set and rate; every
other method has one setting for everything. While the default became what it is, test rows of seeds
0 to 4 were seen many times; 5 to 9, where they are there, only in the table that is made of them.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.harness import Cell, out_path, page_path, run_cells
from benchmarks.lib.tasks import TASKS, Split
from benchmarks.studies.constraints.page import write_tables
from sk_prunefair import (
    AccuracyGapConstraint,
    Distillation,
    EqualCurvatureConstraint,
    EqualGradientConstraint,
    EqualLossConstraint,
    FairPrunedClassifier,
)
from sk_prunefair.constraints import Constraint
from sk_prunefair.metrics import accuracy_gap_floor
from sk_prunefair.pruning import MagnitudePruner

RATES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
FINETUNE_EPOCHS = 3
LITERAL_STEPS = (0.001, 0.01, 0.1, 1.0)

Given = Constraint | list[Constraint] | None
METHODS: dict[str, Callable[[], Given]] = {
    "none": lambda: None,
    "ours": lambda: FirstDefault(),
    **{
        f"literal {step:g}": lambda step=step: FirstDefault(violation="absolute", step_size=step)
        for step in LITERAL_STEPS
    },
    **{
        f"ours, step {s:g}": lambda s=s: FirstDefault(step_size=s)
        for s in (1e-3, 1e-2, 0.1, 1.0, 10.0)
    },
    "accuracy gap": AccuracyGapConstraint,
    "equal gradient": EqualGradientConstraint,
    "equal curvature": EqualCurvatureConstraint,
    # Today's default, and with distillation; "ours" is the default before.
    "equal losses": EqualLossConstraint,
    "recipe": lambda: [EqualLossConstraint(), Distillation()],
}
# Magnitudes of these small nets leave their output layers empty from 0.9 on, whatever the method.
PRUNERS = {task: MagnitudePruner(min_kept=0.01) for task in ("digits", "compas", "adult")}
IMAGES = ("fashion", "faces_race", "faces_gender")
# Those whose comparison is repeated on seeds that no choice was made by.
REPEATED = ("none", "ours", "literal 0.01", "literal 0.1", "equal losses", "recipe")


def n_seeds(task: str, method: str) -> int:
    """Return over how many seeds a method runs; a net takes minutes on images."""
    if task not in IMAGES:
        return 10 if method in REPEATED else 5
    # Of images, the studies ``mitigation`` and ``field`` have today's default and the recipe.
    if method in (
        "equal losses",
        "recipe",
        "equal gradient",
        "equal curvature",
        "literal 0.001",
        "literal 1",
    ):
        return 0
    if (task, method) == ("faces_gender", "literal 0.01"):
        return 0
    return 1 if ", step" in method else 3


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Train one dense net and prune it at every rate; one row per rate, way and split."""
    rates = RATES[::3] if quick else RATES
    ways = [
        (rate, epochs)
        for rate, epochs in itertools.product(rates, (0, FINETUNE_EPOCHS))
        if rate or not epochs
    ]
    params = {"pruner": PRUNERS.get(cell["task"], "magnitude")}
    if quick:
        params["max_epochs"] = 3
    constraint = METHODS[cell["method"]]()
    return train_and_prune(cell["task"], cell["seed"], constraint, ways, **params)


def train_and_prune(
    task_name: str,
    seed: int,
    constraint: Given,
    ways: list[tuple[float, int]],
    **params: Any,
) -> list[dict[str, Any]]:
    """Return the scores on validation and test rows for each rate and epochs of fine-tuning."""
    task = TASKS[task_name]
    train, valid, test = task.load(seed)
    clf = FairPrunedClassifier(
        **(task.params | params),
        classes=sorted(set(test.y.tolist())),
        callbacks=named(constraint),
        random_state=seed,
    )
    start = time.perf_counter()
    clf.fit(train.X, train.y, sensitive_features=train.group)
    seconds = time.perf_counter() - start
    out = []
    for rate, epochs in ways:
        if epochs:
            clf.prune(
                rate, train.X, train.y, sensitive_features=train.group, finetune_epochs=epochs
            )
        else:
            clf.prune(rate)
        for name, split in (("valid", valid), ("test", test)):
            row = {"rate": rate, "finetuned": bool(epochs), "split": name}
            out.append(row | scores(clf, split) | {"fit_seconds": seconds})
    return out


def named(given: Given) -> list[tuple[str, Constraint]] | None:
    """Return constraints as callbacks: one is called "constraint"."""
    if isinstance(given, list):
        return [(type(each).__name__, each) for each in given]
    return None if given is None else [("constraint", given)]


def scores(clf: FairPrunedClassifier, split: Split) -> dict[str, float]:
    """Return what the tables show of one net on one split."""
    report = clf.fairness_report(split.X, split.y, sensitive_features=split.group)
    by_group = report.pruned.by_group
    accuracy = report.pruned.overall["accuracy"]
    return {
        "accuracy": accuracy,
        "balanced": by_group["accuracy"].mean(),
        "worst": by_group["accuracy"].min(),
        "best": by_group["accuracy"].max(),
        "gap": report.accuracy_gap["pruned"],
        "floor": accuracy_gap_floor(accuracy, by_group["count"].to_numpy(), n_draws=2000),
        "xi": report.fairness_violation,
    }


def cells(tasks: list[str], methods: list[str]) -> list[Cell]:
    """Return all cells, the first seed of everything before the second of anything."""
    return [
        {"task": task, "method": method, "seed": seed}
        for seed in range(10)
        for task in tasks
        for method in methods
        if seed < n_seeds(task, method)
    ]


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument(
        "--quick", action="store_true", help="digits alone, one seed of short trainings"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    out = out_path(__file__, args.out, args.quick)
    todo = cells(args.tasks, args.methods)
    if args.quick:
        todo = [cell for cell in cells(["digits"], args.methods) if cell["seed"] == 0]
    work_on = functools.partial(work, quick=args.quick)
    rows: pd.DataFrame = run_cells(todo, work_on, out, args.n_jobs)
    write_tables(rows, page_path(out))


if __name__ == "__main__":
    main()
