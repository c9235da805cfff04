"""A copy of a net whose weights are plain parameters, and what its layers are given."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from sk_prunefair.export._sparse_forms import is_conv1d
from sk_prunefair.export.sparse_layers import SparseConv2d
from sk_prunefair.nested import run, without_cache


def plain_copy(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode: masks and parametrizations applied, no gradients.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
    """
    # Weights that are computed, such as those of torch's masks, are no leaves: deepcopy refuses.
    memo: dict[int, Any] = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    made = copy.deepcopy(module, memo).eval().requires_grad_(False)
    for part in list(made.modules()):
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(part, hook._tensor_name)
        if parametrize.is_parametrized(part):
            _own_class(part)
            for name in list(part.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(part, name, leave_parametrized=True)
    return without_cache(made.requires_grad_(False))


def _own_class(part: nn.Module) -> None:
    """Part a copy from its original: torch removes parametrizations from the class of both."""
    kind = type(part)
    own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    part.__class__ = type(kind.__name__, kind.__bases__, own)


def sparse_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that have other forms, by name, each once.

    Layers with hooks are left out, as code of others runs there; so is what derives from a layer.
    """
    for name, part in module.named_modules():
        if not has_hooks(part) and (type(part) in (nn.Linear, nn.Conv2d) or is_conv1d(part)):
            yield name, part


def has_hooks(part: nn.Module) -> bool:
    """Whether code of others runs where a module does."""
    return bool(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part))


@torch.no_grad()
def inputs_of(
    module: nn.Module, X: Any, layers: Iterable[tuple[str, nn.Module]] | None = None
) -> tuple[dict[str, tuple[torch.Tensor, int]], Any]:
    """Run a net once.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    X : object
        Its input.
    layers : iterable of tuple of (str, torch.nn.Module), default=None
        Of which inputs are kept; None is `sparse_layers`.

    Returns
    -------
    inputs : dict of str to tuple of (torch.Tensor, int)
        By layer what it was given first, and its rows, or pixels of its output. A layer that did
        not run, as those of `torch.nn.MultiheadAttention`, is not there.
    output : object
        Of the net.
    """
    found: dict[str, tuple[torch.Tensor, int]] = {}
    handles = []
    for name, layer in sparse_layers(module) if layers is None else layers:

        def keep(layer: nn.Module, args: Any, given: Any, made: Any, name: str = name) -> None:
            tensor = args[0] if args else next(iter(given.values()))
            if name not in found and made.numel():
                channels = made.shape[-3 if isinstance(layer, (nn.Conv2d, SparseConv2d)) else -1]
                found[name] = tensor.detach().clone(), made.numel() // channels

        handles.append(layer.register_forward_hook(keep, with_kwargs=True))
    try:
        with slow_attention():
            output = run(module, X)
    finally:
        for handle in handles:
            handle.remove()
    return found, output


@contextmanager
def slow_attention() -> Iterator[None]:
    """Run torch's encoder layers as modules, not as one operation that reads their weights."""
    is_fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


def replace(module: nn.Module, new: Mapping[int, nn.Module]) -> nn.Module:
    """Put modules in the place of others, by the id of these, wherever these stand.

    Parameters
    ----------
    module : torch.nn.Module
        Changed, and returned unless it is replaced itself.
    new : mapping of int to torch.nn.Module
        By id of what they replace.
    """
    for part in list(module.modules()):
        for name, child in part._modules.items():
            if id(child) in new:
                part._modules[name] = new[id(child)]
    made = new.get(id(module), module)
    read_no_weights(made, new.values())
    return made


def with_layers(module: nn.Module, new: dict[str, nn.Module]) -> nn.Module:
    """Return a copy with other layers in the place of some, wherever these stand.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
    new : dict of str to torch.nn.Module
        By name of what they replace.
    """
    made = copy.deepcopy(module, {id(module.get_submodule(name)): new[name] for name in new})
    read_no_weights(made, new.values())
    return made


def read_no_weights(module: nn.Module, layers: Iterable[nn.Module]) -> None:
    """Keep torch's encoders from reading the weights of these layers."""
    ours = {id(layer) for layer in layers}
    for part in module.modules():
        # These read the weights of their layers for a fast path, where they would run dense.
        if isinstance(part, nn.TransformerEncoder) and any(id(p) in ours for p in part.modules()):
            part.use_nested_tensor = False
        if isinstance(part, nn.TransformerEncoderLayer) and any(
            id(p) in ours for p in part.children()
        ):
            part.activation_relu_or_gelu = 0
