"""Tests of the watch after release."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport, GroupMonitor
from sk_prunefair.monitor.counts import BatchCounts
from sk_prunefair.monitor.evidence import Evidence, log_thresholds
from sk_prunefair.monitor.trace import MOST, Trace


def batch(rng, n=200, lost=0.0, changed=0.0, groups=("a", "b"), shares=None):
    """Return answers of both models, labels and groups; "b" loses a share of its rows."""
    y = rng.integers(0, 2, n)
    group = rng.choice(list(groups), n, p=shares)
    wrong = (group == "b") & (rng.random(n) < lost)
    both_wrong = rng.random(n) < 0.2
    dense = np.where(both_wrong, 1 - y, y)
    compressed = np.where(wrong | both_wrong, 1 - y, y)
    flipped = (group == "b") & (rng.random(n) < changed)
    return dense, np.where(flipped, 1 - compressed, compressed), y, group


def run(monitor, rng, n_batches, with_labels=True, **options):
    for _ in range(n_batches):
        dense, compressed, y, group = batch(rng, **options)
        monitor.update(dense, compressed, sensitive_features=group, y=y if with_labels else None)
    return monitor


def test_monitor_names_group_question_and_batch_of_a_harm():
    rng = np.random.default_rng(0)
    monitor = run(GroupMonitor(0.02), rng, 20)
    assert monitor.alarms_.empty
    run(monitor, rng, 20, lost=0.15)
    (alarm,) = monitor.alarms_.to_dict("records")
    assert (alarm["group"], alarm["kind"]) == ("b", "accuracy")
    assert 20 < alarm["batch"] < 40
    assert alarm["evidence"] >= alarm["threshold"]
    assert alarm["limit"] == 0.02
    table = monitor.table_
    assert table.loc["b", "alarm, accuracy"]
    assert not table.loc["a", "alarm, accuracy"]
    assert table["rows"].sum() == 40 * 200


def test_monitor_table_by_hand():
    monitor = GroupMonitor(0.1, max_changed=0.5)
    monitor.update(
        ["x", "x", "y", "y"],
        ["x", "y", "y", "x"],
        sensitive_features=["m", "m", "m", "f"],
        y=["x", "x", None, "x"],
    )
    table = monitor.table_
    assert table.loc["m", ["rows", "labelled"]].tolist() == [3, 2]
    assert table.loc["m", "accuracy_drop"] == 0.5  # one of two lost
    assert table.loc["m", "changed"] == pytest.approx(1 / 3)
    assert table.loc["f", "accuracy_drop"] == -1  # won
    assert table["share"].to_dict() == {"f": 0.25, "m": 0.75}


def test_monitor_without_labels_watches_answers_alone():
    rng = np.random.default_rng(1)
    monitor = GroupMonitor(0.02, max_changed=0.1)
    run(monitor, rng, 30, with_labels=False, changed=0.2)
    assert monitor.alarms_["kind"].unique().tolist() == ["answers changed"]
    assert monitor.alarms_["group"].tolist() == ["b"]
    assert monitor.table_["labelled"].sum() == 0
    assert monitor.table_["accuracy_drop"].isna().all()


def test_monitor_late_labels_count_once():
    rng = np.random.default_rng(2)
    dense, compressed, y, group = batch(rng, lost=0.2)
    at_once, later = GroupMonitor(), GroupMonitor()
    at_once.update(dense, compressed, sensitive_features=group, y=y)
    later.update(dense, compressed, sensitive_features=group)
    later.update_labels(dense, compressed, y, sensitive_features=group)
    pd.testing.assert_frame_equal(at_once.table_, later.table_)


def test_monitor_shares_that_move_are_named():
    rng = np.random.default_rng(3)
    shares = pd.Series({"a": 0.5, "b": 0.5})
    monitor = GroupMonitor(None, shares=shares, max_share_shift=0.05)
    run(monitor, rng, 100)
    assert monitor.alarms_.empty
    run(monitor, rng, 100, shares=[0.25, 0.75])
    assert sorted(monitor.alarms_["group"]) == ["a", "b"]
    assert set(monitor.alarms_["kind"]) == {"share"}
    assert monitor.table_["share_at_release"].tolist() == [0.5, 0.5]


def test_monitor_group_that_was_not_there_at_release_is_taken_and_its_share_named():
    rng = np.random.default_rng(4)
    monitor = GroupMonitor(shares=pd.Series({"a": 1.0}), max_share_shift=0.1)
    run(monitor, rng, 40)
    assert monitor.groups_.tolist() == ["a", "b"]
    assert {"a", "b"} == set(monitor.alarms_["group"])
    assert monitor.table_.loc["b", "share_at_release"] == 0


def test_monitor_from_report_knows_groups_and_shares():
    rng = np.random.default_rng(5)
    dense, compressed, y, group = batch(rng, shares=[0.9, 0.1])
    report = FairnessReport(y, dense_pred=dense, pruned_pred=compressed, sensitive_features=group)
    monitor = GroupMonitor.from_report(report, 0.03, max_share_shift=0.1)
    assert monitor.max_accuracy_drop == 0.03
    assert monitor.groups_.tolist() == ["a", "b"]
    assert monitor.shares.sum() == pytest.approx(1)
    assert monitor.shares["b"] == pytest.approx((group == "b").mean())


@pytest.mark.parametrize("columns", [["race", "sex"], ["sex", "race"]])
def test_monitor_groups_of_several_columns_in_any_order(columns):
    frame = pd.DataFrame({"race": ["x", "x", "z"], "sex": [0, 1, 0]}, index=[7, 3, 5])
    monitor = GroupMonitor()
    monitor.update([0, 1, 1], [0, 1, 0], sensitive_features=frame, y=[0, 1, 1])
    monitor.update([0, 1, 1], [0, 1, 0], sensitive_features=frame[columns], y=[0, 1, 1])
    assert monitor.table_["rows"].tolist() == [2, 2, 2]
    again = GroupMonitor.from_json(monitor.to_json())
    pd.testing.assert_frame_equal(again.table_, monitor.table_)
    assert again.groups_.names == ["race", "sex"]


@pytest.mark.parametrize("controls", [None, "age"])
def test_monitor_from_report_of_several_columns_counts_the_same_groups(controls):
    rng = np.random.default_rng(6)
    y = rng.integers(0, 2, 60)
    frame = pd.DataFrame({name: rng.integers(0, 2, 60) for name in ("race", "sex", "age")})
    report = FairnessReport.from_predictions(
        y, y, y, sensitive_features=frame[["race", "sex"]], control_features=controls and frame.age
    )
    monitor = GroupMonitor.from_report(report)
    monitor.update(y, y, sensitive_features=frame[["sex", "race"]], y=y)
    counts = frame.groupby(["race", "sex"]).size()
    pd.testing.assert_series_equal(monitor.table_["rows"], counts, check_names=False)
    np.testing.assert_allclose(monitor.shares, counts / 60)
    GroupMonitor.from_json(monitor.to_json()).update(y, y, sensitive_features=frame.iloc[:, :2])


@pytest.mark.parametrize(
    ("known", "found", "message"),
    [
        ([0, 1], ["0", "1"], "must hold numbers in column 'sensitive_feature', such as 0, as"),
        (["a", "a"], [3, 3], "must hold strings .* such as 'a', .* got numbers, such as 3"),
        ([False, True], [0, 1], "must hold booleans .* got numbers"),
        (pd.Series(["0", "1"], dtype="category"), [0, 1], "must hold strings .* got numbers"),
        (
            {"race": ["x", "y"], "sex": [0, 1]},
            {"gender": [0, 1], "race": ["x", "y"]},
            r"must have the columns \['race', 'sex'\] .* got \['gender', 'race'\]",
        ),
    ],
)
def test_monitor_groups_written_otherwise_are_not_taken_for_new_ones(known, found, message):
    monitor = GroupMonitor()
    monitor.update([0, 1], [0, 1], sensitive_features=known)
    before = monitor.to_json()
    with pytest.raises(ValueError, match=message):
        monitor.update([0, 1], [0, 1], sensitive_features=found)
    assert monitor.to_json() == before
    other = GroupMonitor()
    other.update([0, 1], [0, 1], sensitive_features=found)
    with pytest.raises(ValueError, match="sensitive_features must"):
        monitor.merged(other)


@pytest.mark.parametrize("known", [[0, 1], pd.array([0, 1], dtype="Int64"), [0.0, 1.0]])
@pytest.mark.parametrize("dtype", [np.int8, float, object, "category"])
def test_monitor_groups_of_any_number_type_are_the_same(known, dtype):
    monitor = GroupMonitor()
    monitor.update([0, 1], [0, 1], sensitive_features=known)
    monitor.update([0, 1], [0, 1], sensitive_features=pd.Series([0, 1]).astype(dtype))
    assert monitor.table_["rows"].tolist() == [2, 2]


def test_monitor_probabilities_of_other_labels_need_classes():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    for y in ([1, 2], ["no", "yes"], [2, None]):
        with pytest.raises(ValueError, match="pass classes to the monitor"):
            GroupMonitor().update(scores, scores, sensitive_features=["a", "b"], y=y)
    with pytest.raises(ValueError, match="compressed_pred holds 2"):  # changed without any label
        GroupMonitor().update(scores, [1, 2], sensitive_features=["a", "b"])
    monitor = GroupMonitor()  # a table names its columns
    named = pd.DataFrame(scores, columns=["no", "yes"])
    monitor.update(named, ["no", "no"], sensitive_features=["a", "b"], y=["no", "yes"])
    assert monitor.table_["accuracy_drop"].tolist() == [0, 1]
    report = FairnessReport.from_predictions(
        ["no", "yes"], ["no", "yes"], ["no", "no"], sensitive_features=["a", "b"]
    )
    monitor = GroupMonitor.from_report(report)
    monitor.update(scores, 1 - scores, sensitive_features=["a", "b"], y=["no", "yes"])
    assert monitor.table_["accuracy_drop"].tolist() == [1, 1]


def test_monitor_probabilities_are_their_largest_class():
    monitor = GroupMonitor(classes=["no", "yes"])
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    monitor.update(scores, scores[::-1], sensitive_features=["a", "a"], y=["no", "yes"])
    assert monitor.table_.loc["a", ["accuracy_drop", "changed"]].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("copied", ["json", "file", "pickle"])
def test_monitor_goes_on_after_a_restart_bit_for_bit(copied, tmp_path):
    options = {
        "max_changed": 0.1,
        "shares": pd.Series({"a": 0.4, "b": 0.6}),
        "max_share_shift": 0.05,
    }
    whole = run(GroupMonitor(0.02, **options), np.random.default_rng(6), 40, lost=0.1)
    rng = np.random.default_rng(6)
    part = run(GroupMonitor(0.02, **options), rng, 25, lost=0.1)
    if copied == "pickle":
        part = pickle.loads(pickle.dumps(part))
    elif copied == "json":
        part = GroupMonitor.from_json(part.to_json())
    else:
        part.to_json(tmp_path / "monitor.json")
        part = GroupMonitor.from_json(tmp_path / "monitor.json")
    run(part, rng, 15, lost=0.1)
    assert not whole.alarms_.empty
    pd.testing.assert_frame_equal(part.table_, whole.table_)
    pd.testing.assert_frame_equal(part.alarms_, whole.alarms_)
    pd.testing.assert_frame_equal(part.trace_, whole.trace_)
    # No NaN, no Infinity; parts are of the one or the other.
    held = [json.loads(each.to_json(), parse_constant=pytest.fail) for each in (part, whole)]
    assert held[0].pop("parts") != held[1].pop("parts")
    assert held[0] == held[1]


def test_monitor_merged_shards_see_what_neither_sees_alone():
    groups = pd.Index(["a", "b"])
    shards = [
        run(GroupMonitor(groups=groups), np.random.default_rng(seed), 8, lost=0.06)
        for seed in (7, 8)
    ]
    assert all(shard.alarms_.empty for shard in shards)
    both = shards[0].merged(shards[1])
    column = "evidence, accuracy"
    assert (both.table_.loc["b", column]) > max(s.table_.loc["b", column] for s in shards)
    assert both.table_["rows"].tolist() == sum(s.table_["rows"].to_numpy() for s in shards).tolist()
    assert both.n_batches_ == 16
    assert shards[0].n_batches_ == 8
    other_way = shards[1].merged(shards[0])
    pd.testing.assert_frame_equal(other_way.table_, both.table_)


def test_monitor_merged_brings_groups_that_only_one_shard_has():
    left, right = GroupMonitor(), GroupMonitor()
    left.update([0], [0], sensitive_features=["a"], y=[0])
    right.update([0, 1], [0, 0], sensitive_features=["b", "a"], y=[0, 1])
    both = left.merged(right)
    assert both.table_["rows"].to_dict() == {"a": 2, "b": 1}
    with pytest.raises(ValueError, match="same parameters"):
        left.merged(GroupMonitor(0.05))


def test_monitor_merged_with_rows_of_its_own_is_refused():
    group = ["a", "a"]
    first, second, empty = GroupMonitor(), GroupMonitor(), GroupMonitor()
    copied = GroupMonitor.from_json(empty.to_json())  # of no rows: what shards may begin with
    for monitor in (first, second, copied):
        monitor.update([0, 1], [0, 0], sensitive_features=group, y=[0, 1])
    both = first.merged(second).merged(copied)
    assert both.table_["rows"].tolist() == [6]
    later = GroupMonitor.from_json(first.to_json())
    later.update([0], [0], sensitive_features=["a"])
    for one, other in ((first, first), (both, second), (second, both), (later, first)):
        with pytest.raises(ValueError, match="no rows in common"):
            one.merged(other)


def test_monitor_labels_that_come_twice_are_refused():
    monitor = GroupMonitor()
    rows = {"sensitive_features": ["a", "b", "a"]}
    monitor.update([0, 1, 1], [0, 0, 1], y=[0, None, None], **rows)
    monitor.update_labels([1], [0], [1], sensitive_features=["b"])
    before = monitor.to_json()
    for group in ("b", "never seen"):
        with pytest.raises(ValueError, match=f"1 labels of group '{group}'"):
            monitor.update_labels([1], [0], [1], sensitive_features=[group])
    with pytest.raises(ValueError, match="2 labels of group 'a', but of its 2 rows so far 1"):
        monitor.update_labels([1, 0], [1, 0], [1, 0], sensitive_features=["a", "a"])
    assert monitor.to_json() == before
    monitor.update_labels([1], [1], [1], sensitive_features=["a"])
    assert monitor.table_["labelled"].to_dict() == {"a": 2, "b": 1}


def test_monitor_labels_that_are_none_of_the_classes_are_named():
    monitor = GroupMonitor(classes=["no", "yes"])
    given = {"sensitive_features": ["a", "a"]}
    with pytest.warns(UserWarning, match=r"y holds the labels \['No', 'nan'\]"):
        monitor.update(["no", "yes"], ["no", "yes"], y=np.array(["No", np.nan]), **given)
    with pytest.raises(ValueError, match="as classes does: classes has strings, dense_pred has in"):
        monitor.update([0, 1], [0, 1], **given)
    fractions = np.array([0.2, 0.9])  # the probabilities of one class
    with pytest.raises(ValueError, match=r"fractions, such as 0\.2"):
        GroupMonitor(classes=[0, 1]).update(fractions, fractions, **given)


def test_monitor_masked_labels_are_unknown():
    monitor = GroupMonitor()
    y = np.ma.array([0, 1, 1], mask=[False, True, False])
    monitor.update([0, 1, 1], [0, 1, 0], sensitive_features=["a"] * 3, y=y)
    assert monitor.table_.loc["a", ["labelled", "accuracy_drop"]].tolist() == [2, 0.5]


def test_monitor_groups_that_json_cannot_hold_are_refused_there():
    days = pd.to_datetime(["2026-01-01", "2026-01-02"])
    monitor = GroupMonitor()
    monitor.update([0, 1], [0, 1], sensitive_features=days)
    with pytest.raises(ValueError, match=r"to be written as JSON, got Timestamp"):
        monitor.to_json()
    assert GroupMonitor(groups=days).merged(GroupMonitor(groups=days)).groups_.equals(days)
    again = pickle.loads(pickle.dumps(monitor))
    again.update([0, 1], [0, 1], sensitive_features=days)
    assert again.table_["rows"].tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"must hold dates .* got strings, such as '2026-01-01'"):
        again.update([0], [0], sensitive_features=["2026-01-01"])


def test_monitor_of_what_is_no_report_raises():
    answers = np.arange(200) % 2
    report = FairnessReport(
        answers, dense_pred=answers, pruned_pred=answers, sensitive_features=answers
    )
    verdict = report.promise()
    with pytest.raises(TypeError, match="report must be a FairnessReport, got Verdict"):
        GroupMonitor.from_report(verdict)


def test_monitor_is_silent_where_the_drop_is_just_allowed():
    # 400 monitors of six groups at the limit, 200 batches of 100 rows a group: at most 5 % may ever
    # raise an alarm; 30 of 400 and more would have a probability of 2 %.
    rng = np.random.default_rng(0)
    evidence = Evidence(0.05, None, None)
    evidence.add_groups(np.zeros(400 * 6))
    thresholds = log_thresholds(0.05, 1, 6, 6)
    raised = np.zeros(400, dtype=bool)
    rows = np.full(2400, 100)
    for _ in range(200):
        lost, won = rng.multinomial(100, [0.1, 0.05, 0.85], size=2400)[:, :2].T
        evidence.take(BatchCounts(rows, lost + won, rows, lost, won))
        found = evidence.log_evidence("accuracy").reshape(400, 6) >= thresholds
        raised |= found.any(axis=1)
    assert raised.sum() < 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_accuracy_drop": -0.1}, "max_accuracy_drop must be a finite number >= 0"),
        ({"max_accuracy_drop": 1.0}, "max_accuracy_drop"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"max_changed": 0}, "max_changed must be"),
        ({"max_accuracy_drop": None}, "must be given, got none"),
        ({"max_share_shift": 0.1}, "pass shares"),
        ({"shares": pd.Series({"a": 0.5, "b": 0.6})}, "sum of 1.1"),
        ({"shares": pd.Series([0.5, 0.5], index=["a", "a"])}, "one value >= 0 per group"),
        ({"groups": ["a", "a"]}, "groups must be distinct"),
        ({"groups": ["a", "b"], "shares": pd.Series({"a": 1.0})}, "must hold the same groups"),
    ],
)
def test_monitor_bad_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        GroupMonitor(**options)
    with pytest.raises(TypeError, match="shares must be a pandas Series"):
        GroupMonitor(shares={"a": 1.0})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"compressed_pred": [0, 1]}, "compressed_pred has 2 values"),
        ({"y": [0]}, "y has 1 values"),
        ({"sensitive_features": ["a"]}, "1 rows"),
        ({"sensitive_features": ["a", None, "b"]}, "missing"),
        ({"compressed_pred": ["a", "b", "c"]}, "compressed_pred must hold labels"),
        ({"y": ["a", "b", "c"]}, "must hold labels"),
        ({"dense_pred": np.eye(3)[:, :, None]}, "dense_pred must hold labels"),
        ({"sensitive_features": [["a", "b"]] * 3}, "2 columns"),
    ],
)
def test_monitor_refused_batch_changes_nothing(changed, message):
    monitor = GroupMonitor()
    given = {
        "dense_pred": [0, 1, 1],
        "compressed_pred": [0, 1, 0],
        "y": [0, 1, 1],
        "sensitive_features": ["a", "a", "b"],
    }
    monitor.update(**given)
    before = monitor.to_json()
    with pytest.raises(ValueError, match=message):
        monitor.update(**(given | changed))
    assert monitor.to_json() == before


def test_monitor_wrong_document_is_refused():
    with pytest.raises(ValueError, match="format 'sk_prunefair monitor 1'"):
        GroupMonitor.from_json('{"format": "else"}')


def test_trace_stays_bounded_and_even():
    trace = Trace()
    for t in range(1, 20_001):
        trace.add(t, np.array([float(t)]))
    frame = trace.frame(pd.Index(["a"]))
    assert MOST / 2 <= len(frame) <= MOST
    assert np.diff(frame.index).std() == 0
    assert (frame["a"] == frame.index).all()
