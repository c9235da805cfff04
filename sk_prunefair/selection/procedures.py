"""Test several candidates at a joint error rate, and select the cheapest that passes.

Each candidate is a hypothesis, "it breaks the promise to some group", which its held-out rows have
to refute. The probability that any true hypothesis is refuted (the family-wise error) is
controlled, so that the cheapest of those that pass may be selected.
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

from sk_prunefair.outcome import Outcome, paired_counts
from sk_prunefair.promise import Promise
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.sequence import leading

Procedure = Literal["pareto", "holm", "fixed_sequence"]
PROCEDURES = ("pareto", "holm", "fixed_sequence")
Rows = npt.NDArray[np.int64]

# Weight, in rows, of the average over all groups in each group's counts, only for the order.
_PRIOR = 10.0


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows, some of which may set the order, while the others test.

    Parameters
    ----------
    dense : Outcome
        Outcome of the dense net, for runs without one.
    codes, groups, labels
        As in `Promise.judge`.
    order, test : ndarray of int
        Positions of the rows; ``order`` may be empty.
    """

    dense: Outcome
    codes: npt.NDArray[np.int64]
    groups: pd.Index
    labels: Any
    order: Rows
    test: Rows

    def keeps(self, promise: Promise, run: Run) -> bool:
        """Return whether a candidate passes on the test rows."""
        return promise.keeps(*self._test(run))

    def judge(self, promise: Promise, run: Run) -> pd.DataFrame:
        """Return the promise's table of a candidate on the test rows."""
        return promise.judge(*self._test(run))

    def worst_drop(self, run: Run) -> float:
        """Return the largest loss of accuracy of a group on the test rows."""
        dense, pruned, codes, *_ = self._test(run)
        change = dense.is_right.astype(float) - pruned.is_right
        return float((np.bincount(codes, change) / np.bincount(codes)).max())

    def _test(self, run: Run) -> tuple[Outcome, Outcome, npt.NDArray[np.int64], pd.Index, Any]:
        dense, rows = run.dense or self.dense, self.test
        pruned = run.pruned.take(rows)
        return dense.take(rows), pruned, self.codes[rows], self.groups, self.labels


class OrderRows(NamedTuple):
    """Outcomes of the dense net and the candidates on rows that set the order, and are not tested.

    Parameters
    ----------
    dense : Outcome
        Outcome of the dense net, for runs without one.
    runs : sequence of Run
        Run of each candidate.
    codes : ndarray of int
        The group of each row.
    """

    dense: Outcome
    runs: Sequence[Run]
    codes: npt.NDArray[np.int64]


class Decision(NamedTuple):
    """Verdicts on the candidates.

    Parameters
    ----------
    best : int or None
        The cheapest that passed; among equal costs, the one whose worst group lost
        least.
    tested : list of int
        The tested candidates, in order.
    passed : set of int
        The candidates that may be returned.
    levels : dict of int to float
        Level (1 − confidence) of the test of each candidate.
    """

    best: int | None
    tested: list[int]
    passed: set[int]
    levels: dict[int, float]

    def frame(
        self, names: Sequence[str], costs: Sequence[float], tables: Sequence[pd.DataFrame]
    ) -> pd.DataFrame:
        """Return the tables of all candidates as one, with the verdict on each."""
        place = {i: position for position, i in enumerate(self.tested)}
        parts = [
            table.assign(
                passed=table["passed"] & (i in place or i in self.passed),
                candidate=names[i],
                cost=costs[i],
                order=place.get(i, np.nan),
                kept=i in self.passed,
            )
            for i, table in enumerate(tables)
        ]
        frame = pd.concat(parts, ignore_index=True)
        for position, name in enumerate(("candidate", "cost", "order", "kept")):
            frame.insert(position, name, frame.pop(name))
        return frame


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
    order_rows: OrderRows | None = None,
) -> Decision:
    """Test candidates by a procedure that controls the family-wise error, and select the cheapest.

    Parameters
    ----------
    procedure : {"pareto", "fixed_sequence", "holm"}
        ``"pareto"``: on the rows for the order, each candidate's probability to pass is estimated;
        those that are more expensive and less likely to pass than another are left out, and the
        others are tested on the test rows at the full level, from the likeliest to the cheapest, up
        to the first that fails (Pareto testing: Laufer-Goldshtein et al., 2023).
        ``"fixed_sequence"``: from the most expensive to the cheapest, up to the first that fails.
        ``"holm"``: all, by Holm's correction. The last two need no rows for an order.
    promise : Promise
        The promise.
    costs : sequence of float
        Cost of each candidate; must not depend on the test rows.
    runs : sequence of Run
        Run of each candidate on all held-out rows.
    held_out : HeldOut
        The held-out rows.
    safe : collection of int
        Candidates that pass by definition, as they are the dense net. Candidates that
        cost as much as one of them are not tested.
    order_rows : OrderRows, default=None
        For ``"pareto"``: outcomes on other rows, such as training rows. The test is valid for any
        rows. None takes the order rows of `held_out`.

    Returns
    -------
    Decision
        The verdicts, with the index of the cheapest that passed.
    """
    at_most = min((costs[i] for i in safe), default=np.inf)
    asked = [i for i in range(len(runs)) if i not in safe and costs[i] < at_most]
    if procedure == "holm":
        tested, passed, levels = _holm(promise, asked, runs, held_out)
    else:
        order = sorted(asked, key=lambda i: -costs[i])
        if procedure == "pareto":
            known = order_rows or _set_aside(runs, held_out)
            risks = [-_chance(promise, known, i, held_out) for i in asked]
            front = pareto_order(risks, [costs[i] for i in asked])
            order = [asked[place] for place in front]
        tested, passed = leading(order, lambda i: held_out.keeps(promise, runs[i]))
        levels = dict.fromkeys(tested, 1 - promise.confidence)
    may_return = {*passed, *safe}
    least = min((costs[i] for i in may_return), default=np.nan)
    cheapest = sorted(i for i in may_return if costs[i] == least)
    best = min(cheapest, key=lambda i: held_out.worst_drop(runs[i]), default=None)
    return Decision(best, tested, may_return, levels)


