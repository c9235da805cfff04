"""Verdicts on criteria, beside the promise and numbers worked out by hand."""

from __future__ import annotations

import copy
import json
import pickle

import jsonschema
import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.acceptance import METRICS, read_criteria
from sk_prunefair.cli.outputs import junit
from sk_prunefair.report.document import schema

N = 1200


@pytest.fixture(scope="module")
def report():
    """Return one in which group ("B", "f") lost each tenth row, and ("B", "m") has 20 rows."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    sex = np.where(np.arange(N) < 600, "f", "m")
    race = np.where(np.arange(N) % 4 < 2, "A", "B")
    race[620:] = "A"
    race[600:620] = "B"
    dense = np.where(rng.random(N) < 0.1, 1 - y, y)
    hurt = (sex == "f") & (race == "B") & (np.arange(N) % 10 < 2)
    after = np.where(hurt, 1 - y, dense)

    def scores(labels):
        p = np.where(labels == 1, 0.8, 0.2)
        return np.c_[1 - p, p]

    return FairnessReport.from_predictions(
        y, scores(dense), scores(after), sensitive_features=pd.DataFrame({"race": race, "sex": sex})
    )


def judged(report, **keys):
    limit = {} if keys["metric"] == "labels_lost" else {"limit": 0.05}
    found = report.accept({"criteria": [limit | keys]})
    return found, found.table.set_index("group")


@pytest.mark.parametrize(
    ("metric", "criteria"),
    [
        ("accuracy_drop", "accuracy"),
        ("recall_drop", "recall"),
        ("balanced_accuracy_drop", "balanced_accuracy"),
        ("excessive_risk", "loss"),
    ],
)
def test_accept_proven_limits_are_those_of_the_promise(report, metric, criteria):
    found, _ = judged(report, metric=metric, confidence=0.9)
    verdict = report.promise(0.05, criteria=criteria, confidence=0.9)
    expected = verdict.table.sort_values(["group", "criterion"], kind="stable")
    table = found.table.sort_values(["group", "label"], kind="stable")
    for ours, theirs in (("measured", "drop"), ("bound", "drop_bound"), ("p_value", "p_value")):
        np.testing.assert_allclose(table[ours], expected[theirs])
    assert (table["verdict"].eq("kept") == expected["passed"].to_numpy()).all()
    assert not found.kept
    assert found.criteria["group"].tolist() == [("B", "f")]


def test_accept_fairness_violation_is_that_of_the_promise(report):
    found, table = judged(
        report, metric="fairness_violation", limit=0.9, groups=[["A", "f"], ["A", "m"]]
    )
    rows = report.samples["group"].isin([("A", "f"), ("A", "m")])
    assert found.kept
    assert table["n"].sum() == rows.sum()
    _, table = judged(report, metric="fairness_violation", limit=0.3, test="observed")
    assert table["measured"].iloc[0] == pytest.approx(report.fairness_violation)


def test_accept_accuracy_drop_difference_finds_the_group_that_lost_more(report):
    found, table = judged(report, metric="accuracy_drop_difference", min_count=100)
    assert table.loc[[("B", "f")], "verdict"].tolist() == ["broken"]
    assert table.loc[[("B", "m")], "verdict"].tolist() == ["too few rows"]
    assert not found.kept


def test_accept_observed_figures_are_those_of_the_report(report):
    gaps = report.accuracy_gap
    by_group = report.by_group
    _, table = judged(report, metric="accuracy_gap")
    assert table["measured"].iloc[0] == pytest.approx(gaps.iloc[1])
    _, table = judged(report, metric="accuracy_gap_change")
    assert table["measured"].iloc[0] == pytest.approx(gaps.iloc[1] - gaps.iloc[0])
    _, table = judged(report, metric="accuracy")
    for group, measured in table["measured"].items():
        assert measured == pytest.approx(by_group.loc[group, "accuracy_pruned"])
    _, table = judged(report, metric="accuracy_drop", test="observed")
    np.testing.assert_allclose(table["measured"], by_group["accuracy_drop"].loc[list(table.index)])
    _, table = judged(report, metric="excessive_risk", test="observed", limit=-1)
    np.testing.assert_allclose(table["measured"], report.excessive_risk.loc[list(table.index)])


@pytest.mark.parametrize("metric", [name for name, m in METRICS.items() if m.kind == "practice"])
def test_accept_practice_metrics_are_those_of_the_report(report, metric):
    _, table = judged(report, metric=metric)
    source = METRICS[metric].source
    frame = report.practice_frame(n_boot=2).xs(source, level="metric")
    expected = frame["change"].abs() if metric.endswith("_change") else frame["compressed"]
    np.testing.assert_allclose(table["measured"], expected.loc[list(table.index)])
    n = frame["count"]
    if metric == "precision":  # of the rows that are given the label
        after = report.outcomes[1].labels == 1
        n = pd.Series(after).groupby(report.samples["group"]).sum()
    assert table["n"].tolist() == n.loc[list(table.index)].tolist()


@pytest.mark.parametrize("metric", [name for name, m in METRICS.items() if m.kind == "summary"])
def test_accept_differences_between_groups_are_those_of_the_report(report, metric):
    _, table = judged(report, metric=metric)
    expected = report.practice_summary(n_boot=2).loc[metric, "compressed"]
    assert table["measured"].iloc[0] == pytest.approx(expected)


def test_accept_share_changed_is_exact_at_a_worked_number():
    truth = np.zeros(100, dtype=int)
    truth[50:] = 1
    after = np.where(np.arange(100) < 3, 1, truth)
    report = FairnessReport(
        truth, dense_pred=truth, pruned_pred=after, sensitive_features=["a"] * 100
    )
    limits = {"criteria": [{"metric": "share_changed", "limit": 0.1}]}
    row = report.accept(limits).table.iloc[0]
    # Three of a hundred: P(X <= 3) where each has 0.1 is 0.0078; the test adds level / 20 to it.
    assert row["measured"] == 0.03
    assert 0.00784 < row["p_value"] < 0.0079 + 0.0026
    # The bound of Clopper and Pearson at 95 % is 0.0757.
    assert row["bound"] == pytest.approx(0.0757, abs=0.002)


def test_accept_impact_ratio_asks_for_at_least_the_limit():
    pred = [1, 1, 0, 0, 1, 1, 1, 0]
    report = FairnessReport(
        [1, 0] * 4, dense_pred=pred, pruned_pred=pred, sensitive_features=["a"] * 4 + ["b"] * 4
    )
    for limit, kept in ((0.8, False), (2 / 3, True), (0.6, True)):
        found = report.accept({"criteria": [{"metric": "impact_ratio", "limit": limit}]})
        assert found.kept is kept
        assert found.criteria["measured"].iloc[0] == pytest.approx(2 / 3)


def test_accept_small_group_fails_or_is_skipped_as_the_file_says(report):
    keys = {"metric": "accuracy_drop", "limit": 0.4, "min_count": 50}
    found, table = judged(report, **keys)
    assert table.loc[[("B", "m")], "verdict"].tolist() == ["too few rows"]
    assert not found.kept
    assert found.criteria["verdict"].tolist() == ["too few rows"]
    found, table = judged(report, **keys, small_groups="skip")
    assert found.kept
    assert table["passed"].isna().sum() == 1
    assert "left out, with too few rows: 1 groups" in str(found)


def test_accept_rows_that_could_prove_nothing_are_too_few(report):
    _, table = judged(report, metric="accuracy_drop", limit=0.01, groups=[["B", "m"]])
    assert table["verdict"].tolist() == ["too few rows"]  # 20 rows, 299 would be needed


def test_accept_criterion_that_no_group_was_tested_for_is_not_kept(report):
    found, _ = judged(report, metric="accuracy_drop", min_count=10_000, small_groups="skip")
    assert not found.kept
    found, _ = judged(report, metric="accuracy_gap", min_count=10_000, small_groups="skip")
    assert not found.kept


def test_accept_harm_that_few_rows_prove_is_broken():
    truth = np.arange(20) % 2
    after = np.where(np.arange(20) < 15, 1 - truth, truth)
    report = FairnessReport(
        truth, dense_pred=truth, pruned_pred=after, sensitive_features=["a"] * 20
    )
    limits = {"small_groups": "skip", "criteria": [{"metric": "accuracy_drop", "limit": 0.02}]}
    assert report.accept(limits).table["verdict"].tolist() == ["broken"]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("all", 4),
        ([["A", "f"]], 1),
        ({"race": "A"}, 2),
        ({"race": ["A", "B"], "sex": "f"}, 2),
        ([{"race": "A", "sex": "m"}, ["B", "f"]], 2),
        ({"race": "*"}, 4),
    ],
)
def test_accept_groups_are_chosen_by_list_and_pattern(report, groups, expected):
    found, _ = judged(report, metric="accuracy", groups=groups)
    assert len(found.table) == expected


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"groups": [["C", "f"]]}, r"has 'C' as its 'race'; its values are \['A', 'B'\]"),
        ({"groups": {"race": ["A", "C"]}}, "no group of the data has 'C' as its 'race'"),
        ({"groups": {"sex": ["f", "g*"]}}, r"has 'g\*' as its 'sex'; its values are"),
        ({"groups": {"sex": [True, "f"]}}, "has True .*put them in quotes"),
        ({"metric": "recall_drop", "label": True}, "got True .*put them in quotes"),
        ({"groups": ["A"]}, "a group must have 2 values, .* or be a mapping .* got 'A'"),
        (
            {"groups": {"age": 1}},
            r"groups have the columns \['race', 'sex'\], got the unknown column 'age'",
        ),
        ({"groups": [[True, "f"]]}, "no group of the data"),
        ({"metric": "recall_drop", "label": "yes"}, r"label must be one of \[0, 1\], got 'yes'"),
    ],
)
def test_accept_groups_or_labels_that_are_not_in_the_data_are_errors(report, keys, message):
    with pytest.raises(ValueError, match=message):
        judged(report, **({"metric": "accuracy_drop"} | keys))


def test_accept_numbers_and_booleans_of_a_file_name_groups_of_the_data():
    y = [0, 1] * 3
    options = {"dense_pred": y, "pruned_pred": y}
    codes = FairnessReport(y, **options, sensitive_features=["1", "1", "1", "01", "01", "01"])
    found = codes.accept({"criteria": [{"metric": "accuracy", "limit": 1, "groups": [1]}]})
    assert found.table["group"].tolist() == ["1"]
    flags = FairnessReport(y, **options, sensitive_features=[True] * 3 + [False] * 3)
    found = flags.accept({"criteria": [{"metric": "accuracy", "limit": 1, "groups": [False]}]})
    assert found.table["group"].tolist() == [False]
    with pytest.raises(ValueError, match="put them in quotes"):
        codes.accept({"criteria": [{"metric": "accuracy", "limit": 1, "groups": [True]}]})


def test_accept_without_losses_or_scores_says_what_is_missing():
    y = [0, 1, 0, 1]
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=list("aabb"))
    with pytest.raises(ValueError, match="fairness_violation needs the losses of both models"):
        judged(report, metric="fairness_violation")
    with pytest.raises(ValueError, match="auc needs the probabilities of both models"):
        judged(report, metric="auc")
    labels = ["x", "y", "z", "x"]
    three = FairnessReport(
        labels, dense_pred=labels, pruned_pred=labels, sensitive_features=list("aabb")
    )
    with pytest.raises(ValueError, match="selection_rate_change needs a label"):
        judged(three, metric="selection_rate_change")
    found, _ = judged(three, metric="selection_rate_change", label="x")
    assert found.kept


def test_accept_lost_label_is_never_accepted():
    y = ["a", "b", "c"] * 100
    after = ["a", "b", "b"] * 100
    report = FairnessReport(y, dense_pred=y, pruned_pred=after, sensitive_features=["g"] * 300)
    found, table = judged(report, metric="labels_lost")
    assert not found.kept
    assert table["measured"].tolist() == [1]
    found, _ = judged(report, metric="accuracy_drop", limit=0.9)
    assert not found.kept
    assert found.criteria["passed"].tolist() == [True]
    assert "gives no sample the label 'c'" in found.sentence


def test_accept_one_group_cannot_be_compared():
    y = [0, 1] * 20
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=["g"] * 40)
    found, _ = judged(report, metric="accuracy_gap")
    assert not found.kept
    assert found.criteria["verdict"].tolist() == ["too few rows"]


def test_accept_control_features_gap_is_the_largest_over_levels():
    y = np.array([0, 1] * 8)
    after = y.copy()
    after[[0, 1]] = 1 - y[[0, 1]]
    report = FairnessReport(
        y,
        dense_pred=y,
        pruned_pred=after,
        sensitive_features=list("aabb" * 4),
        control_features=["u"] * 8 + ["v"] * 8,
    )
    found, _ = judged(report, metric="accuracy_gap")
    assert found.criteria["measured"].iloc[0] == pytest.approx(report.accuracy_gap.iloc[1]) == 0.5


@pytest.mark.slow
def test_acceptance_as_json_follows_the_schema(report):
    criteria = [{"metric": name, "limit": 0.1} for name in METRICS if name != "labels_lost"]
    found = report.accept({"criteria": [*criteria, {"metric": "labels_lost"}]})
    assert found.criteria["metric"].tolist() == list(METRICS)
    document = json.dumps(report.to_dict() | {"acceptance": found.to_dict()}, allow_nan=False)
    jsonschema.Draft202012Validator(schema()).validate(json.loads(document))
    assert str(found).startswith("acceptance criteria not kept: ")


def test_acceptance_without_label_or_group_says_none_of_nan():
    y = ["no", "yes"] * 40
    after = ["no", "yes", "yes", "yes"] * 20
    report = FairnessReport(y, dense_pred=y, pruned_pred=after, sensitive_features=["a", "b"] * 40)
    criteria = [{"metric": "accuracy_gap"}, {"metric": "accuracy_drop"}, {"metric": "recall_drop"}]
    found = report.accept({"criteria": [each | {"limit": 0.1} for each in criteria]})
    assert [each is None for each in found.criteria["group"]] == [True, False, False]
    assert [each is None for each in found.criteria["label"]] == [True, True, False]
    assert found.table.loc[found.table["metric"] == "recall_drop", "label"].tolist() == [
        "no",
        "yes",
    ]
    named = {"metric": "recall_drop", "label": "no", "limit": 0.1, "name": "no"}
    both = report.accept({"criteria": [named]})
    assert both.table["n"].tolist() == [40, 0]
    assert "nan" not in f"{found}{junit(report, None, found)}{junit(report, None, both)}"
    assert "between groups" in str(found)


def test_accept_takes_what_read_criteria_returned(report):
    limits = {"criteria": [{"metric": "accuracy", "limit": 0.5}]}
    assert report.accept(read_criteria(limits)).kept
    with pytest.raises(TypeError, match="criteria must be a file, a mapping, or criteria as"):
        report.accept([{"metric": "accuracy"}])
    with pytest.raises(TypeError, match=r"criteria must be a file, .* got None"):
        report.accept(None)


@pytest.mark.parametrize("index", [range(5, 45), ["x"] * 40])
def test_accept_rows_count_by_position_whatever_the_index(index):
    y = pd.Series([0, 1] * 20, index=list(index))
    groups = pd.Series(pd.Categorical(["a", "b"] * 20), index=list(index))
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=groups)
    found, table = judged(report, metric="accuracy", limit=0.9)
    assert found.kept
    assert table["n"].to_dict() == {"a": 20, "b": 20}


def test_accept_dates_of_a_file_name_dates_of_the_data(tmp_path):
    pytest.importorskip("yaml")
    y = [0, 1] * 4
    days = pd.to_datetime(["2026-03-01", "2026-03-02"]).repeat(4)
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=days)
    path = tmp_path / "c.yaml"
    path.write_text("criteria: [{metric: accuracy, limit: 1, groups: [2026-03-02]}]")
    found = report.accept(path)
    assert found.table["group"].tolist() == [days[-1]]
    assert json.loads(json.dumps(found.to_dict()))["table"][0]["group"] == "2026-03-02 00:00:00"
    json.dumps(report.promise(0.9, criteria="accuracy").to_dict())


@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_acceptance_survives_copies(report, how):
    found, _ = judged(report, metric="accuracy")
    again = copy.deepcopy(found) if how == "copy" else pickle.loads(pickle.dumps(found))
    assert str(again) == str(found)
    pd.testing.assert_frame_equal(again.table, found.table)


def test_accept_rows_in_any_order_give_the_same_verdicts(report):
    dense, after = report.outcomes
    order = np.random.default_rng(1).permutation(N)
    groups = report.sensitive_features.iloc[order]
    shuffled = FairnessReport(
        dense.truth[order],
        dense_pred=dense.labels[order],
        pruned_pred=after.labels[order],
        sensitive_features=groups,
    )
    criteria = {
        "criteria": [
            {"metric": "accuracy_drop", "limit": 0.1},
            {"metric": "accuracy_gap", "limit": 0.1},
        ]
    }
    pd.testing.assert_frame_equal(shuffled.accept(criteria).table, report.accept(criteria).table)
