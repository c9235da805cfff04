"""Names of a package that are imported on first use (PEP 562)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy(
    package: str, names: Mapping[str, Sequence[str]], aliases: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package whose names are imported on first use.

    After its first use a name is an attribute of the package. A submodule is found as an
    attribute, too, without an import of its own.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    names : mapping of str to sequence of str
        By module, relative to the package, the public names that it defines.
    aliases : mapping of str to str, default=None
        Other names, and the public names that they refer to.

    Examples
    --------
    >>> get, listed = lazy("json", {"decoder": ["JSONDecoder"]})
    >>> get("JSONDecoder")
    <class 'json.decoder.JSONDecoder'>
    >>> get("no_such_name")
    Traceback (most recent call last):
        ...
    AttributeError: module 'json' has no attribute 'no_such_name'
    """
    homes = {name: module for module, found in names.items() for name in found}
    others = aliases or {}

    def get(name: str) -> Any:
        if name in others:
            value = getattr(sys.modules[package], others[name])
        elif name in homes:
            value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        elif not name.startswith("__") and importlib.util.find_spec(f"{package}.{name}"):
            return importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *others})

    return get, listed
