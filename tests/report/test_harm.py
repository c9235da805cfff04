"""Who was harmed: the questions that a report passes on, with its own outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.acceptance import accept
from sk_prunefair.metrics.practice import practice_frame, practice_summary
from sk_prunefair.report.slices import harmed_slices

N = 400
X = np.arange(N) % 4
TRUTH = np.arange(N) // 4 % 2
# Rows with x = 3 lose half of their answers, those with x = 0 win a few.
DENSE = np.where((X == 0) & (np.arange(N) % 20 == 0), 1 - TRUTH, TRUTH)
COMPRESSED = np.where((X == 3) & (np.arange(N) % 8 == 3), 1 - TRUTH, TRUTH)
GROUPS = np.where(X < 2, "u", "v")


@pytest.fixture
def report():
    return FairnessReport(
        TRUTH,
        dense_pred=DENSE,
        pruned_pred=COMPRESSED,
        sensitive_features=GROUPS,
        names=("fp32", "int8"),
    )


def test_exemplars_are_all_changed_rows_with_group_and_names(report):
    found = report.exemplars
    assert found.index.tolist() == np.flatnonzero(DENSE != COMPRESSED).tolist()
    assert list(found) == ["y_true", "pred_fp32", "pred_int8", "group", "what"]
    assert found["what"].value_counts().to_dict() == {"lost": 50, "gained": 20}
    assert set(found.loc[found["what"] == "lost", "group"]) == {"v"}


def test_harmed_slices_harm_is_right_before_minus_right_after(report):
    harm = np.zeros(N)
    harm[(DENSE == TRUTH) & (COMPRESSED != TRUTH)] = 1
    harm[(DENSE != TRUTH) & (COMPRESSED == TRUTH)] = -1
    found = report.harmed_slices({"x": X}, random_state=3)
    pd.testing.assert_frame_equal(found, harmed_slices({"x": X}, harm, random_state=3))
    assert found["rule"].tolist() == ["x > 2.0"]


def test_practice_tables_have_the_names_of_the_report(report):
    given = (*report.outcomes, report.labels, report.sensitive_features)
    options = {"names": report.names, "n_boot": 20, "random_state": 0}
    pd.testing.assert_frame_equal(
        report.practice_frame(n_boot=20, random_state=0), practice_frame(*given, **options)
    )
    pd.testing.assert_frame_equal(
        report.practice_summary(n_boot=20, random_state=0), practice_summary(*given, **options)
    )


def test_promise_bound_is_two_hundredths_unless_said_otherwise(report):
    assert set(report.promise().table["bound"]) == {0.02}
    assert set(report.promise(0.5).table["bound"]) == {0.5}
    verdict = report.promise(criteria="accuracy")
    table = verdict.table.set_index("group")
    assert table["drop"].to_dict() == {"u": -20 / 200, "v": 50 / 200}
    assert verdict.binding_group == "v"


def test_promise_slices_bound_is_two_hundredths_unless_said_otherwise(report):
    assert set(report.promise_slices({"x": X}, min_rows=50).table["bound"]) == {0.02}
    found = report.promise_slices({"x": X}, 0.1, min_rows=50)
    assert set(found.table["bound"]) == {0.1}
    assert found.binding_group == "x > 2.0"


def test_accept_is_the_verdict_on_the_report(report):
    criteria = {"criteria": [{"metric": "accuracy_drop", "limit": 0.1}]}
    found = report.accept(criteria)
    assert not found.kept
    assert str(found) == str(accept(report, criteria))


def test_harm_of_parts_raises_where_samples_are_needed():
    parts = FairnessReport.from_parts([(TRUTH, DENSE, COMPRESSED, GROUPS)])
    asked = {
        "exemplars need": lambda: parts.exemplars,
        "harmed_slices needs": lambda: parts.harmed_slices({"x": X}),
        "practice_frame needs": parts.practice_frame,
        "practice_summary needs": parts.practice_summary,
        "slices need": lambda: parts.promise_slices({"x": X}),
        "acceptance criteria need": lambda: parts.accept({"criteria": []}),
    }
    for what, ask in asked.items():
        with pytest.raises(ValueError, match=f"{what} single samples"):
            ask()
    # Sums are enough for exact tests of counts.
    whole = FairnessReport(
        TRUTH, dense_pred=DENSE, pruned_pred=COMPRESSED, sensitive_features=GROUPS
    )
    for name in ("count", "drop", "p_value"):
        tables = [each.promise(criteria="accuracy").table for each in (parts, whole)]
        assert tables[0].set_index("group")[name].to_dict() == pytest.approx(
            tables[1].set_index("group")[name].to_dict()
        )
