"""What the pages of several benchmarks do to their rows."""

from __future__ import annotations

import pandas as pd
from pandas.api.typing import DataFrameGroupBy

# How the pages call the columns.
NAMES = {
    "class_balanced": "balanced accuracy",
    "balanced": "group mean",
    "worst": "worst group",
    "excess": "excess gap",
    "xi": "ξ",
    "dp": "demographic parity",
    "eo": "equalized odds",
}
# What most tables show of nets.
SCORES = ["accuracy", "balanced", "worst", "excess", "xi"]


def with_excess(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the excess gap of each, at least 0."""
    return rows.assign(excess=(rows["gap"] - rows["floor"]).clip(lower=0))


def mean_and_spread(grouped: DataFrameGroupBy, digits: int = 3) -> pd.DataFrame:
    """Return mean ± standard deviation as text, of one row the mean alone, columns by NAMES."""
    spread = grouped.std().map(lambda value: "" if pd.isna(value) else f" ± {value:.{digits}f}")
    return (grouped.mean().map("{:.3f}".format) + spread).rename(columns=NAMES)


def literal_steps(rows: pd.DataFrame, keys: list[str], method: str = "literal") -> pd.Series:
    """Return for each row the setting of a method of its cell that the validation rows choose.

    That is the one with the smallest gap, among those within five points of the accuracy without
    constraint. Settings are called "literal 0.1", with the method's name in front.
    """
    valid = rows[rows["split"] == "valid"].groupby([*keys, "method"])[["accuracy", "gap"]].mean()
    chosen = {}
    for key, part in valid.groupby(level=keys):
        part = part.droplevel(keys)
        steps = part[part.index.str.startswith(f"{method} ")]
        if len(steps) and "none" in part.index:
            near = steps[steps["accuracy"] >= part["accuracy"]["none"] - 0.05]
            chosen[key] = near["gap"].idxmin() if len(near) else steps["accuracy"].idxmax()
    return pd.Series(rows.set_index(keys).index.map(chosen.get), rows.index)