def pareto_order(risks: Sequence[float], costs: Sequence[float]) -> list[int]:
    """Return the Pareto-optimal candidates, from the least risk to the least cost.

    >>> pareto_order(risks=[0.1, 0.2, 0.3, 0.4], costs=[5, 6, 3, 1])
    [0, 2, 3]
    """
    front: list[int] = []
    for i in sorted(range(len(risks)), key=lambda i: (risks[i], costs[i])):
        if not front or costs[i] < costs[front[-1]]:
            front.append(i)
    return front


def _holm(
    promise: Promise, asked: list[int], runs: Sequence[Run], held_out: HeldOut
) -> tuple[list[int], list[int], dict[int, float]]:
    """Test the remaining hypotheses at the level divided by their number, until none passes."""
    levels: dict[int, float] = {}
    waiting, n_before = asked, len(asked) + 1
    while 0 < len(waiting) < n_before:
        n_before, level = len(waiting), (1 - promise.confidence) / len(waiting)
        stricter = replace(promise, confidence=1 - level)
        levels |= dict.fromkeys(waiting, level)
        waiting = [i for i in waiting if not held_out.keeps(stricter, runs[i])]
    return asked, [i for i in asked if i not in waiting], levels


def _set_aside(runs: Sequence[Run], held_out: HeldOut) -> OrderRows:
    rows = held_out.order
    taken = [Run(run.pruned.take(rows), dense=run.dense and run.dense.take(rows)) for run in runs]
    return OrderRows(held_out.dense.take(rows), taken, held_out.codes[rows])


def _chance(promise: Promise, known: OrderRows, i: int, held_out: HeldOut) -> float:
    """Return the logarithm of the approximate probability that all groups pass on the test rows.

    It is used only for the order, so it may be approximate: the accuracy only, shares of lost and
    won rows from the order rows, mixed with those of all groups, and normal approximations of the
    test.
    """
    dense, pruned, codes = known.runs[i].dense or known.dense, known.runs[i].pruned, known.codes
    if label_findings(dense, pruned, held_out.labels):
        return -np.inf
    n_groups = len(held_out.groups)
    n_order, *changed = paired_counts(dense, pruned, codes, n_groups)
    n_test = np.bincount(held_out.codes[held_out.test], minlength=n_groups)
    lost, won = (
        (each + _PRIOR * (each.sum() + 0.5) / (len(codes) + 1)) / (n_order + _PRIOR)
        for each in changed
    )
    drop, variance = lost - won, lost + won - (lost - won) ** 2
    # The part of the bound that remains after the margin of the test.
    margin = norm.ppf(promise.confidence) * np.sqrt(variance / n_test)
    spread = np.sqrt(variance / n_test + variance / (n_order + _PRIOR))
    return float(norm.logcdf((promise.max_accuracy_drop - drop - margin) / spread).sum())
