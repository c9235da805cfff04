"""Promises on selection rates, for which rows without label count as all others do."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.promise import Criterion

RNG = np.random.default_rng(0)


def rows(n, fall, rise=0.0, rng=RNG):
    """Return both models' answers: that share of the rows is selected no more, this one now is."""
    u, dense = rng.random(n), RNG.permutation(n) % 2
    fell, rose = u < fall, u > 1 - rise
    return np.where(fell, 1, np.where(rose, 0, dense)), np.where(fell, 0, np.where(rose, 1, dense))


def report_of(dense, compressed, groups, y=None):
    y = np.arange(len(dense)) % 2 if y is None else y
    return FairnessReport(y, dense_pred=dense, pruned_pred=compressed, sensitive_features=groups)


def promised(found, criterion="selection_rate:1", drop=0.05, **options):
    return found.promise(drop, criteria=criterion, **options)


def test_selection_rate_is_the_share_of_answers_whatever_the_truth():
    dense, compressed = np.array([1, 1, 1, 0] * 25), np.array([1, 1, 0, 0] * 25)
    found = report_of(dense, compressed, ["a"] * 100)
    row = promised(found).table.iloc[0]
    assert row["criterion"] == "selection rate of 1"
    assert (row["dense"], row["compressed"], row["drop"]) == (0.75, 0.5, 0.25)
    other = promised(found, "selection_rate:0").table.iloc[0]
    assert other["drop"] == -0.25
    assert promised(found, "selection_rate:0").kept
    assert not promised(found, "selection_rate:1").kept
    as_text = {"selection_rate:1": 0.4, "selection_rate:0": 0.01}
    assert promised(found, as_text).table["bound"].tolist() == [0.4, 0.01]
    with pytest.raises(ValueError, match="'selection_rate:2' must name a label among"):
        promised(found, "selection_rate:2")


def test_selection_rate_rows_without_label_count_as_those_with_one():
    dense, compressed = rows(600, 0.05, 0.03)
    groups = np.array(["a", "b", "c"])[np.arange(600) % 3]
    groups[:90][groups[:90] == "c"] = "a"  # c has no labelled rows
    both = report_of(dense[:90], compressed[:90], groups[:90])
    more = dense[90:], compressed[90:], groups[90:]
    ours = promised(both, unlabelled=more).table.set_index("group")
    theirs = promised(report_of(dense, compressed, groups)).table.set_index("group")
    columns = ["dense", "compressed", "drop", "drop_bound", "p_value", "p_adjusted"]
    pd.testing.assert_frame_equal(ours[columns], theirs.loc[ours.index, columns])
    assert ours["count"].to_dict() == {"a": 60, "b": 30, "c": 0}
    assert (ours["count"] + ours["unlabelled"]).to_dict() == theirs["count"].to_dict()
    changed = pd.Series(dense != compressed).groupby(groups).mean()
    assert ours["changed"].to_dict() == pytest.approx(changed.to_dict())
    assert set(ours["evidence"]) == {"answers"}


def test_selection_rate_is_shown_with_rows_without_label_and_not_without_them():
    dense, compressed = rows(1200, 0.03, 0.01)
    groups = np.repeat(["a"], 1200)
    few = report_of(dense[:60], compressed[:60], groups[:60])
    assert not promised(few).kept
    found = promised(few, unlabelled=(dense[60:], compressed[60:], groups[60:]))
    assert found.kept
    json.dumps(found.to_dict(), allow_nan=False)
    short = promised(few, unlabelled=(dense[60:80], compressed[60:80], groups[60:80]))
    assert "over 60 rows and 20 without label" in short.sentence


def test_selection_rate_that_falls_as_far_as_the_limit_is_seldom_approved():
    # Three hundred groups, each a draw.
    dense, compressed = rows(300 * 300, 0.12, 0.02, np.random.default_rng(1))
    groups = np.repeat(np.arange(300), 300)
    is_labelled = np.arange(90_000) % 300 < 60
    few = report_of(dense[is_labelled], compressed[is_labelled], groups[is_labelled])
    more = tuple(each[~is_labelled] for each in (dense, compressed, groups))
    table = promised(few, drop=0.1, confidence=0.8, unlabelled=more).table
    assert set(table["unlabelled"]) == {240}
    # Three standard errors of 0.2 are 0.07; a test that never approves has no power.
    assert 0.05 < table["passed"].mean() < 0.2 + 0.07


