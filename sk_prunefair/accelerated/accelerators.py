"""Checks of an `accelerate.Accelerator`, and the objects it prepares."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.ranks import ALONE, ProcessRanks, Ranks


class Shell(nn.Module):
    """A module around the net that accelerate wraps, so that the net itself stays unwrapped.

    Masks, copies, files and reports then have the names and the type of the user's module.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the net."""
        return self.net(*args, **kwargs)


def place(accelerator: Any) -> torch.device:
    """Return the accelerator's device, as files of tensors do not support "cpu:0"."""
    check_accelerator(accelerator)
    device = torch.device(accelerator.device)
    return torch.device("cpu") if device.type == "cpu" else device


def check_accelerator(accelerator: Any) -> None:
    """Raise TypeError unless the object is an accelerator made in this process."""
    if isinstance(accelerator, type) or not hasattr(accelerator, "distributed_type"):
        raise TypeError(
            "accelerator must be an accelerate.Accelerator, made in this process, got "
            f"{accelerator!r}"
        )


def ranks_of(accelerator: Any) -> Ranks:
    """Return the processes of an accelerator, or raise ValueError where it splits the net."""
    check_accelerator(accelerator)
    kind = accelerator.distributed_type.name
    if kind != "NO" and not kind.startswith("MULTI_"):
        raise ValueError(
            "accelerator must keep the whole net on each process (MULTI_CPU or MULTI_GPU), as "
            f"masks cover whole tensors; got {kind}"
        )
    if accelerator.num_processes == 1:
        return ALONE
    splits = getattr(accelerator, "split_batches", False)
    return ProcessRanks(place(accelerator), 1 if splits else accelerator.num_processes)


def check_same_data(ranks: Ranks, data: GroupDataset) -> None:
    """Raise ValueError on all ranks unless all hold the same rows."""
    if ranks.count == 1:
        return
    place = torch.arange(1, len(data) + 1, dtype=torch.int64)
    sums = [(place * column[data.rows]).sum() for column in (data.targets, data.group)]
    seen = ranks.concatenate(torch.stack([torch.tensor(len(data)), *sums])[None])
    if (seen != seen[0]).any():
        raise ValueError(
            "X, y and sensitive_features must be the same full data on every process, which takes "
            f"its part of each batch; got {seen[:, 0].tolist()} rows, or labels or groups that "
            "differ between processes"
        )


def release(accelerator: Any, prepared: list[Any]) -> None:
    """Remove prepared objects from an accelerator's lists."""
    for name in ("_models", "_optimizers"):
        kept = getattr(accelerator, name, [])
        kept[:] = [each for each in kept if not any(each is part for part in prepared)]
