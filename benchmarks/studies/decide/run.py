"""Which net each way of deciding ships, how small it is, and how often it breaks its promise.

Run ``python -m benchmarks.studies.decide.run`` (minutes a cell on one core; it goes on where it
was stopped). A cell is a data set and a seed: the dense net and all candidates are trained once.
The rows that no net was trained on are then the population, of which it is known what each
candidate does to each group; held-out rows are drawn from them with replacement, DRAWS times, and
each way of deciding chooses by these alone. Rows go to ``rows.csv``, the page to ``page.md``. Data
is looked for in the folder SK_PRUNEFAIR_DATA.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.study import options, run_study
from benchmarks.studies.decide.nets import COSTS, QUICK, SETTINGS, Nets, Setting, train
from benchmarks.studies.decide.page import write_page
from sk_prunefair.promise import Promise
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.procedures import HeldOut, OrderRows, Procedure, decide
from sk_prunefair.selection.sequence import leading

SEEDS = (0, 1, 2)
DRAWS = 100
CONFIDENCE = 0.95
BY_EYE = {"pruner": "magnitude", "prune_rate": 0.9, "finetune_epochs": 0}


def work(cell: Cell, quick: bool = False, keep: Path | None = None) -> list[dict[str, Any]]:
    """Train all candidates once, then decide in each way on many draws of held-out rows."""
    setting = QUICK if quick else SETTINGS[cell["task"]]
    nets = joblib.Memory(keep, verbose=0).cache(train)(cell, setting, quick)
    runs, whole = nets.on(np.arange(len(nets.codes)))
    worst = np.array([whole.worst_drop(each) for each in runs])
    is_broken = np.array([not is_fine(whole, each, setting.drop) for each in runs])
    fine = np.flatnonzero(~is_broken)
    n_draws = 5 if quick else DRAWS
    chosen = [choices(cell["seed"] * 1000 + draw, setting, nets) for draw in range(n_draws)]
    rows = []
    for cost, costs in nets.costs.items():
        ways = {way: [each[cost][way] for each in chosen] for way in chosen[0][cost]}
        ways["knowing the population"] = [min(fine, key=costs.__getitem__, default=None)] * n_draws
        for way, found in ways.items():
            taken = [i for i in found if i is not None]
            names = [nets.names[i] for i in taken] or ["nothing"]
            rows.append(
                {
                    "cost": cost,
                    "way": way,
                    "draws": n_draws,
                    "broken": is_broken[taken].sum() / n_draws,
                    "none": 1 - len(taken) / n_draws,
                    **{name: shipped(found, nets.costs[name]) for name in COSTS},
                    "worst_drop": worst[taken].mean() if taken else 0.0,
                    "accuracy_dense": float(nets.before.is_right.mean()),
                    "most_often": pd.Series(names).mode()[0],
                }
            )
    return rows


def shipped(found: list[int | None], costs: np.ndarray) -> float:
    """Return the mean relative cost of what is shipped: of the dense net where nothing is found."""
    return float(np.mean([1.0 if i is None else costs[i] for i in found]))


def is_fine(rows: HeldOut, run: Run, drop: float) -> bool:
    """Return whether no group loses more on the test rows, and every label is still given."""
    dense, pruned = rows.dense.take(rows.test), run.pruned.take(rows.test)
    return rows.worst_drop(run) <= drop and not label_findings(dense, pruned, rows.labels)


def choices(seed: int, setting: Setting, nets: Nets) -> dict[str, dict[str, int | None]]:
    """Return for each cost which candidate each way of deciding takes, on one draw of rows."""
    drawn = np.random.default_rng(seed).integers(len(nets.codes), size=setting.n_held_out)
    runs, whole = nets.on(drawn)
    one_shot = [
        i
        for i, params in enumerate(nets.params)
        if params.get("pruner") == "magnitude" and params["finetune_epochs"] == 0
    ]
    promise = Promise(setting.drop, None, 5.0, CONFIDENCE)
    seen = [i for i, run in enumerate(runs) if is_fine(whole, run, setting.drop)]
    passed = leading(one_shot, lambda i: whole.keeps(promise, runs[i]))[1]
    before, after, codes = nets.on_train
    on_train = OrderRows(before, [Run(each) for each in after], codes)
    parts = nets.on(drawn, 0.15, seed)[1]
    ways: dict[str, tuple[Procedure, HeldOut, OrderRows | None]] = {
        "CompressionSearchCV": ("pareto", whole, on_train),
        "CompressionSearchCV, order_share=0.15": ("pareto", parts, None),
        'CompressionSearchCV, "holm"': ("holm", whole, None),
        'CompressionSearchCV, "fixed_sequence"': ("fixed_sequence", whole, None),
    }
    return {
        cost: {
            "by eye: magnitude 0.9": nets.params.index(BY_EYE),
            "by the observed drop": min(seen, key=costs.__getitem__, default=None),
            "PruneRateSearchCV": passed[-1] if passed else None,
            **{way: taken(*ways[way], promise, costs, runs) for way in ways},
        }
        for cost, costs in nets.costs.items()
    }


def taken(
    procedure: Procedure,
    held_out: HeldOut,
    on_train: OrderRows | None,
    promise: Promise,
    costs: np.ndarray,
    runs: list[Run],
) -> int | None:
    """Return the candidate that a search takes, None for the dense net, which is one of them."""
    n = len(runs)
    runs, costs = [*runs, Run(held_out.dense)], np.append(costs, 1.0)
    if on_train:
        on_train = on_train._replace(runs=[*on_train.runs, Run(on_train.dense)])
    best = decide(procedure, promise, costs, runs, held_out, [n], on_train).best
    return None if best == n else best


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    parser = options(__doc__, tasks=SETTINGS, quick="few candidates of a small net", n_jobs=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--keep", type=Path, help="folder for what the nets do, to decide again")
    args = parser.parse_args(argv)
    todo = grid(seed=args.seeds, task=args.tasks)
    if args.quick:
        todo = [{"seed": 0, "task": "digits"}]

    def kept(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
        return work(cell, quick, args.keep)

    run_study(__file__, args, todo, kept, write_page)


if __name__ == "__main__":
    main()
