"""Time, memory and waits of what runs on a GPU, and how long there is for it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SECONDS = 480.0


@dataclass
class Bench:
    """Where and how large things run, and for how long."""

    device: str
    tiny: bool
    limit: float = SECONDS
    rounds: int = 5
    start: float = field(default_factory=time.perf_counter)
    longest: dict[str, float] = field(default_factory=dict)

    @property
    def is_cuda(self) -> bool:
        """Whether this is a CUDA card."""
        return self.device == "cuda"

    @property
    def card(self) -> str:
        """What it runs on."""
        return torch.cuda.get_device_name() if self.is_cuda else "CPU"

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    def allows(self, part: str) -> bool:
        """Tell whether another cell like those of a part would end in time."""
        # Beyond the longest so far: the next may be of a larger batch.
        return self.elapsed + 1.5 * self.longest.get(part, 20.0) < self.limit

    def wait(self) -> None:
        """Wait until the device has done all it was given."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Return the time on the wall from an idle device to an idle device."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def device_seconds(self, work: Callable[[], Any], n_calls: int) -> float:
        """Return the time of one of several calls, by the device's own clock."""
        if not self.is_cuda:
            return self.seconds(lambda: [work() for _ in range(n_calls)]) / n_calls
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(n_calls):
            work()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000 / n_calls

    def megabytes(self, work: Callable[[], Any]) -> float:
        """Return what was taken of the device's memory beyond what was; NaN on a CPU."""
        if not self.is_cuda:
            work()
            return float("nan")
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6

    def placed(self, make: Callable[[], Any]) -> tuple[Any, float]:
        """Return what is made, and the megabytes of the device that it stays on."""
        if not self.is_cuda:
            return make(), float("nan")
        before = torch.cuda.memory_allocated()
        made = make()
        return made, (torch.cuda.memory_allocated() - before) / 1e6

    def waits(self, work: Callable[[], Any]) -> int:
        """Return how often the host waited for the device."""
        if not self.is_cuda:
            with CountReads() as counted:
                work()
            return counted.n
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchronizing CUDA operation" in str(each.message) for each in told)


class CountReads(TorchDispatchMode):
    """Count the numbers that are read from tensors: what would wait for a card."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += func._schema.name == "aten::_local_scalar_dense"
        return func(*args, **(kwargs or {}))
