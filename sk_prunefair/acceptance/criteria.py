"""One criterion of an acceptance file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sk_prunefair.acceptance.metrics import METRICS, Metric

SMALL_GROUPS = ("fail", "skip")
TESTS = ("proven", "observed")


@dataclass(frozen=True)
class AcceptanceCriterion:
    """A limit of an acceptance file, as returned by `read_criteria`.

    Attributes
    ----------
    name : str
        Name in the verdicts.
    metric : str
        A key of `sk_prunefair.acceptance.METRICS`.
    limit : float
        The largest value allowed, or the smallest for metrics with ``is_least``.
    groups : "all", list or dict
        The groups: all; those listed, each a value, a list of values or a dict of columns; or
        those whose columns have the values in a dict, where ``*`` matches anything.
    label : str, int, float, bool or None
        The class, or the positive label, that the metric is computed for.
    confidence : float
        1 − α of the test of each group, in [0.5, 1).
    min_count : int
        Least number of rows of a group, among those that the metric uses.
    small_groups : "fail" or "skip"
        Effect of a group with too few rows on the criterion.
    test : "proven" or "observed"
        Whether the limit must be proven at the confidence, or hold for the observed value. Default:
        "proven" for metrics that `sk_prunefair.promise` has a test for. `read_criteria` sets
        "proven" for all metrics with a bound if the file has a confidence.
    loss_bound : float
        Bound at which tests clip losses, in the unit of the losses.

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
                f"criterion {self.name!r}: {self.metric} has no bound; test must be 'observed'"
            )

    @property
    def kind(self) -> Metric:
        """The metric of the criterion."""
        return METRICS[self.metric]

    def keeps(self, measured: float) -> bool:
        """Tell whether a value keeps the limit, up to rounding errors."""
        if self.kind.is_least:
            return bool(measured >= self.limit - 1e-12)
        return bool(measured <= self.limit + 1e-12)
