"""Which of several candidates may be returned, so that none that breaks the promise is, by chance.

Each candidate is a hypothesis, "it breaks the promise to some group", which its held-out rows have
to refute. What is controlled is the chance that any true one is refuted (the family-wise error), so
that among those that pass one is free to take the cheapest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm
from sklearn.utils import check_random_state

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Promise
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.sequence import fixed_sequence

Procedure = Literal["pareto", "fixed_sequence", "holm"]
PROCEDURES = ("pareto", "fixed_sequence", "holm")
Rows = npt.NDArray[np.int64]

# Rows at the average of all groups that each group's counts are mixed with, for the order alone.
_PRIOR = 10.0


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows of which some may set the order, and the others test.

    Parameters
    ----------
    dense : Outcome
        Of the dense net, where a run has none of its own.
    codes, groups, labels
        As in `Promise.judge`.
    order, test : ndarray of int
        Rows; ``order`` may be empty.
    """

    dense: Outcome
    codes: npt.NDArray[np.int64]
    groups: pd.Index
    labels: Any
    order: Rows
    test: Rows

    def judge(self, promise: Promise, run: Run, rows: Rows) -> pd.DataFrame:
        """Return the promise's table of one candidate on some of the rows."""
        dense = (run.dense or self.dense).take(rows)
        return promise.judge(
            dense, run.pruned.take(rows), self.codes[rows], self.groups, self.labels
        )


class Decision(NamedTuple):
    """What became of the candidates.

    Parameters
    ----------
    best : int or None
        The cheapest that passed.
    tested : list of int
        Those that were tested, in their order.
    passed : set of int
        Those that may be returned.
    tables : list of pandas.DataFrame
        What `Promise.judge` says of each on the test rows, at the level at which it was tested; of
        those that were not, at the full level, for information.
    """

    best: int | None
    tested: list[int]
    passed: set[int]
    tables: list[pd.DataFrame]


