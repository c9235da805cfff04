"""Layers that run at the sparsity of their weights on a CPU: torch's CSR products, which are MKL's.

All are for evaluation: they run without gradients. Indices are int32, as MKL requires; torch
converts int64 ones at every call, which costs a fifth to a quarter of a product of one row.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Pair = tuple[int, int]


@contextmanager
def no_beta_warning() -> Iterator[None]:
    """Suppress torch's warning that its CSR layout may change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        yield


class _Csr(nn.Module):
    """A sparse matrix and a bias, as tensors that a state dict can hold.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_outputs, n_inputs), float32 or float64
        Dense weight, whose zeros are left out; or one of layout ``torch.sparse_csr``.
    bias : torch.Tensor of shape (n_outputs,) or None
        None means zeros.
    block : int
        Number of columns of the product that are computed at once.
    """

    row_starts: torch.Tensor
    columns: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, block: int) -> None:
        super().__init__()
        weight = weight.detach()
        with no_beta_warning():
            matrix = weight.to_sparse_csr()  # returned unchanged if it is one
        self.shape = (int(weight.shape[0]), int(weight.shape[1]))
        self.block = block
        self.register_buffer("row_starts", matrix.crow_indices().int())
        self.register_buffer("columns", matrix.col_indices().int())
        # Parameters, as other code reads the dtype and the device of a net from its parameters.
        self.values = nn.Parameter(matrix.values().clone(), requires_grad=False)
        bias = matrix.values().new_zeros(self.shape[0]) if bias is None else bias.detach().clone()
        self.bias = nn.Parameter(bias, requires_grad=False)
        self._made: torch.Tensor | None = None

    @property
    def weight(self) -> torch.Tensor:
        """The sparse matrix, layout ``torch.sparse_csr``; it shares memory with the parameters."""
        made = self._made
        if made is None or made.values().data_ptr() != self.values.data_ptr():
            parts = (self.row_starts, self.columns, self.values.detach())
            with no_beta_warning():
                made = torch.sparse_csr_tensor(*parts, self.shape, check_invariants=False)
            self._made = made
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}

    def extra_repr(self) -> str:
        return f"shape={self.shape}, nonzero={len(self.values)}, block={self.block}"

    def product(self, dense: torch.Tensor) -> torch.Tensor:
        """Return weight @ dense + bias, dense of shape (n_inputs, n_columns)."""
        return torch.addmm(self.bias[:, None], self.weight, dense)


class SparseLinear(_Csr):
    """A linear layer as a CSR product: y = W x + b, block rows of x at a time.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_outputs, n_inputs), float32 or float64
        Dense weight, whose zeros are left out; or one of layout ``torch.sparse_csr``.
    bias : torch.Tensor of shape (n_outputs,) or None
        None means zeros.
    block : int, default=512
        Number of rows of the input per product: with many rows MKL loses much of its gain.

    Raises
    ------
    RuntimeError
        In the forward pass, if torch was built without MKL.

    Examples
    --------
    >>> layer = SparseLinear(torch.tensor([[0.0, 2.0], [0.0, 0.0]]), torch.tensor([1.0, 3.0]))
    >>> layer(torch.tensor([[5.0, 7.0]]))
    tensor([[15.,  3.]])
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, block: int = 512) -> None:
        super().__init__(weight, bias, block)
        self.out_features, self.in_features = self.shape

    def dense(self) -> nn.Linear:
        """Return the layer with a dense weight."""
        made = nn.Linear(self.in_features, self.out_features, device="meta")
        return _filled(made, self)

    @torch.no_grad()
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the product for X of shape (..., n_inputs), contiguous."""
        rows = X.reshape(-1, self.in_features)
        n = len(rows)
        if n == 1:
            return torch.addmv(self.bias, self.weight, rows[0]).view(*X.shape[:-1], -1)
        if n <= self.block:
            # Contiguous, as code after a layer may call view.
            return self.product(rows.T).T.contiguous().view(*X.shape[:-1], self.out_features)
        output = rows.new_empty(n, self.out_features)
        for start in range(0, n, self.block):
            part = slice(start, start + self.block)
            output[part] = self.product(rows[part].T).T
        return output.view(*X.shape[:-1], self.out_features)


