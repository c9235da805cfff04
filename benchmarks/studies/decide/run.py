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

import joblib
import numpy as np
import pandas as pd

from benchmarks.lib import tasks
from benchmarks.lib.harness import Cell, out_path, page_path, run_cells
from benchmarks.lib.tasks import Split
from benchmarks.studies.decide.page import write_page
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Promise
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.candidates import as_candidates
from sk_prunefair.selection.costs import costs_of
from sk_prunefair.selection.making import Made, Maker
from sk_prunefair.selection.procedures import PROCEDURES, HeldOut, decide, split_rows
from sk_prunefair.selection.sequence import leading

TASKS = tasks.TASKS | tasks.MITIGATION_TASKS
SEEDS = (0, 1, 2)
DRAWS = 100
CONFIDENCE = 0.95
COSTS = ("bytes", "macs", "latency")
BATCH = 64  # rows of a call that is timed
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
    "faces_gender": Setting(0.03, 8_000, 8_000),
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


@dataclass(frozen=True)
class Nets:
    """What all candidates of a cell do, and what they cost.

    Parameters
    ----------
    names : list of str
        Of the candidates.
    params : list of dict
        As they were asked for.
    before, after : Outcome, list of Outcome
        The dense net and each candidate on the population.
    codes : ndarray of int
        The group of each row of the population.
    on_train : tuple of Outcome, list of Outcome, ndarray
        The same three on the rows that the nets were trained on.
    costs : dict of str to ndarray
        Of each candidate ÷ that of the dense net.
    """

    names: list[str]
    params: list[dict[str, Any]]
    before: Outcome
    after: list[Outcome]
    codes: np.ndarray
    on_train: tuple[Outcome, list[Outcome], np.ndarray]
    costs: dict[str, np.ndarray]

    @property
    def labels(self) -> np.ndarray:
        """All labels."""
        return np.unique(self.before.truth)

    def on(self, rows: np.ndarray, share: float = 0.0, seed: int = 0) -> tuple[list[Run], HeldOut]:
        """Return the candidates and the dense net on some rows; a share of them sets the order."""
        codes = self.codes[rows]
        order, test = split_rows(codes, share, seed)
        groups = pd.RangeIndex(self.codes.max() + 1)
        held_out = HeldOut(self.before.take(rows), codes, groups, self.labels, order, test)
        return [Run(each.take(rows)) for each in self.after], held_out


def train(cell: Cell, setting: Setting, quick: bool) -> Nets:
    """Train the dense net, make all candidates, and run them on all rows."""
    task = TASKS[cell["task"]]
    data, rest = population(cell["task"], setting, cell["seed"])
    clf = FairPrunedClassifier(
        **(task.params | ({"max_epochs": 3} if quick else {})),
        classes=sorted(set(rest.y.tolist())),
        random_state=cell["seed"],
    ).fit(data.X, data.y, sensitive_features=data.group)
    parts = [(each.X, each.y, pd.DataFrame({"group": each.group})) for each in (rest, data)]
    maker = Maker(clf, *parts, None, data.X, BATCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without weights, and of what int8 changes
        made = [maker.make(each) for each in as_candidates(candidates(quick), "bytes", True)]
        on_train = [Outcome(None, each.served.predict(data.X), data.y) for each in made]
        return Nets(
            [each.candidate.name for each in made],
            [dict(each.candidate.params) for each in made],
            maker.dense,
            [each.run.pruned for each in made],
            np.unique(rest.group, return_inverse=True)[1],
            (Outcome(None, clf.predict(data.X), data.y), on_train, data.group),
            {cost: relative_costs(maker, made, cost, data.X) for cost in COSTS},
        )


def relative_costs(maker: Maker, made: list[Made], cost: str, X: Any) -> np.ndarray:
    """Return the cost of each candidate ÷ that of the dense net.

    For latency, nets with zeros run sparse; their answers are those of the masked net.
    """
    [dense] = [maker.make(each) for each in as_candidates([{}], cost, True)]
    if cost == "latency":
        made = [as_sparse(maker, each) for each in made]
    found = np.array(costs_of([dense, *made], cost, X, {"batch_size": BATCH}))
    return found[1:] / found[0]


def as_sparse(maker: Maker, made: Made) -> Made:
    """Return a candidate whose module is the sparse one, int8 as it is."""
    if made.candidate.params.get("form"):
        return made
    return Made(made.candidate, maker._module(made.classifier, None, "sparse"), made.run)


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
    _, parts = nets.on(drawn, 0.3, seed)
    promise = Promise(setting.drop, None, 5.0, CONFIDENCE)
    one_shot = [
        i
        for i, params in enumerate(nets.params)
        if params.get("pruner") == "magnitude" and params["finetune_epochs"] == 0
    ]
    seen = [i for i, run in enumerate(runs) if is_fine(whole, run, setting.drop)]
    passed = leading(one_shot, lambda i: whole.keeps(promise, runs[i]))[1]
    return {
        cost: {
            "by eye: magnitude 0.9": nets.params.index(BY_EYE),
            "by the observed drop": min(seen, key=costs.__getitem__, default=None),
            "PruneRateSearchCV": passed[-1] if passed else None,
            **{
                f'CompressionSearchCV, "{procedure}"': decide(
                    procedure, promise, costs, runs, parts if procedure == "pareto" else whole
                ).best
                for procedure in PROCEDURES
            },
        }
        for cost, costs in nets.costs.items()
    }


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for what the nets do, to decide again")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    out = out_path(__file__, args.out, args.quick)
    todo: list[Cell] = [{"task": task, "seed": seed} for seed in args.seeds for task in args.tasks]
    if args.quick:
        todo = [{"task": "digits", "seed": 0}]
    rows = run_cells(todo, functools.partial(work, quick=args.quick, keep=args.keep), out)
    write_page(rows, page_path(out))


if __name__ == "__main__":
    main()
