"""Read weights of a compact file as CSR matrices, without dense intermediates."""

from __future__ import annotations

import numpy as np
import torch

from sk_prunefair.export._archive import Archive
from sk_prunefair.export._entries import TensorEntry
from sk_prunefair.export.sparse_layers import no_beta_warning

# Bits that are unpacked together, at one byte of memory each.
_CHUNK = 2**23
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Share of kept weights from which a dense product is as fast: for a 512×512 and a 2048×2048 layer
# and batches of 1 to 1,024, both were equal at shares of 0.1 to 0.5, with a median of 0.3.
MOST_KEPT = 0.3


def has_few(entry: TensorEntry) -> bool:
    """Tell whether a tensor of a file is a weight sparse enough for a CSR matrix.

    Examples
    --------
    >>> has_few(TensorEntry((4, 5), "float32", 2)), has_few(TensorEntry((4, 5), "float32"))
    (True, False)
    """
    is_matrix = len(entry.shape) >= 2 and entry.dtype in _DTYPES
    return (
        is_matrix and entry.n_stored is not None and 0 < entry.n_stored <= MOST_KEPT * entry.numel
    )


def read_csr(
    archive: Archive, name: str, entry: TensorEntry, *, is_transposed: bool = False
) -> torch.Tensor:
    """Return a tensor of a file as a CSR matrix, the first dimension by all others.

    Parameters
    ----------
    archive : Archive
        The file.
    name : str
        Name of the tensor.
    entry : TensorEntry
        Its entry in the header; see `has_few`.
    is_transposed : bool, default=False
        Whether the rows of the matrix are the columns of the tensor.

    Returns
    -------
    torch.Tensor
        Layout ``torch.sparse_csr``, indices int32.

    Raises
    ------
    ValueError
        If the file is damaged, or a value is not finite.
    """
    places = _places(archive.read(f"bits/{name}", -(-entry.numel // 8)), entry.numel)
    if len(places) != entry.n_stored:
        raise ValueError(
            f"the file is damaged: the bit mask of {name!r} does not keep the "
            "stated number of values"
        )
    raw = np.frombuffer(archive.read(f"values/{name}", len(places) * entry.width), np.uint8)
    dtype = _DTYPES[entry.dtype]
    values = torch.from_numpy(raw.reshape(entry.width, -1).T.copy()).view(dtype)[:, 0]
    if not bool(values.isfinite().all()):
        raise ValueError(
            f"the file is damaged: the parameter {name!r} holds values that are not finite"
        )
    n_columns = entry.numel // entry.shape[0]
    rows, columns = np.divmod(places, n_columns)
    shape = (entry.shape[0], n_columns)
    if is_transposed:
        order = np.argsort(columns, kind="stable")
        rows, columns, shape = columns[order], rows[order], shape[::-1]
        values = values[torch.from_numpy(order)]
    starts = np.searchsorted(rows, np.arange(shape[0] + 1))
    row_starts, places_in_rows = (
        torch.from_numpy(each.astype(np.int32)) for each in (starts, columns)
    )
    with no_beta_warning():
        return torch.sparse_csr_tensor(
            row_starts, places_in_rows, values, shape, check_invariants=True
        )


def _places(bits: bytes, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the positions of the set bits."""
    packed, found = np.frombuffer(bits, np.uint8), []
    for start in range(0, count, _CHUNK):
        n = min(_CHUNK, count - start)
        chunk = packed[start // 8 : start // 8 + -(-n // 8)]
        found.append(np.flatnonzero(np.unpackbits(chunk, count=n)) + start)
    return np.concatenate(found)


def row_parts(matrix: torch.Tensor, n_parts: int) -> list[torch.Tensor]:
    """Return a CSR matrix split into parts of as many rows.

    Examples
    --------
    >>> with no_beta_warning():
    ...     parts = row_parts(torch.eye(2).to_sparse_csr(), 2)
    >>> [part.to_dense().tolist() for part in parts]
    [[[1.0, 0.0]], [[0.0, 1.0]]]
    """
    starts, size = matrix.crow_indices(), matrix.shape[0] // n_parts
    made = []
    for number in range(n_parts):
        some = starts[number * size : (number + 1) * size + 1]
        inside = slice(int(some[0]), int(some[-1]))
        parts = (some - some[0], matrix.col_indices()[inside], matrix.values()[inside])
        with no_beta_warning():
            shape = (size, matrix.shape[1])
            made.append(torch.sparse_csr_tensor(*parts, shape, check_invariants=True))
    return made