def split_rows(
    codes: npt.NDArray[np.int64], share: float, random_state: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return a share of the rows of each group, rounded down, and the others.

    >>> order, test = split_rows(np.array([0, 0, 0, 0, 1]), 0.5, 0)
    >>> len(order), len(test)
    (2, 3)
    """
    rng = check_random_state(random_state)
    order = [
        rng.permutation(np.flatnonzero(codes == code))[: int(share * count)]
        for code, count in enumerate(np.bincount(codes))
    ]
    chosen = np.sort(np.concatenate(order)).astype(np.int64)
    return chosen, np.setdiff1d(np.arange(len(codes)), chosen)


def decide(
    procedure: Procedure,
    promise: Promise,
    costs: Sequence[float],
    runs: Sequence[Run],
    held_out: HeldOut,
    safe: Collection[int] = (),
) -> Decision:
    """Test candidates by a procedure that keeps the family-wise error, and take the cheapest.

    Parameters
    ----------
    procedure : {"pareto", "fixed_sequence", "holm"}
        ``"pareto"``: on the rows that set the order, each candidate's chance to pass is estimated;
        those that are both dearer and less likely to pass than another are left out, and the others
        tested on the test rows at the full level, from the likeliest to the cheapest, up to the
        first that fails (Pareto testing: Laufer-Goldshtein et al., 2023). ``"fixed_sequence"``:
        from the dearest to the cheapest, up to the first that fails. ``"holm"``: all, by Holm's
        correction. The last two need no rows for an order.
    promise : Promise
        What is promised.
    costs : sequence of float
        Of each candidate; must not depend on the test rows.
    runs : sequence of Run
        What each does on all held-out rows.
    held_out : HeldOut
        Which these are.
    safe : collection of int
        Candidates that pass by definition, as they are the dense net.

    Returns
    -------
    Decision
        With the index of the cheapest that passed.
    """
    asked = [i for i in range(len(runs)) if i not in safe]
    rows = held_out.test
    if procedure == "holm":
        found = _holm(promise, asked, runs, held_out)
        tested, passed = asked, {i for i in asked if found[i]["passed"].all()}
    else:
        by_cost = sorted(asked, key=lambda i: -costs[i])
        order = by_cost
        if procedure == "pareto":
            chances = [_chance(promise, run, held_out) for run in runs]
            order = pareto_order([-chances[i] for i in asked], [costs[i] for i in asked])
            order = [asked[i] for i in order]
        sequence = fixed_sequence(
            promise,
            order,
            (_take(runs[i], rows) for i in order),
            held_out.dense.take(rows),
            held_out.codes[rows],
            held_out.groups,
            held_out.labels,
        )
        tested = order[: len(sequence.tables)]
        found = dict(zip(tested, sequence.tables, strict=True))
        passed = {i for i in tested if found[i]["passed"].all()}
    passed |= set(safe)
    tables = [
        found[i] if i in found else held_out.judge(promise, runs[i], rows) for i in range(len(runs))
    ]
    best = min(passed, key=lambda i: (costs[i], i), default=None)
    return Decision(best, tested, passed, tables)


def pareto_order(risks: Sequence[float], costs: Sequence[float]) -> list[int]:
    """Return those that no other equals or beats in both, from the least risk to the least cost.

    >>> pareto_order(risks=[0.1, 0.2, 0.3, 0.4], costs=[5, 6, 3, 1])
    [0, 2, 3]
    """
    front: list[int] = []
    for i in sorted(range(len(risks)), key=lambda i: (risks[i], costs[i])):
        if not front or costs[i] < costs[front[-1]]:
            front.append(i)
    return front


def _take(run: Run, rows: Rows) -> Run:
    return Run(run.pruned.take(rows), run.net, run.dense and run.dense.take(rows))


def _holm(
    promise: Promise, asked: Sequence[int], runs: Sequence[Run], held_out: HeldOut
) -> dict[int, pd.DataFrame]:
    """Return the table of each at the level at which it passed, or at the last one tried."""
    found: dict[int, pd.DataFrame] = {}
    waiting = list(asked)
    while waiting:
        level = (1 - promise.confidence) / len(waiting)
        stricter = replace(promise, confidence=1 - level)
        found |= {i: held_out.judge(stricter, runs[i], held_out.test) for i in waiting}
        still = [i for i in waiting if not found[i]["passed"].all()]
        if len(still) == len(waiting):
            break
        waiting = still
    return found


def _chance(promise: Promise, run: Run, held_out: HeldOut) -> float:
    """Return the logarithm of about the chance that all groups pass on the test rows.

    It sets the order alone, so that it may be rough: the accuracy alone, shares of lost and won
    rows as on the order rows, mixed with those of all groups, and normal approximations of the test
    to come.
    """
    dense = (run.dense or held_out.dense).take(held_out.order)
    pruned = run.pruned.take(held_out.order)
    if label_findings(dense, pruned, held_out.labels):
        return -np.inf
    codes, n_groups = held_out.codes[held_out.order], len(held_out.groups)
    n_order = np.bincount(codes, minlength=n_groups)
    n_test = np.bincount(held_out.codes[held_out.test], minlength=n_groups)
    before, after = dense.is_right, pruned.is_right
    lost, won = (
        (np.bincount(codes, changed, n_groups) + _PRIOR * (changed.sum() + 0.5) / (len(codes) + 1))
        / (n_order + _PRIOR)
        for changed in (before & ~after, after & ~before)
    )
    drop, variance = lost - won, lost + won - (lost - won) ** 2
    # What remains of the bound once the test has taken its margin.
    margin = norm.ppf(promise.confidence) * np.sqrt(variance / n_test)
    spread = np.sqrt(variance / n_test + variance / (n_order + _PRIOR))
    return float(norm.logcdf((promise.max_accuracy_drop - drop - margin) / spread).sum())
