"""IDX, the file format of MNIST and related data: a big-endian header, then bytes."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

# Two zero bytes, the code of unsigned bytes, and then the number of dimensions.
_MAGIC = 0x0800


def read_idx(path: Path, n_dims: int) -> npt.NDArray[np.uint8]:
    """Return the bytes of an IDX file, packed (.gz) or plain, in their shape.

    Raises ValueError if the file is damaged or has another format.
    """
    raw = _read_bytes(path)
    header = np.frombuffer(raw[: 4 * (1 + n_dims)], dtype=np.uint8)
    if len(header) < 4 * (1 + n_dims):
        raise ValueError(f"{path} ends within its header: {len(raw)} bytes")
    magic, *shape = header.view(">u4").astype(int).tolist()
    if magic != _MAGIC + n_dims:
        raise ValueError(
            f"{path} is not an IDX file of bytes with {n_dims} dimensions: "
            f"its magic number must be {_MAGIC + n_dims}, got {magic}"
        )
    n_values = int(np.prod(shape, dtype=np.int64))
    if len(raw) - len(header) != n_values:
        raise ValueError(
            f"{path} must hold {n_values} bytes after its header, for its shape {tuple(shape)}, "
            f"got {len(raw) - len(header)}"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=len(header)).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if its name ends in .gz."""
    raw = path.read_bytes()
    if path.suffix != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a readable gzip file: {error}") from error
