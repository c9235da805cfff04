"""The rows of an audit, prepared group by group for one criterion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.acceptance.criteria import AcceptanceCriterion
from sk_prunefair.acceptance.groups import chosen_groups, is_same, quotes_hint
from sk_prunefair.data.groups import encode_groups
from sk_prunefair.names import Names
from sk_prunefair.outcome import Outcome

KEPT, BROKEN, FEW = "kept", "broken", "too few rows"


class AcceptedReport(Protocol):
    """The parts of a report that criteria are judged on; `sk_prunefair.FairnessReport` has them."""

    names: Names
    outcomes: tuple[Outcome, Outcome]
    labels: npt.NDArray[Any]
    sensitive_features: pd.DataFrame

    @property
    def samples(self) -> pd.DataFrame:
        """Truth, predictions and losses of each sample."""

    @property
    def label_findings(self) -> list[str]:
        """Lost labels; where there are any, nothing is accepted."""


class Row(NamedTuple):
    """The verdict on a criterion in a group, or between groups, where `group` is None.

    Parameters
    ----------
    group : object
        Its name.
    label : object
        The class that it is computed for, or None.
    measured, bound : float
        The observed value, and its bound at the confidence; NaN where not known.
    n : int
        Number of rows.
    p_value : float
        p-value of the test; NaN where there is none.
    verdict : str
        "kept", "broken" or "too few rows".
    """

    group: Any
    label: Any
    measured: float
    bound: float
    n: int
    p_value: float
    verdict: str


class Sample:
    """The rows of a report and their groups, computed once for all criteria."""

    def __init__(self, report: AcceptedReport) -> None:
        self.report = report
        self.dense, self.compressed = report.outcomes
        self.codes, index = encode_groups(report.sensitive_features)
        self.names = index.to_flat_index()
        self.index = pd.MultiIndex.from_frame(index.to_frame(index=False))
        # Betting tests need an order that does not depend on the values; files are often sorted.
        self._order = np.random.default_rng(0).permutation(len(self.codes))

    def chosen(self, criterion: AcceptanceCriterion) -> list[int]:
        """Return the codes of the groups that a criterion names."""
        return chosen_groups(criterion.groups, self.index, criterion.name)

    def rows_of(self, group: int) -> npt.NDArray[np.int64]:
        """Return the rows of a group, in an order that does not depend on their values."""
        return self._order[self.codes[self._order] == group]

    def label_code(self, criterion: AcceptanceCriterion) -> int | None:
        """Return the code of the label that a criterion names, or None."""
        if criterion.label is None:
            return None
        known = self.report.labels.tolist()
        for code, label in enumerate(known):
            if is_same(criterion.label, label):
                return code
        raise ValueError(
            f"criterion {criterion.name!r}: label must be one of {known[:20]}, got "
            f"{criterion.label!r}{quotes_hint(criterion.label)}"
        )

    @cached_property
    def levels(self) -> list[npt.NDArray[np.bool_]]:
        """The rows of each level of control features; all rows without control features."""
        codes, known = pd.factorize(self.report.samples["level"], use_na_sentinel=False)
        return [codes == code for code in range(len(known))]

    def large_groups(
        self, criterion: AcceptanceCriterion, counts: Mapping[int, int]
    ) -> tuple[list[int], list[Row]]:
        """Return the groups that can be compared, and the verdicts on those with too few rows.

        `counts` has the number of rows of each group to which the metric applies.
        """
        few = [
            Row(self.names[group], None, np.nan, np.nan, count, np.nan, FEW)
            for group, count in counts.items()
            if count < criterion.min_count
        ]
        large = [group for group, count in counts.items() if count >= criterion.min_count]
        if len(large) < 2:
            total = sum(counts[group] for group in large)
            return [], [*few, Row(None, None, np.nan, np.nan, total, np.nan, FEW)]
        return large, few


def observed(
    criterion: AcceptanceCriterion, measured: float, count: int, group: Any, label: Any = None
) -> Row:
    """Return the verdict on an observed value."""
    if count < criterion.min_count or np.isnan(measured):
        verdict = FEW
    else:
        verdict = KEPT if criterion.keeps(measured) else BROKEN
    return Row(group, label, measured, np.nan, count, np.nan, verdict)


def taken(outcome: Outcome, rows: npt.NDArray[Any]) -> Outcome:
    """Return an outcome over a subset of the rows."""
    return Outcome(
        None if outcome.losses is None else outcome.losses[rows],
        outcome.labels[rows],
        outcome.truth[rows],
        None if outcome.scores is None else outcome.scores[rows],
    )


def gaps(
    values: npt.NDArray[np.float64], codes: npt.NDArray[np.int64], level: pd.Series
) -> Iterator[float]:
    """Yield the largest minus the smallest mean over the groups, for each level of the controls."""
    frame = pd.DataFrame({"value": values, "group": codes, "level": level.to_numpy()})
    means = frame.groupby(["level", "group"], dropna=False)["value"].mean()
    for _, each in means.groupby(level=0, dropna=False):
        yield float(each.max() - each.min())
