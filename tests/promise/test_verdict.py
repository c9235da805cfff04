"""What a verdict says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.promise import Verdict
from sk_prunefair.promise.verdict import binding_group

ROWS = {
    "group": ["a", "b", "c"],
    "criterion": ["accuracy"] * 3,
    "count": [300, 40, 0],
    "dense": [0.9, 0.8, np.nan],
    "compressed": [0.9, 0.7, np.nan],
    "drop": [0.0, 0.1, np.nan],
    "drop_bound": [0.01, 0.3, 1.0],
    "bound": [0.02] * 3,
    "p_value": [0.01, 0.8, 1.0],
    "passed": pd.array([True, False, None], dtype="boolean"),
    "p_adjusted": [0.02, 0.8, 1.0],
    "samples_needed": [np.nan, 200.0, 152.0],
    "samples_needed_most": [np.nan, 900.0, 152.0],
}


def table(**columns):
    return pd.DataFrame(ROWS | columns)


def test_binding_group_is_the_largest_p_value_of_what_is_tested():
    assert binding_group(table()) == "b"


def test_binding_group_of_equal_p_values_is_furthest_beyond():
    passed = pd.array([False, False, None], dtype="boolean")
    assert binding_group(table(p_value=[1.0, 1.0, 1.0], passed=passed)) == "b"


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        ((200.0, 900.0), "some 200 to 900 rows like these would be needed"),
        ((200.0, 200.0), "some 200 rows like these would be needed"),
        (
            (200.0, np.inf),
            "some 200 rows or more would be needed, if it were smaller than observed",
        ),
        ((np.inf, np.inf), "these rows show that it is worse than that"),
    ],
)
def test_sentence_says_how_many_rows_it_would_take(needed, words):
    least, most = ([np.nan, each, 152.0] for each in needed)
    rows = table(samples_needed=least, samples_needed_most=most)
    found = Verdict(kept=False, binding_group="b", table=rows, confidence=0.9)
    assert found.sentence == (
        "promise not kept, with confidence 0.9: group 'b' is worse by 0.100 in accuracy, over 40 "
        f"rows, and may be by 0.300, where 0.02 was promised; {words}"
    )


def test_sentence_of_a_group_without_rows_names_what_was_promised():
    rows = table(drop=[np.nan] * 3, drop_bound=[1.0] * 3, samples_needed=[11.0] * 3)
    found = Verdict(kept=False, binding_group="b", table=rows, confidence=0.9)
    assert "group 'b' has no row for accuracy, which was promised not to be wo" in found.sentence
    assert "may be by" not in found.sentence


def test_sentence_counts_the_groups_that_fail():
    rows = table(passed=pd.array([False, False, None], dtype="boolean"))
    found = Verdict(kept=False, binding_group="b", table=rows, confidence=0.9)
    assert found.sentence.endswith("; 2 of 3 groups fail")


def test_str_names_findings_and_what_was_not_tested():
    found = Verdict(
        kept=False, binding_group=None, table=table(), confidence=0.9, findings=("no label 'x'",)
    )
    lines = str(found).splitlines()
    assert lines[0] == "promise not kept, with confidence 0.9: no label 'x'"
    assert lines[-1] == "not tested, too few rows: accuracy in 'c' (0, 152 needed)"


def test_str_of_many_rows_is_short():
    many = pd.concat([table().iloc[:1]] * 40, ignore_index=True)
    found = Verdict(kept=True, binding_group="a", table=many, confidence=0.9)
    assert len(str(found).splitlines()) == 16
    assert str(found).endswith("and 28 more with smaller p-values")


def test_sentence_names_groups_without_types_of_numpy():
    rows = table(group=[("f", np.int64(1)), ("f", np.int64(2)), np.int64(3)])
    found = Verdict(kept=False, binding_group=None, table=rows, confidence=0.9)
    assert "group ('f', 2) is worse" in found.sentence
    assert "accuracy in 3 (0, 152 needed)" in str(found)
