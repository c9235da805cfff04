"""Functions timed in rounds, turn by turn."""

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
    """Call functions in rounds, each once in a round, the first of a round in turn.

    Parameters
    ----------
    runs : dict of str to callable
        By name.
    n_rounds : int
        Rounds at most.
    n_warm_up : int, default=3
        Rounds at most that come first and do not count.
    seconds : float, default=inf
        After which no round begins, but the first three; after a quarter no round of warm-up does.
    clock : callable, default=time.perf_counter
        What tells the time, in seconds.

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
