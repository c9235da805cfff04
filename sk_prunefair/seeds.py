"""Random numbers that depend only on a seed, also with several threads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


class _GeneratorLock:
    """A lock on torch's generator, which is shared by all threads of a process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def reset(self) -> None:
        # Threads do not survive a fork, so the lock is free in the new process.
        self.lock = threading.RLock()


_TURNS = _GeneratorLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.reset)


@contextlib.contextmanager
def seeded(seed: int | None, step: int, device: Any = "cpu") -> Iterator[None]:
    """Seed torch's generator by the seed and the step, and restore its state afterwards.

    Threads run one after the other, so that each draws the same numbers as alone. Those without a
    seed wait, too: otherwise they would draw from a generator that another thread has seeded.

    Parameters
    ----------
    seed : int or None
        None keeps the state of the generator.
    step : int
        Part of the seed, so that successive trainings draw different numbers.
    device : str or torch.device, default="cpu"
        Device whose generator is restored afterwards; for a CUDA device, those of all CUDA devices.

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
