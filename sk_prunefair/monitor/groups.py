"""The groups of a monitor: those of a report, and checks of the groups in a batch."""

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
    """Return the share of the rows of each group of a report, over all levels of controls.

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
    """Raise ValueError if known groups occur in another form and would be taken for new ones.

    Parameters
    ----------
    groups : pandas.Index
        Groups of a batch.
    known : pandas.Index
        Known groups.

    Raises
    ------
    ValueError
        If their columns differ, or a column holds strings instead of numbers.

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
    """Return groups with columns in the order of the known ones, if the names are the same.

    Parameters
    ----------
    groups, known : pandas.Index
        As for `check_groups`.
    """
    if isinstance(groups, pd.MultiIndex) and set(groups.names) == set(known.names):
        # Otherwise race and sex in another order would be confused.
        return groups.reorder_levels(list(known.names))
    return groups


def _are_named(*indexes: pd.Index) -> bool:
    """Tell whether all columns have user-defined names."""
    names = [name for index in indexes for name in index.names]
    return not any(name is None or str(name).startswith("sensitive_feature_") for name in names)


def _kind(values: Any) -> str:
    kind = pd.api.types.infer_dtype(values.tolist(), skipna=False)
    return _KINDS.get(kind, kind)
