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

COLUMNS = {"labels": ("selected", "selection_rate"), "scores": ("above_median", "scoring_rate")}
"""What rates are of, and the columns that have them."""
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
        selected), its interval ``low`` to ``high``, and ``excluded``. For scores ``above_median``
        and ``scoring_rate`` instead of ``selected`` and ``selection_rate``. None if its columns
        were not given.
    positive : object
        The label of selected rows, or the label whose probability is the score.
    model : str
        Model whose predictions were counted.
    n_rows, n_unknown : int
        Number of counted rows, and of rows left out because a category is unknown.
    exclude_below : float
        Share of the rows below which a category is excluded.
    report : FairnessReport
        The report that they were computed from.
    median : float or None
        Median of the scores of all rows; None for labels.
    confidence : float
        Joint confidence of the intervals of all ratios of a table.
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
    median: float | None = None
    confidence: float = 0.95

    @property
    def _columns(self) -> tuple[str, str]:
        return COLUMNS["labels" if self.median is None else "scores"]

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
        rate = self._columns[1].replace("_", " ")
        label = cell(repr(self.positive))
        counted = (
            f"Selected is a row that the {cell(self.model)} gives the label {label}."
            if self.median is None
            else f"The scoring rate is the share of a category to which the {cell(self.model)} "
            f"gives a probability of {label} above {self.median:.4g}, the median of all rows."
        )
        parts = [
            f"# {rate.capitalize()}s and impact ratios",
            f"{counted} The impact ratio is the {rate} of a category divided by the highest one "
            "of its table, in brackets its interval: all ratios of a table are in theirs with a "
            f"confidence of {self.confidence:.0%}. Data: {cell(dataset)}, {self.n_rows:,} rows.",
        ]
        for kind, frame in self._parts():
            if frame is not None:
                table = _markdown(frame, self._columns)
                parts += [f"## {_TITLES[kind]}", table, *self._excluded(frame)]
        return written("\n\n".join([*parts, *self._ends(dataset)]) + "\n", path)

    def _excluded(self, frame: pd.DataFrame) -> list[str]:
        left_out = frame[frame["excluded"]]
        if left_out.empty:
            return []
        named = "; ".join(
            f"{cell(_shown(name))}: {row['count']:,} rows, {self._columns[1].replace('_', ' ')} "
            f"{row[self._columns[1]]:.3f}"
            for name, row in left_out.iterrows()
        )
        return [
            f"Excluded from the impact ratios, as they are less than {self.exclude_below:.0%} of "
            f"the data: {named}."
        ]

    def _ends(self, dataset: str) -> list[str]:
        limits = [
            "This document does not state whether the rules apply to a tool, who has to audit it, "
            "or whether the auditor is independent. The rules also require an explanation of the "
            "data's source, the reason for each exclusion, and the dates of audit and release of "
            "the tool.",
            "Intervals are for the rates in the population that these people represent. The rules "
            "require the ratios of these people, without intervals.",
            "Scoring rates, which the rules require for tools with scores, are not in these tables."
            if self.median is None
            else "Intervals are conditional on the median, which is that of all rows, those of "
            "unknown categories included; rows with exactly this score are not above it.",
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
        what = "selected" if self.median is None else f"score above {self.median:.4g}"
        return (
            f"impact ratios of {self.model}, {what}: {self.positive!r}; {self.n_rows:,} rows, "
            f"{self.n_unknown:,} unknown\n{table}"
        )

    __repr__ = __str__


def _shown(name: Any) -> str:
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _markdown(frame: pd.DataFrame, columns: tuple[str, str]) -> str:
    names = [each.replace("_", " ") for each in columns]
    lines = [
        f"| category | number | {names[0]} | {names[1]} | impact ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in frame.iterrows():
        ratio = "excluded" if row["excluded"] else "n/a"
        if not np.isnan(row["impact_ratio"]):
            ratio = f"{row['impact_ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        lines.append(
            f"| {cell(_shown(name))} | {row['count']:,} | {row[columns[0]]:,} | "
            f"{row[columns[1]]:.3f} | {ratio} |"
        )
    return "\n".join(lines)
