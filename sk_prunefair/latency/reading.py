"""Read tables of `compare_latency`: seconds, sentences, plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = (
    "contender",
    "batch_size",
    "threads",
    "seconds",
    "seconds_q25",
    "seconds_q75",
    "speedup",
    "n_rounds",
)
"""Columns of the frame that `compare_latency` returns."""


def check_table(table: Any) -> None:
    """Raise ValueError unless a table is None or has the columns of `compare_latency`."""
    if table is None or (isinstance(table, pd.DataFrame) and set(COLUMNS) <= set(table.columns)):
        return
    raise ValueError(
        "latency must be a DataFrame as sk_prunefair.latency.compare_latency returns it, got "
        f"{type(table).__name__}"
    )


def one_sample(table: pd.DataFrame, before: str, after: str) -> dict[str, float]:
    """Return the seconds of two contenders for one sample, with the first number of threads.

    Returns
    -------
    dict of str to float
        ``latency_dense`` and ``latency_pruned``; empty if these were not measured.
    """
    rows = table[table["batch_size"] == 1].drop_duplicates("contender")
    seconds = rows.set_index("contender")["seconds"]
    if not {before, after} <= set(seconds.index):
        return {}
    return {
        "latency_dense": float(seconds[before]),
        "latency_pruned": float(seconds[after]),
    }


def with_times(
    compression: pd.Series | None, table: pd.DataFrame, before: str, after: str
) -> pd.Series | None:
    """Return the compression with the seconds for one sample added, if these were measured."""
    times = pd.Series(one_sample(table, before, after), dtype=float)
    parts = [times] if compression is None else [compression, times]
    return compression if times.empty else pd.concat(parts).rename("compression")


def by_setting(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each batch size and number of threads in words, with its rows."""
    for (size, n), rows in table.groupby(["batch_size", "threads"], sort=False):
        yield f"{counted(size, 'sample')}, {counted(n, 'thread')}", rows


def counted(n: Any, noun: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "thread"), counted(64, "sample")
    ('1 thread', '64 samples')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def latency_lines(table: pd.DataFrame | None) -> list[str]:
    """Return a table as sentences: one for each batch size and number of threads.

    Examples
    --------
    >>> from sk_prunefair.latency import compare_latency
    >>> def slow(X):
    ...     return sum(range(10**4))
    >>> table = compare_latency({"a": slow, "b": slow}, [[0]], batch_sizes=1, threads=1)
    >>> table["seconds"], table["speedup"] = [0.004, 0.001], [1.0, 4.1]
    >>> latency_lines(table)
    ['median time of a call for 1 sample, 1 thread, 30 rounds: a 4 ms; b 1 ms (4.10 × as fast)']
    """
    if table is None:
        return []
    what = table.attrs.get("what", "a call")
    lines = []
    for where, rows in by_setting(table):
        said = [
            f"{row['contender']} {seconds_text(row['seconds'])}"
            + (f" ({row['speedup']:.2f} × as fast)" if i else "")
            for i, row in enumerate(rows.to_dict("records"))
        ]
        rounds = counted(rows["n_rounds"].iloc[0], "round")
        lines.append(f"median time of {what} for {where}, {rounds}: {'; '.join(said)}")
    return lines + [
        f"{name} was left out: {why}" for name, why in table.attrs.get("left_out", {}).items()
    ]


def seconds_text(number: float) -> str:
    """Return a duration with three significant digits.

    >>> seconds_text(0.00123), seconds_text(2.5), seconds_text(4.5e-6)
    ('1.23 ms', '2.5 s', '4.5 µs')
    """
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if number * factor >= 1:
            return f"{number * factor:.3g} {unit}"
    return f"{number * 1e6:.3g} µs"


def to_plain(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return a table as dicts, lists, strings and numbers."""
    if table is None:
        return None
    columns = table[list(COLUMNS)].replace([np.inf, -np.inf], np.nan).astype(object)
    rows = columns.where(columns.notna(), None).to_dict("records")
    return {
        "what": table.attrs.get("what", "a call"),
        "left_out": dict(table.attrs.get("left_out", {})),
        "rows": rows,
    }


def from_plain(found: Mapping[str, Any] | None) -> pd.DataFrame | None:
    """Return the table from the result of `to_plain`."""
    if found is None:
        return None
    table = pd.DataFrame(found["rows"], columns=list(COLUMNS)).astype({"speedup": float})
    table.attrs |= {"what": found["what"], "left_out": dict(found["left_out"])}
    return table
