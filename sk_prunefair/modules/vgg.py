"""VGG-19 with batch norm."""

from __future__ import annotations

import torch
from torch import nn

from sk_prunefair.modules._conv import conv_norm
from sk_prunefair.modules._sizes import check_sizes


class VGG19(nn.Module):
    """VGG-19 with batch norm (Simonyan and Zisserman, Very deep convolutional networks, 2015).

    Five stages, each followed by a max-pooling that halves the size. Sizes are rounded up, while
    the published net rounds down: equal for multiples of 32, and smaller images are accepted too,
    such as 28×28 (28, 14, 7, 4, 2, 1). Takes images of any size; up to 16×16 the last stage gets
    one pixel, and a training batch needs two images. Use with
    ``criterion=torch.nn.CrossEntropyLoss``.

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
        If a size is not an integer in its range.

    Examples
    --------
    >>> VGG19(n_classes=10, in_channels=1, width=8)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, n_classes: int, *, in_channels: int = 3, width: int = 64, small_images: bool = True
    ) -> None:
        super().__init__()
        check_sizes(n_classes=n_classes, in_channels=in_channels, width=width)
        self.features = nn.Sequential()
        n_inputs = in_channels
        for scale, depth in ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4)):
            channels = scale * width
            for _ in range(depth):
                self.features.extend([*conv_norm(n_inputs, channels, 3, bias=True), nn.ReLU()])
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
