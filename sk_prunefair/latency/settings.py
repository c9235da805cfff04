"""Batch sizes and threads of a latency measurement."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import joblib
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from sk_prunefair.checks import check_count


def latency_options(latency: Any, accepted: Sequence[str]) -> dict[str, Any] | None:
    """Return the options of a measurement, or None if it is off; ValueError for unknown ones.

    >>> latency_options(True, ["seconds"]), latency_options({"seconds": 1}, ["seconds"])
    ({}, {'seconds': 1})
    """
    if isinstance(latency, (bool, np.bool_)):
        return {} if latency else None
    if not isinstance(latency, Mapping) or set(latency) - set(accepted):
        raise ValueError(
            f"latency must be True, False or a dict of some of {list(accepted)}, got {latency!r}"
        )
    return dict(latency)


def checked_sizes(batch_sizes: Any) -> list[int]:
    """Return batch sizes as a list, each once, or raise ValueError."""
    sizes = _listed(batch_sizes, "batch_sizes", "an integer >= 1 or several")
    for size in sizes:
        check_count("batch_sizes", size, " or several")
    return list(dict.fromkeys(map(int, sizes)))


def checked_threads(threads: Any) -> list[int]:
    """Return numbers of threads as a list, each once, or raise ValueError."""
    accepted = ", 'all' or several of these"
    listed = _listed(threads, "threads", f"an integer >= 1{accepted}")
    for n in listed:
        if not isinstance(n, str) or n != "all":
            check_count("threads", n, accepted)
    numbers = [joblib.cpu_count(only_physical_cores=True) if n == "all" else n for n in listed]
    return list(dict.fromkeys(map(int, numbers)))


def _listed(values: Any, name: str, accepted: str) -> list[Any]:
    is_several = isinstance(values, Iterable) and not isinstance(values, (str, Mapping))
    listed = list(values) if is_several else [values]
    if not listed:
        raise ValueError(f"{name} must be {accepted}, got none")
    return listed


@contextlib.contextmanager
def threads_set_to(n: int) -> Iterator[None]:
    """Run with this many threads of torch, OpenMP and BLAS, and restore the settings afterwards."""
    before = torch.get_num_threads()
    try:
        with threadpool_limits(limits=n):
            torch.set_num_threads(n)
            yield
    finally:
        torch.set_num_threads(before)
