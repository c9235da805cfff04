"""Evidence of each group on a criterion, from single rows, counts and unlabelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise.criteria import Criterion
from sk_prunefair.promise.evidence import Evidence, examine_groups
from sk_prunefair.promise.unlabelled import Unlabelled, with_changes

Counts = npt.NDArray[np.int64]


def evidence_of_groups(
    criterion: Criterion,
    bound: float,
    dense: Outcome,
    compressed: Outcome,
    by_group: list[npt.NDArray[np.int64]],
    confidence: float,
    counts: npt.NDArray[np.int64] | None = None,
    more: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None,
) -> list[Evidence]:
    """Return the evidence of each group on a criterion."""
    before, after = criterion.checked_values(dense), criterion.checked_values(compressed)
    concerned, truth = criterion.concerned(dense.truth), dense.truth
    kept = [each[concerned[each]] for each in by_group]
    old, new = ([values[each] for each in kept] for values in (before, after))
    weights = None if counts is None else [counts[each] for each in kept]
    of_truth = [truth[each] for each in kept]
    found = examine_groups(criterion, old, new, of_truth, bound, confidence, weights)
    if more is None or not criterion.of_answers:
        return found
    changed = dense.labels != compressed.labels
    each_one = np.ones(len(changed), dtype=np.int64) if counts is None else counts
    labelled = [
        (int(n.sum()), int(n[changed[rows]].sum()), int(n[a > b].sum()), int(n[b > a].sum()))
        for rows, a, b in zip(kept, old, new, strict=True)
        for n in [each_one[rows]]
    ]
    return [
        with_changes(evidence, known, (int(n), int(n_changed)), bound, confidence)
        for evidence, known, n, n_changed in zip(found, labelled, *more, strict=True)
    ]


def evidence_of_answers(
    criterion: Criterion,
    bound: float,
    dense: Outcome,
    compressed: Outcome,
    codes: Counts,
    counts: Counts | None,
    unlabelled: Unlabelled,
    groups: pd.Index,
    labels: Any,
    confidence: float,
) -> list[Evidence]:
    """Return the evidence of all rows of each group, for a criterion that needs no labels."""
    old, new, known = unlabelled.outcomes(labels, dense, compressed)
    if len(known) > len(labels):
        raise ValueError(
            f"the predictions of unlabelled have the labels {known[len(labels) :][:5]}, which the "
            f"report lacks; it has {known[: len(labels)][:20]}. Pass classes with all labels"
        )
    every = np.concatenate([codes, unlabelled.codes(groups)])
    weights = np.ones(len(every), dtype=np.int64)
    if counts is not None:
        weights[: len(counts)] = counts
    found = evidence_of_groups(
        criterion,
        bound,
        old,
        new,
        rows_by_group(every, len(groups)),
        confidence,
        None if counts is None else weights,
    )
    changed = np.bincount(every, weights * (old.labels != new.labels), len(groups))
    total, more = np.bincount(every, weights, len(groups)), unlabelled.counts(groups)[0]
    return [
        replace(
            one,
            count=int(n - n_more),
            unlabelled=int(n_more),
            changed=float(n_changed / n),
            by="answers",
        )
        for one, n, n_more, n_changed in zip(found, total, more, changed, strict=True)
    ]


def rows_by_group(codes: Counts, n_groups: int) -> list[Counts]:
    """Return the rows of each group, in an order that does not depend on their values.

    The betting test requires such an order; files are often sorted.
    """
    order = np.random.default_rng(0).permutation(len(codes))
    return [order[codes[order] == code] for code in range(n_groups)]


def check_unlabelled(criteria: Sequence[Criterion]) -> None:
    """Raise ValueError if no criterion uses rows without labels."""
    if not any(each.takes_unlabelled for each in criteria):
        raise ValueError(
            "unlabelled needs a criterion that uses rows without labels: 'accuracy', "
            "'selection_rate:<label>' or a Criterion with needs_labels=False; got "
            f"{[each.name for each in criteria][:10]}"
        )


def check_counted(criteria: Sequence[Criterion], max_violation: float | None) -> None:
    """Raise ValueError if a criterion is not tested by counts."""
    bets = [f"the criterion {each.name!r}" for each in criteria if not each.is_binary]
    bets += ["max_violation"] if max_violation is not None else []
    if bets:
        raise ValueError(
            f"{bets[0]} is tested row by row, by betting, but only sums over rows are known: pass "
            "all rows at once, or criteria that are tested by counts"
        )
