"""The nets of the GPU benchmark by configuration, and their faster forms."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sk_prunefair import FairPrunedClassifier

Inputs = dict[str, np.ndarray]
CHANNELS = 0.5
# The smallest product that 2:4 kernels take, and what its sides are multiples of.
ROWS, COLUMNS = 32, 64


@dataclass(frozen=True)
class Net:
    """How a net and its random inputs are made, whole or tiny."""

    make: Callable[[bool], nn.Module]
    draw: Callable[[int, bool], Inputs]


def resnet(tiny: bool) -> nn.Module:
    """Return ResNet-50, or two basic blocks."""
    from transformers import ResNetConfig, ResNetForImageClassification

    small = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    options: dict[str, Any] = small | {"layer_type": "basic"} if tiny else {}
    return ResNetForImageClassification(ResNetConfig(num_labels=10, **options))


def vit(tiny: bool) -> nn.Module:
    """Return ViT-B/16, or two narrow layers."""
    from transformers import ViTConfig, ViTForImageClassification

    options: dict[str, Any] = (narrow() | {"image_size": 32}) if tiny else {}
    return ViTForImageClassification(ViTConfig(num_labels=10, **options))


def bert(tiny: bool) -> nn.Module:
    """Return BERT-base, or two narrow layers."""
    from transformers import BertConfig, BertForSequenceClassification

    options: dict[str, Any] = (narrow() | {"vocab_size": 1000}) if tiny else {}
    return BertForSequenceClassification(BertConfig(num_labels=10, **options))


def narrow() -> dict[str, Any]:
    """Return the sizes of a transformer of two layers."""
    return {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
    }


def images(batch: int, tiny: bool) -> Inputs:
    """Return random images."""
    size = 32 if tiny else 224
    rng = np.random.default_rng(0)
    return {"pixel_values": rng.standard_normal((batch, 3, size, size), dtype=np.float32)}


def tokens(batch: int, tiny: bool) -> Inputs:
    """Return random tokens, 128 a sample."""
    drawn = np.random.default_rng(0).integers(1, 900, (batch, 16 if tiny else 128))
    return {"input_ids": drawn, "attention_mask": np.ones_like(drawn)}


NETS = {
    "BERT-base": Net(bert, tokens),
    "ViT-B/16": Net(vit, images),
    "ResNet-50": Net(resnet, images),
}


def without_channels(net: nn.Module, X: Inputs, device: str) -> nn.Module:
    """Return a smaller copy: half of each layer's channels, and of the heads, by magnitude."""
    clf = FairPrunedClassifier(
        net,
        criterion=nn.CrossEntropyLoss,
        pruner="channel_magnitude",
        classes=list(range(10)),
        device=device,
        verbose=0,
        random_state=0,
    )
    y = np.arange(len(next(iter(X.values()))))
    return clf.initialize().prune(CHANNELS, X, y, finetune_epochs=0).module_.eval()


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """Return a matrix with the two smaller of each four numbers of a row set to zero."""
    fours = weight.reshape(-1, 4)
    kept = torch.zeros_like(fours, dtype=torch.bool)
    kept.scatter_(1, fours.abs().topk(2, dim=1).indices, True)
    return fours.where(kept, 0).reshape(weight.shape).contiguous()


def with_zeros(net: nn.Module) -> nn.Module:
    """Return a copy with two zeros in each four weights of its linear layers.

    Raises
    ------
    ValueError
        If there is no linear layer of a size that 2:4 kernels take.
    """
    net = copy.deepcopy(net)
    for layer in two_of_four_layers(net):
        layer.weight = nn.Parameter(two_of_four(layer.weight.detach()), requires_grad=False)
    return net


def semi_structured(net: nn.Module) -> nn.Module:
    """Return a copy with the same weights in torch's 2:4 form; raise ValueError alike."""
    net = with_zeros(net)
    for layer in two_of_four_layers(net):
        form = torch.sparse.to_sparse_semi_structured(layer.weight.detach())
        layer.weight = nn.Parameter(form, requires_grad=False)
    return net


def two_of_four_layers(net: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of a size that 2:4 kernels take."""
    found = [part for part in net.modules() if isinstance(part, nn.Linear) and fits(part)]
    if not found:
        raise ValueError("torch has 2:4 for linear layers alone, of sides of 32 and 64")
    return found


def fits(part: nn.Linear) -> bool:
    """Tell whether a layer is of a size that 2:4 kernels take."""
    return part.out_features % ROWS == 0 and part.in_features % COLUMNS == 0


def placed(X: Inputs, device: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return inputs on the device, floats in the precision."""
    tensors = {name: torch.from_numpy(values) for name, values in X.items()}
    return {
        name: tensor.to(device, dtype if tensor.is_floating_point() else None)
        for name, tensor in tensors.items()
    }


def scores(net: nn.Module, X: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits."""
    return net(**X).logits


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return how far a result is from what is expected, relative to that."""
    found, expected = found.double(), expected.double()
    return float((found - expected).norm() / expected.norm())
