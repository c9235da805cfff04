"""Random numbers that depend on a seed alone, under threads as well."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


class _Turns:
    """Torch's generator is one for all threads of a process: who seeds it has it alone."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def reset(self) -> None:
        # A forked process has none of the threads that might hold the lock.
        self.lock = threading.RLock()


_TURNS = _Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.reset)


@contextlib.contextmanager
def seeded(seed: int | None, step: int, device: Any = "cpu") -> Iterator[None]:
    """Draw from torch's generator as the seed and the step say, and put it back afterwards.

    Threads take turns, so that each gets what it would get alone. Those without a seed do so, too:
    in between they would draw from the generator that another has seeded.

    Parameters
    ----------
    seed : int or None
        None leaves the generator alone: what is inside draws from it as it is.
    step : int
        Part of the seed, so that one training after another does not draw the same.
    device : str or torch.device, default="cpu"
        Whose generators are put back afterwards; those of all CUDA devices for one of them.

    Examples
    --------
    >>> with seeded(0, 1):
    ...     first = torch.rand(1)
    >>> with seeded(0, 1):
    ...     second = torch.rand(1)
    >>> bool(first == second)
    True
    """
    if seed is None:
        with _TURNS.lock:
            yield
        return
    is_cuda = device is not None and torch.device(device).type == "cuda"
    devices = range(torch.cuda.device_count()) if is_cuda else []
    with _TURNS.lock, torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
        yield
