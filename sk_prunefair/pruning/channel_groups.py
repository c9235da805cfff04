"""Groups of channels that can be removed only together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from sk_prunefair.nested import run
from sk_prunefair.pruning._resize import is_conv1d
from sk_prunefair.pruning._stand_in import stand_in
from sk_prunefair.pruning.heads import Attention, attentions, has_attention, in_and_out


@dataclass(frozen=True)
class Part:
    """The positions of a group's channels in one dimension of one tensor."""

    name: str
    dim: int
    indices: torch.Tensor  # of that dimension
    channels: torch.Tensor  # of the group, one for each index


@dataclass(frozen=True)
class ChannelGroup:
    """Channels 0 … size − 1, each of which is removed from several tensors at once."""

    size: int
    parts: list[Part]


def traced_groups(net: nn.Module, example: Any) -> list[ChannelGroup]:
    """Return the groups of channels whose removal keeps the shape of all outputs.

    Parameters
    ----------
    net : torch.nn.Module
        Net in evaluation mode, with parameters that require gradients: the graph is autograd's.
    example : torch.Tensor of shape (1, ...), or dict of str to such
        One sample.

    Returns
    -------
    list of ChannelGroup
        Without groups in layers whose channels cannot be removed and, for a net with
        attention, without the width of its layers; see `head_groups` for the heads.

    Raises
    ------
    ImportError
        If the package torch-pruning (the extra ``channels``) is not installed.
    RuntimeError
        If torch-pruning cannot trace the net.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> [group] = traced_groups(net, torch.zeros(1, 2))
    >>> group.size, [(part.name, part.dim) for part in group.parts]
    (3, [('0.weight', 0), ('0.bias', 0), ('2.weight', 1)])
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise ImportError(
            "ChannelPruner needs torch-pruning: install the extra, "
            "pip install 'sk-prunefair[channels]'"
        ) from error
    traced_net, graph = stand_in(net), torch_pruning.DependencyGraph()
    try:
        graph.build_dependency(
            traced_net,
            example,
            forward_fn=run,
            output_transform=lambda out: [t for t in output_tensors(out) if t.requires_grad],
            verbose=False,
        )
        traced = list(graph.get_all_groups())
    except Exception as error:
        raise RuntimeError(f"torch-pruning cannot trace the net: {error!r}") from error
    names = {layer: name for name, layer in traced_net.named_modules()}
    layers, whole = dict(net.named_modules()), _tied(net) | _width(net)
    groups = []
    for items in traced:
        parts = [_parts(graph, item, names, layers, whole) for item in items]
        if None not in parts:
            flat = [part for some in parts if some is not None for part in some]
            groups.append(ChannelGroup(len(items[0].idxs), flat))
    return groups


def head_groups(net: nn.Module) -> list[ChannelGroup]:
    """Return a group for each known attention, with its heads as channels.

    A head consists of its rows in the query, key and value layers, and its inputs in the layer
    that follows.

    Parameters
    ----------
    net : torch.nn.Module
        Any net; it is not run.

    Returns
    -------
    list of ChannelGroup
        Without attentions whose heads share keys and values, or whose layers share weights with
        others, or have weights that are computed.

    Examples
    --------
    >>> net = nn.ModuleDict({name: nn.Linear(6, 6) for name in ("q_lin", "k_lin", "v_lin")})
    >>> net["out_lin"], net.attention_head_size = nn.Linear(6, 6), 2
    >>> [group] = head_groups(net)
    >>> group.size, group.parts[0].name, group.parts[0].channels
    (3, 'q_lin.weight', tensor([0, 0, 1, 1, 2, 2]))
    """
    layers, tied, groups = dict(net.named_modules()), _tied(net), []
    for attention in attentions(net):
        names = {*attention.inputs, attention.output}
        if attention.n_heads and names <= layers.keys() and not names & tied:
            parts = _head_parts(layers, attention)
            if {part.name.rpartition(".")[0] for part in parts} == names:
                groups.append(ChannelGroup(attention.n_heads, parts))
    return groups


def _head_parts(layers: Mapping[str, nn.Module], attention: Attention) -> list[Part]:
    """Return the positions of the heads in layers that can be resized."""
    parts = []
    for name in (*attention.inputs, attention.output):
        is_output = name != attention.output
        indices = torch.arange(in_and_out(layers[name])[is_output])
        heads = indices // attention.head_size % attention.n_heads
        dims = _channel_dims(layers[name], is_output) or {}
        parts += [Part(_joined(name, tensor), dim, indices, heads) for tensor, dim in dims.items()]
    return parts


def _parts(
    graph: Any,
    item: Any,
    names: Mapping[nn.Module, str],
    layers: Mapping[str, nn.Module],
    whole: set[str],
) -> list[Part] | None:
    """Return the positions of a group's channels in a layer; None if all must be kept."""
    target = item.dep.target
    is_output = graph.is_out_channel_pruning_fn(item.dep.handler)
    if is_output and not target.outputs:
        return None  # an output of the net
    if target.module not in names:
        return [] if target.type.name in ("ELEMENTWISE", "CONCAT", "RESHAPE") else None
    name = names[target.module]
    dims = _channel_dims(layers[name], is_output)
    if dims is None or name in whole:
        return None
    places = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
    return [Part(_joined(name, tensor), dim, *places) for tensor, dim in dims.items()]


