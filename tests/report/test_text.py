"""The sentences of a report, word by word."""

from __future__ import annotations

import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.report.text import best_and_worst_group, costs, layer_findings, saved, summary

ALL = {
    "sparsity": 0.9,
    "bytes_dense": 12_000.0,
    "bytes_stored": 2_400.0,
    "macs_dense": 5_000.0,
    "macs_pruned": 1_000.0,
    "latency_dense": 0.002,
    "latency_pruned": 0.0005,
}
WEIGHTS = "90.0% of the prunable weights removed"
BYTES = "12,000 → 2,400 bytes stored"
MACS = "5,000 → 1,000 multiply-accumulates"


@pytest.mark.parametrize(
    ("left_out", "lines"),
    [
        ((), [f"{WEIGHTS}; {BYTES}, {MACS}", "2 → 0.5 ms for one sample"]),
        (("sparsity", "latency_dense"), [f"{BYTES}, {MACS}"]),
        (("bytes_stored", "latency_dense"), [f"{WEIGHTS}; {MACS}"]),
        (("macs_dense", "latency_dense"), [f"{WEIGHTS}; {BYTES}"]),
        (("bytes_dense", "macs_pruned", "latency_dense"), [WEIGHTS]),
        (("bytes_dense", "macs_pruned", "sparsity"), ["2 → 0.5 ms for one sample"]),
        (tuple(ALL), []),
    ],
)
def test_saved_says_what_is_known_and_no_more(left_out, lines):
    assert saved(pd.Series(ALL).drop(list(left_out))) == lines


def test_saved_of_two_numbers_alone_is_a_line():
    assert saved(pd.Series({"bytes_dense": 12_000.0, "bytes_stored": 2_400.0})) == [BYTES]
    assert saved(pd.Series({"macs_dense": 5_000.0, "macs_pruned": 1_000.0})) == [MACS]


def test_costs_of_what_nobody_measured_are_no_lines():
    assert costs(None, None) == []
    assert costs(pd.Series({"sparsity": 0.9}), None) == [WEIGHTS]


@pytest.mark.parametrize(
    ("n_layers", "shown"),
    [(1, "fc0"), (5, "fc0, fc1, fc2, fc3, fc4"), (6, "fc0, fc1, fc2, fc3, fc4 and others")],
)
def test_layer_findings_name_five_layers_and_the_share_removed(n_layers, shown):
    layers = [f"fc{i}" for i in range(n_layers)]
    assert layer_findings(layers, None) == [f"no weight is left of {shown}"]
    assert layer_findings(layers, pd.Series({"macs_dense": 1})) == [f"no weight is left of {shown}"]
    assert layer_findings(layers, pd.Series({"sparsity": 0.9})) == [
        f"no weight is left of {shown} with {WEIGHTS}"
    ]


def test_layer_findings_without_empty_layers_are_none():
    assert layer_findings([], pd.Series({"sparsity": 0.9})) == []


def test_best_and_worst_group_are_named_with_both_accuracies():
    frame = pd.DataFrame(
        {
            "count": [10, 10, 10],
            "accuracy_dense": [0.5, 0.9, 0.8],
            "accuracy_pruned": [0.7, 0.6, 0.4],
            "accuracy_drop": [-0.2, 0.3, 0.4],
        },
        index=["a", "b", "c"],
    )
    assert best_and_worst_group(frame) == (
        "best group before, b: accuracy 0.900 → 0.600; worst after, c: 0.800 → 0.400"
    )


def report(**options):
    given = {
        "dense_pred": [0, 1, 0, 1],
        "pruned_pred": [0, 1, 1, 1],
        "sensitive_features": ["a", "a", "b", "b"],
    }
    return FairnessReport([0, 1, 0, 1], **(given | options))


def test_summary_of_four_samples_by_hand():
    lines = summary(report()).splitlines()
    assert lines[0] == "accuracy 1.000 → 0.750, accuracy gap 0.000 → 0.500"
    assert lines[1].startswith("equally good groups of these sizes would show a gap of 0.000 → 0.")
    assert lines[2].startswith("best group before, b: accuracy 1.000 → 0.500")
    assert len(lines) == 3
    losses = {"dense_losses": [0.1] * 4, "pruned_losses": [0.1, 0.1, 0.9, 0.1]}
    first, *_, last = summary(report(**losses, compression=pd.Series(ALL))).splitlines()
    # Losses rise by 0 in a, by 0.4 in b.
    assert first.endswith(", fairness violation ξ = 0.400")
    assert last == "2 → 0.5 ms for one sample"
    levels = summary(report(control_features=["u", "v", "u", "v"]))
    assert levels.startswith("accuracy within control levels, accuracy gap 0.000 → 1.000")


def test_report_text_and_html_begin_with_the_findings():
    found = report(empty_layers=["fc1"], pruned_pred=[0, 0, 0, 0])
    text = str(found).splitlines()
    assert text[:3] == [
        "Pruning by group (dense → pruned)",
        "the pruned net gives every sample the label 0",
        "no weight is left of fc1",
    ]
    page = found._repr_html_()
    assert page.startswith("<div><p><strong>the pruned net gives every sample")
    assert "<p>accuracy 1.000 → 0.500, " in page
    assert page.count("<br>") == len(summary(found).splitlines()) - 1