class SparseConv2d(_Csr):
    """A convolution as a CSR product: of the pixels if it is 1×1, else of patches (im2col).

    Parameters
    ----------
    conv : torch.nn.Conv2d
        Dense convolution, with equal zero padding on both sides; groups become blocks of the
        matrix.
    block : int, default=512
        Number of output pixels per product, from one image or several.
    matrix : torch.Tensor of shape (n_outputs, n_inputs × kernel), default=None
        The weight, layout ``torch.sparse_csr``; None takes the convolution's own.

    Raises
    ------
    ValueError
        If the padding is of another kind.
    RuntimeError
        In the forward pass, if torch was built without MKL.

    Examples
    --------
    >>> conv = nn.Conv2d(2, 4, 3, padding=1, stride=2)
    >>> X = torch.ones(1, 2, 5, 5)
    >>> torch.allclose(SparseConv2d(conv)(X), conv(X), atol=1e-5)
    True
    """

    def __init__(
        self, conv: nn.Conv2d, block: int = 512, matrix: torch.Tensor | None = None
    ) -> None:
        super().__init__(_as_matrix(conv) if matrix is None else matrix, conv.bias, block)
        self.kernel_size, self.stride = _pair(conv.kernel_size), _pair(conv.stride)
        self.dilation, self.padding = _pair(conv.dilation), even_padding(conv)

    def dense(self) -> nn.Conv2d:
        """Return the convolution with a dense weight."""
        (height, width), (n_outputs, n_inputs) = self.kernel_size, self.shape
        made = nn.Conv2d(
            n_inputs // (height * width),
            n_outputs,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            device="meta",
        )
        return _filled(made, self)

    @torch.no_grad()
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the convolution of X, (n_samples, channels, height, width) or one sample."""
        images = X if X.ndim == 4 else X[None]
        height, width = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, padding, dilation, kernel, stride in zip(
                images.shape[2:],
                self.padding,
                self.dilation,
                self.kernel_size,
                self.stride,
                strict=True,
            )
        )
        n_pixels = height * width
        output = images.new_empty(len(images), self.shape[0], n_pixels)
        # Small images are batched, so that a product has enough columns.
        n_together = max(1, self.block // n_pixels)
        for start in range(0, len(images), n_together):
            some = images[start : start + n_together]
            patches = self._patches(some)
            if len(some) == 1 and n_pixels <= self.block:
                output[start] = self.product(patches[0])
                continue
            joined = patches.transpose(0, 1).reshape(self.shape[1], -1)
            parts = [self.product(part.contiguous()) for part in joined.split(self.block, dim=1)]
            whole = torch.cat(parts, dim=1).view(self.shape[0], len(some), n_pixels)
            output[start : start + n_together] = whole.transpose(0, 1)
        output = output.view(len(images), self.shape[0], height, width)
        return output if X.ndim == 4 else output[0]

    def _patches(self, images: torch.Tensor) -> torch.Tensor:
        """Return the right factor of the product, shape (n_samples, n_inputs, n_pixels)."""
        if self.kernel_size == (1, 1) and self.padding == (0, 0):
            return images[:, :, :: self.stride[0], :: self.stride[1]].flatten(2)
        return F.unfold(images, self.kernel_size, self.dilation, self.padding, self.stride)


def even_padding(conv: nn.Conv2d) -> Pair:
    """Return the zeros on each side of height and width.

    Raises
    ------
    ValueError
        If it is not zero padding, or differs between the two sides.

    Examples
    --------
    >>> even_padding(nn.Conv2d(1, 1, 3, padding="same"))
    (1, 1)
    """
    if conv.padding_mode != "zeros":
        raise ValueError(f"padding_mode must be 'zeros', got {conv.padding_mode!r}")
    if conv.padding == "valid":
        return (0, 0)
    if conv.padding != "same":
        return _pair(conv.padding)
    both = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    if any(total % 2 for total in both):
        raise ValueError(
            "padding='same' must be equally wide on both sides, got an even kernel size"
        )
    return (both[0] // 2, both[1] // 2)


def _pair(sizes: Any) -> Pair:
    return (int(sizes[0]), int(sizes[1]))


def _as_matrix(conv: nn.Conv2d) -> torch.Tensor:
    """Return the weight as (n_outputs, n_inputs × kernel), zeros between groups."""
    flat = conv.weight.detach().flatten(1)
    return torch.block_diag(*flat.chunk(conv.groups)) if conv.groups > 1 else flat


def _filled(layer: Any, sparse: _Csr) -> Any:
    weight = sparse.weight.to_dense().view(layer.weight.shape)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.bias = nn.Parameter(sparse.bias.detach().clone(), requires_grad=False)
    return layer.eval()
