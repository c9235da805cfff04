"""Which net each way of deciding ships, how small it is, and how often it breaks its promise.

Run ``python -m benchmarks.studies.decide.run`` (minutes a cell on one core; it goes on where it
was stopped). A cell is a data set and a seed: the dense net and all candidates are trained once.
The rows that no net was trained on are then the population, of which it is known what each
candidate does to each group; held-out rows are drawn from them with replacement, DRAWS times, and
each way of deciding chooses by these alone. Rows go to ``rows.csv``, the page to ``page.md``. Data
is looked for in the folder SK_PRUNEFAIR_DATA.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lib.harness import Cell, out_path, page_path, run_cells
from benchmarks.lib.tasks import MITIGATION_TASKS as TASKS
from benchmarks.lib.tasks import Split
from benchmarks.studies.decide.page import write_page
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.promise import Promise
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.candidates import as_candidates
from sk_prunefair.selection.costs import costs_of
from sk_prunefair.selection.making import Made, Maker
from sk_prunefair.selection.procedures import HeldOut, decide, split_rows
from sk_prunefair.selection.sequence import leading

SEEDS = (0, 1, 2)
DRAWS = 100
CONFIDENCE = 0.95
COSTS = ("bytes", "macs")
RATES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
BY_EYE = {"pruner": "magnitude", "prune_rate": 0.9, "finetune_epochs": 0}


@dataclass(frozen=True)
class Setting:
    """What may be lost, the rows that are trained on and held out, and how groups are merged."""

    drop: float
    n_train: int
    n_held_out: int
    groups: int | None = None  # the largest so many; the others are one


SETTINGS = {
    "bank": Setting(0.02, 12_000, 12_000),
    "adult": Setting(0.02, 12_000, 12_000, groups=3),
    "compas": Setting(0.05, 3_000, 2_500, groups=2),
    "digits": Setting(0.05, 700, 800, groups=0),
    "fashion": Setting(0.03, 10_000, 6_000),
}
QUICK = Setting(0.1, 500, 800, groups=0)


def candidates(quick: bool) -> list[dict[str, Any]]:
    """Return pruners × rates × fine-tuning, fewer channels, and eight bits."""
    rates, pruners = ((0.5, 0.9), ("magnitude",)) if quick else (RATES, ("magnitude", "fairgrape"))
    found: list[dict[str, Any]] = [
        {"pruner": pruner, "prune_rate": rate, "finetune_epochs": n}
        for pruner in pruners
        for rate in rates
        for n in (0, 1 if quick else 3)
    ]
    channels = {"pruner": "channel_magnitude", "finetune_epochs": 1 if quick else 3}
    found += [channels | {"prune_rate": rate} for rate in (0.25, 0.5)]
    return found if quick else [*found, {"form": "int8"}]


def population(task: str, setting: Setting, seed: int) -> tuple[Split, Split]:
    """Return rows to train on, and those that no net sees."""
    train, valid, test = TASKS[task].load(seed)
    parts = [valid, test] if task == "fashion" else [train, valid, test]
    pool = Split(
        *(np.concatenate([getattr(each, name) for each in parts]) for name in ("X", "y", "group"))
    )
    pool = Split(pool.X, pool.y, merged(pool, setting.groups))
    if task == "fashion":  # trained on a long tail, judged on as many of each class
        return train, pool
    rows = np.random.default_rng(seed).permutation(len(pool.y))
    return pool.take(rows[: setting.n_train]), pool.take(rows[setting.n_train :])


def merged(data: Split, n_kept: int | None) -> np.ndarray:
    """Return the groups, the smaller ones as one; with 0 two halves of the labels."""
    if n_kept is None:
        return data.group
    if n_kept == 0:
        return (data.y >= 5).astype(np.int64)
    largest = np.argsort(-np.bincount(data.group), kind="stable")[:n_kept]
    return np.where(np.isin(data.group, largest), data.group, data.group.max() + 1)


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Train all candidates once, then decide in each way on many draws of held-out rows."""
    task, setting = TASKS[cell["task"]], QUICK if quick else SETTINGS[cell["task"]]
    train, rest = population(cell["task"], setting, cell["seed"])
    clf = FairPrunedClassifier(
        **(task.params | ({"max_epochs": 3} if quick else {})),
        classes=sorted(set(rest.y.tolist())),
        random_state=cell["seed"],
    ).fit(train.X, train.y, sensitive_features=train.group)
    codes = np.unique(rest.group, return_inverse=True)[1]
    as_data = [(each.X, each.y, pd.DataFrame({"group": each.group})) for each in (rest, train)]
    maker = Maker(clf, as_data[0], as_data[1], None, train.X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without weights, and of what int8 changes
        made = [maker.make(each) for each in as_candidates(candidates(quick), "bytes", True)]
    costs = {cost: costs_of(made, cost, train.X) for cost in COSTS}
    dense = {cost: dense_cost(maker, cost, train.X) for cost in COSTS}
    promise = Promise(setting.drop, None, 5.0, CONFIDENCE)
    whole = np.arange(len(rest.y))
    names, labels = pd.RangeIndex(codes.max() + 1), clf.classes_
    population_ = HeldOut(maker.dense, codes, names, labels, whole[:0], whole)
    truth = [population_.worst_drop(each.run) for each in made]
    is_broken = [not is_fine(population_, each.run, setting.drop) for each in made]
    n_draws = 5 if quick else DRAWS
    chosen = [
        choices(cell["seed"] * 1000 + draw, setting, maker, made, codes, promise, costs)
        for draw in range(n_draws)
    ]
    rows = []
    for cost in COSTS:
        for way in chosen[0][cost]:
            found = [each[cost][way] for each in chosen]
            nets = [i for i in found if i is not None]
            sizes = [1.0 if i is None else costs[cost][i] / dense[cost] for i in found]
            names_ = [made[i].candidate.name for i in nets]
            rows.append(
                {
                    "cost": cost,
                    "way": way,
                    "draws": n_draws,
                    "broken": sum(is_broken[i] for i in nets) / n_draws,
                    "none": 1 - len(nets) / n_draws,
                    "size": float(np.mean(sizes)),
                    "worst_drop": float(np.mean([truth[i] for i in nets] or [0.0])),
                    "accuracy_dense": float(maker.dense.is_right.mean()),
                    "most_often": pd.Series(names_ or ["nothing"]).mode()[0],
                }
            )
        fine = [i for i in range(len(made)) if not is_broken[i]]
        best = min((costs[cost][i] for i in fine), default=dense[cost])
        rows.append(
            {
                "cost": cost,
                "way": "knowing the population",
                "draws": n_draws,
                "broken": 0.0,
                "none": float(not fine),
                "size": best / dense[cost],
                "worst_drop": np.nan,
                "accuracy_dense": float(maker.dense.is_right.mean()),
                "most_often": next(
                    (made[i].candidate.name for i in fine if costs[cost][i] == best), "nothing"
                ),
            }
        )
    return rows


def is_fine(rows: HeldOut, run: Run, drop: float) -> bool:
    """Return whether no group loses more on the test rows, and every label is still given."""
    dense, pruned = rows.dense.take(rows.test), run.pruned.take(rows.test)
    return rows.worst_drop(run) <= drop and not label_findings(dense, pruned, rows.labels)


def dense_cost(maker: Maker, cost: str, X: Any) -> float:
    """Return the cost of the dense net."""
    [dense] = as_candidates([{}], cost, True)
    return costs_of([maker.make(dense)], cost, X)[0]


def choices(
    seed: int,
    setting: Setting,
    maker: Maker,
    made: list[Made],
    codes: np.ndarray,
    promise: Promise,
    costs: dict[str, list[float]],
) -> dict[str, dict[str, int | None]]:
    """Return for each cost which candidate each way of deciding takes, on one draw of rows."""
    drawn = np.random.default_rng(seed).integers(len(codes), size=setting.n_held_out)
    dense, of_rows = maker.dense.take(drawn), codes[drawn]
    runs = [Run(each.run.pruned.take(drawn)) for each in made]
    rows = np.arange(len(drawn))
    groups, labels = pd.RangeIndex(codes.max() + 1), maker.classifier.classes_
    by_eye = next(i for i, each in enumerate(made) if each.candidate.params == BY_EYE)
    one_shot = [
        i
        for i, each in enumerate(made)
        if each.candidate.params.get("pruner") == "magnitude"
        and each.candidate.params["finetune_epochs"] == 0
    ]
    whole = HeldOut(dense, of_rows, groups, labels, rows[:0], rows)
    seen = [i for i, run in enumerate(runs) if is_fine(whole, run, setting.drop)]
    passed = leading(one_shot, lambda i: whole.keeps(promise, runs[i]))[1]
    order, rest = split_rows(of_rows, 0.3, seed)
    parts = HeldOut(dense, of_rows, groups, labels, order, rest)
    return {
        cost: {
            "by eye: magnitude 0.9": by_eye,
            "by the observed drop": min(seen, key=lambda i: costs[cost][i], default=None),
            "PruneRateSearchCV": passed[-1] if passed else None,
            'CompressionSearchCV, "pareto"': decide(
                "pareto", promise, costs[cost], runs, parts
            ).best,
            'CompressionSearchCV, "holm"': decide("holm", promise, costs[cost], runs, whole).best,
            'CompressionSearchCV, "fixed_sequence"': decide(
                "fixed_sequence", promise, costs[cost], runs, whole
            ).best,
        }
        for cost in COSTS
    }


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    out = out_path(__file__, args.out, args.quick)
    todo: list[Cell] = [{"task": task, "seed": seed} for seed in args.seeds for task in args.tasks]
    if args.quick:
        todo = [{"task": "digits", "seed": 0}]
    rows = run_cells(todo, functools.partial(work, quick=args.quick), out)
    write_page(rows, page_path(out))


if __name__ == "__main__":
    main()
