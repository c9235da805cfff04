"""Tables of selection rates and impact ratios, and their text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sk_prunefair.documents.scope import made_by, scope, written
from sk_prunefair.report.markdown import cell

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

_TITLES = {
    "sex": "Sex categories",
    "race": "Race and ethnicity categories",
    "intersections": "Intersectional categories",
}


@dataclass(frozen=True, eq=False, repr=False)
class ImpactRatios:
    """Selection rates and impact ratios by category; made by `impact_ratios`.

    Attributes
    ----------
    sex, race, intersections : pandas.DataFrame or None
        By category: ``count``, ``share`` (of the counted rows), ``selected``,
        ``selection_rate``, ``impact_ratio`` (NaN where the category is excluded, or nobody is
        selected) and ``excluded``. None if its columns were not given.
    positive : object
        The label of selected rows.
    model : str
        Model whose predictions were counted.
    n_rows, n_unknown : int
        Number of counted rows, and of rows left out because a category is unknown.
    exclude_below : float
        Share of the rows below which a category is excluded.
    report : FairnessReport
        The report that they were computed from.
    """

    sex: pd.DataFrame | None
    race: pd.DataFrame | None
    intersections: pd.DataFrame | None
    positive: Any
    model: str
    n_rows: int
    n_unknown: int
    exclude_below: float
    report: GroupComparison

    @property
    def table(self) -> pd.DataFrame:
        """All categories in one table, by ``kind`` and ``category``."""
        parts = {
            kind: frame.set_axis(pd.Index(map(_shown, frame.index)))
            for kind, frame in self._parts()
            if frame is not None
        }
        return pd.concat(parts, names=["kind", "category"])

    def _parts(self) -> Iterable[tuple[str, pd.DataFrame | None]]:
        return (("sex", self.sex), ("race", self.race), ("intersections", self.intersections))

    def to_markdown(
        self, path: str | PathLike[str] | None = None, *, dataset: str = "held-out samples"
    ) -> str:
        """Return the tables in Markdown with their limits, and write them to a file.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write, in UTF-8.
        dataset : str, default="held-out samples"
            Source of the data.
        """
        parts = [
            "# Selection rates and impact ratios",
            f"Selected is a row that the {cell(self.model)} gives the label "
            f"{cell(repr(self.positive))}. The impact ratio is the selection rate of a category "
            "divided by that of the most selected category of its table. Data: "
            f"{cell(dataset)}, {self.n_rows:,} rows.",
        ]
        for kind, frame in self._parts():
            if frame is not None:
                parts += [f"## {_TITLES[kind]}", _markdown(frame), *self._excluded(frame)]
        return written("\n\n".join([*parts, *self._ends(dataset)]) + "\n", path)

    def _excluded(self, frame: pd.DataFrame) -> list[str]:
        left_out = frame[frame["excluded"]]
        if left_out.empty:
            return []
        named = "; ".join(
            f"{cell(_shown(name))}: {row['count']:,} rows, selection rate "
            f"{row['selection_rate']:.3f}"
            for name, row in left_out.iterrows()
        )
        return [
            f"Excluded from the impact ratios, as they are less than {self.exclude_below:.0%} of "
            f"the data: {named}."
        ]

    def _ends(self, dataset: str) -> list[str]:
        limits = [
            "This document does not state whether the rules apply to a tool, who has to audit it, "
            "or "
            "whether the auditor is independent. The rules also require an explanation of the "
            "data's "
            "source, the reason for each exclusion, and the dates of audit and release of the "
            "tool.",
            "Ratios have no interval: those of small categories are subject to chance.",
            "Scoring rates, which the rules require for tools with scores, are not included.",
            *scope(self.report, dataset),
        ]
        return [
            f"{self.n_unknown:,} more rows have an unknown category and are not in these tables.",
            "## What this does not cover",
            "\n".join(f"- {cell(each)}" for each in limits),
            made_by(),
        ]

    def __str__(self) -> str:
        table = self.table.to_string(float_format="{:.3f}".format, na_rep="")
        return (
            f"impact ratios of {self.model}, selected: {self.positive!r}; {self.n_rows:,} rows, "
            f"{self.n_unknown:,} unknown\n{table}"
        )

    __repr__ = __str__


def _shown(name: Any) -> str:
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _markdown(frame: pd.DataFrame) -> str:
    lines = [
        "| category | number | selected | selection rate | impact ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in frame.iterrows():
        ratio = "excluded" if row["excluded"] else "n/a"
        if not np.isnan(row["impact_ratio"]):
            ratio = f"{row['impact_ratio']:.3f}"
        lines.append(
            f"| {cell(_shown(name))} | {row['count']:,} | {row['selected']:,} | "
            f"{row['selection_rate']:.3f} | {ratio} |"
        )
    return "\n".join(lines)
