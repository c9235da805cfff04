"""A convolution followed by batch norm."""

from __future__ import annotations

from torch import nn


def conv_norm(
    n_inputs: int, n_outputs: int, size: int, stride: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Return a convolution that keeps the size at stride 1, and its batch norm."""
    conv = nn.Conv2d(n_inputs, n_outputs, size, stride, padding=size // 2, bias=bias)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(n_outputs)]
