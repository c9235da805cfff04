"""Copy a net with plain parameters, record the inputs of its layers, and replace layers."""

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
        The net; not changed.
    """
    # Computed weights, such as those of torch's masks, are not leaves, which deepcopy rejects.
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
            _separate_class(part)
            for name in list(part.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(part, name, leave_parametrized=True)
    return without_cache(made.requires_grad_(False))


def _separate_class(part: nn.Module) -> None:
    """Separate the class of a copy from its original's: torch removes parametrizations by class."""
    kind = type(part)
    own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    part.__class__ = type(kind.__name__, kind.__bases__, own)


def sparse_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that have other forms, by name, each once.

    Layers with hooks are left out, as those run other code; so are subclasses of layers.
    """
    for name, part in module.named_modules():
        if not has_hooks(part) and (type(part) in (nn.Linear, nn.Conv2d) or is_conv1d(part)):
            yield name, part


def has_hooks(part: nn.Module) -> bool:
    """Tell whether a module has hooks."""
    return bool(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part))


@torch.no_grad()
def inputs_of(
    module: nn.Module, X: Any, layers: Iterable[tuple[str, nn.Module]] | None = None
) -> tuple[dict[str, tuple[torch.Tensor, int]], Any]:
    """Run a net once, and record the inputs of its layers.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    X : object
        Its input.
    layers : iterable of tuple of (str, torch.nn.Module), default=None
        Layers whose inputs are kept; None means `sparse_layers`.

    Returns
    -------
    inputs : dict of str to tuple of (torch.Tensor, int)
        First input of each layer, and the number of its rows, or of pixels of its output. A layer
        that did not run, as in `torch.nn.MultiheadAttention`, is left out.
    output : object
        Output of the net.
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
        with attention_as_modules():
            output = run(module, X)
    finally:
        for handle in handles:
            handle.remove()
    return found, output


@contextmanager
def attention_as_modules() -> Iterator[None]:
    """Run torch's encoder layers as modules, not as one operation that reads their weights."""
    is_fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


def replace(module: nn.Module, new: Mapping[int, nn.Module]) -> nn.Module:
    """Replace modules, given by id, wherever they occur.

    Parameters
    ----------
    module : torch.nn.Module
        The net; changed, and returned unless it is replaced itself.
    new : mapping of int to torch.nn.Module
        Replacements by id of the replaced module.
    """
    for part in list(module.modules()):
        for name, child in part._modules.items():
            if id(child) in new:
                part._modules[name] = new[id(child)]
    made = new.get(id(module), module)
    disable_weight_reads(made, new.values())
    return made


def with_layers(module: nn.Module, new: dict[str, nn.Module]) -> nn.Module:
    """Return a copy with some layers replaced, wherever they occur.

    Parameters
    ----------
    module : torch.nn.Module
        The net; not changed.
    new : dict of str to torch.nn.Module
        Replacements by name of the replaced layer.
    """
    made = copy.deepcopy(module, {id(module.get_submodule(name)): new[name] for name in new})
    disable_weight_reads(made, new.values())
    return made


def disable_weight_reads(module: nn.Module, layers: Iterable[nn.Module]) -> None:
    """Disable the code in torch's encoders that reads the weights of these layers."""
    ours = {id(layer) for layer in layers}
    for part in module.modules():
        # These read the weights of their layers for a fused operation, in which they are dense.
        if isinstance(part, nn.TransformerEncoder) and any(id(p) in ours for p in part.modules()):
            part.use_nested_tensor = False
        if isinstance(part, nn.TransformerEncoderLayer) and any(
            id(p) in ours for p in part.children()
        ):
            part.activation_relu_or_gelu = 0
