"""Acceptance: one verdict for each criterion of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sk_prunefair.acceptance.criteria import AcceptanceCriterion
from sk_prunefair.acceptance.rows import BROKEN, FEW, KEPT, Row
from sk_prunefair.promise.verdict import group_name, plain

_SHOWN = ["name", "test", "group", "label", "limit", "measured", "bound", "n", "verdict"]
_MOST = 3  # most reasons in a sentence; the table has all


@dataclass(frozen=True, eq=False, repr=False)
class Acceptance:
    """Verdicts on the criteria of a file, as returned by `accept`.

    Attributes
    ----------
    kept : bool
        Whether all criteria are kept and no label is lost.
    criteria : pandas.DataFrame
        One row per criterion: ``name``, ``metric``, ``test`` ("proven" or "observed"),
        ``confidence`` (NaN if it is observed), ``group`` (the deciding one; None for a comparison
        of groups), ``label``, ``limit``, ``measured``, ``bound`` (its confidence
        bound; NaN if it is observed, or its test has only a p-value), ``n``, ``p_value``
        (NaN if the bound decides), ``verdict`` ("kept", "broken", "too few rows"), ``passed``,
        ``n_groups`` and ``n_too_few``, how many rows of `table` there are, and with too few rows.
    table : pandas.DataFrame
        The same columns, one row per criterion and group (and class, of recalls). ``passed`` is NA
        where a group with too few rows is skipped.
    findings : tuple of str
        Labels that the compressed model no longer predicts; nothing is accepted then.
    """

    kept: bool
    criteria: pd.DataFrame
    table: pd.DataFrame
    findings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        found: Sequence[tuple[AcceptanceCriterion, Sequence[Row]]],
        findings: Sequence[str] = (),
    ) -> Acceptance:
        """Make the result from the verdicts on all criteria."""
        table = [_record(criterion, row) for criterion, rows in found for row in rows]
        criteria = [_decided(criterion, rows) for criterion, rows in found]
        frame = _frame(criteria)
        return cls(
            kept=bool(frame["passed"].all()) and not findings,
            criteria=frame,
            table=_frame(table).astype({"passed": "boolean"}),
            findings=tuple(findings),
        )

    @property
    def has_labels(self) -> bool:
        """Whether any criterion has a label."""
        return any(label is not None for label in self.criteria["label"])

    @property
    def sentence(self) -> str:
        """The overall verdict in one sentence."""
        n = len(self.criteria)
        failed = self.criteria[~self.criteria["passed"]]
        if self.kept:
            n_few = int(self.criteria["n_too_few"].sum())
            few = f"; left out, with too few rows: {n_few} groups" if n_few else ""
            n_proven = int(self.criteria["test"].eq("proven").sum())
            how = f"{n_proven} proven, {n - n_proven} observed"
            return f"acceptance criteria kept: all {n} ({how}){few}"
        why = [*self.findings, *map(_why, failed.head(_MOST).to_dict("records"))]
        more = " and others" * (len(failed) > _MOST)
        return f"acceptance criteria not kept: {len(failed)} of {n}: {'; '.join(why)}{more}"

    def __str__(self) -> str:
        columns = [each for each in _SHOWN if each != "label" or self.has_labels]
        shown = self.criteria[columns].assign(group=self.criteria["group"].map(shown_group))
        if self.has_labels:
            shown["label"] = shown["label"].map(lambda label: "" if label is None else label)
        table = shown.to_string(index=False, float_format="{:z.4g}".format, na_rep="")
        return f"{self.sentence}\n\n{table}"

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return the verdicts as JSON-compatible objects, with None for NaN and infinity.

        Returns
        -------
        dict
            ``kept``, ``sentence``, ``findings``, ``criteria`` and ``table``, lists of rows.
        """
        return {
            "kept": self.kept,
            "sentence": self.sentence,
            "findings": list(self.findings),
            "criteria": _records(self.criteria),
            "table": _records(self.table),
        }


def shown_group(group: Any) -> str:
    """Return a group as it is shown in a table.

    >>> shown_group(("f", 1)), shown_group("b"), shown_group(None)
    ('f, 1', 'b', 'between groups')
    """
    if group is None:
        return "between groups"
    return ", ".join(map(str, group)) if isinstance(group, tuple) else str(group)


def _frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return records as a frame, with None kept as a group or label instead of NaN."""
    frame = pd.DataFrame(records)
    for name in ("group", "label"):
        values = np.empty(len(records), dtype=object)
        values[:] = [record[name] for record in records]
        frame[name] = pd.Series(values, dtype=object, index=frame.index)
    return frame


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): plain(value) for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def _record(criterion: AcceptanceCriterion, row: Row) -> dict[str, Any]:
    passed: Any = row.verdict == KEPT
    if row.verdict == FEW and criterion.small_groups == "skip":
        passed = pd.NA
    return {
        "name": criterion.name,
        "metric": criterion.metric,
        "test": criterion.test,
        "confidence": criterion.confidence if criterion.test == "proven" else np.nan,
        "group": row.group,
        "label": row.label,
        "limit": criterion.limit,
        "measured": row.measured,
        "bound": row.bound,
        "n": row.n,
        "p_value": row.p_value,
        "verdict": row.verdict,
        "passed": passed,
    }


def _decided(criterion: AcceptanceCriterion, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the deciding row and the verdict of the criterion."""
    n_few = sum(row.verdict == FEW for row in rows)
    order = [BROKEN, KEPT, FEW] if criterion.small_groups == "skip" else [BROKEN, FEW, KEPT]
    first = next(verdict for verdict in order if any(row.verdict == verdict for row in rows))
    row = max((row for row in rows if row.verdict == first), key=lambda row: _worse(criterion, row))
    found = _record(criterion, row) | {"passed": first == KEPT}
    return found | {"n_groups": len(rows), "n_too_few": n_few}


def _worse(criterion: AcceptanceCriterion, row: Row) -> tuple[float, ...]:
    """Return the sort key of rows with one verdict; the nearest to a broken limit is last."""
    sign = -1.0 if criterion.kind.is_least else 1.0
    beyond = (sign * (value - criterion.limit) for value in (row.bound, row.measured))
    known = (-np.inf if np.isnan(value) else value for value in (row.p_value, *beyond))
    return (*known, -float(row.n))


def _why(row: dict[Any, Any]) -> str:
    where = "between groups" if row["group"] is None else f"in group {group_name(row['group'])}"
    label = "" if row["label"] is None else f", label {row['label']!r}"
    if row["verdict"] == FEW and row["group"] is None and np.isnan(row["measured"]):
        return f"{row['name']!r} has fewer than two groups with enough rows to compare{label}"
    if row["verdict"] == FEW:
        return f"{row['name']!r} has too few rows {where}{label} ({row['n']:,})"
    may = "" if np.isnan(row["bound"]) else f", may be {row['bound']:.4g}"
    return (
        f"{row['name']!r} is broken {where}{label} ({row['measured']:.4g}{may}, over {row['n']:,} "
        f"rows, where the limit is {row['limit']:g})"
    )
