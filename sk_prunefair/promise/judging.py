"""judge: test whether a compressed classifier keeps a promise to every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_number
from sk_prunefair.names import PRUNING, Names
from sk_prunefair.outcome import Outcome
from sk_prunefair.promise._bounds import check_promise
from sk_prunefair.promise.by_group import (
    check_counted,
    check_unlabelled,
    evidence_of_answers,
    evidence_of_groups,
    rows_by_group,
)
from sk_prunefair.promise.criteria import Criterion, as_criteria, losses_of
from sk_prunefair.promise.evidence import Evidence
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.promise.pairs import examine_pairs
from sk_prunefair.promise.unlabelled import Unlabelled
from sk_prunefair.promise.verdict import Verdict, binding_group
from sk_prunefair.stats.combine import hochberg

# The group's code, the criterion, its bound, whether it is tested only if possible (None: it
# compares groups), and the evidence.
Row = tuple[int, str, float, bool | None, Evidence]


def judge(
    dense: Outcome,
    compressed: Outcome,
    codes: npt.ArrayLike,
    groups: Sequence[Any] | pd.Index,
    labels: Sequence[Any] | npt.NDArray[Any],
    *,
    max_accuracy_drop: float = 0.02,
    max_violation: float | None = None,
    confidence: float = 0.95,
    criteria: Any = None,
    harmless: float | None = None,
    loss_bound: float = 5.0,
    names: Names = PRUNING,
    counts: npt.NDArray[np.int64] | None = None,
    unlabelled: Unlabelled | None = None,
) -> Verdict:
    """Test whether every group loses at most what was promised, on held-out rows.

    Parameters
    ----------
    dense, compressed : Outcome
        Outcomes of both classifiers, over the same rows.
    codes : array-like of shape (n_samples,), of int
        The group of each row, a position in `groups`.
    groups : sequence or pandas.Index of shape (n_groups,)
        Names of the groups.
    labels : sequence of shape (n_labels,)
        Labels of the outcomes' codes.
    max_accuracy_drop : float in [0, 1), default=0.02
        Accepted loss of each criterion in each group.
    max_violation : float, default=None
        Accepted fairness violation ξ, the largest difference between the excessive risks of two
        groups, with losses clipped to `loss_bound`. None sets no limit.
    confidence : float in [0.5, 1), default=0.95
        1 − α.
    criteria : str, callable, Criterion, iterable or mapping of them, default=None
        Values that may not fall: ``"accuracy"``, ``"balanced_accuracy"`` (the mean of the recalls
        of the classes that a group has), ``"recall"`` (of each class), ``"tpr:<label>"`` and
        ``"fpr:<label>"`` (which may not rise), ``"selection_rate:<label>"`` (the share of
        predictions of the label; name the other label too if it may not rise either), ``"loss"``
        (may not rise, clipped to `loss_bound`, in its unit), a function ``f(y_true, y_pred)`` that
        returns a value in [0, 1] for each row, higher is better, or a `Criterion`. A mapping sets
        the accepted loss of each. None means the accuracy and, if a group has enough rows of a
        class for a proof, the recall of that class. Otherwise the verdict states this, and the
        promise is broken only if these rows prove that it is. Criteria given by name must pass in
        every group, with any number of rows.
    harmless : float, default=None
        δ: promise in addition that no group's accuracy drops by more than another's plus δ.
    loss_bound : float, default=5.0
        Bound at which losses are clipped, in nats for cross entropy.
    names : Names
        Names of the two models, in the findings.
    counts : ndarray of shape (n_samples,), dtype int64, default=None
        Number of rows that each one represents; None means one. Criteria tested by betting then
        raise an error, as single rows are not known; only exact tests are possible.
    unlabelled : Unlabelled, default=None
        Rows with known groups but without labels, used for the accuracy by their changed
        predictions, and for selection rates like all other rows; other criteria use labels only,
        which the verdict states. A group may have only such rows. Which rows have labels must not
        depend on the labels.

    Returns
    -------
    Verdict
        Verdict; see its notes for the error rates of its claims.

    Raises
    ------
    ValueError
        If an argument is malformed, a group has no row, required losses are not known, or no
        criterion uses the rows without labels.
    TypeError
        If a criterion is of an unknown kind.

    Notes
    -----
    Values of 0 and 1 are tested by the exact paired test (`sk_prunefair.selection.drop_p_value`),
    other values by betting; both are valid at any number of rows. For the balanced accuracy, bets
    are on rounds that hold rows of each class. Groups are compared pair by pair (`harmless`,
    `max_violation`), see ``sk_prunefair.promise.pairs``. Rows must be independent of
    each other. The choice of tested recalls depends only on the numbers of rows, not on changes.
    A compressed net that predicts one label for all rows, or no longer predicts a label of the
    dense net, is not approved, with any results of the tests.

    Examples
    --------
    A compressed net that is wrong on each tenth row of group "b":

    >>> truth = np.arange(2000) % 2
    >>> codes = np.repeat([0, 1], 1000)
    >>> dense = Outcome(np.zeros(2000), truth, truth)
    >>> labels = np.where((codes == 1) & (np.arange(2000) % 10 == 0), 1 - truth, truth)
    >>> verdict = judge(dense, Outcome(np.zeros(2000), labels, truth), codes, ["a", "b"], [0, 1])
    >>> verdict.kept, verdict.binding_group
    (False, 'b')
    """
    check_promise(max_accuracy_drop, max_violation, loss_bound, confidence)
    check_number("harmless", harmless, above=0, or_none=True)
    codes, group_names = _check_groups(codes, groups, dense, compressed, unlabelled)
    if unlabelled is not None and (harmless is not None or max_violation is not None):
        _check_all_labelled(codes, group_names)
    made = as_criteria(criteria, labels, max_drop=max_accuracy_drop, loss_bound=loss_bound)
    if counts is not None:
        check_counted([criterion for criterion, _ in made], max_violation)
    if unlabelled is not None:
        check_unlabelled([criterion for criterion, _ in made])
    by_group = rows_by_group(codes, len(group_names))
    more = None if unlabelled is None else unlabelled.counts(group_names)

    def evidence_of(criterion: Criterion, bound: float) -> list[Evidence]:
        both = criterion, bound, dense, compressed
        if unlabelled is None or criterion.needs_labels:
            return evidence_of_groups(*both, by_group, confidence, counts, more)
        return evidence_of_answers(
            *both, codes, counts, unlabelled, group_names, labels, confidence
        )

    rows: list[Row] = [
        (group, criterion.name, bound, criterion.where_possible, evidence)
        for criterion, bound in made
        for group, evidence in enumerate(evidence_of(criterion, bound))
        if evidence.count or not criterion.where_possible
    ]
    for name, margin, changes, scale in _comparisons(
        dense, compressed, harmless, max_violation, loss_bound
    ):
        found = examine_pairs(
            [changes[each] for each in by_group],
            margin=margin,
            scale=scale,
            is_binary=changes.dtype.kind == "i",
            confidence=confidence,
            counts=None if counts is None else [counts[each] for each in by_group],
        )
        rows += [(group, name, margin, None, evidence) for group, evidence in enumerate(found)]
    findings = label_findings(dense, compressed, labels, names)
    if unlabelled is not None:
        findings = unlabelled.findings(labels, names, dense, compressed)
    return verdict_of(rows, group_names, confidence, findings)


def verdict_of(
    rows: list[Row], groups: pd.Index, confidence: float, findings: Sequence[str]
) -> Verdict:
    """Return the verdict from the evidence of each group."""
    table = _table(rows, groups, 1 - confidence)
    return Verdict(
        kept=bool(table["passed"].fillna(True).all()) and not findings,
        binding_group=None if findings else binding_group(table),
        table=table,
        confidence=confidence,
        findings=tuple(findings),
    )


def judge_samples(
    group: pd.Series | pd.Index, dense: Outcome, compressed: Outcome, labels: Any, **options: Any
) -> Verdict:
    """Judge as `judge` does, with the name of each row's group instead of codes.

    Examples
    --------
    >>> truth = np.arange(1000) % 2
    >>> dense = Outcome(np.zeros(1000), truth, truth)
    >>> judge_samples(pd.Series(["a", "b"] * 500), dense, dense, [0, 1], criteria="accuracy").kept
    True
    """
    codes, groups = pd.factorize(group, sort=False)
    index = pd.Index(groups, tupleize_cols=False)
    if options.get("unlabelled") is not None:
        index = options["unlabelled"].groups(index)
    return judge(dense, compressed, codes, index, labels, **options)


def _comparisons(
    dense: Outcome,
    compressed: Outcome,
    harmless: float | None,
    max_violation: float | None,
    bound: float,
) -> list[tuple[str, float, npt.NDArray[Any], float]]:
    """Return name, margin, changes by row and their scale, for each comparison between groups."""
    compared: list[tuple[str, float, npt.NDArray[Any], float]] = []
    if harmless is not None:
        change = dense.is_right.astype(int) - compressed.is_right.astype(int)
        compared.append(("accuracy beyond another group", harmless, change, 1.0))
    if max_violation is not None:
        risk = np.clip(losses_of(compressed), 0, bound) - np.clip(losses_of(dense), 0, bound)
        compared.append(("loss beyond another group (ξ)", float(max_violation), risk, bound))
    return compared


def _table(rows: list[Row], names: pd.Index, level: float) -> pd.DataFrame:
    codes, criteria, bounds, where_possible, evidence = zip(*rows, strict=True)
    frame, code = pd.DataFrame([asdict(each) for each in evidence]), np.array(codes)
    p_values, is_own = frame["p_value"], np.array([each is not None for each in where_possible])
    could = frame["is_testable"] | ~np.array(where_possible, dtype=bool)
    # If no criterion could be tested in a group, all are, so that the group cannot pass untested.
    is_tested = (could | ~(could & is_own).groupby(code).transform("any")).to_numpy()
    # Skipped criteria can only break the promise, so this correction is needed only for power.
    is_harmed = ~is_tested & (frame["p_harm"] * max((~is_tested).sum(), 1) <= level).to_numpy()
    passed = (p_values <= level).astype("boolean").mask(~(is_tested | is_harmed))
    # Only criteria of the group itself: comparisons with other groups are not independent.
    largest = p_values.where(is_own & (is_tested | is_harmed), 0.0).groupby(code).max()
    table = pd.DataFrame(
        {
            "group": pd.Series([names[each] for each in code], dtype=object),
            "criterion": list(criteria),
            **{name: frame[name] for name in ("count", "dense", "compressed", "drop")},
            "drop_bound": frame["drop_bound"],
            "bound": list(bounds),
            "p_value": p_values,
            "passed": passed,
            "p_adjusted": hochberg(largest.to_numpy())[code],
            "samples_needed": frame["needed"],
            "samples_needed_most": frame["needed_most"],
        }
    )
    if frame["unlabelled"].any():
        table[["unlabelled", "changed", "evidence"]] = frame[["unlabelled", "changed", "by"]]
    return table.iloc[np.argsort(code, kind="stable")].reset_index(drop=True)


def _check_all_labelled(codes: npt.NDArray[np.int64], names: pd.Index) -> None:
    [empty] = np.nonzero(np.bincount(codes, minlength=len(names)) == 0)
    if len(empty):
        raise ValueError(
            "harmless and max_violation compare groups on labelled rows, but "
            f"{[names[i] for i in empty[:5]]} have none"
        )


def _check_groups(
    codes: npt.ArrayLike,
    groups: Any,
    dense: Outcome,
    compressed: Outcome,
    unlabelled: Unlabelled | None,
) -> tuple[npt.NDArray[np.int64], pd.Index]:
    codes = np.asarray(codes)
    names = (
        groups.to_flat_index()
        if isinstance(groups, pd.Index)
        else pd.Index(list(groups), tupleize_cols=False)
    )
    n = len(dense.truth)
    if not np.array_equal(dense.truth, compressed.truth):
        raise ValueError("dense and compressed must be outcomes over the same rows: truth differs")
    if codes.shape != (n,) or codes.dtype.kind not in "iu":
        raise ValueError(
            f"codes must be {n} integers, one for each row, got {codes.dtype} values of shape "
            f"{codes.shape}"
        )
    if n == 0 or codes.min() < 0 or codes.max() >= len(names):
        raise ValueError(f"codes must be in 0 to {len(names) - 1}, the positions of the groups")
    counts = np.bincount(codes, minlength=len(names))
    if unlabelled is not None:
        counts = counts + unlabelled.counts(names)[0]
    if (counts == 0).any():
        empty = [names[i] for i in np.flatnonzero(counts == 0)[:5]]
        raise ValueError(f"each group must have at least one row, got none of {empty}")
    return codes.astype(np.int64), names
