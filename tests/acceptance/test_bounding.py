"""Limits that a confidence bound must keep: worked numbers, level, too few rows, what is shown."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm

from sk_prunefair import FairnessReport
from sk_prunefair.acceptance import METRICS
from sk_prunefair.acceptance.bounds import (
    change_bounds,
    change_difference_bound,
    gap_bound,
    ratio_bound,
    share_ends,
)
from sk_prunefair.acceptance.shares import Shares
from sk_prunefair.cli.outputs import junit
from sk_prunefair.report.document import schema
from sk_prunefair.report.markdown import acceptance_table
from sk_prunefair.stats.wilson import wilson_interval

BOUNDED = [name for name, metric in METRICS.items() if metric.has_bound]
# 180 of 200 right of one group, 190 of the other: tails of the ends that count.
ENDS = [lambda p: binom.sf(179, 200, p), lambda p: binom.cdf(190, 200, p)]
Y = np.tile([0, 1], 200)
GROUP = np.repeat(["a", "b"], 200)


def report_of(wrong_a=10, wrong_b=20, before=(0, 0), y=Y, **options):
    """Return one whose compressed model is wrong on so many rows of each group."""

    def answers(*wrong):
        found = y.copy()
        for start, n in zip((0, 200), wrong, strict=True):
            found[start : start + n] = 1 - found[start : start + n]
        return found

    return FairnessReport(
        y,
        dense_pred=answers(*before),
        pruned_pred=answers(wrong_a, wrong_b),
        sensitive_features=GROUP[: len(y)],
        **options,
    )


def judged(report, metric, limit=0.5, **keys):
    found = report.accept(
        {"confidence": 0.95, "criteria": [{"metric": metric, "limit": limit} | keys]}
    )
    return found, found.table.set_index("group")


@pytest.mark.parametrize(
    ("metric", "hits", "n", "side"),
    [
        ("accuracy", (190, 180), 200, "low"),
        ("true_positive_rate", (95, 90), 100, "low"),
        ("false_positive_rate", (5, 10), 100, "high"),
        ("precision", (95, 90), 100, "low"),
    ],
)
def test_bound_of_a_share_is_where_the_binomial_tail_is_the_level(metric, hits, n, side):
    _, table = judged(report_of(), metric)
    assert table["measured"].tolist() == [each / n for each in hits]
    assert table["n"].tolist() == [n, n]
    for k, bound in zip(hits, table["bound"], strict=True):
        tail = binom.sf(k - 1, n, bound) if side == "low" else binom.cdf(k, n, bound)
        assert tail == pytest.approx(0.05)


def test_accept_with_confidence_figure_may_keep_a_limit_that_its_bound_does_not():
    # 180 of 200 are right, at least 0.858 at 95 %.
    seen = {"criteria": [{"metric": "accuracy", "limit": 0.88}]}
    assert report_of().accept(seen).kept
    found, table = judged(report_of(), "accuracy", 0.88)
    assert table["verdict"].to_dict() == {"a": "kept", "b": "broken"}
    assert found.criteria["group"].tolist() == ["b"]
    assert "is broken in group 'b' (0.9, may be 0.858, over 200 rows" in found.sentence
    assert judged(report_of(), "accuracy", 0.85)[0].kept
    assert judged(report_of(), "accuracy", 0.88, confidence=0.6)[0].kept
    assert "all 1 (1 proven, 0 observed)" in str(judged(report_of(), "accuracy", 0.85)[0])


def test_bounds_between_groups_are_those_of_two_ends_at_half_the_level():
    _, table = judged(report_of(), "accuracy_gap")
    assert table["measured"].tolist() == pytest.approx([0.05])
    low, high = (brentq(lambda p, f=tail: f(p) - 0.025, 0.5, 1) for tail in ENDS)
    assert table["bound"].tolist() == pytest.approx([high - low])


def test_bound_of_selection_rates_looks_both_ways():
    y = np.repeat([0, 1], 200)
    down, up = y.copy(), y.copy()
    down[200:212], up[:12] = 0, 1  # twelve of b are selected no more, twelve of a now are
    for after, group in ((down, "b"), (up, "a")):
        report = FairnessReport(y, dense_pred=y, pruned_pred=after, sensitive_features=GROUP)
        _, table = judged(report, "selection_rate_change", 0.1)
        other = "ab".replace(group, "")
        assert table["measured"].to_dict() == {group: 0.06, other: 0.0}
        drops = report.promise(0.1, criteria="accuracy").table.set_index("group")["drop_bound"]
        assert table["bound"].to_dict() == drops.to_dict()


def test_bound_of_a_gap_change_is_of_pairs_and_not_of_two_gaps():
    # Both models are wrong on the same rows but for five of b.
    report = report_of(60, 65, before=(60, 60))
    _, table = judged(report, "accuracy_gap_change", 0.1)
    assert table["measured"].tolist() == pytest.approx([0.025])
    assert table["verdict"].tolist() == ["kept"]
    assert judged(report, "accuracy_gap", 0.1)[1]["verdict"].tolist() == ["broken"]


def test_bound_of_the_brier_score_holds_by_bets():
    p = np.where(np.arange(400) % 10 == 0, 0.4, 0.9)
    scores = np.stack([np.where(Y == 0, p, 1 - p), np.where(Y == 1, p, 1 - p)], axis=1)
    options = {"dense_scores": scores, "pruned_scores": scores, "classes": [0, 1]}
    _, table = judged(report_of(0, 0, **options), "brier_score", 0.2)
    assert table["measured"].tolist() == pytest.approx([0.1 * 0.36 + 0.9 * 0.01] * 2)
    assert ((table["measured"] < table["bound"]) & (table["bound"] < 0.15)).all()
    with pytest.raises(ValueError, match="brier_score needs the probabilities"):
        judged(report_of(), "brier_score")


@pytest.mark.parametrize(
    ("metric", "limit", "wrong", "verdict"),
    [
        ("accuracy", 0.99, 0, "too few rows"),  # of 200, 299 would be needed
        ("accuracy", 0.99, 100, "broken"),
        ("accuracy", 0.98, 0, "kept"),
        ("false_positive_rate", 0.01, 0, "too few rows"),
        ("false_positive_rate", 0.01, 100, "broken"),
        ("selection_rate_change", 0.005, 0, "too few rows"),
        ("accuracy_gap", 0.01, 0, "too few rows"),
        ("accuracy_gap", 0.05, 0, "kept"),
        ("impact_ratio", 0.99, 0, "too few rows"),
        ("accuracy_gap_change", 0.01, 0, "too few rows"),
        ("equalized_odds_difference", 0.01, 0, "too few rows"),
    ],
)
def test_accept_bound_says_too_few_rows_where_no_rows_could_keep_it(metric, limit, wrong, verdict):
    _, table = judged(report_of(wrong, wrong), metric, limit)
    assert set(table["verdict"]) == {verdict}


def test_accept_min_count_is_of_the_rows_that_the_metric_concerns():
    y = np.r_[np.zeros(195, int), np.ones(5, int), np.tile([0, 1], 100)]
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=GROUP)
    for keys in ({}, {"test": "observed"}):
        for metric, few in (("true_positive_rate", 5), ("precision", 5)):
            found, table = judged(report, metric, 0.5, min_count=50, **keys)
            assert table["verdict"].to_dict() == {"a": "too few rows", "b": "kept"}
            assert table.loc["a", "n"] == few
            assert not found.kept
        found, table = judged(report, "equalized_odds_difference", 0.5, min_count=50, **keys)
        assert table["n"].tolist() == [5, 100]  # b as all that is left to compare
        assert not found.kept
    found, _ = judged(report, "accuracy", 0.5, min_count=1000, small_groups="skip")
    assert not found.kept


def test_accept_group_without_positives_is_too_few_rows():
    y = np.r_[np.zeros(200, int), np.tile([0, 1], 100)]
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=GROUP)
    for test in ("proven", "observed"):
        found, table = judged(report, "equalized_odds_difference", test=test)
        assert not found.kept
        assert set(table["verdict"]) == {"too few rows"}


def test_accept_bound_of_several_labels_needs_one_named_or_takes_the_worst():
    y = np.tile([0, 1, 2, 1], 100)
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=GROUP)
    for metric in ("true_positive_rate", "selection_rate_change"):
        with pytest.raises(ValueError, match=f"{metric} .*label"):
            judged(report, metric)
        assert judged(report, metric, 0.5, label=2)[0].kept
    every = judged(report, "demographic_parity_difference")[1]["bound"].item()
    each = [
        judged(report, "demographic_parity_difference", label=label)[1]["bound"].item()
        for label in (0, 1, 2)
    ]
    assert every == max(each) > min(each)


def test_accept_bound_of_a_gap_is_the_worst_of_the_levels_of_controls():
    controls = np.tile(["u", "u", "v", "v"], 100)
    controls[GROUP == "b"] = "u"  # no row of b in level v, which is then no comparison
    report = report_of(10, 40, control_features=controls)
    rows = controls == "u"
    dense, after = report.outcomes
    alone = FairnessReport(
        dense.truth[rows],
        dense_pred=dense.labels[rows],
        pruned_pred=after.labels[rows],
        sensitive_features=GROUP[rows],
    )
    for metric in ("accuracy_gap", "accuracy_gap_change"):
        ours, theirs = (judged(each, metric)[1].iloc[0] for each in (report, alone))
        assert ours["measured"] == pytest.approx(theirs["measured"])
        assert ours["bound"] == pytest.approx(theirs["bound"])


@pytest.mark.parametrize(
    ("shares", "n"), [((0.95, 0.6), (30, 30)), ((0.9, 0.85, 0.3, 0.3), (200, 15, 60, 40))]
)
def test_bounds_between_small_groups_miss_the_truth_no_more_often_than_they_say(shares, n):
    rng = np.random.default_rng(0)
    missed = np.zeros(2)
    for hits in rng.binomial(n, shares, size=(1000, len(n))):
        found = Shares(hits, np.array(n))
        missed += [
            gap_bound(found, 0.1) < max(shares) - min(shares),
            ratio_bound(found, 0.1) > min(shares) / max(shares),
        ]
    # Two standard errors of 0.1 are 0.02.
    assert (missed / 1000 < 0.12).all()
    if len(n) == 2:  # beside other groups near the ends it hardly ever does
        assert missed[0] > 0


def test_bound_of_a_gap_change_misses_the_truth_no_more_often_than_it_says():
    rng = np.random.default_rng(0)
    n, lost, won = np.array([60, 25]), np.array([0.12, 0.02]), np.array([0.02, 0.1])
    cells = np.stack([lost, won, 1 - lost - won], axis=1)
    draws = np.stack([rng.multinomial(*each, size=200) for each in zip(n, cells, strict=True)], 1)
    fewer, more = draws[..., 0], draws[..., 1]
    fell, rose = (
        each.reshape(fewer.shape).max(axis=1)
        for each in change_bounds(np.tile(n, 200), fewer.ravel(), more.ravel(), 0.1)
    )
    for row in range(3):
        bound = change_difference_bound(n, fewer[row], more[row], 0.2)
        assert bound == pytest.approx(fell[row] + rose[row])
    assert np.mean(fell + rose < 0.18) < 0.2


@pytest.mark.slow
def test_acceptance_of_bounds_as_json_junit_page_and_comment():
    p = np.where(Y == 1, 0.8, 0.2)
    scores = np.stack([1 - p, p], axis=1)
    report = report_of(dense_scores=scores, pruned_scores=scores, classes=[0, 1])
    criteria = [{"metric": name, "limit": 0.7} for name in BOUNDED]
    criteria.append({"name": "tight", "metric": "accuracy", "limit": 0.99})
    found = report.accept({"confidence": 0.9, "criteria": criteria})
    assert found.criteria["bound"].notna().all()
    assert set(found.criteria["confidence"]) == {0.9}
    document = json.dumps(report.to_dict() | {"acceptance": found.to_dict()}, allow_nan=False)
    jsonschema.Draft202012Validator(schema()).validate(json.loads(document))
    rows = json.loads(document)["acceptance"]["table"]
    assert all(row["bound"] is not None and row["p_value"] is None for row in rows)
    page, said = report.to_html(acceptance=found), acceptance_table(found)
    for bound in found.criteria["bound"]:
        assert f"{bound:.4f}" in said
    assert "may be" in page
    tests = ElementTree.fromstring(junit(report, None, found))
    message = next(each.get("message") for each in tests.iter("failure"))
    assert "(proven with confidence 0.9)" in message
    assert ", may be 0." in message


def test_bounds_of_shares_are_exact_where_wilsons_are_not():
    n, k = 30, np.arange(31)
    ours = share_ends(Shares(k, np.full(31, n)), 0.05)[0]
    wilson = wilson_interval(k / n, n, norm.isf(0.05))[0]
    # An end is missed most often by a share that lies just below it.
    missed = [max(binom.sf(k[1:] - 1, n, low[1:] - 1e-9)) for low in (ours, wilson)]
    assert missed[0] <= 0.05
    assert 0.12 < missed[1] < 0.125


@pytest.mark.parametrize("test", ["proven", "observed"])
def test_accept_says_which_of_two_labels_was_the_positive_one(test):
    y = np.where(Y == 1, "deny", "approve")
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=GROUP)
    for metric in ("impact_ratio", "true_positive_rate", "selection_rate_change"):
        found, _ = judged(report, metric, test=test)
        assert found.criteria["label"].tolist() == ["deny"]
        assert "deny" in str(found).splitlines()[-1]
        assert "| between groups | deny |" in acceptance_table(found) or metric != "impact_ratio"
    assert judged(report, "accuracy", test=test)[0].criteria["label"].tolist() == [None]


def test_accept_one_group_of_two_that_are_compared_is_said_to_be_the_reason():
    found, _ = judged(report_of(), "accuracy_gap", groups=["a"])
    assert "has fewer than two groups with enough rows to compare" in found.sentence
