"""Small nets in plain PyTorch: a multilayer perceptron, ResNet-18 and -50, VGG-19.

All return logits of shape (n_samples, n_classes): use them with
``criterion=torch.nn.CrossEntropyLoss``. Given as a class to `FairPrunedClassifier`, a net gets
``n_features`` and ``n_classes`` from the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sk_prunefair.checks import check_count

__all__ = ["MLP", "VGG19", "ResNet18", "ResNet50"]


class MLP(nn.Module):
    """Fully connected net that flattens whatever lies beyond the first axis.

    Use with ``criterion=torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    n_features : int
        Numbers per sample, after flattening.
    n_classes : int
        At least 2.
    hidden : sequence of int, default=(128, 64)
        Width of each hidden layer; none makes a linear model.
    activation : callable, default=torch.nn.ReLU
        Makes the module that follows each hidden layer.

    Raises
    ------
    ValueError
        Where a size is not an integer in its range.

    Examples
    --------
    >>> MLP(n_features=12, n_classes=3)(torch.zeros(5, 3, 2, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden: Sequence[int] = (128, 64),
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        _check_sizes(n_features=n_features, n_classes=n_classes)
        if isinstance(hidden, Integral):
            raise ValueError(f"hidden must be a sequence of integers >= 1, got {hidden!r}")
        self.layers = nn.Sequential()
        for n_inputs, width in zip([n_features, *hidden], hidden, strict=False):
            _check_sizes(hidden=width)
            self.layers.extend([nn.Linear(n_inputs, width), activation()])
        self.layers.append(nn.Linear([n_features, *hidden][-1], n_classes))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_samples, n_classes)."""
        return self.layers(X.flatten(1))


class _Block(nn.Module):
    """Two 3×3 convolutions, or a bottleneck of 1×1, 3×3 and 1×1, beside a shortcut."""

    def __init__(self, n_inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        n_outputs = 4 * width if bottleneck else width
        if bottleneck:
            branch = [*_conv_norm(n_inputs, width, 1), nn.ReLU()]
            branch += [*_conv_norm(width, width, 3, stride), nn.ReLU()]
            branch += _conv_norm(width, n_outputs, 1)
        else:
            branch = [*_conv_norm(n_inputs, width, 3, stride), nn.ReLU()]
            branch += _conv_norm(width, n_outputs, 3)
        self.branch = nn.Sequential(*branch)
        self.shortcut = nn.Sequential()
        if stride > 1 or n_inputs != n_outputs:
            self.shortcut.extend(_conv_norm(n_inputs, n_outputs, 1, stride))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return F.relu(self.branch(X) + self.shortcut(X))


class _ResNet(nn.Module):
    """Stem, four stages of blocks, each half as large and twice as wide, mean, linear layer."""

    depths: tuple[int, int, int, int]
    bottleneck: bool

    def __init__(
        self, n_classes: int, *, in_channels: int = 3, width: int = 64, small_images: bool = True
    ) -> None:
        super().__init__()
        _check_sizes(n_classes=n_classes, in_channels=in_channels, width=width)
        size, stride = (3, 1) if small_images else (7, 2)
        self.stem = nn.Sequential(*_conv_norm(in_channels, width, size, stride), nn.ReLU())
        if not small_images:
            self.stem.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        self.blocks = nn.Sequential()
        n_inputs = width
        for stage, depth in enumerate(self.depths):
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                self.blocks.append(_Block(n_inputs, width * 2**stage, stride, self.bottleneck))
                n_inputs = width * 2**stage * (4 if self.bottleneck else 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(n_inputs, n_classes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_samples, n_classes)."""
        return self.classifier(self.pool(self.blocks(self.stem(X))).flatten(1))


class ResNet18(_ResNet):
    """ResNet-18 (He et al., Deep residual learning for image recognition, 2016).

    Takes images of any size. Use with ``criterion=torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    n_classes : int
        At least 2.
    in_channels : int, default=3
        Channels of an image, the second axis of X.
    width : int, default=64
        Channels of the first stage; 64 is the published net, 8 a slim one.
    small_images : bool, default=True
        Whether to begin with a 3×3 convolution and no pooling, for images of some 32×32 pixels,
        instead of the published 7×7 convolution of stride 2 and max-pooling.

    Raises
    ------
    ValueError
        Where a size is not an integer in its range.

    Examples
    --------
    >>> ResNet18(n_classes=10, in_channels=1, width=8)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    depths = (2, 2, 2, 2)
    bottleneck = False


class ResNet50(_ResNet):
    """ResNet-50 (He et al., Deep residual learning for image recognition, 2016).

    The stride of a bottleneck is in its 3×3 convolution, as is now common. Takes images of any
    size. Use with ``criterion=torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    n_classes, in_channels, width, small_images
        As in `ResNet18`.

    Raises
    ------
    ValueError
        Where a size is not an integer in its range.

    Examples
    --------
    >>> ResNet50(n_classes=10, width=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    depths = (3, 4, 6, 3)
    bottleneck = True


class VGG19(nn.Module):
    """VGG-19 with batch norm (Simonyan and Zisserman, Very deep convolutional networks, 2015).

    Five stages, each followed by a max-pooling that halves the size. Sizes are rounded up where
    the published net rounds down: the same for multiples of 32, and smaller images pass too, such
    as 28×28 (28, 14, 7, 4, 2, 1). Takes images of any size; up to 16×16 the last stage sees one
    pixel, and a training batch needs two images. Use with ``criterion=torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    n_classes, in_channels, width
        As in `ResNet18`.
    small_images : bool, default=True
        Whether to classify by one linear layer after average pooling, instead of the published
        three layers, of 64 · width hidden units, with dropout.

    Raises
    ------
    ValueError
        Where a size is not an integer in its range.

    Examples
    --------
    >>> VGG19(n_classes=10, in_channels=1, width=8)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, n_classes: int, *, in_channels: int = 3, width: int = 64, small_images: bool = True
    ) -> None:
        super().__init__()
        _check_sizes(n_classes=n_classes, in_channels=in_channels, width=width)
        self.features = nn.Sequential()
        n_inputs = in_channels
        for scale, depth in ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4)):
            channels = scale * width
            for _ in range(depth):
                self.features.extend([*_conv_norm(n_inputs, channels, 3, bias=True), nn.ReLU()])
                n_inputs = channels
            self.features.append(nn.MaxPool2d(kernel_size=2, ceil_mode=True))
        if small_images:
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(nn.Linear(n_inputs, n_classes))
        else:
            hidden = 64 * width
            self.pool = nn.AdaptiveAvgPool2d(7)
            self.classifier = nn.Sequential(
                *(nn.Linear(n_inputs * 7 * 7, hidden), nn.ReLU(), nn.Dropout()),
                *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()),
                nn.Linear(hidden, n_classes),
            )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_samples, n_classes)."""
        return self.classifier(self.pool(self.features(X)).flatten(1))


def _conv_norm(
    n_inputs: int, n_outputs: int, size: int, stride: int = 1, bias: bool = False
) -> list[nn.Module]:
    conv = nn.Conv2d(n_inputs, n_outputs, size, stride, padding=size // 2, bias=bias)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(n_outputs)]


def _check_sizes(**sizes: Any) -> None:
    for name, size in sizes.items():
        smallest = 2 if name == "n_classes" else 1
        check_count(name, size, least=smallest)
