"""Fill a net without values from a compact file, with sparse layers as CSR matrices."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sk_prunefair.export._archive import Archive
from sk_prunefair.export._header import Header
from sk_prunefair.export._sparse_attention import ProjectedAttention, is_projected
from sk_prunefair.export._sparse_copy import replace, sparse_layers
from sk_prunefair.export._sparse_forms import is_conv1d, is_even
from sk_prunefair.export._sparse_read import has_few, read_csr, row_parts
from sk_prunefair.export._tensors import check_tensors, check_values, read_tensor
from sk_prunefair.export.sparse_layers import SparseConv2d, SparseLinear
from sk_prunefair.nested import without_cache


def skeleton(target: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose state is on the meta device.

    Buffers outside the state dict keep their values, as no file has them.

    Parameters
    ----------
    target : torch.nn.Module
        The net; not changed. It may be on the meta device.
    """
    memo: dict[int, Any] = {}
    for part in target.modules():
        for parameter in part.parameters(recurse=False):
            memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
        for name, buffer in part.named_buffers(recurse=False):
            if name not in part._non_persistent_buffers_set:
                memo[id(buffer)] = buffer.to("meta")
    return without_cache(copy.deepcopy(target, memo).eval())


def fill(net: nn.Module, archive: Archive, header: Header) -> nn.Module:
    """Set the values of a skeleton from a file.

    Parameters
    ----------
    net : torch.nn.Module
        A net from `skeleton`, without the channels that the file lacks; it is changed.
    archive : Archive
        The file.
    header : Header
        Its header.

    Returns
    -------
    torch.nn.Module
        The net, with sparse layers in place of those that have few weights.

    Raises
    ------
    ValueError
        If the file does not fit the net or is damaged, or the net has tensors on the meta device
        that are not in the file.
    """
    check_tensors(header.tensors, net.state_dict())
    layers = dict(_sparse_in(net, header))
    paths = {id(part): name for name, part in layers.items()}
    skipped = {
        f"{name}.{key}" if name else key
        for name, part in net.named_modules(remove_duplicate=False)
        if id(part) in paths
        for key in ("weight", "in_proj_weight")
    }
    tensors = {
        name: read_tensor(archive, "", name, header.tensors[name], tensor.dtype).tensor
        for name, tensor in net.state_dict().items()
        if name not in skipped
    }
    check_values(tensors, net, "the file is damaged", nan_in_buffers=header.classes is None)
    net.load_state_dict(tensors, strict=False, assign=True)
    new = {id(part): _sparse_layer(name, part, archive, header) for name, part in layers.items()}
    net = replace(net.requires_grad_(False), new)
    _check_filled(net)
    return net


def _sparse_in(net: nn.Module, header: Header) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a net that become sparse, by name."""
    for name, part in net.named_modules():
        if is_projected(part) and _is_few(header, name, "in_proj_weight"):
            yield name, part
    for name, part in sparse_layers(net):
        if _is_few(header, name, "weight") and _is_plain(part):
            yield name, part


def _is_plain(part: nn.Module) -> bool:
    """Tell whether a layer has no groups, and a padding that sparse layers support."""
    return not isinstance(part, nn.Conv2d) or (part.groups == 1 and is_even(part))


def _is_few(header: Header, name: str, key: str) -> bool:
    entry = header.tensors.get(f"{name}.{key}" if name else key)
    return entry is not None and has_few(entry)


def _sparse_layer(name: str, part: Any, archive: Archive, header: Header) -> nn.Module:
    def read(key: str) -> torch.Tensor:
        full = f"{name}.{key}" if name else key
        return read_csr(archive, full, header.tensors[full], is_transposed=is_conv1d(part))

    if isinstance(part, nn.Conv2d):
        return SparseConv2d(part, matrix=read("weight"))
    if not isinstance(part, nn.MultiheadAttention):
        return SparseLinear(read("weight"), part.bias)
    made: Any = ProjectedAttention(part)
    bias = part.in_proj_bias
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    for key, matrix, own in zip("qkv", row_parts(read("in_proj_weight"), 3), biases, strict=True):
        setattr(made, f"{key}_proj", SparseLinear(matrix, own))
    return made.eval()


def _check_filled(net: nn.Module) -> None:
    """Raise ValueError if a tensor has no values."""
    empty = [
        f"{name}.{key}" if name else key
        for name, part in net.named_modules()
        for own in (part._parameters, part._buffers, vars(part))
        for key, value in own.items()
        if isinstance(value, torch.Tensor) and value.is_meta
    ]
    if empty:
        raise ValueError(
            f"target has tensors on the meta device that are not in the file: {empty[:5]}; create "
            "only its parameters there, or nothing"
        )