def _joined(layer: str, tensor: str) -> str:
    return f"{layer}.{tensor}" if layer else tensor


def _tied(net: nn.Module) -> set[str]:
    """Return the layers with a parameter that another layer shares."""
    own = {name: list(layer.parameters(recurse=False)) for name, layer in net.named_modules()}
    owners = Counter(id(parameter) for each in own.values() for parameter in each)
    return {name for name, each in own.items() if any(owners[id(p)] > 1 for p in each)}


def _width(net: nn.Module) -> set[str]:
    """Return the layers and norms of the width that attentions read; norms depend on zeros."""
    known = [name for each in attentions(net) for name in (*each.inputs, each.output)]
    kinds = (nn.LayerNorm, nn.Embedding) if has_attention(net) else ()
    return {*known, *(name for name, layer in net.named_modules() if isinstance(layer, kinds))}


def _channel_dims(layer: Any, is_output: bool) -> dict[str, int] | None:
    """Return the dimension of a layer's channels in each tensor; None if they must be kept."""
    dims: dict[str, int] | None = None
    match layer:
        case nn.Linear():
            dims = {"weight": 0, "bias": 0} if is_output else {"weight": 1}
        case _ if is_conv1d(layer):
            dims = {"weight": 1, "bias": 0} if is_output else {"weight": 0}
        case _ConvNd() if layer.groups == 1:
            of_outputs = 1 if layer.transposed else 0
            dims = {"weight": of_outputs, "bias": 0} if is_output else {"weight": 1 - of_outputs}
        case _ConvNd() if layer.groups == layer.in_channels == layer.out_channels:
            dims = {"weight": 0, "bias": 0}
        case _BatchNorm():
            dims = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), 0)
        case nn.LayerNorm() if layer.elementwise_affine and len(layer.normalized_shape) == 1:
            dims = {"weight": 0, "bias": 0}
        case nn.PReLU():
            dims = {"weight": 0} if layer.num_parameters > 1 else {}
        case nn.Embedding():
            dims = {"weight": 1}
    if dims is None:
        return None
    there = {name: dim for name, dim in dims.items() if getattr(layer, name) is not None}
    own = dict(layer.named_parameters(recurse=False)) | dict(layer.named_buffers(recurse=False))
    return there if there.keys() <= own.keys() else None  # else a computed weight


def output_tensors(output: Any) -> list[torch.Tensor]:
    """Return the tensors in a net's output, in order."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if not isinstance(output, (list, tuple)):
        return []
    return [tensor for part in output for tensor in output_tensors(part)]
