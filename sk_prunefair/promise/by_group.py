"""Evidence of each group on a criterion, from single rows, counts and unlabelled rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise.criteria import Criterion
from sk_prunefair.promise.evidence import Evidence, examine_groups
from sk_prunefair.promise.unlabelled import with_changes


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


def check_counted(criteria: Sequence[Criterion], max_violation: float | None) -> None:
    """Raise ValueError if a criterion is not tested by counts."""
    bets = [f"the criterion {each.name!r}" for each in criteria if not each.is_binary]
    bets += ["max_violation"] if max_violation is not None else []
    if bets:
        raise ValueError(
            f"{bets[0]} is tested row by row, by betting, but only sums over rows are known: pass "
            "all rows at once, or criteria that are tested by counts"
        )
