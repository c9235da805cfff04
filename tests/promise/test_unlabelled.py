"""Promises of rows without label: by changes alone, beside labels, and what is refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from sk_prunefair import FairnessReport
from sk_prunefair.promise import judge_changes
from sk_prunefair.stats.changes import changes_p_value, combined_p_value

RNG = np.random.default_rng(0)
N, MORE = 600, 4000
GROUP = np.repeat(["a", "b"], [400, 200])
TRUTH = np.arange(N) % 2
MORE_GROUP = np.repeat(["a", "b", "c"], [2000, 1000, 1000])
MORE_DENSE = np.arange(MORE) % 2


def flipped(answers, rows):
    found = np.array(answers)
    found[rows] = 1 - found[rows]
    return found


# Group "a" changes in 2 of 100 rows, half of them for the better; "b" and "c" in 1 of 100.
A_ROWS = [10, 60, 110, 160, 210, 260, 310, 360]
DENSE = flipped(TRUTH, A_ROWS[:4])
COMPRESSED = flipped(DENSE, [*A_ROWS, 450, 550])
MORE_COMPRESSED = flipped(MORE_DENSE, [*range(0, 2000, 50), *range(2000, MORE, 100)])


def report(**options):
    return FairnessReport(
        TRUTH, dense_pred=DENSE, pruned_pred=COMPRESSED, sensitive_features=GROUP, **options
    )


def by_group(verdict):
    table = verdict.table
    return table[table["criterion"] == "accuracy"].set_index("group")


def test_judge_changes_table_has_the_exact_test_of_each_group():
    found = judge_changes(MORE_DENSE, MORE_COMPRESSED, sensitive_features=MORE_GROUP)
    table = by_group(found)
    assert table["unlabelled"].to_dict() == {"a": 2000, "b": 1000, "c": 1000}
    assert table["changed"].to_dict() == {"a": 0.02, "b": 0.01, "c": 0.01}
    assert table.loc["b", "p_value"] == pytest.approx(changes_p_value(1000, 10, 0.02))
    assert set(table["evidence"]) == {"changes"}
    assert set(table["count"]) == {0}
    assert not found.kept
    assert found.binding_group == "a"
    assert "in group 'a' the share 0.020 of predictions changed, over 2,000 rows" in str(found)
    assert "which needs labels to decide" in found.sentence


def test_judge_changes_few_changes_keep_the_promise_and_say_so():
    found = judge_changes(
        MORE_DENSE, MORE_COMPRESSED, sensitive_features=MORE_GROUP, max_accuracy_drop=0.03
    )
    assert found.kept
    assert "no group is worse by more than 0.03 in accuracy" in found.sentence
    json.dumps(found.to_dict(), allow_nan=False)


def test_judge_changes_rows_that_are_too_few_say_how_many_it_takes():
    found = judge_changes([0, 1] * 50, [0, 1] * 50, sensitive_features=["a", "b"] * 50)
    assert not found.kept
    assert "some 153 rows like these would be needed, or labels" in found.sentence


def test_judge_changes_label_that_is_no_longer_given_is_a_finding():
    dense = np.repeat(["no", "yes", "maybe"], [5000, 4990, 10])
    compressed = np.where(dense == "maybe", "yes", dense)
    found = judge_changes(dense, compressed, sensitive_features=["a"] * 10_000)
    assert not found.kept
    assert "gives no sample the label 'maybe'" in found.sentence
    constant = judge_changes(dense, ["no"] * 10_000, sensitive_features=["a"] * 10_000)
    assert "gives every sample the label 'no'" in constant.sentence


@pytest.mark.parametrize(
    "kind", [list, pd.Series, torch.tensor, lambda y: np.eye(2)[y], lambda y: y.astype("uint8")]
)
def test_judge_changes_takes_labels_and_scores_of_any_kind(kind):
    found = judge_changes(kind(MORE_DENSE), kind(MORE_COMPRESSED), sensitive_features=MORE_GROUP)
    assert by_group(found)["changed"].tolist() == [0.02, 0.01, 0.01]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dense_pred": [0, 1, 0]}, "compressed_pred has 4 values"),
        ({"dense_pred": [0, 1, 0, np.nan]}, "missing"),
        ({"dense_pred": ["0", "1", "0", "1"]}, "labels of one kind"),
        ({"dense_pred": []}, "at least one value"),
        ({"sensitive_features": ["a"]}, "sensitive_features has 1 rows"),
        ({"max_accuracy_drop": 1.5}, "max_accuracy_drop"),
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": 0.05}, r"confidence must be a number in \[0.5, 1\), as 0.95, got 0.05"),
        ({"dense_pred": np.full((4, 2), np.nan)}, "not finite"),
    ],
)
def test_judge_changes_bad_argument_is_named(change, word):
    given = {"dense_pred": [0, 1, 0, 1], "compressed_pred": [0, 1, 0, 1]}
    with pytest.raises(ValueError, match=word):
        judge_changes(**(given | {"sensitive_features": ["a", "b", "a", "b"]} | change))


def test_promise_with_unlabelled_rows_tests_both_and_new_groups_by_changes():
    given = MORE_DENSE, MORE_COMPRESSED, MORE_GROUP
    found = report().promise(criteria="accuracy", unlabelled=given)
    table = by_group(found)
    assert table["evidence"].to_dict() == {"a": "both", "b": "both", "c": "changes"}
    assert table["count"].to_dict() == {"a": 400, "b": 200, "c": 0}
    expected = combined_p_value((400, 8, 4, 4), (2000, 40), 0.02)
    assert table.loc["a", "p_value"] == pytest.approx(expected)
    assert table.loc["a", "changed"] == pytest.approx(48 / 2400)
    assert not report().promise(criteria="accuracy").kept
    assert found.kept
    assert pickle.loads(pickle.dumps(found)).table.equals(found.table)


def test_promise_group_without_unlabelled_rows_is_judged_by_its_labels_alone():
    only_b = MORE_GROUP == "b"
    given = MORE_DENSE[only_b], MORE_COMPRESSED[only_b], MORE_GROUP[only_b]
    table = by_group(report().promise(unlabelled=given))
    alone = by_group(report().promise())
    assert table.loc["a", "evidence"] == "labels"
    assert table.loc["a", "p_value"] == alone.loc["a", "p_value"]
    assert "evidence" not in alone


def test_promise_recall_is_not_proven_by_changes():
    given = (MORE_DENSE, MORE_COMPRESSED, MORE_GROUP)
    table = report().promise(criteria=["accuracy", "recall"], unlabelled=given).table
    recalls = table[table["criterion"] != "accuracy"]
    assert set(recalls["evidence"]) == {"labels"}
    assert set(recalls.loc[recalls["group"] == "c", "p_value"]) == {1.0}


def test_promise_groups_of_several_columns_are_matched_by_name():
    frame = pd.DataFrame({"g": GROUP, "s": TRUTH}, index=RNG.permutation(N))
    more = pd.DataFrame({"s": MORE_DENSE, "g": MORE_GROUP})
    two = FairnessReport(TRUTH, dense_pred=DENSE, pruned_pred=COMPRESSED, sensitive_features=frame)
    table = by_group(two.promise(unlabelled=(MORE_DENSE, MORE_COMPRESSED, more)))
    assert table.loc[[("a", 0)], "unlabelled"].tolist() == [1000]
    assert len(table) == 6


def test_promise_columns_of_groups_that_could_be_exchanged_must_have_their_names():
    codes = np.stack([np.arange(N) % 2, np.arange(N) // 2 % 2], 1)
    more = np.stack([np.arange(MORE) % 2, np.arange(MORE) // 2 % 2], 1)

    def promised(columns, given):
        groups = codes if columns is None else pd.DataFrame(codes, columns=columns)
        two = FairnessReport(
            TRUTH, dense_pred=DENSE, pruned_pred=COMPRESSED, sensitive_features=groups
        )
        return two.promise(unlabelled=(MORE_DENSE, MORE_COMPRESSED, given))

    with pytest.raises(
        ValueError, match=r"columns of the report, \['sex', 'age'\], got \['age', 'g"
    ):
        promised(["sex", "age"], pd.DataFrame(more, columns=["age", "gender"]))
    by_name = promised(["sex", "age"], pd.DataFrame(more[:, ::-1], columns=["age", "sex"]))
    by_place = promised(["sex", "age"], more)
    pd.testing.assert_frame_equal(by_name.table, by_place.table)
    unnamed = promised(None, pd.DataFrame(more, columns=["sex", "age"]))
    pd.testing.assert_frame_equal(unnamed.table, by_place.table)


def test_promise_takes_probabilities_of_unlabelled_rows():
    scores = pd.DataFrame(np.eye(2)[MORE_COMPRESSED][:, ::-1], columns=[1, 0])
    given = (np.eye(2)[MORE_DENSE], scores, MORE_GROUP)
    by_scores = report().promise(unlabelled=given).table
    by_labels = report().promise(unlabelled=(MORE_DENSE, MORE_COMPRESSED, MORE_GROUP)).table
    pd.testing.assert_frame_equal(by_scores, by_labels)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ((MORE_DENSE, MORE_GROUP), "holds no models.*got a tuple of 2"),
        (None.__class__, "must be \\(dense_pred, compressed_pred, sensitive_features\\)"),
        ((MORE_DENSE, MORE_DENSE[:5], MORE_GROUP), "compressed_pred of unlabelled has 5 values"),
        ((MORE_DENSE.astype(str), MORE_DENSE, MORE_GROUP), "dense_pred of unlabelled must hold"),
        ((MORE_DENSE, MORE_DENSE, MORE_GROUP[:5]), "sensitive_features of unlabelled has 5 rows"),
        ((MORE_DENSE, MORE_DENSE, np.stack([MORE_GROUP] * 2, 1)), "columns of the report"),
        ((np.full((3, 3), 1 / 3), [0, 1, 1], list("abc")), "3 columns of probabilities"),
        ((MORE_DENSE, MORE_DENSE, MORE_GROUP == "a"), "unlabelled must have a group of the report"),
    ],
)
def test_promise_bad_unlabelled_rows_are_refused(given, word):
    with pytest.raises(ValueError, match=word):
        report().promise(unlabelled=given)


def test_promise_harmless_needs_labels_of_every_group():
    given = (MORE_DENSE, MORE_COMPRESSED, MORE_GROUP)
    with pytest.raises(
        ValueError, match="compare groups on labelled rows, but \\['c'\\] have none"
    ):
        report().promise(unlabelled=given, harmless=0.1)
    known = MORE_GROUP != "c"
    given = tuple(each[known] for each in given)
    assert "accuracy beyond another group" in set(
        report().promise(unlabelled=given, harmless=0.1).table["criterion"]
    )


def test_report_says_which_share_of_answers_changed_wherever_it_is_read():
    found = report()
    assert found.to_frame()["changed"].to_dict() == {"a": 8 / 400, "b": 2 / 200}
    assert "changed" in str(found)
    assert "answers changed" in found.to_model_card()
    assert "answers changed, points" in found.to_html()
    by_name = {row["group"]["sensitive_feature"]: row for row in found.to_dict()["groups"]}
    assert by_name["a"]["changed"]["value"] == pytest.approx(0.02)
    assert by_name["a"]["changed"]["low"] < 0.02 < by_name["a"]["changed"]["high"]
