"""A copy of a net that torch-pruning can trace."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from sk_prunefair.nested import map_tensors, without_cache
from sk_prunefair.pruning._resize import is_conv1d
from sk_prunefair.pruning.heads import attentions


def stand_in(net: nn.Module) -> nn.Module:
    """Return a copy that torch-pruning can trace, with layers of the same names.

    Its cache is disabled, Conv1D layers are linear layers, and known attentions are not traced.
    """
    copied = without_cache(copy.deepcopy(net))
    _replace_conv1d(copied)
    for attention in attentions(copied):
        copied.get_submodule(attention.output).register_forward_pre_hook(_detached)
    return copied


def _detached(layer: nn.Module, args: tuple[Any, ...]) -> Any:
    return map_tensors(torch.Tensor.detach, args)


def _replace_conv1d(net: nn.Module) -> None:
    done: dict[nn.Module, nn.Module] = {}
    for parent in net.modules():
        for name, layer in parent._modules.items():
            if layer is not None and is_conv1d(layer):
                parent._modules[name] = done.setdefault(layer, _as_linear(layer))


def _as_linear(layer: Any) -> nn.Linear:
    n_inputs, n_outputs = layer.weight.shape
    linear = nn.Linear(n_inputs, n_outputs, device="meta")
    linear.weight, linear.bias = nn.Parameter(layer.weight.detach().T), layer.bias
    return linear
