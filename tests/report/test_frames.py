"""Metrics of the user that ask for scores, inside a MetricFrame."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    d2_log_loss_score,
    get_scorer,
    log_loss,
    make_scorer,
    roc_auc_score,
)

from sk_prunefair import FairnessReport
from sk_prunefair.metrics import fairness_violation_scorer
from sk_prunefair.report.frames import asks_for_scores, net_frame


def drawn(n_labels, n=300):
    rng = np.random.default_rng(0)
    truth = rng.integers(n_labels, size=n)
    scores = rng.dirichlet(np.ones(n_labels), size=n) + np.eye(n_labels)[truth] / 2
    scores /= scores.sum(axis=1, keepdims=True)
    return truth, scores, rng.choice(["a", "b"], size=n)


def brier(y_true, y_pred, y_score):
    return float(np.mean((y_score - (y_true == "yes")) ** 2))


class Metric:
    def __call__(self, y_true, y_pred, *, y_score, power=2):
        return float(np.mean(y_score**power))


@pytest.mark.parametrize(
    ("metric", "asks"),
    [
        (roc_auc_score, True),
        (functools.partial(roc_auc_score, multi_class="ovr"), True),
        (brier, True),
        (Metric(), True),
        (log_loss, True),
        (lambda y_true, y_pred: 0, False),
        (max, False),
        (operator.itemgetter(0), False),
    ],
)
def test_asks_for_scores_is_told_by_the_signature(metric, asks):
    assert asks_for_scores(metric) == asks


def test_net_frame_two_labels_metrics_get_the_score_of_the_larger():
    truth, scores, groups = drawn(2)
    names = np.array(["no", "yes"])
    metrics = {"auc": roc_auc_score, "brier": brier, "mean": Metric()}
    options = {"y_true": names[truth], "sensitive_features": groups}
    frame = net_frame(names[scores.argmax(axis=1)], None, metrics, options, scores)
    for group in "ab":
        rows = groups == group
        y, score = truth[rows], scores[rows, 1]
        found = frame.by_group.loc[group]
        assert found["auc"] == pytest.approx(roc_auc_score(y, score))
        assert found["brier"] == pytest.approx(((score - y) ** 2).mean())
        assert found["mean"] == pytest.approx((score**2).mean())
        assert found["accuracy"] == (scores[rows].argmax(axis=1) == y).mean()


@pytest.mark.parametrize("n_boot", [None, 5])
def test_net_frame_several_labels_metrics_get_all_scores(n_boot):
    truth, scores, groups = drawn(3)
    metrics = {"auc": functools.partial(roc_auc_score, multi_class="ovr")}
    options = {"y_true": truth, "sensitive_features": groups, "n_boot": n_boot}
    options |= {"ci_quantiles": [0.5], "random_state": 0} if n_boot else {}
    frame = net_frame(scores.argmax(axis=1), np.ones(300), metrics, options, scores)
    for group in "ab":
        rows = groups == group
        expected = roc_auc_score(truth[rows], scores[rows], multi_class="ovr")
        assert frame.by_group.loc[group, "auc"] == pytest.approx(expected)
    assert frame.overall["loss"] == 1
    if n_boot:
        [median] = frame.by_group_ci
        np.testing.assert_allclose(median["auc"], frame.by_group["auc"], atol=0.05)


def test_net_frame_without_scores_leaves_out_what_asks_for_them():
    truth, scores, groups = drawn(2)
    metrics = {"precision": average_precision_score, "mine": lambda y_true, y_pred: 7}
    options = {"y_true": truth, "sensitive_features": groups}
    frame = net_frame(scores.argmax(axis=1), None, metrics, options)
    assert list(frame.by_group) == ["accuracy", "count", "mine"]


@pytest.mark.parametrize(
    ("metric", "hand"),
    [
        (log_loss, lambda y, p: log_loss(y, p)),
        (functools.partial(log_loss, labels=[0, 1]), lambda y, p: log_loss(y, p)),
        (d2_log_loss_score, lambda y, p: d2_log_loss_score(y, p)),
        (brier_score_loss, lambda y, p: ((p - y) ** 2).mean()),
        (lambda y_true, y_pred, y_prob: y_prob.mean(), lambda y, p: p.mean()),
    ],
)
def test_net_frame_metrics_of_probabilities_get_them_by_any_of_their_names(metric, hand):
    truth, scores, groups = drawn(2)
    options = {"y_true": truth, "sensitive_features": groups}
    frame = net_frame(scores.argmax(axis=1), None, {"own": metric}, options, scores)
    for group in "ab":
        rows = groups == group
        expected = hand(truth[rows], scores[rows, 1])
        assert frame.by_group["own"][group] == pytest.approx(expected)


@pytest.mark.parametrize("metrics", ["f1", [log_loss], {"f1": "f1"}])
def test_net_frame_metrics_that_are_no_dict_of_functions_raise_and_say_so(metrics):
    truth, scores, groups = drawn(2)
    options = {"y_true": truth, "sensitive_features": groups}
    with pytest.raises(ValueError, match="metrics must be a dict of names to functions"):
        net_frame(truth, None, metrics, options, scores)


@pytest.mark.parametrize(
    ("scorer", "instead"),
    [
        (get_scorer("f1_macro"), "f1_score"),
        (make_scorer(roc_auc_score, response_method="predict_proba"), "roc_auc_score"),
        (fairness_violation_scorer, "sklearn.metrics.f1_score"),
    ],
)
def test_net_frame_scorers_among_metrics_raise_and_name_the_function(scorer, instead):
    with pytest.raises(ValueError, match=rf"metrics\['m'\] must be a function.*such as {instead}"):
        FairnessReport(
            [0, 1],
            dense_pred=[0, 1],
            pruned_pred=[0, 1],
            sensitive_features=["a", "b"],
            metrics={"m": scorer},
        )
