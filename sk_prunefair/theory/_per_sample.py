"""Squared norms of the gradients of single samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sk_prunefair.autodiff import EachSample
from sk_prunefair.nested import map_tensors, split
from sk_prunefair.theory.grouped import CHUNK_BYTES, GroupedNet

Output = Callable[[torch.Tensor], torch.Tensor]


def squared_gradient_norms(net: GroupedNet, X: torch.Tensor, output: Output) -> torch.Tensor:
    r"""Return :math:`\|\nabla_\theta h(x)\|^2` for each sample, with h a function of its scores.

    The gradient of a weight matrix is δ aᵀ for one sample, with a the input of the layer and δ
    the derivative by its output: its squared norm is ‖δ‖²‖a‖², and that of the bias ‖δ‖². So
    for nets whose parameters are all in Linear layers one backward pass over the batch is enough.
    Others use ``vmap``, a few samples at a time, as it computes a separate gradient for each.

    Parameters
    ----------
    net : GroupedNet
        The net.
    X : torch.Tensor of shape (n_samples, ...)
        Features.
    output : callable
        Function of scores of shape (n, n_scores) that returns numbers of shape (n,).

    Returns
    -------
    torch.Tensor of shape (n_samples,)
        Squared norms.
    """
    layers = _linear_layers(net.module, set(net.parameters))
    if layers is not None:
        found = _closed_form(net, layers, X, output)
        if found is not None:
            return found
    return _by_vmap(net, X, output)


def _linear_layers(module: nn.Module, trained: set[str]) -> list[nn.Linear] | None:
    """Return the Linear layers if they hold all parameters, each once; else None."""
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    held = [value for layer in layers for value in layer.parameters()]
    own = dict(module.named_parameters())
    is_all = {id(value) for value in held} == {id(value) for value in own.values()}
    is_once = len(held) == len(own)
    return layers if is_all and is_once and trained == set(own) else None


def _closed_form(
    net: GroupedNet, layers: list[nn.Linear], X: torch.Tensor, output: Output
) -> torch.Tensor | None:
    seen: dict[nn.Linear, tuple[torch.Tensor, torch.Tensor]] = {}
    calls = 0

    def keep(layer: nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        nonlocal calls
        calls += 1
        assert isinstance(layer, nn.Linear)
        seen[layer] = (given[0], out)

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        total = output(net.scores(X)).sum()
    finally:
        for hook in hooks:
            hook.remove()
    # In a layer used twice, or on sequences, the gradient is a sum of such products.
    if calls != len(layers) or any(out.ndim != 2 for _, out in seen.values()):
        return None
    outs = [out for _, out in seen.values()]
    squares = torch.zeros_like(outs[0][:, 0])
    deltas = torch.autograd.grad(total, outs)
    for (layer, (given, _)), delta in zip(seen.items(), deltas, strict=True):
        inner = given.detach().square().sum(1) + (layer.bias is not None)
        squares += delta.square().sum(1) * inner
    return squares


def _by_vmap(net: GroupedNet, X: torch.Tensor, output: Output) -> torch.Tensor:
    parameters = {name: value.detach() for name, value in net.parameters.items()}

    def one(given: dict[str, torch.Tensor], x: Any) -> torch.Tensor:
        return output(net.scores(map_tensors(lambda tensor: tensor[None], x), given))[0]

    gradients = EachSample(torch.func.grad(one))
    bytes_each = net.n_parameters * next(iter(parameters.values())).element_size()
    n_each = max(1, math.floor(CHUNK_BYTES / 4 / bytes_each))
    return torch.cat(
        [
            sum(part.flatten(1).square().sum(1) for part in gradients(parameters, chunk).values())
            for chunk in split(X, n_each)
        ]
    )
