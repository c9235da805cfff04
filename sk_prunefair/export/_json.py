"""Parse untrusted JSON: finite numbers, short integers, unique keys."""

from __future__ import annotations

import json
import math
from typing import Any

_MAX_DIGITS = 20  # digits of the largest uint64


def parse_json(content: bytes) -> Any:
    """Return the value of a JSON document in UTF-8.

    Parameters
    ----------
    content : bytes
        The document.

    Returns
    -------
    object
        Dicts, lists, strings, booleans, None, integers of 20 digits at most and finite floats.

    Raises
    ------
    ValueError
        If it is not JSON, a key occurs twice in an object, or a number is not finite or too long.
    RecursionError
        If it is nested too deep.

    Examples
    --------
    >>> parse_json(b'{"rate": 0.5}')
    {'rate': 0.5}
    >>> parse_json(b'{"rate": NaN}')
    Traceback (most recent call last):
        ...
    ValueError: the header of the file holds NaN where a finite number is expected
    """
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_int=_integer,
            parse_float=_float,
        )
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the file is not a complete compact file: its header is not JSON ({error})"
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the header of the file has the key {twice!r} twice")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(
        f"the header of the file holds {text[:_MAX_DIGITS]} where a finite number is expected"
    )


def _integer(text: str) -> int:
    return int(text) if len(text.lstrip("-")) <= _MAX_DIGITS else _refuse(text)


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)
