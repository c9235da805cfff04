"""One criterion of an acceptance file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sk_prunefair.acceptance.metrics import METRICS, Metric

SMALL_GROUPS = ("fail", "skip")
TESTS = ("proven", "observed")


@dataclass(frozen=True)
class AcceptanceCriterion:
    """A limit that a file sets, as `read_criteria` returns it.

    Attributes
    ----------
    name : str
        As verdicts call it.
    metric : str
        A key of `sk_prunefair.acceptance.METRICS`.
    limit : float
        The most that the metric may be, or the least, as the metric says.
    groups : "all", list or dict
        Which groups: all; those listed, each a value, a list of values or a dict of columns; or
        those whose columns have the values that a dict gives, ``*`` standing for anything.
    label : str, int, float, bool or None
        The class or positive label that the metric is of.
    confidence : float
        1 − α of the test of each group, in [0.5, 1).
    min_count : int
        Rows that a group must have of those that the metric concerns.
    small_groups : "fail" or "skip"
        What a group with too few rows does to the criterion.
    test : "proven" or "observed"
        Whether the limit must be proven at the confidence, or the observed figure keep it. Default:
        what `sk_prunefair.promise` has a test for is proven. `read_criteria` sets "proven" for all
        that can be where the file names a confidence.
    loss_bound : float
        Where tests clip losses, in the unit of the losses.

    Examples
    --------
    >>> AcceptanceCriterion("no group loses", "accuracy_drop", 0.02).test
    'proven'
    >>> AcceptanceCriterion("four fifths", "impact_ratio", 0.8).test
    'observed'
    """

    name: str
    metric: str
    limit: float
    groups: Any = "all"
    label: Any = None
    confidence: float = 0.95
    min_count: int = 1
    small_groups: str = "fail"
    test: str = ""
    loss_bound: float = 5.0

    def __post_init__(self) -> None:
        if not self.test:
            test = "proven" if self.kind.is_proven else "observed"
            object.__setattr__(self, "test", test)
        if self.test == "proven" and not self.kind.can_be_proven:
            raise ValueError(
                f"criterion {self.name!r}: {self.metric} has no bound, and can be 'observed' alone"
            )

    @property
    def kind(self) -> Metric:
        """What the metric is."""
        return METRICS[self.metric]

    def keeps(self, measured: float) -> bool:
        """Return whether a figure keeps the limit, but for the last digits of its arithmetic."""
        if self.kind.is_least:
            return bool(measured >= self.limit - 1e-12)
        return bool(measured <= self.limit + 1e-12)
