"""Tensors as parts of an archive: bit masks, and the values that are left."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

# One date for all: the same net gives the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_tensors(
    archive: zipfile.ZipFile,
    module: nn.Module,
    masks: Mapping[str, torch.Tensor],
    folder: str = "",
) -> dict[str, Any]:
    """Write a net's tensors below a folder of the archive; return what the header says of them."""
    described = {}
    for name, tensor in module.state_dict().items():
        parts, described[name] = _encode(tensor, masks.get(name))
        for part, content in parts.items():
            write_part(archive, f"{folder}{part}/{name}", content)
    return described


def read_tensors(
    archive: zipfile.ZipFile, described: dict[str, Any], module: nn.Module, folder: str = ""
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return a net's state and which numbers were stored, of the sizes that the module has."""
    own = module.state_dict()
    if own.keys() != described.keys():
        raise ValueError(
            f"the file does not fit the target: it lacks {sorted(own.keys() - described)[:5]} and "
            f"has {sorted(described.keys() - own)[:5]} beyond it"
        )
    state, kept = {}, {}
    for name, tensor in own.items():
        found = described[name]["shape"], described[name]["dtype"]
        expected = list(tensor.shape), _dtype_name(tensor)
        if found != expected:
            raise ValueError(
                f"the file does not fit the target: {name!r} is {found[1]} of shape {found[0]} in "
                f"the file, {expected[1]} of shape {expected[0]} in the target"
            )
        state[name], stored = _decode(archive, folder, name, described[name].get("kept"), tensor)
        kept[name] = torch.from_numpy(stored).reshape(tensor.shape).to(tensor.device)
    return state, kept


def _decode(
    archive: zipfile.ZipFile, folder: str, name: str, n_kept: int | None, like: torch.Tensor
) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
    """Return a tensor of the file, and which of its numbers were stored."""
    n, width = like.numel(), like.element_size()
    kept = np.ones(n, dtype=bool)
    if n_kept is not None:
        bits = np.frombuffer(read_part(archive, f"{folder}bits/{name}", -(-n // 8)), dtype=np.uint8)
        kept = np.unpackbits(bits, count=n).view(bool)
        if np.count_nonzero(kept) != n_kept:
            raise ValueError(f"the file is damaged: {name!r} has another number of values")
    values = read_part(archive, f"{folder}values/{name}", int(np.count_nonzero(kept)) * width)
    number = np.dtype(f"u{width}" if width <= 8 else "c16")  # moved whole, four bytes at a time
    raw = np.zeros(n, dtype=number)
    raw[kept] = np.frombuffer(values, dtype=np.uint8).reshape(width, -1).T.copy().view(number)[:, 0]
    if like.dtype == torch.bool and raw.max(initial=0) > 1:
        raise ValueError(f"the file is damaged: {name!r} holds more than 0 and 1")
    flat = torch.from_numpy(raw.view(np.uint8)).view(like.dtype)
    return flat.reshape(like.shape), kept


def read_part(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Return a part of the file, which must have this size, unpacked."""
    with archive.open(name) as part:
        # One byte more than there may be: the end is reached, where the checksum is compared.
        content = part.read(size + 1)
    if len(content) != size:
        raise ValueError(f"the file is damaged: {name!r} does not have {size} bytes")
    return content


def write_part(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=9)


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _encode(
    tensor: torch.Tensor, mask: torch.Tensor | None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the parts of a tensor as bytes, and what the header says of it."""
    raw = _bytes_of(tensor)
    kept = raw.any(axis=1)
    if mask is not None:
        # A kept weight may happen to be zero.
        kept |= mask.detach().cpu().numpy().ravel()
    described: dict[str, Any] = {"shape": list(tensor.shape), "dtype": _dtype_name(tensor)}
    if mask is None and len(raw) - kept.sum() <= len(raw) / (8 * raw.shape[1]):
        return {"values": raw.T.tobytes()}, described
    described["kept"] = int(kept.sum())
    return {"bits": np.packbits(kept).tobytes(), "values": raw[kept].T.tobytes()}, described


def _bytes_of(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Return one row of bytes per number."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().reshape(len(flat), tensor.element_size())
