"""Set the size attributes of a layer to the shapes of its tensors after pruning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd


def resize(name: str, layer: nn.Module) -> None:
    """Set the size attributes of a layer to the shapes of its tensors."""
    set_sizes = next((each for kind, each in _RESIZERS.items() if isinstance(layer, kind)), None)
    if is_conv1d(layer):
        set_sizes = _conv1d
    if set_sizes is None:
        raise ValueError(
            f"kept removes parts of {name!r}, but layers of type {type(layer).__name__} cannot be "
            "resized"
        )
    vectors = {key: len(value) for key, value in layer.state_dict().items() if value.ndim == 1}
    n_channels = set_sizes(name, layer)
    if any(length != n_channels for length in vectors.values()):
        raise ValueError(
            f"kept leaves {n_channels} channels of {name!r}, but vectors of other lengths, "
            f"{vectors}"
        )


def is_conv1d(layer: object) -> bool:
    """Tell whether a layer is the ``Conv1D`` of transformers: linear, with a weight (in, out)."""
    kind = type(layer)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


# Each function sets the sizes and returns the number of output channels.


def _linear(name: str, layer: nn.Linear) -> int:
    layer.out_features, layer.in_features = layer.weight.shape
    return layer.out_features


def _conv1d(name: str, layer: Any) -> int:
    layer.nx, layer.nf = layer.weight.shape
    return int(layer.nf)


def _conv(name: str, layer: _ConvNd) -> int:
    first, second, *kernel = layer.weight.shape
    is_depthwise = layer.groups == layer.in_channels == layer.out_channels and second == 1
    if tuple(kernel) != layer.kernel_size or (layer.groups > 1 and not is_depthwise):
        raise ValueError(
            f"kept must remove whole channels of {name!r}, {layer}, and of a grouped convolution "
            "only where each channel is its own group"
        )
    if layer.groups > 1:
        layer.groups = layer.in_channels = layer.out_channels = first
    else:
        sizes = (first, second) if layer.transposed else (second, first)
        layer.in_channels, layer.out_channels = sizes
    return layer.out_channels


def _batch_norm(name: str, layer: _BatchNorm) -> int:
    tensor = layer.weight if layer.affine else layer.running_mean
    assert tensor is not None
    layer.num_features = len(tensor)
    return layer.num_features


def _layer_norm(name: str, layer: nn.LayerNorm) -> int:
    if layer.weight.ndim > 1:
        raise ValueError(
            f"kept removes parts of {name!r}, but layer norm over several dimensions cannot be "
            f"resized: {layer}"
        )
    layer.normalized_shape = tuple(layer.weight.shape)
    return len(layer.weight)


def _group_norm(name: str, layer: nn.GroupNorm) -> int:
    layer.num_channels = len(layer.weight)
    if layer.num_channels % layer.num_groups:
        raise ValueError(
            f"kept leaves {layer.num_channels} channels of {name!r}, which is not a multiple of "
            f"its {layer.num_groups} groups"
        )
    return layer.num_channels


def _prelu(name: str, layer: nn.PReLU) -> int:
    layer.num_parameters = len(layer.weight)
    return layer.num_parameters


def _embedding(name: str, layer: nn.Embedding) -> int:
    layer.embedding_dim = layer.weight.shape[1]
    if len(layer.weight) != layer.num_embeddings:
        raise ValueError(
            f"kept must not remove rows of the embedding {name!r}, which would renumber its inputs"
        )
    return layer.embedding_dim


_RESIZERS: dict[type[nn.Module], Callable[[str, Any], int]] = {
    nn.Linear: _linear,
    _ConvNd: _conv,
    _BatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.PReLU: _prelu,
    nn.Embedding: _embedding,
}
