"""Limits that are proven group by group, with the tests of `sk_prunefair.promise`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sk_prunefair.acceptance.criteria import AcceptanceCriterion
from sk_prunefair.acceptance.rows import BROKEN, FEW, KEPT, Row, Sample, observed
from sk_prunefair.promise.by_group import evidence_of_groups
from sk_prunefair.promise.criteria import Criterion, as_criteria
from sk_prunefair.promise.evidence import Evidence
from sk_prunefair.promise.pairs import examine_pairs


def tested_groups(sample: Sample, criterion: AcceptanceCriterion) -> list[Row]:
    """Return the verdicts of the tests of `sk_prunefair.promise`, or on observed values."""
    groups = sample.chosen(criterion)
    code, known = sample.label_code(criterion), sample.report.labels.tolist()
    made = _criteria(sample, criterion)
    is_proven = criterion.test == "proven"
    # An observed value is not tested, so the level of the test does not matter.
    bound = criterion.limit if is_proven else 0.0
    rows = [sample.rows_of(group) for group in groups]
    found: list[tuple[Any, Any, Evidence]] = []
    for place, each in enumerate(made):
        if code is not None and place != code:
            continue
        label = known[place] if criterion.metric == "recall_drop" else None
        evidence = evidence_of_groups(
            each, bound, sample.dense, sample.compressed, rows, criterion.confidence
        )
        names = [sample.names[group] for group in groups]
        found += [
            (name, label, one)
            for name, one in zip(names, evidence, strict=True)
            # A group without rows of a class has no recall; the criterion did not name the class.
            if one.count or label is None or code is not None
        ]
    if not is_proven:
        return [observed(criterion, one.drop, one.count, name, label) for name, label, one in found]
    n_untested = max(sum(not one.is_testable for *_, one in found), 1)
    return [
        Row(
            name,
            label,
            one.drop,
            one.drop_bound,
            one.count,
            one.p_value,
            _verdict(criterion, one, n_untested),
        )
        for name, label, one in found
    ]


def _criteria(sample: Sample, criterion: AcceptanceCriterion) -> list[Criterion]:
    """Return the promise's criteria for the metric; the recalls of all classes are several."""
    if criterion.metric == "share_changed":
        # Compared with its own predictions the dense model is always right, so that losses are
        # changes.
        dense = sample.dense.labels
        return [
            Criterion(
                "share changed",
                lambda outcome: (outcome.labels == dense).astype(float),
                is_binary=True,
            )
        ]
    bound = criterion.loss_bound
    if criterion.kind.needs_losses and criterion.test == "observed":
        # Above all losses, so that nothing is clipped.
        bound = 1 + max(float(each.known_losses.max()) for each in sample.report.outcomes)
    made = as_criteria(criterion.kind.source, sample.report.labels, max_drop=0.0, loss_bound=bound)
    return [each for each, _ in made]


def _verdict(criterion: AcceptanceCriterion, found: Evidence, n_untested: int) -> str:
    level = 1 - criterion.confidence
    if found.count < criterion.min_count:
        return FEW
    if found.p_value <= level:
        return KEPT
    # Groups that cannot prove the limit can only fail it, so the correction is needed for power
    # only.
    is_harmed = found.p_harm * n_untested <= level
    return BROKEN if found.is_testable or is_harmed else FEW


def changes(sample: Sample, criterion: AcceptanceCriterion) -> npt.NDArray[Any]:
    """Return what each row lost: 1, 0 or -1 correct predictions, or the increase of its loss."""
    dense, compressed = sample.report.outcomes
    if criterion.kind.needs_losses:
        if criterion.test == "observed":
            return compressed.known_losses - dense.known_losses
        bound = criterion.loss_bound
        return np.clip(compressed.known_losses, 0, bound) - np.clip(dense.known_losses, 0, bound)
    return dense.is_right.astype(int) - compressed.is_right.astype(int)


def tested_pairs(sample: Sample, criterion: AcceptanceCriterion, groups: list[int]) -> list[Row]:
    """Return for each group whether it loses at most the limit more than any other group."""
    lost = changes(sample, criterion)
    of_groups = [lost[sample.rows_of(group)] for group in groups]
    is_binary = not criterion.kind.needs_losses
    level = 1 - criterion.confidence

    def tested(values: list[npt.NDArray[Any]]) -> list[Evidence]:
        return examine_pairs(
            values,
            margin=criterion.limit,
            scale=1.0 if is_binary else criterion.loss_bound,
            is_binary=is_binary,
            confidence=criterion.confidence,
        )

    found = tested(of_groups)
    is_open = [one.p_value > level and one.drop <= criterion.limit for one in found]
    could = [True] * len(found)
    if any(is_open):
        could = [one.p_value <= level for one in tested([0 * each for each in of_groups])]
    return [
        Row(
            sample.names[group],
            None,
            one.drop,
            np.nan,
            one.count,
            one.p_value,
            KEPT if one.p_value <= level else BROKEN if can or not is_unsure else FEW,
        )
        for group, one, can, is_unsure in zip(groups, found, could, is_open, strict=True)
    ]
