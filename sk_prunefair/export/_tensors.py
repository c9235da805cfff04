"""Tensors as parts of an archive: bit masks and kept values."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sk_prunefair.export._archive import Archive, write_part
from sk_prunefair.export._entries import TensorEntry


class Stored(NamedTuple):
    """A tensor of a file, and the mask of its stored values; both on the CPU."""

    tensor: torch.Tensor
    is_stored: torch.Tensor


def write_tensors(
    archive: zipfile.ZipFile,
    module: nn.Module,
    masks: Mapping[str, torch.Tensor],
    folder: str = "",
) -> dict[str, TensorEntry]:
    """Write a net's tensors into a folder of the archive; return their entries for the header.

    Values of -0.0 in parameters, as from `torch.nn.utils.prune`, are written as 0.
    """
    entries = {}
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name, tensor in module.state_dict().items():
        if name in parameters and tensor.is_floating_point() and tensor.element_size() > 1:
            tensor = tensor + 0.0
        parts, entries[name] = _encode(tensor, masks.get(name))
        for part, content in parts.items():
            write_part(archive, f"{folder}{part}/{name}", content)
    return entries


def read_tensors(
    archive: Archive, entries: Mapping[str, TensorEntry], module: nn.Module, folder: str = ""
) -> dict[str, Stored]:
    """Read a net's tensors, which must have the module's names, sizes and dtypes.

    The module may be on the meta device, as its values are not used.
    """
    own = module.state_dict()
    check_tensors(entries, own)
    return {
        name: read_tensor(archive, folder, name, entries[name], tensor.dtype)
        for name, tensor in own.items()
    }


def check_tensors(entries: Mapping[str, TensorEntry], own: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError if a file has other tensors than the net."""
    if own.keys() != entries.keys():
        raise ValueError(
            f"the file does not fit the target: it lacks {sorted(own.keys() - entries)[:5]} and "
            f"has {sorted(entries.keys() - own)[:5]}, which the target lacks"
        )
    for name, tensor in own.items():
        found = entries[name].shape, entries[name].dtype
        expected = tuple(tensor.shape), _dtype_name(tensor)
        if found != expected:
            raise ValueError(
                f"the file does not fit the target: {name!r} is {found[1]} of shape "
                f"{list(found[0])} in the file, {expected[1]} of shape {list(expected[0])} in the "
                "target"
            )


def check_values(
    tensors: Mapping[str, torch.Tensor], module: nn.Module, what: str, *, nan_in_buffers: bool
) -> None:
    """Raise ValueError for values with which a net cannot work.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        State dict of the module; its parameters must be finite, while buffers may hold infinity, as
        the masks of attention do.
    module : torch.nn.Module
        The module, which distinguishes parameters from buffers.
    what : str
        Beginning of the error message.
    nan_in_buffers : bool
        Whether buffers may hold NaN.
    """
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        if tensor.element_size() == 1:
            tensor = tensor.float()  # few operations are implemented for 8-bit floats
        if bool(tensor.sum().isfinite()):
            continue  # a value that is not finite shows in the sum
        if name in parameters and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{what}: the parameter {name!r} holds values that are not finite")
        if not (nan_in_buffers or name in parameters) and bool(torch.isnan(tensor).any()):
            raise ValueError(f"{what}: the buffer {name!r} holds NaN")


def read_bits(archive: Archive, name: str, count: int) -> npt.NDArray[np.bool_]:
    """Return a part of the file with this many bits."""
    content = np.frombuffer(archive.read(name, -(-count // 8)), dtype=np.uint8)
    return np.unpackbits(content, count=count).view(bool)


def read_tensor(
    archive: Archive, folder: str, name: str, entry: TensorEntry, dtype: torch.dtype
) -> Stored:
    """Return a tensor of the file with this dtype, and the mask of its stored values."""
    n, width, kept = entry.numel, entry.width, np.ones(entry.numel, dtype=bool)
    n_stored = n
    if entry.n_stored is not None:
        n_stored = entry.n_stored
        kept = read_bits(archive, f"{folder}bits/{name}", n)
        if np.count_nonzero(kept) != n_stored:
            raise ValueError(
                f"the file is damaged: the bit mask of {name!r} does not keep the stated number "
                "of values"
            )
    values = archive.read(f"{folder}values/{name}", n_stored * width)
    number = np.dtype(f"u{width}" if width <= 8 else "c16")  # copied as raw bytes
    raw = np.zeros(n, dtype=number)
    raw[kept] = np.frombuffer(values, dtype=np.uint8).reshape(width, -1).T.copy().view(number)[:, 0]
    if dtype == torch.bool and raw.max(initial=0) > 1:
        raise ValueError(f"the file is damaged: {name!r} holds values other than 0 and 1")
    flat = torch.from_numpy(raw.view(np.uint8)).view(dtype)
    return Stored(flat.reshape(entry.shape), torch.from_numpy(kept).reshape(entry.shape))


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _encode(
    tensor: torch.Tensor, mask: torch.Tensor | None
) -> tuple[dict[str, bytes], TensorEntry]:
    """Return the parts of a tensor as bytes, and its entry for the header."""
    raw = _bytes_of(tensor)
    kept = raw.any(axis=1)
    if mask is not None:
        # A kept weight may be zero.
        kept |= mask.detach().cpu().numpy().ravel()
    shape, dtype = tuple(tensor.shape), _dtype_name(tensor)
    if mask is None and len(raw) - kept.sum() <= len(raw) / (8 * raw.shape[1]):
        return {"values": raw.T.tobytes()}, TensorEntry(shape, dtype)
    parts = {"bits": np.packbits(kept).tobytes(), "values": raw[kept].T.tobytes()}
    return parts, TensorEntry(shape, dtype, int(kept.sum()))


def _bytes_of(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Return one row of bytes per value."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().reshape(len(flat), tensor.element_size())