def test_selection_rate_labels_that_only_rows_without_label_have_must_be_named():
    y = np.array(["no", "yes"] * 40)
    few = report_of(y, y, ["a"] * 80, y)
    more = ["0", "1"] * 200, ["0", "0"] * 200, ["a"] * 400
    # Written otherwise, no answer is "yes", and none falls.
    with pytest.raises(ValueError, match=r"the labels \['0', '1'\], which the report lacks"):
        promised(few, "selection_rate:yes", unlabelled=more)
    known = FairnessReport(
        y,
        dense_pred=y,
        pruned_pred=y,
        sensitive_features=["a"] * 80,
        classes=["maybe", "no", "yes"],
    )
    row = promised(
        known,
        "selection_rate:yes",
        unlabelled=(["no", "yes"] * 200, ["no", "maybe"] * 200, ["a"] * 400),
    ).table.iloc[0]
    assert row["drop"] == pytest.approx(200 / 480)


def test_selection_rate_of_a_report_of_parts_counts_each_row_of_a_kind():
    dense, compressed = rows(400, 0.05, 0.02)
    y, groups = np.arange(400) % 2, np.array(["a", "b"])[np.arange(400) % 2]
    parts = FairnessReport.from_parts([(y, dense, compressed, groups)])
    more = rows(300, 0.02)
    given = (*more, np.array(["a", "b"])[np.arange(300) % 2])
    ours, theirs = (
        promised(each, unlabelled=given).table
        for each in (parts, report_of(dense, compressed, groups, y))
    )
    pd.testing.assert_frame_equal(
        *(each.sort_values("group", ignore_index=True) for each in (ours, theirs))
    )


def test_criterion_of_answers_by_bets_takes_rows_without_label_too():
    mild = Criterion("answers by weight", lambda outcome: outcome.labels * 0.5, needs_labels=False)
    few = report_of([0, 1] * 20, [0, 1] * 20, ["a"] * 40)
    assert not promised(few, mild).kept
    more = [0, 1] * 500, [0, 1] * 500, ["a"] * 1000
    found = promised(few, mild, unlabelled=more)
    assert found.kept
    assert found.table["count"].tolist() == [40]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"of_answers": True}, "of_answers=True needs is_binary=True"),
        ({"of_answers": True, "is_binary": True, "rows": np.ones_like}, "of_answers=True needs"),
        ({"needs_labels": False, "rows": np.ones_like}, "needs_labels=False cannot be combined"),
        ({"needs_labels": False, "by_class": True}, "needs_labels=False cannot be combined"),
    ],
)
def test_criterion_that_looks_at_labels_cannot_go_without_them(options, word):
    with pytest.raises(ValueError, match=word):
        Criterion("mine", lambda outcome: outcome.labels, **options)


def test_promise_that_no_row_without_label_counts_for_is_an_error():
    few = report_of([0, 1] * 40, [0, 1] * 40, ["a"] * 80)
    more = [0, 1] * 200, [0, 1] * 200, ["a"] * 400
    for criteria in ("recall", ["tpr:1", "fpr:1"], "balanced_accuracy", lambda y, p: y == p):
        with pytest.raises(ValueError, match="'accuracy', 'selection_rate:<label>' or"):
            promised(few, criteria, unlabelled=more)


def test_promise_says_for_what_rows_without_label_do_not_count():
    few = report_of([0, 1] * 400, [0, 1] * 400, ["a", "b"] * 400, np.arange(800) // 2 % 2)
    more = [0, 1] * 200, [0, 1] * 200, ["a"] * 400
    said = "rows without label do not count for recall of 0, recall of 1"
    assert said in promised(few, None, unlabelled=more).sentence
    assert said in few.to_html(promise=promised(few, None, unlabelled=more))
    assert "do not count" not in promised(few, None).sentence
    assert "do not count" not in promised(few, "accuracy", unlabelled=more).sentence
    compared = promised(few, "accuracy", harmless=0.1, unlabelled=more)
    assert "do not count for accuracy beyond another group" in compared.sentence
