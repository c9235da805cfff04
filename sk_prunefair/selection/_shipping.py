"""Send the objects that several jobs share to the workers once, with their arrays separate.

joblib maps large arrays among a call's arguments into memory once for all processes of a machine
(loky), Dask scatters them to its workers, and Ray has an object store; but each handles only
arguments, not arrays inside them. So the arrays inside become arguments.
"""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt
import torch
from cloudpickle import Pickler

from sk_prunefair.data.sources import ArraySource
from sk_prunefair.net_state import NetState

# Protocol 5 stores buffers separately, so that neither side copies them.
_PROTOCOL = 5


def packed(shared: Any) -> list[npt.NDArray[Any]]:
    """Return an object as arrays: the first is its pickle, the others the memory of its arrays.

    Parameters
    ----------
    shared : object
        Any object that can be pickled, including functions and classes of a notebook.

    Returns
    -------
    list of ndarray
        Arrays for `unpacked`; the arrays inside are not copied.

    Examples
    --------
    >>> arrays = packed({"X": np.arange(3)})
    >>> unpacked(arrays)
    {'X': array([0, 1, 2])}
    """
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    _Pickler(file, protocol=_PROTOCOL, buffer_callback=buffers.append).dump(shared)
    head = np.frombuffer(file.getvalue(), dtype=np.uint8)
    return [head, *(np.frombuffer(buffer.raw(), dtype=np.uint8) for buffer in buffers)]


def unpacked(arrays: list[npt.NDArray[Any]]) -> Any:
    """Return the object again; its arrays are read-only views of those given."""
    head, *buffers = arrays
    return pickle.loads(head.data, buffers=[buffer.data for buffer in buffers])


def dumps(value: Any) -> bytes:
    """Return the pickle of a result, including nets of classes defined in a script or notebook.

    Parameters
    ----------
    value : object
        The result.

    Returns
    -------
    bytes
        For `pickle.loads`.
    """
    file = io.BytesIO()
    _Pickler(file, protocol=_PROTOCOL).dump(value)
    return file.getvalue()


class _Pickler(Pickler):
    """Pickler that stores tensors' data as numpy arrays, as torch's pickles copy each tensor."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, NetState):
            # skorch pickles modules by the names of their classes, which a worker may lack.
            file = io.BytesIO()
            torch.save(vars(value), file, pickle_module=cloudpickle)
            return _net, (type(value), file.getvalue(), str(value.device))
        if type(value) is ArraySource:
            return _array_source, (_arrays(value.columns),)
        return super().reducer_override(value)


def _net(kind: type[NetState], saved: bytes, device: str) -> NetState:
    net = object.__new__(kind)
    is_here = torch.cuda.is_available() or not device.startswith("cuda")
    where = None if is_here else "cpu"
    vars(net).update(torch.load(io.BytesIO(saved), weights_only=False, map_location=where))
    return net


def _arrays(columns: Any) -> Any:
    if isinstance(columns, dict):
        return {name: _arrays(column) for name, column in columns.items()}
    is_tensor = isinstance(columns, torch.Tensor)
    is_plain = is_tensor and columns.device.type == "cpu" and columns.dtype is not torch.bfloat16
    return columns.detach().contiguous().numpy() if is_plain else columns


def _array_source(arrays: Any) -> ArraySource:
    with warnings.catch_warnings():
        # Read-only is enough, as rows are copied from it.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        if isinstance(arrays, dict):
            return ArraySource({name: _column(array) for name, array in arrays.items()})
        return ArraySource(_column(arrays))


def _column(array: Any) -> Any:
    return torch.as_tensor(array) if isinstance(array, np.ndarray) else array
