"""The groups of a monitor: those of a report, and whether those of a batch can be the same."""

from __future__ import annotations

from typing import Any

import pandas as pd

_KINDS = {
    "integer": "numbers",
    "floating": "numbers",
    "mixed-integer-float": "numbers",
    "decimal": "numbers",
    "boolean": "booleans",
    "string": "strings",
    "datetime": "dates",
}


def shares_of(report: Any) -> pd.Series:
    """Return the share of the rows of each group of a report, all levels of controls together.

    Parameters
    ----------
    report : FairnessReport
        With or without control features.
    """
    if not hasattr(report, "sensitive_features") or not hasattr(report, "dense"):
        raise TypeError(f"report must be a FairnessReport, got {type(report).__name__}")
    counts = report.dense.by_group["count"]
    if report.control_features is not None:
        counts = counts.groupby(level=list(report.sensitive_features.columns)).sum()
    return counts / counts.sum()


def check_groups(groups: pd.Index, known: pd.Index) -> None:
    """Raise ValueError where groups would be taken for new ones that are known by another writing.

    Parameters
    ----------
    groups : pandas.Index
        Of a batch.
    known : pandas.Index
        Those so far.

    Raises
    ------
    ValueError
        If they are made of other columns, or a column holds strings where it held numbers.

    Examples
    --------
    >>> check_groups(pd.Index([0, 1]), pd.Index([1.0]))
    >>> check_groups(pd.Index(["0"], name="sex"), pd.Index([0, 1], name="sex"))
    Traceback (most recent call last):
        ...
    ValueError: sensitive_features must hold numbers in column 'sex', such as 0, as the groups of \
the monitor do, got strings, such as '0'
    """
    if known.nlevels != groups.nlevels:
        raise ValueError(
            f"sensitive_features has {groups.nlevels} columns, but the groups of the "
            f"monitor are made of {known.nlevels}: {list(known.names)}"
        )
    groups = in_order(groups, known)
    if known.nlevels > 1 and list(groups.names) != list(known.names) and _are_named(groups, known):
        raise ValueError(
            f"sensitive_features must have the columns {list(known.names)} of the groups of the "
            f"monitor, got {list(groups.names)}"
        )
    for level, name in enumerate(known.names):
        one, other = groups.get_level_values(level), known.get_level_values(level)
        found, expected = _kind(one), _kind(other)
        if len(one) and len(other) and found != expected:
            raise ValueError(
                f"sensitive_features must hold {expected} in column {name!r}, such as "
                f"{other.tolist()[0]!r}, as the groups of the monitor do, got {found}, such as "
                f"{one.tolist()[0]!r}"
            )


def in_order(groups: pd.Index, known: pd.Index) -> pd.Index:
    """Return groups with their columns in the order of the known ones, if the names are the same.

    Parameters
    ----------
    groups, known : pandas.Index
        As for `check_groups`.
    """
    if isinstance(groups, pd.MultiIndex) and set(groups.names) == set(known.names):
        # Otherwise race and sex in the other order would be taken for each other.
        return groups.reorder_levels(list(known.names))
    return groups


def _are_named(*indexes: pd.Index) -> bool:
    """Tell whether all columns have names of the user's."""
    names = [name for index in indexes for name in index.names]
    return not any(name is None or str(name).startswith("sensitive_feature_") for name in names)


def _kind(values: Any) -> str:
    kind = pd.api.types.infer_dtype(values.tolist(), skipna=False)
    return _KINDS.get(kind, kind)
