"""Select the groups that a criterion applies to."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

_MOST_NAMED = 20


def chosen_groups(groups: Any, known: pd.MultiIndex, name: str) -> list[int]:
    """Return the positions of the groups that a criterion names, in ascending order.

    Parameters
    ----------
    groups : "all", list or dict
        As in `sk_prunefair.acceptance.AcceptanceCriterion`. Values are compared as they are
        and as strings, so that ``1`` names the group ``"1"``; ``*`` in a string matches anything.
    known : pandas.MultiIndex of shape (n_groups,)
        Groups of the data, with the names of their columns.
    name : str
        Name of the criterion, for errors.

    Raises
    ------
    ValueError
        If a named group or column is not in the data.

    Examples
    --------
    >>> known = pd.MultiIndex.from_tuples([("f", 1), ("m", 1), ("m", 2)], names=["sex", "age"])
    >>> chosen_groups({"sex": "m"}, known, "c"), chosen_groups([["f", "1"]], known, "c")
    ([1, 2], [0])
    """
    if isinstance(groups, str) and groups == "all":
        return list(range(len(known)))
    items = [groups] if isinstance(groups, Mapping) else list(groups)
    found: set[int] = set()
    for item in items:
        places = _places(item, known, name)
        if not places:
            shown = [row[0] if known.nlevels == 1 else row for row in known[:_MOST_NAMED]]
            raise ValueError(
                f"criterion {name!r}: {_named(item)} is not a group of the data; its groups are "
                f"{shown}{' and others' * (len(known) > _MOST_NAMED)}, by {list(known.names)}"
            )
        found.update(places)
    return sorted(found)


def _places(item: Any, known: pd.MultiIndex, name: str) -> list[int]:
    columns = list(known.names)
    if not isinstance(item, Mapping):
        parts = list(item) if isinstance(item, list | tuple) else [item]
        if len(parts) != len(columns):
            raise ValueError(
                f"criterion {name!r}: a group must have {len(columns)} values, one for each of "
                f"{columns}, or be a mapping of columns to values; got {_named(item)}"
            )
        item = dict(zip(columns, parts, strict=True))
    unknown = [key for key in item if str(key) not in map(str, columns)]
    if unknown:
        raise ValueError(
            f"criterion {name!r}: groups have the columns {columns}, got the unknown column "
            f"{unknown[0]!r}"
        )
    wanted = {str(key): value for key, value in item.items()}
    for level, column in enumerate(columns):
        if str(column) in wanted:
            _check_known(wanted[str(column)], column, known.levels[level], name)
    return [
        i
        for i, row in enumerate(known)
        if all(
            _matches(wanted[str(column)], value)
            for column, value in zip(columns, row, strict=True)
            if str(column) in wanted
        )
    ]


def _check_known(wanted: Any, column: Any, values: pd.Index, name: str) -> None:
    """Raise ValueError if the data lacks a value of a column."""
    for each in wanted if isinstance(wanted, list | tuple) else [wanted]:
        if not any(_matches(each, value) for value in values):
            more = " and others" * (len(values) > _MOST_NAMED)
            raise ValueError(
                f"criterion {name!r}: no group of the data has {_named(each)} as its {column!r}; "
                f"its values are {values[:_MOST_NAMED].tolist()}{more}"
            )


def _matches(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, list | tuple):
        return any(_matches(each, value) for each in wanted)
    if isinstance(wanted, str) and "*" in wanted and wanted != value:
        pattern = ".*".join(map(re.escape, wanted.split("*")))
        return re.fullmatch(pattern, str(value), flags=re.DOTALL) is not None
    return is_same(wanted, value)


def is_same(wanted: Any, value: Any) -> bool:
    """Tell whether a value of a file equals one of the data, as a value or as a string.

    >>> is_same(1, "1"), is_same("1.0", 1.0), is_same(True, 1)
    (True, True, False)
    """
    if isinstance(value, pd.Timestamp) and isinstance(wanted, datetime.date):
        return bool(pd.Timestamp(wanted) == value)
    if isinstance(wanted, bool) != (str(value) in ("True", "False")):
        return str(wanted) == str(value)
    return bool(wanted == value) or str(wanted) == str(value)


def _named(item: Any) -> str:
    return f"{item!r}{quotes_hint(item)}"


def quotes_hint(value: Any) -> str:
    """Return a hint for a boolean in place of a string."""
    if not isinstance(value, bool):
        return ""
    return " (YAML reads yes, no, on and off as that: put them in quotes)"
