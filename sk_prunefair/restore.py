"""Put a net back to what it was where a call raises."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from skorch.history import History

from sk_prunefair.hooks import Hook


@contextlib.contextmanager
def unchanged_on_error(net: Any, *, in_place: bool = False) -> Iterator[None]:
    """Put back all that the net had where what is inside raises, an interrupt included.

    Attributes are put back, the history, and what callbacks of skorch and of this library remember;
    callbacks of the user's keep what they have seen.

    Parameters
    ----------
    net : Net
        The net.
    in_place : bool, default=False
        Whether what is inside trains the very modules and optimizers that the net has now; their
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
    """Tell whether a callback is one of skorch's or of this library's, not of the user's."""
    return isinstance(callback, Hook) or type(callback).__module__.startswith("skorch.")


def _attributes(callback: Any) -> dict[str, Any]:
    # A hook may change in place what it remembers.
    is_hook = isinstance(callback, Hook) and hasattr(callback, "states_")
    return dict(vars(callback)) | (callback.copy_states() if is_hook else {})


def _states(net: Any) -> dict[str, Any]:
    names = [name + "_" for name in (*net._modules, *net._criteria, *net._optimizers)]
    return {
        name: copy.deepcopy(getattr(net, name).state_dict())
        for name in names
        if hasattr(getattr(net, name, None), "state_dict")
    }
