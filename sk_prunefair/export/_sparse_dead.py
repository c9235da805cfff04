"""Remove constant and unused channels: rows and columns of zeros."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from sk_prunefair.export._sparse_trace import Trace
from sk_prunefair.pruning.shrink import Kept, shrink_module

# Layer types, by the number of dimensions of their input.
_RANKS: dict[type[nn.Module], int] = {nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5}
_POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d),
)
_FUNCTIONS = {F.relu, F.relu6, F.gelu, F.silu, torch.relu, torch.tanh, torch.sigmoid, F.tanh}
_METHODS = {"relu", "tanh", "sigmoid", "contiguous"}
# These map constants to constants.
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class _Reader:
    """A layer whose input is the output of another layer.

    Parameters
    ----------
    name : str
        Name of the layer.
    layer : torch.nn.Module
        The layer.
    values : torch.Tensor of shape (n_channels,)
        Its input from each channel whose weights are zero.
    """

    name: str
    layer: Any
    values: torch.Tensor

    @property
    def columns(self) -> torch.Tensor:
        """The weight as (n_outputs, n_channels, values per channel)."""
        weight: torch.Tensor = self.layer.weight.detach()
        return weight.reshape(len(weight), len(self.values), -1)

    @property
    def takes_constants(self) -> bool:
        """Whether a constant channel gives a constant output, which zero padding prevents."""
        layer = self.layer
        if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros":
            return True
        return layer.padding == "valid" or (layer.padding != "same" and not any(layer.padding))


def remove_dead(trace: Trace) -> tuple[nn.Module, int]:
    """Return a copy of a net without the channels that are constant or unused.

    A channel of a linear layer or convolution is removed if its row of the weight is zero, or its
    columns in all layers that read it are. A row of zeros outputs its bias: after activations,
    batch norms and pools it is a constant, which is added to the biases of the layers that read it,
    multiplied by their weights. If one of these is a convolution with zero padding, the constant
    must be zero.

    Parameters
    ----------
    trace : Trace
        Trace of the net, which is not changed. Channels are kept if they pass through any other
        operation, such as the sum of a residual net.

    Returns
    -------
    module : torch.nn.Module
        The net itself if there is nothing to remove.
    n_removed : int
        Number of removed channels.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> _ = net[0].weight.data[1].zero_()
    >>> X = torch.ones(4, 2)
    >>> small, n = remove_dead(Trace(net, X))
    >>> small[0].out_features, n, torch.allclose(small(X), net(X))
    (2, 1, True)
    """
    module, n_removed = trace.module, 0
    while True:
        small, n = _remove_once(trace, module)
        if not n:
            return module, n_removed
        # Once a channel is removed, channels that only it reads are unused.
        module, n_removed = small, n_removed + n


def _remove_once(trace: Trace, module: nn.Module) -> tuple[nn.Module, int]:
    made, kept, n_removed = copy.deepcopy(module), Kept(), 0
    for node in trace.graph.nodes:
        layer = _source(trace, node, made)
        if layer is None:
            continue
        norms: list[str] = []
        readers = _readers(trace, node, _constants(layer), made, type(layer), norms)
        if not readers:
            continue
        is_dead = _dead(layer, readers)
        is_dead[0] &= not is_dead.all()  # at least one channel must remain
        if not is_dead.any():
            continue
        n_removed += int(is_dead.sum())
        stays = (~is_dead).nonzero()[:, 0]
        _cut(kept, str(node.target), layer, 0, stays)
        for name in norms:
            _cut(kept, name, made.get_submodule(name), 0, stays)
        for reader in readers:
            _add_constants(reader, is_dead & _is_zero(layer))
            n_each = reader.columns.shape[2] if isinstance(reader.layer, nn.Linear) else 1
            columns = (stays[:, None] * n_each + torch.arange(n_each)).flatten()
            _cut(kept, reader.name, reader.layer, 1, columns)
    return (shrink_module(made, kept) if n_removed else module), n_removed


def _source(trace: Trace, node: fx.Node, made: nn.Module) -> Any:
    """Return the layer of a node whose channels can be removed, as in the copy."""
    layer: Any = trace.layer(node)
    name, kind = str(node.target), type(layer)
    # A convolution also accepts one image, without a batch dimension.
    is_conv = kind in _RANKS and layer.groups == 1 and trace.ranks[name] == _RANKS[kind]
    return made.get_submodule(name) if is_conv or kind is nn.Linear else None


def _is_zero(layer: Any) -> torch.Tensor:
    return ~(layer.weight != 0).flatten(1).any(dim=1)


def _constants(layer: Any) -> torch.Tensor:
    bias = layer.bias
    return layer.weight.new_zeros(len(layer.weight)) if bias is None else bias.detach()


def _dead(layer: Any, readers: list[_Reader]) -> torch.Tensor:
    """Return which channels can be removed."""
    is_unread = torch.stack([~(reader.columns != 0).any(dim=2).any(dim=0) for reader in readers])
    passes = [
        unread | (reader.values == 0) | (reader.values.isfinite() & reader.takes_constants)
        for reader, unread in zip(readers, is_unread, strict=True)
    ]
    return is_unread.all(dim=0) | (_is_zero(layer) & torch.stack(passes).all(dim=0))


def _add_constants(reader: _Reader, is_constant: torch.Tensor) -> None:
    """Add the contribution of constant channels to the bias of a layer that reads them."""
    values = torch.where(is_constant & reader.values.isfinite(), reader.values, 0)
    added = reader.columns.sum(dim=2) @ values
    if added.any():
        bias = nn.Parameter(_constants(reader.layer) + added, requires_grad=False)
        reader.layer.bias = bias


def _cut(kept: Kept, name: str, layer: Any, dim: int, stays: torch.Tensor) -> None:
    """Record the kept indices of a dimension, beside those of the other dimension."""
    tensors = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers())}
    for key, tensor in tensors.items():
        if tensor.ndim <= dim:
            continue
        full = f"{name}.{key}"
        before = list(kept.get(full, (None,) * tensor.ndim))
        before[dim] = stays
        kept[full] = tuple(before)


def _readers(
    trace: Trace,
    node: fx.Node,
    values: torch.Tensor,
    made: nn.Module,
    kind: type[nn.Module],
    norms: list[str],
) -> list[_Reader] | None:
    """Return the layers that read a node, None if anything else does; collect the norms."""
    found: list[_Reader] = []
    for user in node.users:
        layer = trace.layer(user)
        if type(layer) in (nn.Linear, *_RANKS):
            assert layer is not None
            if type(layer) is not kind or (kind in _RANKS and layer.groups != 1):
                return None
            found.append(_Reader(str(user.target), made.get_submodule(str(user.target)), values))
            continue
        if len(node.users) > 1 and _is_in_place(layer, user):
            return None
        if isinstance(layer, _BatchNorm):
            rank = _RANKS.get(kind, 2)
            if layer.running_mean is None or trace.ranks[str(user.target)] != rank:
                return None
            norms.append(str(user.target))
            norm = made.get_submodule(str(user.target))
            after, next_kind = norm(values.view(1, -1, *[1] * (rank - 2))).flatten(), kind
        elif (kind in _RANKS) and _is_flatten(layer, user):
            after, next_kind = values, nn.Linear
        else:
            after, next_kind = _through(layer, user, values, kind), kind
        if after is None:
            return None
        more = _readers(trace, user, after, made, next_kind, norms)
        if more is None:
            return None
        found += more
    return found


def _is_in_place(layer: Any, node: fx.Node) -> bool:
    return getattr(layer, "inplace", False) or node.kwargs.get("inplace", False) is not False


def _is_flatten(layer: Any, node: fx.Node) -> bool:
    """Tell whether a node flattens its input to (n_samples, everything else)."""
    if isinstance(layer, nn.Flatten):
        return (layer.start_dim, layer.end_dim) == (1, -1)
    is_named = (
        node.target == "flatten" if node.op == "call_method" else node.target is torch.flatten
    )
    return is_named and node.args[1:] == (1,) and not node.kwargs


def _through(
    layer: Any, node: fx.Node, values: torch.Tensor, kind: type[nn.Module]
) -> torch.Tensor | None:
    """Return the constants after a node, None if it may mix channels."""
    if isinstance(layer, _POOLS):
        return values if kind in _RANKS and not getattr(layer, "return_indices", False) else None
    if isinstance(layer, nn.AvgPool2d):
        is_mean = layer.divisor_override is None and not _any(layer.padding)
        return values if kind in _RANKS and is_mean else None
    if type(layer) in _POINTWISE:
        return layer(values.clone())
    if len(node.args) != 1 or any(node.kwargs.values()):
        return None
    if node.op == "call_function" and node.target in _FUNCTIONS:
        return node.target(values.clone())
    if node.op == "call_method" and node.target in _METHODS:
        return getattr(values.clone(), str(node.target))()
    return None


def _any(padding: Any) -> bool:
    return any(padding) if isinstance(padding, tuple) else bool(padding)
