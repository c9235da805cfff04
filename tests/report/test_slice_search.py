"""The search for slices against one that tries all rules, on a few rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.report.slice_columns import binned_columns
from sk_prunefair.report.slice_search import SliceSearch, matches, rule_text

N, MIN_COUNT = 300, 20


def table(seed):
    """Return two features, rows that may be looked at, and harm with a planted slice."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": np.where(rng.random(N) < 0.1, np.nan, rng.integers(0, 4, N)),
            "race": rng.choice(list("abc"), N),
        }
    )
    is_hurt = (frame["race"] == "b") & (frame["x"] >= 2)
    u = rng.random(N)
    harm = np.where(u < 0.05 + 0.3 * is_hurt, 1, np.where(u > 0.93, -1, 0))
    return binned_columns(frame, N), np.sort(rng.permutation(N)[:260]), harm


def likelihood(count, expected):
    """Return the Poisson log-likelihood ratio, negative where there are fewer than expected."""
    ratio = (count * np.log(count / expected) if count else 0) - count + expected
    return ratio if count > expected else -ratio


def kind(column, first, last):
    if first >= column.n_ordered:
        return "value"
    return "open" if first == 0 or last == column.n_ordered - 1 else "closed"


def all_scores(columns, rows, harm, max_features):
    """Return the score of every rule that is neither too small nor longer for nothing."""
    spans = [(i, *ends) for i, column in enumerate(columns) for ends in column.ranges()]
    kinds = [(i, kind(columns[i], *ends)) for i, *ends in spans]
    costs = {
        span: np.log(len(columns) * kinds.count(own)) / 2
        for span, own in zip(spans, kinds, strict=True)
    }
    singles = [(span,) for span in spans]
    pairs = [pair for pair in combinations(spans, 2) if pair[0][0] != pair[1][0]]
    found = {}
    for rule in singles + pairs * (max_features == 2):
        holds = matches(rule, columns)[rows]
        own = harm[rows][holds]
        within = [len(rows)] if len(rule) == 1 else [
            matches((span,), columns)[rows].sum() for span in rule
        ]  # fmt: skip
        if len(own) < MIN_COUNT or all(len(own) == each for each in within):
            continue
        lost, won = (
            likelihood(
                (own == sign).sum(), len(own) * ((harm[rows] == sign).sum() + 1) / (len(rows) + 1)
            )
            for sign in (1, -1)
        )
        found[rule] = lost - won - sum(costs[span] for span in rule)
    return found


def all_promising(columns, rows, harm, max_features):
    """Return up to three rules, each the best among the rows that those before it leave."""
    rules, least = [], -np.inf
    while len(rules) < 3:
        scores = all_scores(columns, rows, harm, max_features)
        if not scores or max(scores.values()) < least:
            break
        best = max(scores, key=scores.get)
        least = max(least, scores[best] - 2)
        rules.append(best)
        rows = rows[~matches(best, columns)[rows]]
    return rules


@pytest.mark.parametrize("max_features", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_slice_search_finds_what_trying_all_rules_does(seed, max_features):
    columns, rows, harm = table(seed)
    options = {"min_count": MIN_COUNT, "max_features": max_features}
    search = SliceSearch(columns, rows, harm, **options)
    scores = all_scores(columns, rows, harm, max_features)
    rule, score = search.best(np.ones(len(rows), dtype=bool))
    assert score == pytest.approx(max(scores.values()))
    assert scores[rule] == pytest.approx(score)
    assert search.promising() == all_promising(columns, rows, harm, max_features)


def test_slice_search_looks_at_rows_alive_alone():
    columns, rows, harm = table(0)
    search = SliceSearch(columns, rows, harm, min_count=MIN_COUNT, max_features=2)
    alive = np.arange(len(rows)) % 3 > 0
    scores = all_scores(columns, rows[alive], harm, 2)
    rule, score = search.best(alive)
    assert score == pytest.approx(max(scores.values()))
    assert scores[rule] == pytest.approx(score)


def test_slice_search_without_a_rule_of_so_many_rows_finds_none():
    columns, rows, harm = table(0)
    search = SliceSearch(columns, rows, harm, min_count=N, max_features=2)
    assert search.best(np.ones(len(rows), dtype=bool)) == (None, -np.inf)
    assert search.promising() == []


def test_matches_and_rule_text_join_conditions():
    columns, *_ = table(0)
    rule = ((0, 2, 3), (1, 0, 0))
    value = columns[1].values[0]
    assert rule_text(rule, columns) == f"x > 1.0 and race {value}"
    expected = np.isin(columns[0].codes, [2, 3]) & (columns[1].codes == 0)
    np.testing.assert_array_equal(matches(rule, columns), expected)
