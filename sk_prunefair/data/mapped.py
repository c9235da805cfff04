"""Arrays whose rows are stored in a file and read batch by batch."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Settle = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


class MappedRows:
    """Rows of a memory-mapped array, which are read only on request.

    Parameters
    ----------
    array : ndarray of shape (n_stored, ...)
        An array for which `is_mapped` is true.
    rows : ndarray of shape (n_samples,), dtype int64, default=None
        The selected rows; None selects all.
    settle : callable, default=None
        Function from stored rows to the net's inputs; may raise ValueError.

    Examples
    --------
    >>> rows = MappedRows(np.arange(8.0).reshape(4, 2), rows=np.array([3, 0]))
    >>> rows.shape, rows[[1]]
    ((2, 2), array([[0., 1.]]))
    """

    def __init__(
        self,
        array: npt.NDArray[Any],
        rows: npt.NDArray[np.int64] | None = None,
        settle: Settle | None = None,
    ) -> None:
        self.array = array
        self.rows = rows
        self.settle = settle

    @classmethod
    def of(cls, X: npt.NDArray[Any] | MappedRows) -> MappedRows:
        """Return the rows of a memory-mapped array without conversion."""
        # A batch of a np.memmap would be one, too, and warn when pickled.
        return X if isinstance(X, MappedRows) else cls(np.asarray(X))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows."""
        n_rows = len(self.array) if self.rows is None else len(self.rows)
        return (n_rows, *self.array.shape[1:])

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype in the file; converted rows may have another."""
        return self.array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Any) -> npt.NDArray[Any]:
        """Return rows as an array in memory."""
        found = self.array[which if self.rows is None else self.rows[which]]
        if self.settle is not None:
            found = self.settle(found)
        is_view = np.may_share_memory(found, self.array)
        return found.copy() if is_view else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Return some of the rows without reading them."""
        return type(self)(self.array, rows if self.rows is None else self.rows[rows], self.settle)

    def settled(self, settle: Settle) -> Self:
        """Return the same rows with a function applied to each batch."""
        return type(self)(self.array, self.rows, settle)


def is_mapped(X: Any) -> bool:
    """Tell whether the rows of an array are in a file: a `numpy.memmap`, or a view of one.

    Examples
    --------
    >>> is_mapped(np.zeros(3))
    False
    """
    if isinstance(X, MappedRows):
        return True
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap) and X.base is not None:
            return True
        X = X.base
    return isinstance(X, mmap.mmap)
