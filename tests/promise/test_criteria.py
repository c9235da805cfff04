"""What may not fall: names, functions, values by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Criterion
from sk_prunefair.promise.criteria import as_criteria

TRUTH = np.array([0, 0, 1, 1, 1])
PREDICTED = np.array([0, 1, 1, 0, 1])
OUTCOME = Outcome(np.array([0.1, 2.0, 9.0, 0.4, 0.5]), PREDICTED, TRUTH)
LABELS = np.array(["no", "yes"])


def made(criteria, **options):
    options = {"max_drop": 0.02, "loss_bound": 5.0} | options
    return as_criteria(criteria, LABELS, **options)


def mean(criterion):
    values = criterion.checked_values(OUTCOME)[criterion.concerned(TRUTH)]
    return criterion.shown(values.mean())


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("accuracy", [3 / 5]),
        ("recall", [1 / 2, 2 / 3]),
        ("tpr:yes", [2 / 3]),
        ("fpr:yes", [1 / 2]),
        ("fpr:no", [1 / 3]),
        ("loss", [(0.1 + 2 + 5 + 0.4 + 0.5) / 5]),
        (lambda y, p: (y == "yes") & (p == "yes"), [2 / 5]),
    ],
)
def test_as_criteria_shows_the_rate_it_is_named_after(criterion, expected):
    assert [mean(each) for each, _ in made(criterion)] == pytest.approx(expected)


def test_as_criteria_none_is_accuracy_and_recalls_where_possible():
    names = [(each.name, each.where_possible, bound) for each, bound in made(None)]
    assert names == [
        ("accuracy", False, 0.02),
        ("recall of 'no'", True, 0.02),
        ("recall of 'yes'", True, 0.02),
    ]


def test_as_criteria_mapping_gives_bounds():
    found = {each.name: bound for each, bound in made({"accuracy": 0.1, "loss": 1.5})}
    assert found == {"accuracy": 0.1, "loss": 1.5}


def test_as_criteria_takes_a_criterion_as_it_is():
    criterion = Criterion("x", lambda outcome: outcome.truth.astype(float))
    assert made([criterion, "accuracy"])[0] == (criterion, 0.02)


@pytest.mark.parametrize(
    ("criteria", "error", "message"),
    [
        ("precision", ValueError, "criteria must be 'accuracy'.*got 'precision'"),
        ("tpr:maybe", ValueError, r"must name a label among \['no', 'yes'\]"),
        ([], ValueError, "at least one"),
        (["recall", "recall"], ValueError, "each only once"),
        ([3], TypeError, "criteria must be 'accuracy'.*got 3"),
        (3, TypeError, "or several of them, got 3"),
        ({"accuracy": 1.0}, ValueError, r"the bound of 'accuracy' must be a number in \[0, 1\)"),
        ({"accuracy": float("nan")}, ValueError, "got nan"),
        ({"accuracy": "a"}, ValueError, "got 'a'"),
    ],
)
def test_as_criteria_malformed_raises(criteria, error, message):
    with pytest.raises(error, match=message):
        made(criteria)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones(4), {}, "a value .* for each of 5 rows, got 4 values"),
        (np.full(5, 1.5), {}, r"in \[0, 1\] for each of 5 rows, got 5 values from 1.5"),
        (np.full(5, -0.5), {}, r"in \[0, 1\]"),
        (np.full(5, 0.5), {"is_binary": True}, "0 or 1"),
        (np.array([0, 1, np.nan, 0, 1]), {}, "must be finite"),
    ],
)
def test_criterion_values_out_of_range_raise(values, options, message):
    with pytest.raises(ValueError, match=message):
        Criterion("x", lambda outcome: values, **options).checked_values(OUTCOME)


def test_loss_without_losses_raises():
    ((loss, _),) = made("loss")
    with pytest.raises(ValueError, match="only their labels are known"):
        loss.checked_values(Outcome(None, PREDICTED, TRUTH))
