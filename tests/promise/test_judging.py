"""Verdicts over rows made by hand, and coverage in simulation."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Criterion, Verdict, judge
from sk_prunefair.stats.paired import drop_p_value

N = 2000
TRUTH = (np.arange(N) % 5 == 0).astype(int)
CODES = np.repeat([0, 1], [1500, 500])
DENSE = Outcome(np.full(N, 0.2), TRUTH, TRUTH)


def wrong_at(rows, losses=None):
    """Return a net that takes the other label at these rows."""
    labels = TRUTH.copy()
    labels[rows] = 1 - labels[rows]
    return Outcome(DENSE.losses if losses is None else losses, labels, TRUTH)


def verdict(compressed, *, dense=DENSE, codes=CODES, groups=("m", "f"), **options) -> Verdict:
    return judge(dense, compressed, codes, list(groups), ["no", "yes"], **options)


def row(found, group, criterion):
    table = found.table
    return table[(table["group"] == group) & (table["criterion"] == criterion)].iloc[0]


def test_judge_nets_that_agree_keep_the_promise_where_rows_allow():
    found = verdict(DENSE)
    assert found.kept
    assert (
        found.table["criterion"].tolist() == ["accuracy", "recall of 'no'", "recall of 'yes'"] * 2
    )
    assert row(found, "f", "recall of 'yes'")["passed"] is pd.NA  # 100 rows; 0.02 takes 149
    assert found.table["passed"].sum() == 5
    assert "kept, with confidence 0.95: no group is worse by more than 0.02 in accuracy" in str(
        found
    )
    assert "where it was tested" in str(found)
    assert "not tested, too few rows: recall of 'yes' in 'f' (100, 153 needed)" in str(found)


def test_judge_rare_class_that_falls_breaks_the_default_not_the_accuracy():
    rare = np.flatnonzero((CODES == 0) & (TRUTH == 1))[::25]  # 12 of 300 rows, of 1500 in all
    compressed = wrong_at(rare)
    assert verdict(compressed, criteria="accuracy").kept
    found = verdict(compressed)
    assert not found.kept
    assert found.binding_group == "m"
    assert row(found, "m", "recall of 'yes'")["drop"] == pytest.approx(12 / 300)
    assert "group 'm' is worse by 0.040 in recall of 'yes', over 300 rows" in found.sentence


def test_judge_few_rows_that_prove_harm_break_the_default():
    rare = np.flatnonzero((CODES == 1) & (TRUTH == 1))
    few_lost, many_lost = wrong_at(rare[:2]), wrong_at(rare[:40])
    bounds = {"max_accuracy_drop": 0.025, "confidence": 0.95}
    assert row(verdict(few_lost, **bounds), "f", "recall of 'yes'")["passed"] is pd.NA
    assert verdict(few_lost, **bounds).kept
    assert row(verdict(many_lost, **bounds), "f", "recall of 'yes'")["passed"] == False  # noqa: E712


def test_judge_named_criterion_has_to_pass_in_every_group():
    found = verdict(DENSE, criteria="recall")
    assert not found.kept
    assert found.binding_group == "f"
    assert "some 153 rows like these would be needed" in found.sentence


def test_judge_mapping_gives_each_criterion_its_bound():
    compressed = wrong_at(np.flatnonzero(CODES == 0)[::50])  # 30 rows, all of class "yes"
    found = verdict(compressed, criteria={"accuracy": 0.05, "tpr:yes": 0.2})
    assert found.kept
    assert found.table["bound"].tolist() == [0.05, 0.2] * 2


def test_judge_false_positives_that_rise():
    compressed = wrong_at(np.flatnonzero((CODES == 0) & (TRUTH == 0))[::8])
    found = verdict(compressed, criteria={"fpr:yes": 0.05})
    assert not found.kept
    shown = row(found, "m", "FPR of 'yes'")
    assert (shown["dense"], shown["compressed"], shown["drop"]) == (0, 0.125, 0.125)
    assert np.isinf(shown["samples_needed"])
    assert "these rows show that it is worse" in found.sentence


def test_judge_loss_that_rises_and_its_bound():
    higher = wrong_at([], losses=DENSE.losses + np.where(CODES == 1, 0.5, 0.0))
    found = verdict(higher, criteria={"loss": 0.3})
    assert not found.kept
    assert found.binding_group == "f"
    assert row(found, "f", "loss")["drop"] == pytest.approx(0.5)
    assert row(found, "f", "loss")["compressed"] == pytest.approx(0.7)
    assert verdict(higher, criteria={"loss": 0.8}).kept


def test_judge_function_of_a_row_takes_labels_not_codes():
    def no_false_alarm(y_true, y_pred):
        assert set(y_true) == {"no", "yes"}
        return ~((y_true == "no") & (y_pred == "yes"))

    found = verdict(DENSE, criteria={no_false_alarm: 0.1})
    assert found.kept
    assert found.table["criterion"].unique().tolist() == ["no_false_alarm"]


def test_judge_net_with_one_label_is_refused_whatever_is_promised():
    constant = Outcome(DENSE.losses, np.zeros(N, dtype=int), TRUTH)
    found = verdict(constant, criteria={"accuracy": 0.5})
    assert found.table["passed"].all()
    assert not found.kept
    assert found.binding_group is None
    assert "gives every sample the label 'no'" in found.sentence


def test_judge_harmless_and_violation_compare_groups():
    losses = DENSE.losses + np.where(CODES == 1, 1.5, 0.0)
    hurt = wrong_at(np.flatnonzero(CODES == 1)[::5], losses)
    options = {"criteria": {"accuracy": 0.5}, "harmless": 0.1, "max_violation": 1.0}
    found = verdict(hurt, **options)
    assert not row(found, "f", "accuracy beyond another group")["passed"]
    assert row(found, "m", "accuracy beyond another group")["passed"]
    assert not row(found, "f", "loss beyond another group (ξ)")["passed"]
    assert row(found, "f", "loss beyond another group (ξ)")["drop"] == pytest.approx(1.5)
    assert verdict(DENSE, **options).kept


def test_judge_without_losses_judges_labels_and_refuses_losses():
    dense, compressed = (Outcome(None, TRUTH, TRUTH) for _ in range(2))
    assert verdict(compressed, dense=dense).kept
    for options in ({"criteria": "loss"}, {"max_violation": 0.1}):
        with pytest.raises(ValueError, match="only their labels are known"):
            verdict(compressed, dense=dense, **options)


def test_judge_group_without_any_test_is_not_approved():
    optional = Criterion(
        "recall of 1",
        lambda outcome: outcome.is_right.astype(float),
        rows=lambda truth: truth == 1,
        is_binary=True,
        where_possible=True,
    )
    found = verdict(DENSE, criteria=optional)
    assert row(found, "m", "recall of 1")["passed"]
    assert not found.kept
    assert found.binding_group == "f"


def test_judge_adjusted_p_value_is_that_of_hochberg_over_groups():
    found = verdict(wrong_at([0, 1, 1990]), criteria="accuracy", max_accuracy_drop=0.05)
    p = [drop_p_value(1500, 2, 0, 0.05), drop_p_value(500, 1, 0, 0.05)]
    expected = [min(2 * min(p), max(p)) if each == min(p) else max(p) for each in p]
    assert found.table["p_adjusted"].to_numpy() == pytest.approx(expected)


@pytest.mark.parametrize("criteria", ["balanced_accuracy", "loss"])
def test_judge_order_of_rows_does_not_decide(criteria):
    # In the order of the rows the bets would be won before the first row that is lost.
    lost = np.flatnonzero(CODES == 0)[-120:]
    losses = DENSE.losses.copy()
    losses[lost] += 2.0
    found = verdict(wrong_at(lost, losses), criteria={criteria: 0.07})
    assert row(found, "m", found.table["criterion"].iloc[0])["drop"] > 0.07
    assert row(found, "m", found.table["criterion"].iloc[0])["p_value"] > 0.5


def test_verdict_to_dict_is_json():
    groups = [("f", 1), ("m", np.int64(2))]
    found = judge(DENSE, wrong_at([0]), CODES, groups, ["no", "yes"])
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["kept"] == found.kept
    assert len(plain["table"]) == len(found.table)
    assert plain["table"][0]["group"] == ["f", 1]
    untested = [each for each in plain["table"] if each["passed"] is None]
    assert [each["criterion"] for each in untested] == ["recall of 'yes'"]


def test_report_promise_is_the_verdict_over_its_rows():
    names = np.array(["m", "f"])[CODES]
    compressed = wrong_at([0, 5, 1990])
    report = FairnessReport(
        TRUTH,
        dense_pred=TRUTH,
        pruned_pred=compressed.labels,
        dense_losses=DENSE.losses,
        pruned_losses=DENSE.losses,
        sensitive_features=pd.Series(names, index=np.arange(N)[::-1], name="sex"),
    )
    found = report.promise(0.03, confidence=0.9)
    expected = judge(
        DENSE, compressed, CODES, ["m", "f"], [0, 1], max_accuracy_drop=0.03, confidence=0.9
    )
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert found.kept == expected.kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_accuracy_drop": 1.0}, "max_accuracy_drop must be a number in"),
        ({"confidence": float("nan")}, "confidence must be a number in"),
        ({"harmless": 0}, "harmless must be a finite number > 0 or None, got 0"),
        ({"harmless": "a"}, "harmless must be"),
        ({"max_violation": -1}, "max_violation must be a number None or positive"),
        ({"codes": CODES[:-1]}, "codes must be 2000 integers"),
        ({"codes": CODES.astype(float)}, "codes must be 2000 integers"),
        ({"codes": np.where(CODES == 1, -1, 0)}, "codes must be in 0 to 1"),
        (
            {"codes": np.zeros(N, dtype=int)},
            r"each group must have at least one row, got none of \['f'\]",
        ),
        ({"dense": Outcome(DENSE.losses, TRUTH, 1 - TRUTH)}, "truth differs"),
    ],
)
def test_judge_malformed_arguments_raise(options, message):
    with pytest.raises(ValueError, match=message):
        verdict(DENSE, **options)


# One group or several, one class rare: which falls by just over what was promised, and by how much.
HARMS = {
    "accuracy of the last group": ([200, 200], [0.1, 0.1], "accuracy"),
    "recall of the rare class, one group": ([400], [0.0, 0.1], "recall"),
    "recall of the rare class, last of three": ([300, 200, 300], [0.0, 0.1], "recall"),
    "balanced accuracy": ([200, 300], [-0.02, 0.22], "balanced_accuracy"),
}


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARMS)
def test_judge_broken_promise_is_approved_at_most_at_the_level(harm):
    sizes, drops, criteria = HARMS[harm]
    rng, level, draws = np.random.default_rng(3), 0.2, 60
    kept = 0
    for _ in range(draws):
        codes = np.repeat(np.arange(len(sizes)), sizes)
        truth = (np.arange(len(codes)) % 4 == 0).astype(int)
        harmed = codes == codes.max()
        drop = np.where(harmed, np.array(drops)[truth], 0.0) + 1e-3 * harmed
        lost = rng.random(len(codes)) < np.maximum(drop, 0)
        won = rng.random(len(codes)) < np.maximum(-drop, 0)
        dense = Outcome(None, np.where(won, 1 - truth, truth), truth)
        compressed = Outcome(None, np.where(lost, 1 - truth, truth), truth)
        names = list(range(len(sizes)))
        kept += judge(
            dense,
            compressed,
            codes,
            names,
            [0, 1],
            criteria=criteria,
            max_accuracy_drop=0.1,
            confidence=1 - level,
        ).kept
    assert kept / draws <= level + 2 * np.sqrt(level * (1 - level) / draws)
    assert kept > 0 or criteria == "balanced_accuracy"
