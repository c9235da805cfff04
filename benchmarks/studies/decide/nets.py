"""The nets of a cell: the dense one, all candidates, what they do and what they cost."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lib import tasks
from benchmarks.lib.harness import Cell
from benchmarks.lib.tasks import Split
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Promise
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.candidates import as_candidates
from sk_prunefair.selection.costs import costs_of
from sk_prunefair.selection.making import Made, Maker
from sk_prunefair.selection.procedures import HeldOut, split_rows

TASKS = tasks.TASKS | tasks.MITIGATION_TASKS
COSTS = ("bytes", "macs", "latency")
BATCH = 64  # rows of a call that is timed
RATES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


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
        held_out = Tested(self.before.take(rows), codes, groups, self.labels, order, test)
        return [Run(each.take(rows)) for each in self.after], held_out


@dataclass(frozen=True)
class Tested(HeldOut):
    """Held-out rows on which a candidate is tested once at each level, whatever the cost is."""

    known: dict[Any, bool] = field(default_factory=dict)

    def keeps(self, promise: Promise, run: Run) -> bool:
        """Return whether a candidate passes on the test rows."""
        key = promise, id(run)
        if key not in self.known:
            self.known[key] = super().keeps(promise, run)
        return self.known[key]


def train(cell: Cell, setting: Setting, quick: bool) -> Nets:
    """Train the dense net, make all candidates, and run them on all rows."""
    task = TASKS[cell["task"]]
    data, rest = population(cell["task"], setting, cell["seed"])
    clf = FairPrunedClassifier(
        **(task.params | ({"max_epochs": 3} if quick else {})),
        classes=sorted(set(rest.y.tolist())),
        random_state=cell["seed"],
    ).fit(data.X, data.y, sensitive_features=data.group)
    groups = np.unique(rest.group)
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
            codes_of(rest, groups),
            (Outcome(None, clf.predict(data.X), data.y), on_train, codes_of(data, groups)),
            {cost: relative_costs(maker, made, cost, data.X) for cost in COSTS},
        )


def codes_of(data: Split, groups: np.ndarray) -> np.ndarray:
    """Return the position of each row's group."""
    return np.searchsorted(groups, data.group)


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
