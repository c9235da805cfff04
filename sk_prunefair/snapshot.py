"""The whole state of a training, as a value that can be written to a file."""

from __future__ import annotations

import copy
import io
import pickle
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import Checkpoint
from torch import nn

from sk_prunefair.pruning.plan import unpack_plan
from sk_prunefair.restore import is_library

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


def state_of(net: CoreNet) -> dict[str, Any]:
    """Return the state of a training between two epochs.

    Parameters
    ----------
    net : CoreNet
        The net, during its training.

    Returns
    -------
    dict
        States of modules, criteria and optimizers; masks; history; states of callbacks, as
        pickles that refer to the net's own tensors by name; files that callbacks load later;
        random generators.
    """
    names = _names(net)
    trained = net.trained_parts()
    return {
        "parts": {
            name: part.state_dict() for name, part in trained.items() if hasattr(part, "state_dict")
        },
        # Parameters frozen by a Freezer.
        "frozen": {
            name: [k for k, tensor in part.named_parameters() if not tensor.requires_grad]
            for name, part in trained.items()
            if isinstance(part, nn.Module)
        },
        "files": {path: path.read_bytes() for path in _best_files(net)},
        "is_training": net.module_.training,
        "plan": None if net.pruned_ is None else net.pruned_.plan.pack(),
        "history": list(net.history),
        "snapshots": {epoch: each.state_dict() for epoch, each in net.snapshots_.items()},
        "callbacks": {name: _callback_state(callback, names) for name, callback in net.callbacks_},
        "generators": _generators(net),
    }


def set_state(net: CoreNet, kept: Mapping[str, Any]) -> None:
    """Set a net to the result of `state_of`, except the random generators.

    Parameters
    ----------
    net : CoreNet
        The net, at the beginning of the same training.
    kept : mapping
        Result of `state_of`.
    """
    for name, state in kept["parts"].items():
        getattr(net, name).load_state_dict(state)
    for name, frozen in kept["frozen"].items():
        for key, tensor in getattr(net, name).named_parameters():
            tensor.requires_grad_(key not in frozen)
    net.module_.train(kept["is_training"])
    if net.pruned_ is not None:
        plan = unpack_plan(net.pruned_.dense, kept["plan"])
        assert plan is not None
        net.pruned_ = replace(net.pruned_, plan=plan)
    net.history[:] = kept["history"]
    for epoch, state in kept["snapshots"].items():
        net.snapshots_[epoch] = copy.deepcopy(net.dense_module_)
        net.snapshots_[epoch].load_state_dict(state)
    found = {name: part for part, name in _names(net).values()}
    for name, callback in net.callbacks_:
        for attribute, pickled in kept["callbacks"].get(name, {}).items():
            value = _Unpickler(pickled, found).load()
            if isinstance(value, _State):
                getattr(callback, attribute).load_state_dict(value.state)
            else:
                setattr(callback, attribute, value)


def restore_files(kept: Mapping[str, Any]) -> None:
    """Restore files that callbacks wrote, over those of a later training.

    Parameters
    ----------
    kept : mapping
        Result of `state_of`.
    """
    for path, content in kept["files"].items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _best_files(net: Any) -> list[Path]:
    """Return the files from which a checkpoint loads the best epoch at the end of training."""
    callbacks = [callback for _, callback in net.callbacks_ if isinstance(callback, Checkpoint)]
    named = [each.get_formatted_files(net) for each in callbacks if each.load_best and net.history]
    paths = [Path(file) for files in named for file in files.values() if isinstance(file, str)]
    return [path for path in paths if path.is_file()]


def set_generators(net: Any, states: Mapping[str, Any]) -> None:
    """Set torch's, numpy's and Python's generators, and that of the net's own iterator.

    Parameters
    ----------
    net : CoreNet
        The net, with its device and iterator.
    states : mapping
        ``"generators"`` in the result of `state_of`.
    """
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])  # noqa: NPY002 (the generator that others draw from)
    random.setstate(states["python"])
    if states["cuda"] is not None:
        torch.cuda.set_rng_state(states["cuda"], net.device)
    if states["iterator"] is not None:
        _own_generator(net).set_state(states["iterator"])


def _generators(net: Any) -> dict[str, Any]:
    own = _own_generator(net)
    is_cuda = torch.device(net.device or "cpu").type == "cuda"
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002 (as above)
        "python": random.getstate(),
        "cuda": torch.cuda.get_rng_state(net.device) if is_cuda else None,
        "iterator": None if own is None else own.get_state(),
    }


def _own_generator(net: Any) -> Any:
    own = net.get_params_for("iterator_train").get("generator")
    return net.ranks.order if own is None else own


@dataclass(frozen=True)
class _State:
    """State of an object that is created at the beginning of a training, such as a schedule."""

    state: Any


def _callback_state(callback: Any, names: _Names) -> dict[str, bytes]:
    """Return the state of a callback by attribute; for users' callbacks, what can be pickled."""
    found = {}
    for name, value in vars(callback).items():
        if not name.endswith("_") or name == "states_":
            continue
        try:
            is_stateful = hasattr(value, "load_state_dict") and not isinstance(value, type)
            if is_stateful and id(value) not in names:
                value = _State(value.state_dict())
            file = io.BytesIO()
            _Pickler(file, names).dump(value)
            found[name] = file.getvalue()
        except Exception as error:
            # Attributes that a callback excludes from pickles, such as a progress bar, are not
            # needed.
            if is_library(callback) and name in callback.__getstate__():
                raise ValueError(
                    f"{name} of the callback {type(callback).__name__} cannot be saved: {error!r}"
                ) from error
    return found


# The parts of a net and their names, by the id of the part.
_Names = dict[int, tuple[Any, tuple[str, ...]]]


def _names(net: CoreNet) -> _Names:
    owners = {"dense_module_": net.dense_module_} | net.trained_parts()
    parts: list[tuple[Any, tuple[str, ...]]] = [(net, ("net",))]
    for owner, part in owners.items():
        parts.append((part, (owner,)))
        if isinstance(part, nn.Module):
            tensors = [*part.named_parameters(), *part.named_buffers()]
            parts += [(tensor, (owner, name)) for name, tensor in tensors]
    return {id(part): (part, name) for part, name in parts}


class _Pickler(pickle.Pickler):
    """Pickler that writes names instead of the net's own tensors, modules and optimizers."""

    def __init__(self, file: Any, names: _Names) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.names = names

    def persistent_id(self, value: Any) -> Any:
        known = self.names.get(id(value))
        return None if known is None else known[1]


class _Unpickler(pickle.Unpickler):
    """Unpickler that replaces names by the net's own tensors, modules and optimizers."""

    def __init__(self, pickled: bytes, parts: Mapping[tuple[str, ...], Any]) -> None:
        super().__init__(io.BytesIO(pickled))
        self.parts = parts

    def persistent_load(self, name: Any) -> Any:
        return self.parts[name]
