"""The first screen of the page: findings, verdict, promise, and the four numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.audit import audit_page
from tests.audit.pages import Promise, cells, make_report, section, summary, verdict


def test_verdict_harmed_group_is_unequal_and_first_in_the_cards():
    report = make_report(["a", "b"], harmed="b")
    page = audit_page(report)
    assert verdict(page).startswith("Pruning harmed groups unequally, beyond what chance makes (p")
    row = report.by_group.loc["b"]
    assert "group <bdi>b</bdi>" in summary(page)
    assert (
        f"lost {100 * row['accuracy_drop']:.1f} points, {row['accuracy_dense']:.1%} → "
        f"{row['accuracy_pruned']:.1%}, n = 300" in summary(page)
    )


def test_summary_accuracies_and_gaps_are_those_of_the_report():
    report = make_report(["a", "b", "c"], harmed="b")
    said = summary(audit_page(report))
    before, after = (net.overall["accuracy"] for net in (report.dense, report.pruned))
    assert f"{before:.1%} → {after:.1%}</dd>" in said
    assert f"lost {100 * (before - after):.1f} points, n = 600" in said
    gaps = 100 * report.accuracy_gap
    assert f"{gaps.iloc[0]:.1f} → {gaps.iloc[1]:.1f} points" in said


def test_summary_largest_rise_in_loss_is_another_group():
    report = FairnessReport(
        [1] * 80,
        dense_pred=[1] * 80,
        pruned_pred=[1] * 40 + [0] * 40,
        dense_losses=np.zeros(80),
        pruned_losses=[0.9] * 40 + [0.8] * 40,
        sensitive_features=["sure"] * 40 + ["wrong"] * 40,
    )
    said = summary(audit_page(report))
    assert "Largest rise in loss: group <bdi>sure</bdi>, by 0.900" in said
    assert "group <bdi>wrong</bdi></dd>" in said
    assert "lost 100.0 points, 100.0% → 0.0%, n = 40" in said


def test_summary_few_samples_name_a_larger_group_as_well():
    group = np.repeat(["few", "many", "most"], [4, 60, 36])
    right = np.ones(100, dtype=int)
    right[[0, 1, 2, 3, 4, 5, 6]] = 0  # all of the few, three of the many
    report = FairnessReport(
        [1] * 100, dense_pred=[1] * 100, pruned_pred=right, sensitive_features=group
    )
    said = summary(audit_page(report))
    assert "lost 100.0 points, 100.0% → 0.0%, n = 4 (few)" in said
    assert (
        "Of groups with 30 samples or more: group <bdi>many</bdi>, lost 5.0 points, "
        "100.0% → 95.0%, n = 60" in said
    )
    assert "Of groups with" not in summary(audit_page(report, min_count=4))


def test_verdict_no_difference_claims_no_more_than_the_data_show():
    page = audit_page(make_report(["a", "b"]))
    assert "does not show that there is none" in verdict(page)


def test_verdict_one_group_has_no_gap():
    page = audit_page(make_report(["a"]))
    assert "one group" in verdict(page)
    assert "gap between groups" not in summary(page)
    assert '<section id="gaps">' not in page


@pytest.mark.parametrize(("losses", "same"), [([0.1, 0.2, 0.3], "losses"), (None, "label")])
def test_verdict_same_models_changed_nothing(losses, same):
    nets = {"dense_pred": [0, 1, 0], "pruned_pred": [0, 1, 0]}
    nets |= {"dense_losses": losses, "pruned_losses": losses}
    said = verdict(
        audit_page(FairnessReport([0, 1, 1], **nets, sensitive_features=["a", "b", "b"]))
    )
    assert said.startswith("Pruning changed nothing on these 3 samples: both nets")
    assert same in said


def test_verdict_labels_changed_equal_accuracies_is_not_unchanged():
    report = FairnessReport(
        ["x", "y"] * 20,
        dense_pred=["x", "x"] * 20,
        pruned_pred=["y", "y"] * 20,
        sensitive_features=["a", "a", "b", "b"] * 10,
    )
    assert "nothing" not in verdict(audit_page(report))


def test_verdict_pruning_helped_everyone():
    rng = np.random.default_rng(0)
    gain = np.repeat([0.1, 0.5], 50) + rng.random(100) / 10
    report = FairnessReport(
        [0] * 100,
        dense_pred=[0] * 100,
        pruned_pred=[0] * 100,
        dense_losses=gain,
        pruned_losses=np.zeros(100),
        sensitive_features=np.repeat(["a", "b"], 50),
    )
    page = audit_page(report)
    assert "raised no group's loss and took accuracy from none" in verdict(page)
    assert "no group</dd>" in summary(page)
    assert "Smallest fall in loss: group <bdi>a</bdi>" in summary(page)


def test_findings_come_before_the_verdict():
    compression = pd.Series({"parameters": 10.0, "sparsity": 0.95})
    report = make_report(["a", "b"], compression=compression, empty_layers=["<head>.weight"])
    said = summary(audit_page(report))
    found = "No weight is left of &lt;head&gt;.weight with 95.0% of the prunable weights removed."
    assert 0 < said.index(found) < said.index('class="verdict"')
    assert 'class="findings"' not in audit_page(make_report(["a", "b"]))


def test_findings_constant_model_is_named():
    report = FairnessReport(
        [0, 1] * 20,
        dense_pred=[0, 1] * 20,
        pruned_pred=[1] * 40,
        sensitive_features=["a", "b"] * 20,
        names=("fp32", "int8"),
    )
    said = summary(audit_page(report))
    assert said.index("The int8 model gives every sample the label 1.") < said.index("verdict")


def test_saved_what_is_known_has_units():
    compression = pd.Series(
        {
            "sparsity": 0.9,
            "bytes_dense": 1_234_567.0,
            "bytes_stored": 345_678.0,
            "macs_dense": 2e6,
            "macs_pruned": 3e5,
            "latency_dense": 0.00123,
            "latency_pruned": 0.0008,
        }
    )
    said = summary(audit_page(make_report(["a", "b"], compression=compression)))
    assert "<dt>Saved</dt>" in said
    assert "1.23 MB → 346 kB stored" in said
    assert "90.0% of the prunable weights removed" in said
    assert "2 M → 300 k multiply-accumulates" in said
    assert "1.23 ms → 800 µs for one sample" in said


@pytest.mark.parametrize(
    ("compression", "title"),
    [
        (None, None),
        ({}, None),
        ({"bytes_dense": 9.0}, None),
        ({"bytes_dense": 9.0, "bytes_stored": np.nan}, None),
        ({"sparsity": 0.5}, "Saved"),
        ({"bytes_dense": 9.0, "bytes_stored": 12.0}, "Size and cost"),
    ],
)
def test_saved_nothing_known_or_saved_is_not_claimed(compression, title):
    given = None if compression is None else pd.Series(compression, dtype=float)
    said = summary(audit_page(make_report(["a", "b"], compression=given)))
    shown = [each for each in ("Saved", "Size and cost") if f"<dt>{each}</dt>" in said]
    assert shown == ([] if title is None else [title])


@pytest.mark.parametrize(("kept", "kind"), [(True, "kept"), (False, "broken")])
def test_promise_is_said_in_the_first_screen_and_its_failures_come_first(kept, kind):
    page = audit_page(make_report(["a", "b"]), promise=Promise(kept))
    words = "kept" if kept else "not kept"
    assert f'class="promise {kind}"' in summary(page)
    assert f"Promise {words}: for &lt;b&gt;</bdi>" in summary(page)
    accuracy = "<bdi>accuracy</bdi>"
    assert cells(page, "tests") == [
        ["<bdi>&lt;b&gt;</bdi>", accuracy, "0.875", "50", "0.200", "800", "no"],
        ["<bdi>c</bdi>", accuracy, "0.875", "3", "∞", "∞", "not tested"],
        ["<bdi>a</bdi>", accuracy, "0.875", "1,234", "0.010", "—", "yes"],
    ]
    assert '<th scope="col"><bdi>pruned</bdi></th>' in section(page, "promise")


def test_promise_without_that_word_or_rows_is_called_one():
    class Said(Promise):
        def __str__(self):
            return "no group loses more than 0.02"

    page = audit_page(make_report(["a", "b"]), promise=Said(True, pd.DataFrame()))
    assert "Promise kept: no group loses more than 0.02" in summary(page)
    assert '<caption id="tests">' not in page


def test_promise_many_rows_are_cut_and_said_to_be():
    table = pd.DataFrame({"group": [f"g{i}" for i in range(500)], "passed": True})
    page = audit_page(make_report(["a", "b"]), promise=Promise(True, table))
    assert "Tests, 60 of 500 rows" in page
    assert "<bdi>g59</bdi>" in page
    assert "<bdi>g60</bdi>" not in page


def test_promise_of_a_wrong_kind_is_named():
    with pytest.raises(TypeError, match=r"promise must have the attributes kept and table.*str"):
        audit_page(make_report(["a", "b"]), promise="kept")
