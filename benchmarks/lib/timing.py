"""Time and memory of contenders: turn by turn, ratios within a round, processes of their own."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

Work = Callable[[], object]


def seconds(work: Work, clock: Callable[[], float] = time.process_time) -> float:
    """Return how long a call takes, by default of the processor: no other job counts."""
    start = clock()
    work()
    return clock() - start


def in_turns(
    works: Mapping[str, Work],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
    calls: int = 1,
) -> pd.DataFrame:
    """Time contenders turn by turn, in another order each round; a first round warms up.

    Parameters
    ----------
    works : mapping of str to callable
        The contenders.
    rounds : int
        Turns of each that count.
    clock : callable, default=time.process_time
        What the time is read from.
    calls : int, default=1
        In one turn.

    Returns
    -------
    pandas.DataFrame
        Seconds a call, a row for each round and a column for each contender.
    """

    def turn(work: Work) -> float:
        return seconds(lambda: [work() for _ in range(calls)], clock) / calls

    names = list(works)
    found = []
    for number in tqdm(range(rounds + 1), leave=False, disable=None):
        shift = number % len(names)
        found.append({name: turn(works[name]) for name in names[shift:] + names[:shift]})
    return pd.DataFrame(found, columns=names).iloc[1:].reset_index(drop=True).rename_axis("round")


def as_rows(times: pd.DataFrame, **told: Any) -> pd.DataFrame:
    """Return times of `in_turns` with a row for each contender and round, and what is told."""
    rows = times.rename_axis(columns="contender").stack().rename("seconds").reset_index()
    return pd.DataFrame(told, index=rows.index).join(rows)


def by_round(rows: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Return the seconds of such rows by keys and round, with a column for each contender."""
    return rows.pivot(index=[*keys, "round"], columns="contender", values="seconds")


def spread(times: pd.DataFrame, over: str, under: str) -> dict[str, float]:
    """Return median, least and most of one contender's time ÷ another's within a round."""
    ratio = times[over] / times[under]
    return {"median": ratio.median(), "min": ratio.min(), "max": ratio.max()}


def memory(field: str) -> int:
    """Return a line of what Linux says of this process, in bytes, such as VmRSS or RssAnon."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


def peak(work: Work) -> int:
    """Return the bytes that a call takes at most, beyond those that were taken before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = memory("VmRSS")
    work()
    return memory("VmHWM") - before


def alone(function: Callable[..., Any], *given: Any) -> Any:
    """Return what a function returns in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, given)
