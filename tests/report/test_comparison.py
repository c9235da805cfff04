"""What a report is asked by others: whether losses moved, accuracies over all, metrics of users."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport

TRUTH = np.array([0, 1, 0, 1])
LOSSES = np.array([0.1, 0.2, 0.3, 0.4])


def make(**options):
    given = {
        "dense_pred": TRUTH,
        "pruned_pred": [0, 1, 1, 1],
        "sensitive_features": list("aabb"),
    }
    return FairnessReport(TRUTH, **(given | options))


def parts_of(after):
    """Return a report of two parts; samples of one kind may differ in their losses."""
    rows = {
        "y_true": np.zeros(4, dtype=int),
        "dense_pred": np.zeros(4, dtype=int),
        "compressed_pred": np.zeros(4, dtype=int),
        "dense_losses": LOSSES,
        "compressed_losses": after,
        "sensitive_features": np.array(list("aabb")),
    }
    cut = ({name: each[rows_] for name, each in rows.items()} for rows_ in (slice(3), slice(3, 4)))
    return FairnessReport.from_parts(cut)


def test_is_loss_unchanged_where_each_sample_has_the_same():
    assert make(dense_losses=LOSSES, pruned_losses=LOSSES).is_loss_unchanged
    assert not make(dense_losses=LOSSES, pruned_losses=LOSSES[::-1]).is_loss_unchanged
    assert not make().is_loss_unchanged


def test_is_loss_unchanged_of_parts_looks_into_kinds():
    assert parts_of(LOSSES).is_loss_unchanged
    # Their mean by group is the same, each of them is another.
    assert not parts_of(LOSSES[[1, 0, 3, 2]]).is_loss_unchanged
    labels = FairnessReport.from_parts([(TRUTH, TRUTH, TRUTH, list("aabb"))])
    assert not labels.is_loss_unchanged


def test_overall_accuracy_and_samples_count_what_rows_stand_for():
    assert make().overall_accuracy == (1, 0.75)
    assert make().n_samples == 4
    part = {
        "y_true": [0, 1],
        "dense_pred": [0, 1],
        "compressed_pred": [0, 0],
        "sensitive_features": ["a", "b"],
        "sample_weight": [3, 2],
    }
    found = FairnessReport.from_parts([part])
    assert found.overall_accuracy == (1, 0.6)
    assert found.n_samples == 5
    assert found.dense.overall["count"] == 5


def test_bootstrap_is_known_where_it_was_asked_for():
    assert make().n_boot is None
    assert make(n_boot=7, ci_quantiles=[0.5]).n_boot == 7


def test_frames_have_names_of_both_and_of_the_kind():
    found = make(names=("fp32", "int8"), dense_losses=LOSSES, pruned_losses=LOSSES)
    columns = ["count", "accuracy_fp32", "accuracy_int8", "loss_fp32", "loss_int8", "changed"]
    harms = ["accuracy_drop", "excessive_risk"]
    assert list(found.to_frame()) == [*columns, *harms]
    assert list(found.by_group)[1:5] == [
        "accuracy_dense",
        "accuracy_pruned",
        "loss_dense",
        "loss_pruned",
    ]
    assert found.accuracy_gap.index.tolist() == ["fp32", "int8"]
    assert found.accuracy_gap_floor.name == "accuracy_gap_floor"
    assert found.compressed is found.pruned
    assert found.to_frame()["changed"].to_dict() == {"b": 0.5, "a": 0}


def test_series_that_are_handed_out_are_copies():
    found = make(dense_losses=LOSSES, pruned_losses=LOSSES)
    for name in ("excessive_risk", "accuracy_drop"):
        given = getattr(found, name)
        given.loc["a"] = 9
        assert getattr(found, name)["a"] == 0


def test_user_metrics_are_of_cells_that_have_samples():
    found = make(
        metrics={"share": lambda y_true, y_pred: float(np.mean(y_pred))},
        sensitive_features=pd.DataFrame({"x": list("aabb"), "y": [1, 1, 2, 2]}),
    )
    [name] = found.user_metrics()
    dense, pruned = found.user_metrics()[name]
    assert dense.to_dict() == {("a", 1): 0.5, ("b", 2): 0.5}
    assert pruned.to_dict() == {("a", 1): 0.5, ("b", 2): 1}
    assert make().user_metrics() == {}


def test_findings_on_labels_come_before_those_on_layers():
    found = make(pruned_pred=[0] * 4, empty_layers=["fc"])
    assert found.label_findings == ["the pruned net gives every sample the label 0"]
    assert found.findings == [*found.label_findings, "no weight is left of fc"]


def test_class_errors_by_hand():
    # Of the two of class 1, both are found; of the two of class 0 one is called 1.
    frame = make().class_errors
    assert frame.loc[1, "fpr_pruned"] == 0.5
    assert frame.loc[0, "fnr_pruned"] == 0.5
    assert frame.loc[1, "fnr_pruned"] == frame.loc[0, "fpr_pruned"] == 0


def test_plot_is_of_the_risk_or_else_of_the_accuracy():
    pytest.importorskip("matplotlib")
    with_losses = make(dense_losses=LOSSES, pruned_losses=LOSSES)
    assert with_losses.plot().metric == "excessive_risk"
    assert make().plot().metric == "accuracy_drop"
    assert with_losses.plot(metric="accuracy_drop").metric == "accuracy_drop"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latency": pd.DataFrame({"a": [1]})}, "latency must be a DataFrame"),
        ({"names": ("x",)}, "two different strings"),
        (
            {"control_features": {"sensitive_feature": [1] * 4}},
            "must have distinct column names",
        ),
    ],
)
def test_comparison_malformed_arguments_raise(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
