"""Beam search for the rule whose rows lost most, to be tested on other rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from sk_prunefair.report.slice_columns import BinnedColumn

# A rule: column, first and last code of each condition, sorted.
Rule = tuple[tuple[int, int, int], ...]

_BEAM = 20
_MAX_RULES = 3
_MARGIN = 2.0  # difference of scores to the best rule's


def matches(rule: Rule, columns: Sequence[BinnedColumn]) -> npt.NDArray[np.bool_]:
    """Return which rows match a rule."""
    masks = [
        (columns[place].codes >= first) & (columns[place].codes <= last)
        for place, first, last in rule
    ]
    return np.logical_and.reduce(masks)


def rule_text(rule: Rule, columns: Sequence[BinnedColumn]) -> str:
    """Return a rule as words: its conditions, joined by "and"."""
    return " and ".join(columns[place].condition(first, last) for place, first, last in rule)


class SliceSearch:
    """Rules over binned columns, scored by how unlikely the losses of their rows are.

    The score of a rule is ``g(lost) − g(won) − c``, where g is the log-likelihood ratio of a
    Poisson count against the expected count for as many rows, negative if the count is smaller,
    and c is half the logarithm of the number of conditions of its kind, summed over its
    conditions: with many intervals, one of them has a large score by chance. The half accounts for
    overlap.

    Parameters
    ----------
    columns : sequence of BinnedColumn
        Features of all rows.
    rows : ndarray of int
        Rows of the search.
    harm : ndarray of shape (n_samples,)
        1 for a lost row, −1 for a won one, 0 for others.
    min_count : int
        Least number of rows of a rule.
    max_features : int
        Largest number of conditions of a rule, each on another feature.
    """

    def __init__(
        self,
        columns: Sequence[BinnedColumn],
        rows: npt.NDArray[np.int64],
        harm: npt.NDArray[np.int64],
        *,
        min_count: int,
        max_features: int,
    ) -> None:
        self.min_count, self.max_features = min_count, max_features
        self.harm = harm[rows]
        starts = np.cumsum([0, *(column.n_codes for column in columns)])
        self.n_codes = int(starts[-1])
        # Codes of all columns in one range, so that one bincount computes all histograms.
        self.codes = np.stack(
            [column.codes[rows] + start for column, start in zip(columns, starts, strict=False)],
            axis=1,
        )
        spans = [
            (place, first, last)
            for place, column in enumerate(columns)
            for first, last in column.ranges()
        ]
        self.spans = np.array(spans, dtype=np.int64).reshape(-1, 3)
        self.first = self.spans[:, 1] + starts[self.spans[:, 0]]
        self.last = self.spans[:, 2] + starts[self.spans[:, 0]]
        self.index = {span: place for place, span in enumerate(spans)}
        self.costs = _costs(columns, spans)

    def promising(self) -> list[Rule]:
        """Return the best rule, then the best one of the remaining rows, while scores are similar.

        Returns
        -------
        list of Rule
            At most three, the best first.
        """
        alive = np.ones(len(self.harm), dtype=bool)
        rules: list[Rule] = []
        least = -np.inf
        while len(rules) < _MAX_RULES:
            rule, score = self.best(alive)
            if rule is None or score < least:
                break
            least = max(least, score - _MARGIN)
            rules.append(rule)
            alive &= ~self._holds(rule)
        return rules

    def best(self, alive: npt.NDArray[np.bool_]) -> tuple[Rule | None, float]:
        """Return the rule with the largest score among the remaining rows, and its score."""
        beam: list[Rule] = [()]
        found: dict[Rule, float] = {}
        for _ in range(self.max_features):
            longer: dict[Rule, float] = {}
            for rule in beam:
                longer |= self._extensions(rule, alive)
            beam = sorted(longer, key=lambda rule: (-longer[rule], rule))[:_BEAM]
            found |= {rule: longer[rule] for rule in beam}
        if not found:
            return None, -np.inf
        best = min(found, key=lambda rule: (-found[rule], len(rule), rule))
        return best, found[best]

    def _extensions(self, rule: Rule, alive: npt.NDArray[np.bool_]) -> dict[Rule, float]:
        """Return the best rules with one more condition, and their scores."""
        inside = np.flatnonzero(alive & self._holds(rule))
        counts = self._counts(inside)
        lost = self._counts(inside[self.harm[inside] > 0])
        won = self._counts(inside[self.harm[inside] < 0])
        harm = self.harm[alive]
        scores = _excess(lost, counts * ((harm > 0).sum() + 1) / (len(harm) + 1))
        scores -= _excess(won, counts * ((harm < 0).sum() + 1) / (len(harm) + 1))
        scores -= self.costs + sum(self.costs[self.index[condition]] for condition in rule)
        is_taken = np.isin(self.spans[:, 0], [place for place, *_ in rule])
        # A condition that holds for all rows adds nothing to a rule.
        is_void = (counts < self.min_count) | (counts == len(inside))
        scores[is_taken | is_void] = -np.inf
        top = np.argsort(-scores, kind="stable")[:_BEAM]
        return {
            tuple(sorted([*rule, tuple(self.spans[each].tolist())])): float(scores[each])
            for each in top
            if np.isfinite(scores[each])
        }

    def _counts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of rows that match each condition."""
        histogram = np.bincount(self.codes[rows].ravel(), minlength=self.n_codes)
        below = np.concatenate([[0], np.cumsum(histogram)])
        return below[self.last + 1] - below[self.first]

    def _holds(self, rule: Rule) -> npt.NDArray[np.bool_]:
        holds = np.ones(len(self.harm), dtype=bool)
        for condition in rule:
            span = self.index[condition]
            codes = self.codes[:, condition[0]]
            holds &= (codes >= self.first[span]) & (codes <= self.last[span])
        return holds


def _costs(
    columns: Sequence[BinnedColumn], spans: Sequence[tuple[int, int, int]]
) -> npt.NDArray[np.float64]:
    """Return half the logarithm of the number of conditions of each kind."""
    kinds = []
    for place, first, last in spans:
        column = columns[place]
        if first >= column.n_ordered:
            kinds.append((place, "value"))
        else:
            is_open = first == 0 or last == column.n_ordered - 1
            kinds.append((place, "bound" if is_open else "interval"))
    counts = Counter(kinds)
    return np.array([np.log(len(columns) * counts[kind]) / 2 for kind in kinds])


def _excess(
    counts: npt.NDArray[np.int64], expected: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the Poisson log-likelihood ratio of counts, negative if they are too small."""
    ratio = xlogy(counts, counts / np.maximum(expected, 1e-12)) - counts + expected
    return np.sign(counts - expected) * ratio
