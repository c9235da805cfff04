"""Restore the state of a net if a call raises an error."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from skorch.history import History

from sk_prunefair.hooks import Hook


@contextlib.contextmanager
def unchanged_on_error(net: Any, *, in_place: bool = False) -> Iterator[None]:
    """Restore all attributes of the net if the context raises, also on an interrupt.

    Attributes, the history, and the state of callbacks of skorch and of this library are restored;
    the user's callbacks keep their state.

    Parameters
    ----------
    net : Net
        The net.
    in_place : bool, default=False
        Whether the context trains the current modules and optimizers in place; their
        state is copied then.
    """
    before = dict(vars(net))
    history = before.get("history_")
    rows = None if history is None else [dict(row) for row in history]
    callbacks = [cb for _, cb in before.get("callbacks_", []) if is_library(cb)]
    remembered = [_attributes(cb) for cb in callbacks]
    states = _states(net) if in_place else {}
    try:
        yield
    except BaseException:
        vars(net).clear()
        vars(net).update(before)
        if isinstance(history, History):
            history[:] = rows
        for callback, attributes in zip(callbacks, remembered, strict=True):
            vars(callback).clear()
            vars(callback).update(attributes)
        for name, state in states.items():
            getattr(net, name).load_state_dict(state)
        raise


def is_library(callback: Any) -> bool:
    """Tell whether a callback belongs to skorch or to this library."""
    return isinstance(callback, Hook) or type(callback).__module__.startswith("skorch.")


def _attributes(callback: Any) -> dict[str, Any]:
    # A hook may change its state in place.
    is_hook = isinstance(callback, Hook) and hasattr(callback, "states_")
    return dict(vars(callback)) | (callback.copy_states() if is_hook else {})


def _states(net: Any) -> dict[str, Any]:
    names = [name + "_" for name in (*net._modules, *net._criteria, *net._optimizers)]
    return {
        name: copy.deepcopy(getattr(net, name).state_dict())
        for name in names
        if hasattr(getattr(net, name, None), "state_dict")
    }
