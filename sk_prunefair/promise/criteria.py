"""Criteria of a promise: a value of each row, before and after, over the rows that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sk_prunefair.checks import as_losses
from sk_prunefair.outcome import Outcome

Rows = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
_NAMES = (
    "'accuracy', 'balanced_accuracy', 'recall', 'tpr:<label>', 'fpr:<label>', "
    "'selection_rate:<label>', 'loss', a function f(y_true, y_pred) or a Criterion"
)


@dataclass(frozen=True)
class Criterion:
    """A value whose mean may not fall in any group, over the rows that it concerns.

    Parameters
    ----------
    name : str
        Name in the table of a verdict.
    values : callable
        ``values(outcome)`` returns an ndarray of shape (n_samples,): the value of each row in
        [0, `scale`], higher is better.
    rows : callable, default=None
        ``rows(truth)`` returns a boolean ndarray of shape (n_samples,): the rows of the criterion,
        as a function of the encoded labels. None means all rows.
    scale : float, default=1.0
        The largest value.
    is_binary : bool, default=False
        Whether each value is 0 or 1: then the test is exact. Otherwise it is by betting.
    by_class : bool, default=False
        Whether it is the mean of the classes' means instead of the mean of the rows.
    where_possible : bool, default=False
        Whether a group with too few rows for any proof is skipped instead of failed.
    of_answers : bool, default=False
        Whether it is binary, concerns all rows, and changes only with the prediction: then rows
        without labels are evidence on it.
    needs_labels : bool, default=True
        Whether values depend on the labels. If they depend on the predictions only, rows without
        labels count like labelled rows; `values` must not use the labels then.
    is_cost : bool, default=False
        Whether the table shows `scale` minus the mean, for a rate or a loss that may not rise.

    Raises
    ------
    ValueError
        If `of_answers` is True and it is not binary, or `of_answers` is True or `needs_labels` is
        False and it uses the labels by `rows` or `by_class`.

    Examples
    --------
    The recall of label 1, by hand:

    >>> recall = Criterion(
    ...     "recall of 1",
    ...     values=lambda outcome: outcome.is_right.astype(float),
    ...     rows=lambda truth: truth == 1,
    ...     is_binary=True,
    ... )
    >>> truth = np.array([0, 1, 1])
    >>> outcome = Outcome(np.zeros(3), np.array([0, 1, 0]), truth)
    >>> recall.values(outcome)[recall.rows(truth)].mean().item()
    0.5
    """

    name: str
    values: Callable[[Outcome], Values]
    rows: Callable[[npt.NDArray[np.int64]], Rows] | None = None
    scale: float = 1.0
    is_binary: bool = False
    by_class: bool = False
    where_possible: bool = False
    is_cost: bool = False
    of_answers: bool = False
    needs_labels: bool = True

    def __post_init__(self) -> None:
        is_of_labels = self.rows is not None or self.by_class
        if self.of_answers and (is_of_labels or not self.is_binary):
            raise ValueError(
                f"{self.name!r}: of_answers=True needs is_binary=True, without rows and by_class"
            )
        if not self.needs_labels and is_of_labels:
            raise ValueError(
                f"{self.name!r}: needs_labels=False cannot be combined with rows or by_class"
            )

    @property
    def takes_unlabelled(self) -> bool:
        """Whether rows without labels are evidence on it."""
        return self.of_answers or not self.needs_labels

    def concerned(self, truth: npt.NDArray[np.int64]) -> Rows:
        """Return which rows the criterion concerns, as a boolean ndarray."""
        if self.rows is None:
            return np.ones(len(truth), dtype=bool)
        return np.asarray(self.rows(truth), dtype=bool)

    def checked_values(self, outcome: Outcome) -> Values:
        """Return the value of each row; ValueError if one is out of range."""
        values = as_losses(self.values(outcome), f"values of the criterion {self.name!r}")
        low, high, n_rows = values.min(), values.max(), len(outcome.truth)
        is_fine = len(values) == n_rows and low >= 0 and high <= self.scale
        if not is_fine or (self.is_binary and not np.isin(values, (0, 1)).all()):
            accepted = "0 or 1" if self.is_binary else f"in [0, {self.scale:g}]"
            raise ValueError(
                f"the criterion {self.name!r} must return a value {accepted} for each of {n_rows} "
                f"rows, got {len(values)} values from {low:.4g} to {high:.4g}"
            )
        return values

    def shown(self, mean: float) -> float:
        """Return the mean for the table, reversed for a rate or a loss that may not rise."""
        return self.scale - mean if self.is_cost else mean


def as_criteria(
    criteria: Any, labels: Any, *, max_drop: float, loss_bound: float
) -> list[tuple[Criterion, float]]:
    """Return criteria and their bounds, from names, functions, criteria or a mapping of them.

    Parameters
    ----------
    criteria : str, callable, Criterion, iterable of them, mapping of them to floats, or None
        See `sk_prunefair.promise.judge`. None means the accuracy and, if a group has enough rows,
        the recall of each class.
    labels : sequence
        Labels of the outcomes' codes.
    max_drop : float in [0, 1)
        Bound of each, if not given by a mapping.
    loss_bound : float
        Bound at which losses are clipped.

    Returns
    -------
    list of tuple of Criterion and float
        Criteria and bounds, with one for each class if the recall was requested.

    Raises
    ------
    ValueError
        If a name or a label is unknown, there is no criterion, or names are not unique.
    TypeError
        If a criterion is of another kind.

    Examples
    --------
    >>> made = as_criteria({"recall": 0.05}, ["no", "yes"], max_drop=0.02, loss_bound=5.0)
    >>> [(criterion.name, bound) for criterion, bound in made]
    [("recall of 'no'", 0.05), ("recall of 'yes'", 0.05)]
    """
    if criteria is None:
        recalls = [_recall(code, labels, where_possible=True) for code in range(len(labels))]
        return [(each, max_drop) for each in (_accuracy(), *recalls)]
    if isinstance(criteria, str | Criterion) or callable(criteria):
        criteria = [criteria]
    if isinstance(criteria, Mapping):
        pairs = list(criteria.items())
    elif isinstance(criteria, Iterable):
        pairs = [(each, max_drop) for each in criteria]
    else:
        raise TypeError(f"criteria must be {_NAMES}, or several of them, got {criteria!r}")
    made = [
        (criterion, _check_bound(bound, criterion))
        for each, bound in pairs
        for criterion in _make(each, labels, loss_bound)
    ]
    names = [criterion.name for criterion, _ in made]
    if not made or len(set(names)) < len(names):
        raise ValueError(f"criteria must hold at least one criterion, each only once, got {names}")
    return made


def _make(given: Any, labels: Any, loss_bound: float) -> list[Criterion]:
    if isinstance(given, Criterion):
        return [given]
    if isinstance(given, str):
        kind, colon, label = given.partition(":")
        if given == "accuracy":
            return [_accuracy()]
        if given == "balanced_accuracy":
            return [Criterion("balanced accuracy", _is_right, by_class=True)]
        if given == "recall":
            return [_recall(code, labels) for code in range(len(labels))]
        if given == "loss":
            return [_loss(loss_bound)]
        if colon and kind in ("tpr", "fpr"):
            return [_rate(kind, _code(label, labels, given), labels)]
        if colon and kind == "selection_rate":
            return [_selection_rate(_code(label, labels, given), labels)]
        raise ValueError(f"criteria must be {_NAMES}, got {given!r}")
    if callable(given):
        return [_of_function(given, labels)]
    raise TypeError(f"criteria must be {_NAMES}, got {given!r}")


def _accuracy() -> Criterion:
    return Criterion("accuracy", _is_right, is_binary=True, of_answers=True)


def _is_right(outcome: Outcome) -> Values:
    return outcome.is_right.astype(float)


def _recall(code: int, labels: Any, *, where_possible: bool = False) -> Criterion:
    return Criterion(
        f"recall of {_shown(labels[code])}",
        _is_right,
        rows=lambda truth: truth == code,
        is_binary=True,
        where_possible=where_possible,
    )


def _rate(kind: str, code: int, labels: Any) -> Criterion:
    name = f"{kind.upper()} of {_shown(labels[code])}"
    if kind == "tpr":
        return Criterion(name, _is_right, rows=lambda truth: truth == code, is_binary=True)
    return Criterion(
        name,
        lambda outcome: (outcome.labels != code).astype(float),
        rows=lambda truth: truth != code,
        is_binary=True,
        is_cost=True,
    )


def _selection_rate(code: int, labels: Any) -> Criterion:
    return Criterion(
        f"selection rate of {_shown(labels[code])}",
        lambda outcome: (outcome.labels == code).astype(float),
        is_binary=True,
        needs_labels=False,
    )


def _loss(loss_bound: float) -> Criterion:
    return Criterion(
        "loss",
        lambda outcome: loss_bound - np.clip(losses_of(outcome), 0, loss_bound),
        scale=loss_bound,
        is_cost=True,
    )


def _of_function(function: Callable[..., Any], labels: Any) -> Criterion:
    decoded = np.asarray(labels)
    name = getattr(function, "__name__", type(function).__name__)
    return Criterion(
        name,
        lambda outcome: np.asarray(
            function(decoded[outcome.truth], decoded[outcome.labels]), dtype=float
        ),
    )


def losses_of(outcome: Outcome) -> Values:
    """Return the losses; ValueError if an outcome has none."""
    if outcome.losses is None:
        raise ValueError(
            "a promise about losses ('loss' among the criteria, or max_violation) needs the losses "
            "of both classifiers, but only their labels are known"
        )
    return outcome.losses


def _code(label: str, labels: Any, given: str) -> int:
    known = [str(each) for each in labels]
    if label not in known:
        raise ValueError(f"criteria: {given!r} must name a label among {known[:20]}")
    return known.index(label)


def _shown(label: Any) -> str:
    return repr(label.item() if isinstance(label, np.generic) else label)


def _check_bound(bound: Any, criterion: Criterion) -> float:
    try:
        is_fine = not isinstance(bound, bool) and 0 <= float(bound) < criterion.scale
    except (TypeError, ValueError):
        is_fine = False
    if not is_fine:
        raise ValueError(
            f"criteria: the bound of {criterion.name!r} must be a number in [0, "
            f"{criterion.scale:g}), got {bound!r}"
        )
    return float(bound)
