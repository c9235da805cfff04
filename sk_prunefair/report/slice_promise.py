"""The promise to all groups defined by short rules, without named groups."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_count
from sk_prunefair.names import PRUNING, Names
from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Verdict, label_findings
from sk_prunefair.promise._bounds import check_promise
from sk_prunefair.promise.counts import rows_if_unchanged, rows_needed
from sk_prunefair.promise.verdict import binding_group
from sk_prunefair.report.slice_columns import BinnedColumn, binned_columns
from sk_prunefair.report.slice_search import Rule, rule_text
from sk_prunefair.stats.combine import holm
from sk_prunefair.stats.paired_many import drop_p_values, drop_upper_bounds

Counts = npt.NDArray[np.int64]


def judge_slices(
    features: Any,
    dense: Outcome,
    compressed: Outcome,
    labels: Any,
    max_accuracy_drop: float = 0.02,
    *,
    min_rows: int | None = None,
    max_features: int = 2,
    bins: int = 4,
    confidence: float = 0.95,
    names: Names = PRUNING,
) -> Verdict:
    r"""Test whether any group defined by a rule of one or two features loses more than promised.

    A rule is a condition on one feature, or two conditions on two: an interval of a number, whose
    ends are quantiles, or one value of other features. All rules with at least `min_rows` matching
    rows are tested, each by the exact paired test of `sk_prunefair.stats.paired.drop_p_value`.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        DataFrame, dict of columns or array; numbers, strings, booleans, categories. Missing values
        are a separate value. They need not be the models' features.
    dense, compressed : Outcome
        Outcomes of both models, over the same rows.
    labels : sequence of shape (n_labels,)
        Labels of the outcomes' codes.
    max_accuracy_drop : float in [0, 1), default=0.02
        Accepted loss of accuracy of each group.
    min_rows : int, default=None
        Least number of rows of a group. None: ten times as many as would prove the promise if no
        prediction changed, 1,530 for 0.02: with fewer, little can be proven.
    max_features : {1, 2}, default=2
        Largest number of conditions of a rule.
    bins : int, default=4
        Number of intervals, with about equal numbers of rows, for a numeric feature with more
        values.
    confidence : float in [0.5, 1), default=0.95
        1 − α.
    names : Names
        Names of the two models, in the findings.

    Returns
    -------
    Verdict
        ``group`` is the rule. ``drop_bound`` holds for all rules together.

    Raises
    ------
    ValueError
        If an argument is malformed, or no rule has enough rows.

    Notes
    -----
    *All rules together.* `kept` states that every group keeps the promise. A group for which it is
    broken passes its own test with a probability of at most α, so this is wrong with a probability
    of at most α, for any number of rules and any overlap: an intersection-union test, for
    which no correction is needed. The cost is power: each rule has to pass.

    *Single rules.* ``p_adjusted`` is for statements on which groups keep the promise when
    not all do: Holm's procedure over all m tested rules, which is valid for any
    dependence between rules, unlike Hochberg's procedure of a `Verdict` over groups without
    overlap. ``drop_bound`` is at 1 − α/m: at the confidence, no rule's drop is larger than its
    bound. So it also holds for the worst rule, although the same rows determine which one that is.

    *Choice of rules.* The rules, and which of them have enough rows, depend on the
    features only, not on labels and predictions. The ends of intervals are quantiles of the same
    rows; tests hold for the groups with these ends, given the features. They are exact if
    the features take values that were fixed in advance (categories, numbers binned by the user);
    otherwise the rows that determine an end are few among thousands.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, age = rng.integers(0, 2, 8000), rng.integers(18, 80, 8000)
    >>> is_hurt = (age > 70) & (rng.random(8000) < 0.1)
    >>> outcomes = (Outcome(None, each, truth) for each in (truth, np.where(is_hurt, 0, truth)))
    >>> found = judge_slices({"age": age}, *outcomes, ["no", "yes"])
    >>> found.kept, found.binding_group
    (False, 'age > 64')
    """
    check_promise(max_accuracy_drop, None, 1.0, confidence)
    check_count("bins", bins, least=2)
    if max_features not in (1, 2):
        raise ValueError(f"max_features must be 1 or 2, got {max_features!r}")
    if min_rows is None:
        min_rows = int(10 * rows_if_unchanged(max_accuracy_drop, confidence))
    check_count("min_rows", min_rows, or_else=" or None")
    columns = binned_columns(features, len(dense.truth), bins)
    if not columns:
        raise ValueError("features must tell rows apart, got columns of one value each")
    before, after = dense.is_right, compressed.is_right
    flags = np.stack([np.ones_like(before), before & ~after, after & ~before, before, after])
    found = [
        (rule_text(rule, columns), counts)
        for rule, counts in _all_rules(columns, flags, max_features)
        if counts[0] >= min_rows
    ]
    if not found:
        raise ValueError(
            f"min_rows: no rule over {[column.name for column in columns][:10]} covers "
            f"{min_rows:,} of the {len(before):,} rows"
        )
    rules, counts = zip(*found, strict=True)
    table = _table(rules, np.array(counts), max_accuracy_drop, confidence)
    findings = tuple(label_findings(dense, compressed, labels, names))
    return Verdict(
        kept=bool(table["passed"].all()) and not findings,
        binding_group=None if findings else binding_group(table),
        table=table,
        confidence=confidence,
        findings=findings,
    )


def _all_rules(
    columns: Sequence[BinnedColumn], flags: npt.NDArray[np.bool_], max_features: int
) -> Iterator[tuple[Rule, Counts]]:
    """Yield every rule, and how many of its rows have each of the flags."""
    for place, column in enumerate(columns):
        cells = _histogram(column.codes, column.n_codes, flags)
        for first, last in column.ranges():
            yield ((place, first, last),), cells[:, first : last + 1].sum(axis=1)
    pairs = itertools.combinations(enumerate(columns), 2) if max_features == 2 else ()
    for (i, one), (j, other) in pairs:
        codes = one.codes * other.n_codes + other.codes
        cells = _histogram(codes, one.n_codes * other.n_codes, flags)
        cells = cells.reshape(len(flags), one.n_codes, other.n_codes)
        for first, last in one.ranges():
            rows = cells[:, first : last + 1].sum(axis=1)
            for start, end in other.ranges():
                yield (
                    ((i, first, last), (j, start, end)),
                    rows[:, start : end + 1].sum(axis=1),
                )


def _histogram(codes: Counts, n_codes: int, flags: npt.NDArray[np.bool_]) -> Counts:
    return np.stack([np.bincount(codes[rows], minlength=n_codes) for rows in flags])


def _table(rules: Sequence[str], counts: Counts, bound: float, confidence: float) -> pd.DataFrame:
    # Many rules have the same counts; each combination is tested once.
    unique, place = np.unique(counts[:, :3], axis=0, return_inverse=True)
    place = place.reshape(-1)
    n, lost, won = unique.T
    level, bounds = 1 - confidence, np.full(len(n), bound)
    p_values = drop_p_values(n, lost, won, bounds, level / 20)
    least, most = rows_needed(n, lost, won, bound, confidence, p_values > level)
    # At a part of the level, as the least p-value is a part of the threshold.
    of_many = drop_p_values(n, lost, won, bounds, level / len(rules) / 20)
    table = pd.DataFrame(
        {
            "group": pd.Series(rules, dtype=object),
            "criterion": "accuracy",
            "count": counts[:, 0],
            "dense": counts[:, 3] / counts[:, 0],
            "compressed": counts[:, 4] / counts[:, 0],
            "drop": (counts[:, 1] - counts[:, 2]) / counts[:, 0],
            "drop_bound": drop_upper_bounds(n, lost, won, 1 - level / len(rules))[place],
            "bound": float(bound),
            "p_value": p_values[place],
            "passed": pd.Series((p_values <= level)[place], dtype="boolean"),
            "p_adjusted": holm(of_many[place]),
            "samples_needed": least[place],
            "samples_needed_most": most[place],
        }
    )
    return table.sort_values("p_value", ascending=False, kind="stable").reset_index(drop=True)
