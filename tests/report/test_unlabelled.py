"""Rows without label, as a user gives them beside a report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.report.unlabelled import as_unlabelled

LABELS = np.array(["maybe", "no", "yes"])
GROUPS = pd.DataFrame({"sex": ["f"], "age": [20]})
ROWS = {"sex": ["m", "f"], "age": [40, 20]}
SCORES = np.array([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])


def test_as_unlabelled_labels_and_probabilities_become_labels():
    found = as_unlabelled((["no", "yes"], SCORES, ROWS), LABELS, GROUPS)
    assert found.dense.tolist() == ["no", "yes"]
    assert found.compressed.tolist() == ["no", "yes"]
    assert found.group.tolist() == [("m", 40), ("f", 20)]
    assert as_unlabelled(found, LABELS, GROUPS) is found


def test_as_unlabelled_columns_may_be_in_another_order_with_the_names_of_the_report():
    named = pd.DataFrame(SCORES, columns=["yes", "maybe", "no"])
    turned = {name: ROWS[name] for name in ("age", "sex")}
    found = as_unlabelled([named, named[["no", "yes", "maybe"]], turned], LABELS, GROUPS)
    assert found.dense.tolist() == found.compressed.tolist() == ["maybe", "no"]
    assert found.group.tolist() == [("m", 40), ("f", 20)]
    renamed = dict(zip(("a", "b"), ROWS.values(), strict=True))
    with pytest.raises(
        ValueError, match=r"columns of the report, \['sex', 'age'\], got \['a', 'b'\]"
    ):
        as_unlabelled((SCORES, SCORES, renamed), LABELS, GROUPS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((SCORES, SCORES), r"got a tuple of 2$"),
        ([SCORES], r"got a list of 1$"),
        (SCORES, r"got a ndarray$"),
        (
            (["no", "yes"], ["no"], ROWS),
            "compressed_pred of unlabelled has 1 values, but the dense",
        ),
        ((SCORES, np.eye(2), ROWS), "compressed_pred of unlabelled has 2 columns .* 3 labels"),
        (([0, 1], ["no", "yes"], ROWS), "the dense_pred of unlabelled must hold labels as"),
        ((SCORES, SCORES, ["f", "m"]), r"the columns of the report, \['sex', 'age'\], got"),
        (
            (SCORES, SCORES, {"sex": ["f"], "age": [1]}),
            "the sensitive_features of unlabelled has 1",
        ),
    ],
)
def test_as_unlabelled_malformed_raises_and_names_what(given, message):
    with pytest.raises(ValueError, match=message):
        as_unlabelled(given, LABELS, GROUPS)
