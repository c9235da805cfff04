"""Run nets over data: what they do on each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from skorch.utils import to_device
from torch import nn

from sk_prunefair.losses import first_output
from sk_prunefair.outcome import Outcome
from sk_prunefair.outputs import check_scores

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet


def run_nets(net: CoreNet, data: GroupDataset, *modules: nn.Module) -> list[Outcome]:
    """Run nets over labelled data, all of them on each batch as it comes.

    Each item is read once, so that random augmentation is the same for all nets.

    Parameters
    ----------
    net : CoreNet
        Whose ``infer`` and criterion are used.
    data : GroupDataset
        With encoded labels.
    *modules : torch.nn.Module
        Such as the dense and the pruned net.

    Returns
    -------
    list of Outcome
        One for each net.
    """
    net.check_training_readiness()
    net.enforce()
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        found = _run(net, data, modules)
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)
    return [
        Outcome(
            torch.cat([losses for losses, _ in parts]).double().numpy(),
            torch.cat([labels for _, labels in parts]).numpy(),
            data.y,
        )
        for parts in found
    ]


@torch.no_grad()
def _run(
    net: CoreNet, data: GroupDataset, modules: tuple[nn.Module, ...]
) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    views = [net.with_module(module) for module in modules]
    found: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in modules]
    for X, y in net.get_iterator(data, training=False):
        for view, parts in zip(views, found, strict=True):
            scores = first_output(view.infer(X))
            check_scores(net, scores, len(y))
            losses = view.sample_losses(scores, y)
            parts.append((to_device(losses, "cpu"), to_device(scores.argmax(1), "cpu")))
    return found
