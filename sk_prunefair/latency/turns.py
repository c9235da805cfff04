"""Time functions by alternating calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

Clock = Callable[[], float]
_LEAST_ROUNDS = 3


def take_turns(
    runs: Mapping[str, Callable[[], Any]],
    n_rounds: int,
    *,
    n_warm_up: int = 3,
    seconds: float = np.inf,
    clock: Clock = time.perf_counter,
) -> dict[str, list[float]]:
    """Call functions in rounds, each once per round, with another first function in each round.

    Parameters
    ----------
    runs : dict of str to callable
        By name.
    n_rounds : int
        Largest number of rounds.
    n_warm_up : int, default=3
        Largest number of untimed rounds before them.
    seconds : float, default=inf
        Time after which no round begins, except the first three; warm-up ends after a quarter of
        it.
    clock : callable, default=time.perf_counter
        Function that returns the time in seconds.

    Returns
    -------
    dict of str to list of float
        The seconds of each round.
    """
    names = list(runs)
    taken: dict[str, list[float]] = {name: [] for name in names}
    if not names:
        return taken
    start = clock()
    for _ in range(n_warm_up):
        if clock() - start >= seconds / 4:
            break
        for name in names:
            runs[name]()
    for turn in range(n_rounds):
        if turn >= _LEAST_ROUNDS and clock() - start >= seconds:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            _synchronize()
            before = clock()
            runs[name]()
            _synchronize()
            taken[name].append(clock() - before)
    return taken


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
