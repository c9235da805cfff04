"""fairlearn's methods and ours, each pruned to the same rates, on three tables and on faces.

Run ``python -m benchmarks.studies.fairlearn_baselines.run`` (seven hours on one core, five of them
on faces; it takes up again where it stopped), or ``--quick`` for tiny sizes in seconds. Rows go to
``rows.csv``, the tables to ``page.md``, the figure to ``docs/pictures/fairlearn_baselines.png``.
Data is looked for in the folder SK_PRUNEFAIR_DATA.

All methods train nets of one architecture for the same epochs, remove the same share of the weights
by magnitude (but where a criterion is the method), and fine-tune for three epochs. Nothing is tuned
here; but the default of ours became what it is on Adult and COMPAS, among others.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from sklearn.metrics import balanced_accuracy_score

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.harness import ROOT, Cell, grid, out_path
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tasks import BINARY_TASKS, Split, Task
from benchmarks.lib.timing import seconds
from benchmarks.lib.training import FINETUNE_EPOCHS, recipe
from benchmarks.studies.fairlearn_baselines.methods import (
    Adversarial,
    Decorrelated,
    Diverged,
    Plain,
    Reduction,
    Thresholds,
    bounded_loss,
    equalized_odds,
    error_rate_parity,
)
from benchmarks.studies.fairlearn_baselines.page import draw_figure, write_page
from sk_prunefair import (
    AccuracyGapConstraint,
    EqualCurvatureConstraint,
    EqualGradientConstraint,
    EqualLossConstraint,
)
from sk_prunefair.metrics import accuracy_gap_floor

WAYS = [(0.0, 0), *((rate, epochs) for rate in (0.8, 0.9, 0.95) for epochs in (0, FINETUNE_EPOCHS))]
ROW = (
    *("xi", "accuracy", "balanced", "worst", "gap", "floor", "dp", "eo", "class_balanced"),
    *("fit_seconds", "needs_group", "prune_seconds", "bytes", "nets"),
)
PICTURE = ROOT / "docs" / "pictures" / "fairlearn_baselines.png"
SEEDS = 5
TASKS = ("german", "compas", "adult", "faces")
LONG = "reduction, equalized odds, 50 iterations"  # on faces, a quarter of an hour a seed

METHODS: dict[str, Callable[[Task, int], Plain]] = {
    "plain": Plain,
    "equal losses": lambda task, seed: Plain(task, seed, FirstDefault()),
    "equal losses + fairgrape": lambda task, seed: Plain(task, seed, FirstDefault(), "fairgrape"),
    "literal, step 0.1": lambda task, seed: Plain(
        task, seed, FirstDefault(violation="absolute", step_size=0.1)
    ),
    "accuracy gap": lambda task, seed: Plain(task, seed, AccuracyGapConstraint()),
    "equal gradients": lambda task, seed: Plain(task, seed, EqualGradientConstraint()),
    "equal curvatures": lambda task, seed: Plain(task, seed, EqualCurvatureConstraint()),
    "reduction, equalized odds": lambda task, seed: Reduction(task, seed, equalized_odds),
    LONG: lambda task, seed: Reduction(task, seed, equalized_odds, max_iter=50),
    "reduction, error-rate parity": lambda task, seed: Reduction(task, seed, error_rate_parity),
    "reduction, bounded loss": lambda task, seed: Reduction(task, seed, bounded_loss),
    "thresholds, equalized odds": Thresholds,
    "adversarial, equalized odds": Adversarial,
    "correlation remover": Decorrelated,
    "equal losses, today": lambda task, seed: Plain(task, seed, EqualLossConstraint()),
    "recipe": lambda task, seed: Plain(task, seed, recipe()),
}
QUICK = ("plain", "equal losses", "reduction, error-rate parity", "adversarial, equalized odds")


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Train by one method and prune to each rate, one-shot and fine-tuned.

    Where the training diverged, the rows have no values.
    """
    task = BINARY_TASKS[cell["task"]]
    train, _, test = task.load(cell["seed"])
    if quick:
        task = Task(task.load, task.group_is_label, task.params | {"max_epochs": 1})
        train, test = (split.take(np.arange(200)) for split in (train, test))
    method = METHODS[cell["method"]](task, cell["seed"])
    warm_up()
    try:
        shared = {"fit_seconds": seconds(lambda: method.fit(train), time.perf_counter)}
    except Diverged:
        empty = dict.fromkeys(ROW, np.nan) | {"needs_group": method.needs_group}
        return [{"rate": rate, "finetuned": bool(epochs)} | empty for rate, epochs in WAYS]
    shared |= {"needs_group": method.needs_group}
    rows, dense = [], losses(method, test)
    for rate, epochs in WAYS:
        # At a rate of 0, this gives the dense net back.
        took = seconds(functools.partial(method.prune, rate, epochs), time.perf_counter)
        changes = losses(method, test) - dense
        row = {"rate": rate, "finetuned": bool(epochs), "xi": np.ptp(by_group(changes, test))}
        row |= scores(method.labels(test), test) | shared
        row |= {"prune_seconds": took, "bytes": method.n_bytes(test)}
        rows.append(row | {"nets": len(method.nets)})
    return rows


def losses(method: Plain, split: Split) -> np.ndarray:
    """Return the cross entropy of each row under the method's probabilities."""
    p = method.probabilities(split)
    return -np.log(np.clip(np.where(split.y == 1, p, 1 - p), 1e-7, 1))


def by_group(values: np.ndarray, split: Split) -> np.ndarray:
    """Return the mean over each group that is there."""
    codes = np.unique_inverse(split.group).inverse_indices
    return np.bincount(codes, values) / np.bincount(codes)


@functools.cache
def warm_up() -> None:
    """Train once before anything is timed."""
    task = BINARY_TASKS["parity"]
    Plain(task, 0).fit(task.load(0)[1])


def scores(labels: np.ndarray, split: Split) -> dict[str, float]:
    """Return what the tables show of one set of labels."""
    right = labels == split.y
    means = by_group(right, split)
    counts = np.unique_counts(split.group).counts
    groups = {"sensitive_features": split.group}
    return {
        "accuracy": right.mean(),
        "balanced": means.mean(),
        "worst": means.min(),
        "gap": np.ptp(means),
        "floor": accuracy_gap_floor(float(right.mean()), counts, n_draws=2000),
        "dp": demographic_parity_difference(split.y, labels, **groups),
        "eo": equalized_odds_difference(split.y, labels, **groups),
        "class_balanced": balanced_accuracy_score(split.y, labels),
    }


def cells(tasks: Iterable[str], methods: Iterable[str], seeds: int) -> list[Cell]:
    """Return the cells, the first seed of everything before the second of anything."""
    todo = grid(seed=range(seeds), task=tasks, method=methods)
    return [cell for cell in todo if (cell["task"], cell["method"]) != ("faces", LONG)]


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write tables and figure."""
    parser = options(__doc__, tasks=TASKS, quick="tiny nets and rows, in seconds")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--picture", type=Path, help="by default docs/pictures, or beside --out")
    args = parser.parse_args(argv)
    todo = cells(["parity"], QUICK, 1) if args.quick else cells(args.tasks, METHODS, args.seeds)
    rows, out = run_study(__file__, args, todo, work, write_page)
    is_committed = out == out_path(__file__, None, quick=False)
    draw_figure(rows, args.picture or (PICTURE if is_committed else out.with_suffix(".png")))


if __name__ == "__main__":
    main()
