"""A promise judged on outcomes made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Promise

GROUPS = pd.Index(["f", "m"])
CODES = np.arange(1000) % 2


def outcomes(pruned_labels):
    """Return a dense net that is always right, one sample in a hundred of label 1, and another."""
    truth = (np.arange(1000) % 100 == 0).astype(int)
    losses = np.full(1000, 0.1)
    return Outcome(losses, truth, truth), Outcome(losses, pruned_labels(truth), truth)


@pytest.mark.parametrize("max_violation", [None, 1.0])
def test_judge_constant_net_fails_for_every_group(max_violation):
    promise = Promise(0.05, max_violation, 5.0, 0.95)
    nets = outcomes(np.zeros_like)
    judged = promise.judge(*nets, CODES, GROUPS, ["no", "yes"])
    assert (judged["p_value"] < 0.05).all()
    assert not judged["passed"].any()
    assert promise.why_not(judged) == "the pruned net gives every sample the label 'no'"
    assert promise.binding_row(judged)["group"] == "f"  # the one with the rare label


def test_judge_lost_label_fails_though_others_remain():
    promise = Promise(0.05, None, 5.0, 0.95)
    judged = promise.judge(
        *outcomes(lambda truth: np.where(truth == 1, 2, 0)), CODES, GROUPS, ["a", "b", "c"]
    )
    assert not judged["passed"].any()
    assert "gives no sample the label 'b', which the dense net gave" in promise.why_not(judged)


def test_judge_all_labels_given_passes():
    promise = Promise(0.05, None, 5.0, 0.95)
    judged = promise.judge(*outcomes(np.copy), CODES, GROUPS, [0, 1])
    assert judged["passed"].all()
    assert (judged["findings"] == "").all()


def nets_that_differ(lost, n=600):
    """Return two nets, of which the second is wrong on the first rows of label 1."""
    truth = np.arange(n) % 2
    labels = truth.copy()
    labels[np.flatnonzero(truth == 1)[:lost]] = 0
    return Outcome(np.zeros(n), truth, truth), Outcome(np.zeros(n), labels, truth)


def test_judge_criteria_add_to_the_accuracy():
    nets, codes = nets_that_differ(12), np.zeros(600, dtype=int)
    assert Promise(0.05, None, 5.0, 0.95).judge(*nets, codes, pd.Index(["a"]), [0, 1]).passed.all()
    promise = Promise(0.05, None, 5.0, 0.95, criteria="recall")
    judged = promise.judge(*nets, codes, pd.Index(["a"]), [0, 1])
    assert judged.shape[0] == 1
    assert not judged["passed"].any()
    assert judged["criterion"].tolist() == ["recall of 1"]
    assert promise.binding_row(judged)["group"] == "a"
    assert promise.why_not(judged).startswith(
        "group 'a' is worse by 0.040 in recall of 1, over 300"
    )


def test_why_not_one_lost_row_of_few_does_not_say_that_more_would_not_help():
    nets, codes = nets_that_differ(1, 34), np.zeros(34, dtype=int)
    promise = Promise(0.02, None, 5.0, 0.95)
    words = promise.why_not(promise.judge(*nets, codes, pd.Index(["a"]), [0, 1]))
    assert (
        "some 153 samples or more would be needed, if the drop were smaller than observed" in words
    )


def test_why_not_proven_harm_says_that_more_would_not_help():
    nets, codes = nets_that_differ(90), np.zeros(600, dtype=int)
    promise = Promise(0.02, None, 5.0, 0.95)
    words = promise.why_not(promise.judge(*nets, codes, pd.Index(["a"]), [0, 1]))
    assert "more samples like these would not help" in words


def test_why_not_names_what_each_failing_group_takes():
    dense, pruned = nets_that_differ(12)
    codes = np.arange(600) % 3
    promise = Promise(0.02, None, 5.0, 0.95)
    judged = promise.judge(dense, pruned, codes, pd.Index([("a", 1), ("b", 1), ("c", 2)]), [0, 1])
    words = promise.why_not(judged)
    assert "3 of 3 groups fail" in words
    assert words.count(" or more") + words.count(" to ") >= 2
    assert sum(repr(name) in words for name in judged["group"]) == 3


def test_why_not_numbers_of_numpy_are_plain():
    codes = np.arange(600) % 3
    promise = Promise(0.02, None, 5.0, 0.95)
    words = promise.why_not(
        promise.judge(*nets_that_differ(12), codes, pd.Index([4, 5, 6]), [0, 1])
    )
    assert "np." not in words
    assert sum(f"{name}: " in words for name in (4, 5, 6)) == 2


def test_warn_of_small_groups_names_them_and_only_them():
    promise, codes = Promise(0.02, None, 5.0, 0.95), np.repeat([0, 1], [151, 152])
    with pytest.warns(UserWarning, match=r"in group 'a' \(151\): 152 of each") as caught:
        promise.warn_of_small_groups(codes, pd.Index(["a", "b"]))
    assert "'b'" not in str(caught[0].message)
    promise.warn_of_small_groups(codes[codes == 1] - 1, pd.Index(["b"]))


def test_judge_violation_without_losses_raises():
    truth = np.arange(10) % 2
    nets = [Outcome(None, truth, truth)] * 2
    with pytest.raises(ValueError, match="only their labels are known"):
        Promise(0.5, 1.0, 5.0, 0.9).judge(*nets, truth, pd.Index(["a", "b"]), [0, 1])
