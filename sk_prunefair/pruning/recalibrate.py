"""Recompute batch norm's running averages for a net whose weights were removed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sk_prunefair.bound import Infer
from sk_prunefair.nested import run


@torch.no_grad()
def recalibrate_batch_norm(module: nn.Module, batches: Iterable[Any], infer: Infer = run) -> None:
    """Replace the running mean and variance of every batch norm by those over the given data.

    Removing weights shifts the input of a batch norm, while its averages are still those of the
    dense net. All batches have the same weight, so they should have one size; no labels are needed,
    and nothing else of the net changes.

    Parameters
    ----------
    module : torch.nn.Module
        The net; its batch norms' buffers are changed in place.
    batches : iterable of torch.Tensor of shape (batch_size, ...)
        Features, or dicts of them, on the device of the net; two samples or more each.
    infer : callable, default=run
        Function of a module and a batch; by default ``module(X)``, or ``module(**X)`` for a dict.

    Raises
    ------
    ValueError
        If there are no batches; the net is as it was.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.BatchNorm1d(1)
    >>> recalibrate_batch_norm(net, [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])])
    >>> net.running_mean
    tensor([4.])
    """
    norms = [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.track_running_stats
    ]
    if not norms:
        return
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        raise ValueError("batches must hold two samples or more to measure on, got none")
    modes = {part: part.training for part in module.modules()}
    momenta = [norm.momentum for norm in norms]
    module.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
            norm.train()
        for X in itertools.chain([first], batches):
            infer(module, X)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for part, training in modes.items():
            part.training = training
