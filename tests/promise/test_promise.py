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
