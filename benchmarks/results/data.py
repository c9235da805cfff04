"""Look up the numbers of the results page in the CSVs."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from benchmarks.lib.harness import committed
from benchmarks.lib.tables import with_excess
from benchmarks.lib.timing import by_round, spread
from benchmarks.studies.poster.page import summarise

rows = functools.cache(committed)


def mean(frame: pd.DataFrame, column: str, **where: Any) -> float:
    """Return the mean of a column over the rows that match, of which there must be some."""
    for name, value in where.items():
        frame = frame[frame[name] == value]
    if frame.empty:
        raise ValueError(f"no rows with {where}")
    return float(frame[column].mean())


def ratio(times: pd.DataFrame, over: str, under: str, **where: Any) -> float:
    """Return the median over rounds of two contenders' ratio within a round."""
    for name, value in where.items():
        times = times[times[name] == value]
    return float(spread(by_round(times), over, under)["median"])


@functools.cache
def poster_nets() -> pd.DataFrame:
    """Return one row per net of the poster."""
    return summarise(rows("poster"))


def fine_tuned() -> pd.DataFrame:
    """Return the comparison of constraints, fine-tuned nets on test rows."""
    constraints = rows("constraints")
    return constraints[(constraints["split"] == "test") & constraints["finetuned"]]


def peers() -> pd.DataFrame:
    """Return the comparison with fairlearn, with the excess gap."""
    return with_excess(rows("fairlearn_baselines"))


def credit(method: str, column: str) -> float:
    """Return a mean on German credit, fine-tuned at 0.9."""
    where = {"task": "german", "finetuned": True, "rate": 0.9, "method": method}
    return mean(peers(), column, **where)


def mix(model: str, as_trained: bool) -> float:
    """Return the accuracy of a model of the poster on clothes, in the training's shares or not."""
    nets = rows("poster")
    nets = nets[(nets["task"] == "fashion_tail") & nets["finetuned"] & (nets["rate"] == 0.9)]
    nets = nets[nets["model"] == model]
    shares = nets["train_count" if as_trained else "count"]
    by_seed = (nets["accuracy"] * shares).groupby(nets["seed"]).sum()
    return float((by_seed / shares.groupby(nets["seed"]).sum()).mean())
