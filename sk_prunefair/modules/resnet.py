"""ResNet-18 and ResNet-50."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sk_prunefair.modules._conv import conv_norm
from sk_prunefair.modules._sizes import check_sizes


class _Block(nn.Module):
    """Two 3×3 convolutions, or a bottleneck of 1×1, 3×3 and 1×1, with a shortcut."""

    def __init__(self, n_inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        n_outputs = 4 * width if bottleneck else width
        if bottleneck:
            branch = [*conv_norm(n_inputs, width, 1), nn.ReLU()]
            branch += [*conv_norm(width, width, 3, stride), nn.ReLU()]
            branch += conv_norm(width, n_outputs, 1)
        else:
            branch = [*conv_norm(n_inputs, width, 3, stride), nn.ReLU()]
            branch += conv_norm(width, n_outputs, 3)
        self.branch = nn.Sequential(*branch)
        self.shortcut = nn.Sequential()
        if stride > 1 or n_inputs != n_outputs:
            self.shortcut.extend(conv_norm(n_inputs, n_outputs, 1, stride))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return F.relu(self.branch(X) + self.shortcut(X))


class _ResNet(nn.Module):
    """Stem, four stages of blocks, average pooling and a linear layer."""

    depths: tuple[int, int, int, int]
    bottleneck: bool

    def __init__(
        self, n_classes: int, *, in_channels: int = 3, width: int = 64, small_images: bool = True
    ) -> None:
        super().__init__()
        check_sizes(n_classes=n_classes, in_channels=in_channels, width=width)
        size, stride = (3, 1) if small_images else (7, 2)
        self.stem = nn.Sequential(*conv_norm(in_channels, width, size, stride), nn.ReLU())
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
        Number of channels of an image, the second axis of X.
    width : int, default=64
        Number of channels of the first stage; 64 is the published net, 8 a slim one.
    small_images : bool, default=True
        Whether to begin with a 3×3 convolution and no pooling, for images of some 32×32 pixels,
        instead of the published 7×7 convolution of stride 2 and max-pooling.

    Raises
    ------
    ValueError
        If a size is not an integer in its range.

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
        If a size is not an integer in its range.

    Examples
    --------
    >>> ResNet50(n_classes=10, width=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    depths = (3, 4, 6, 3)
    bottleneck = True
