"""Verdict: the result of the tests of a promise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

_ROWS_SHOWN, _CRITERIA_NAMED = 12, 5
_SHOWN = ["group", "criterion", "count", "dense", "compressed", "drop", "drop_bound", "p_value"]
_SHOWN_WITHOUT_LABELS = ["unlabelled", "changed", "evidence"]


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """The result of the tests of a promise to every group; made by `judge`.

    Attributes
    ----------
    kept : bool
        Whether the promise is kept, as far as the rows show. If in any group any tested criterion
        falls by more than promised, it is True with a probability of at most
        1 − `confidence`.
    binding_group : str, int, tuple or None
        The group with the largest p-value; of several, the one whose bound is furthest beyond
        the promise. None if `findings` decide.
    table : pandas.DataFrame
        One row per group and criterion: ``group``, ``criterion``, ``count`` (rows that it
        concerns), ``dense``, ``compressed``, ``drop`` (an increase, for a rate or loss that may not
        rise), ``drop_bound`` (bound on the drop at the confidence, valid for each row), ``bound``
        (the promise), ``p_value``, ``passed`` (NA: not tested, too few rows), ``p_adjusted`` (of
        the group, adjusted for the number of groups), ``samples_needed`` and
        ``samples_needed_most`` (number of rows needed if the drop is the least that the rows do
        not refute, and if it is the observed one; infinite if that drop is too large; NaN if it
        passes). With rows without labels also ``unlabelled`` (their number), ``changed`` (share of
        the predictions of all rows that changed) and ``evidence``: whether "labels", "changes" or
        "both" are tested, or the "answers" (predictions) of all rows, for which no label is needed;
        ``count`` is then the number of labelled rows.
    confidence : float
        1 − α.
    findings : tuple of str
        Labels that the compressed net no longer predicts; it is never approved then.

    Notes
    -----
    *The verdict.* All tests have to pass, each at the full level α: an intersection-union
    test. A promise that is broken in any group is approved with a probability of at most α, because
    its own test passes with at most α; the number of other tests does not matter.

    *One group.* "Group a keeps the promise" may be stated for all groups with ``p_adjusted`` ≤ α;
    the probability that any such statement is wrong is at most α. It is the
    largest p-value of the group's criteria, adjusted by Hochberg's procedure (closed testing with
    Simes's tests), for which groups must be independent: rows of one person in two groups are not.
    Comparisons of groups (``harmless``, ``max_violation``) do not enter.

    *One row.* ``drop_bound`` and ``p_value`` of a row hold by themselves, for a row chosen
    in advance.
    """

    kept: bool
    binding_group: Any
    table: pd.DataFrame
    confidence: float
    findings: tuple[str, ...] = ()

    def __str__(self) -> str:
        frame = self.table.sort_values("p_value", ascending=False, kind="stable")
        tested = frame[frame["passed"].notna()].head(_ROWS_SHOWN)
        columns = [*_SHOWN, *(each for each in _SHOWN_WITHOUT_LABELS if each in tested)]
        shown = tested[columns].to_string(index=False, float_format="{:z.3f}".format, na_rep="")
        left_out = len(frame) - len(frame[frame["passed"].isna()]) - len(tested)
        parts = [self.sentence, "", shown]
        if left_out > 0:
            parts.append(f"and {left_out} more with smaller p-values")
        return "\n".join([*parts, *self._not_tested()])

    __repr__ = __str__

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        level = f"with confidence {self.confidence:g}"
        if self.findings:
            return f"promise not kept, {level}: {'; '.join(self.findings)}"
        what = f"kept, {level}: {self._promised()}"
        if not self.kept:
            what = f"not kept, {level}: {self._why_not()}"
        return f"promise {what}{self._unused()}"

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-compatible objects, with None for NaN and infinity.

        Returns
        -------
        dict
            ``kept``, ``binding_group``, ``confidence``, ``findings``, ``sentence`` and ``table``, a
            list of rows.
        """
        return {
            "kept": self.kept,
            "binding_group": plain(self.binding_group),
            "confidence": self.confidence,
            "findings": list(self.findings),
            "sentence": self.sentence,
            "table": [
                {name: plain(value) for name, value in row.items()}
                for row in self.table.to_dict("records")
            ],
        }

    def _promised(self) -> str:
        tested = self.table[self.table["passed"].notna()]
        by_bound: dict[float, list[str]] = {}
        for name, bound in dict(zip(tested["criterion"], tested["bound"], strict=True)).items():
            by_bound.setdefault(bound, []).append(name)
        parts = [f"{bound:g} in {', '.join(names)}" for bound, names in by_bound.items()]
        where = " where it was tested" if self.table["passed"].isna().any() else ""
        return f"no group is worse by more than {'; by more than '.join(parts)}{where}"

    def _unused(self) -> str:
        """Return the criteria that do not use rows without labels, if there are such rows."""
        if "unlabelled" not in self.table:
            return ""
        is_used = self.table.groupby("criterion", sort=False)["unlabelled"].any()
        names = is_used.index[~is_used].tolist()
        if not names:
            return ""
        more = " and others" * (len(names) > _CRITERIA_NAMED)
        named = ", ".join(names[:_CRITERIA_NAMED]) + more
        return f"; rows without label do not count for {named}"

    def _why_not(self) -> str:
        row = _binding_row(self.table)
        may = "" if np.isnan(row["drop_bound"]) else f", and may be by {row['drop_bound']:.3f}"
        failed = self.table.loc[self.table["passed"].eq(False), "group"].nunique()
        n_groups = self.table["group"].nunique()
        others = f"; {failed} of {n_groups} groups fail" if failed > 1 else ""
        if row.get("evidence") == "changes":
            return (
                f"in group {group_name(row['group'])} the share {row['changed']:.3f} of "
                f"predictions changed, over {row['unlabelled']:,} rows without labels{may}, where "
                f"{row['bound']:g} was promised; {_remedy_by_changes(row)}{others}"
            )
        if np.isnan(row["drop"]):
            return (
                f"group {group_name(row['group'])} has no row for {row['criterion']}, which was "
                f"promised not to be worse by {row['bound']:g}; {_remedy(row)}{others}"
            )
        more = f" and {row['unlabelled']:,} without labels" if row.get("unlabelled", 0) else ""
        return (
            f"group {group_name(row['group'])} is worse by {row['drop']:.3f} in "
            f"{row['criterion']}, over {row['count']:,} rows{more}{may}, where {row['bound']:g} "
            f"was promised; {_remedy(row)}{others}"
        )

    def _not_tested(self) -> list[str]:
        left_out = self.table[self.table["passed"].isna()]
        if left_out.empty:
            return []
        cells = [
            f"{row['criterion']} in {group_name(row['group'])} ({row['count']:,}{_rows(row)})"
            for row in left_out.head(_ROWS_SHOWN).to_dict("records")
        ]
        more = " and others" * (len(left_out) > _ROWS_SHOWN)
        return [f"not tested, too few rows: {', '.join(cells)}{more}"]


def binding_group(table: pd.DataFrame) -> Any:
    """Return the group that decides; see `Verdict`."""
    return _binding_row(table)["group"]


def _binding_row(table: pd.DataFrame) -> pd.Series:
    tested = table[table["passed"].notna()]
    beyond = (tested["drop_bound"] - tested["bound"]).fillna(0)
    return tested.assign(beyond=beyond).sort_values(["p_value", "beyond"], kind="stable").iloc[-1]


def _remedy(row: pd.Series) -> str:
    least, most = row["samples_needed"], row["samples_needed_most"]
    rows = "labelled rows" if row.get("evidence") == "both" else "rows"
    if np.isinf(least):
        return "these rows show that it is worse than that"
    if np.isinf(most):
        return f"some {least:,.0f} {rows} or more would be needed, if it were smaller than observed"
    if most <= 1.1 * least:
        return f"some {most:,.0f} {rows} like these would be needed"
    return f"some {least:,.0f} to {most:,.0f} {rows} like these would be needed"


def _remedy_by_changes(row: pd.Series) -> str:
    if np.isinf(row["samples_needed_most"]):
        return "as many predictions may change without harm, which needs labels to decide"
    return f"some {row['samples_needed_most']:,.0f} rows like these would be needed, or labels"


def _rows(row: dict[Any, Any]) -> str:
    needed = row["samples_needed"]
    return "" if np.isinf(needed) else f", {needed:,.0f} needed"


def group_name(group: Any) -> str:
    """Return the name of a group for a sentence."""
    name = plain(group)
    return repr(tuple(name) if isinstance(group, tuple) else name)


def plain(value: Any) -> Any:
    """Return a value for JSON: None for what is not finite, lists for tuples."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    # For example a date, as groups can be dates.
    return value if isinstance(value, str | bool | int | float | None) else str(value)
