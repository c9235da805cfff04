"""The processes (ranks) that train one net together."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed, nn


class Ranks:
    """A single process; `ProcessRanks` are several.

    Code that communicates with other processes uses its net's ``ranks``. This class is the case of
    one process: sums are unchanged, and the process is the main rank.

    Attributes
    ----------
    index, count : int
        Number of this process, from 0, and number of processes.

    Examples
    --------
    >>> ALONE.sum(torch.tensor([1.0])), ALONE.is_main, ALONE.part(3)
    (tensor([1.]), True, slice(0, 3, None))
    """

    index = 0
    count = 1
    batches = 1
    """Number of rows in a batch of all ranks, in multiples of ``batch_size``."""
    order: torch.Generator | None = None
    """Generator of the row order of several ranks, in the current training."""

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files."""
        return self.index == 0

    def part(self, n_rows: int) -> slice:
        """Return this rank's rows of a batch; every row belongs to one rank."""
        first, last = (n_rows * (self.index + k) // self.count for k in (0, 1))
        return slice(first, last)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over the ranks, bitwise equal on each; outside the graph."""
        return values.detach()

    def concatenate(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows of all ranks, those of rank 0 first; outside the graph."""
        return rows.detach()

    def main(self, value: Any) -> Any:
        """Return the main rank's value, any object that can be pickled."""
        return value

    def align(self, module: Any) -> None:
        """Set the parameters and buffers of a module to those of the main rank, in place."""

    def average(self, tensors: list[torch.Tensor]) -> None:
        """Replace tensors by their means over the ranks, in place."""

    def wait(self) -> None:
        """Wait until all ranks have called this."""


ALONE = Ranks()


def writes_files(source: Any) -> bool:
    """Tell whether this process writes the files of a net; of several, one does."""
    return getattr(source, "ranks", ALONE).is_main


class ProcessRanks(Ranks):
    """The ranks of a process group of `torch.distributed`.

    Every method except `part` must be called by all ranks, in the same order.

    Parameters
    ----------
    device : torch.device or str
        Device of the communication: "cpu" for gloo, the rank's own GPU for NCCL.
    batches : int
        Number of rows in a batch of all ranks, in multiples of ``batch_size``.
    """

    def __init__(self, device: Any, batches: int) -> None:
        self.index = distributed.get_rank()
        self.count = distributed.get_world_size()
        self.device = torch.device(device)
        self.batches = batches

    def sum(self, values: torch.Tensor) -> torch.Tensor:  # noqa: D102 (the base says it)
        total = values.detach().to(self.device, copy=True).contiguous()
        distributed.all_reduce(total)
        return total.to(values.device)

    def concatenate(self, rows: torch.Tensor) -> torch.Tensor:  # noqa: D102
        lengths = torch.zeros(self.count, dtype=torch.int64)
        lengths[self.index] = len(rows)
        lengths = self.sum(lengths)
        padded = torch.zeros(int(lengths.max()), *rows.shape[1:], dtype=rows.dtype)
        padded = padded.to(self.device)
        padded[: len(rows)] = rows.detach()
        found = [torch.empty_like(padded) for _ in range(self.count)]
        distributed.all_gather(found, padded)
        kept = [part[:n] for part, n in zip(found, lengths.tolist(), strict=True)]
        return torch.cat(kept).to(rows.device)

    def main(self, value: Any) -> Any:  # noqa: D102
        held = [value if self.is_main else None]
        distributed.broadcast_object_list(held, src=0, device=self.device)
        return held[0]

    @torch.no_grad()
    def align(self, module: Any) -> None:  # noqa: D102
        if not isinstance(module, nn.Module):
            return
        for tensor in [*module.parameters(), *module.buffers()]:
            here = tensor.detach().to(self.device).contiguous()
            distributed.broadcast(here, src=0)
            tensor.copy_(here)

    @torch.no_grad()
    def average(self, tensors: list[torch.Tensor]) -> None:  # noqa: D102
        for tensor in tensors:
            tensor.copy_(self.sum(tensor) / self.count)

    def wait(self) -> None:  # noqa: D102
        distributed.barrier()
