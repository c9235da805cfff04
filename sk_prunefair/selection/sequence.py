"""Test candidates one after the other, up to the first that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Promise
from sk_prunefair.selection._nets import Run

_T = TypeVar("_T")


def leading(order: Iterable[_T], keeps: Callable[[_T], bool]) -> tuple[list[_T], list[_T]]:
    """Return the tested candidates, up to the first that fails, and those before it.

    >>> leading([2, 4, 5, 6], lambda number: number % 2 == 0)
    ([2, 4, 5], [2, 4])
    """
    tested: list[_T] = []
    for each in order:
        tested.append(each)
        if not keeps(each):
            return tested, tested[:-1]
    return tested, list(tested)


class Tested(NamedTuple):
    """Results of candidates tested in order.

    Parameters
    ----------
    best, net : object
        The last candidate before the first that fails, and its net; None if the first fails.
    binding : str, int or tuple
        At the first that fails, the group that fails furthest; if none fails, the group
        nearest to failing at the last.
    tables : list of pandas.DataFrame
        Table of `Promise.judge` for each tested candidate.
    """

    best: Any
    net: Any
    binding: Any
    tables: list[pd.DataFrame]

    def results(self, name: str, candidates: Iterable[Any]) -> pd.DataFrame:
        """Return the tables as one, with the candidate in the first column."""
        tables = [
            table.assign(**{name: candidate})
            for candidate, table in zip(candidates, self.tables, strict=False)
        ]
        frame = pd.concat(tables, ignore_index=True)
        frame.insert(0, name, frame.pop(name))
        return frame


def fixed_sequence(
    promise: Promise,
    candidates: Iterable[Any],
    runs: Iterable[Run],
    dense: Outcome,
    codes: npt.NDArray[np.int64],
    groups: pd.Index,
    labels: Any,
) -> Tested:
    """Test candidates at the full level each, in an order that does not depend on their outcomes.

    The first failure ends the sequence, so no correction for the number is needed, and later
    candidates need not run.

    Parameters
    ----------
    promise : Promise
        The promise.
    candidates : iterable
        Identifier of each, such as its rate.
    runs : iterable of Run
        Run of each, in the same order; iterated only as far as tested.
    dense : Outcome
        Outcome of the dense net, for runs without one.
    codes, groups, labels
        As in `Promise.judge`.
    """
    tables: list[pd.DataFrame] = []

    def keeps(pair: tuple[Any, Run]) -> bool:
        run = pair[1]
        tables.append(promise.judge(run.dense or dense, run.pruned, codes, groups, labels))
        return bool(tables[-1]["passed"].all())

    passed = leading(zip(candidates, runs, strict=False), keeps)[1]
    best, run = passed[-1] if passed else (None, None)
    return Tested(best, run and run.net, promise.binding_row(tables[-1])["group"], tables)
