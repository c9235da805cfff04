"""Constraints of one's own: what the base class does with their answers."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from sk_prunefair.constraints import Constraint, Distillation, EqualGradientConstraint
from sk_prunefair.hooks import Training
from sk_prunefair.objective import Objective
from tests.conftest import classifier, weights


class Weigh(Constraint):
    def weights(self, net, batch):
        return 1.0 + (batch["group"] == 1)


def test_constraint_with_weights_trains_as_with_sample_weight(digits):
    X, y, group = digits
    clf = classifier(callbacks=[Weigh()], train_split=None).fit(X, y, sensitive_features=group)
    weighted = classifier(train_split=None, lr=0.2 * np.mean(1.0 + (group == "round"))).fit(
        X, y, sample_weight=1.0 + (group == "round")
    )
    for name, value in weights(weighted.module_).items():
        np.testing.assert_allclose(weights(clf.module_)[name], value, atol=1e-4)


def test_constraint_acts_in_its_phase_and_without_labels_only_where_it_needs_none():
    class Unlabelled(Constraint):
        needs_labels = False

    for training, phase in itertools.product(("before", "after"), ("before", "after", "both")):
        net = SimpleNamespace(training_=Training(training, epochs=1))
        assert Constraint(phase).is_active(net) is (phase in (training, "both"))
        net = SimpleNamespace(training_=Training(training, epochs=1, has_labels=False))
        assert Constraint(phase).is_active(net) is False
        assert Unlabelled(phase).is_active(net) is (phase in (training, "both"))


def test_constraint_does_not_take_derivatives_unless_it_says_so():
    net = SimpleNamespace(training_=Training("before", epochs=1))
    assert not Objective(net, [Weigh(), Distillation()]).takes_derivatives
    assert Objective(net, [Weigh(), EqualGradientConstraint()]).takes_derivatives


def test_constraint_without_groups_is_refused_unless_it_needs_none(digits):
    class Ungrouped(Weigh):
        needs_groups = False

    X, y, _ = digits
    with pytest.raises(ValueError, match="Weigh needs the group of each sample"):
        classifier(callbacks=[Weigh()], max_epochs=1).fit(X, y)
    classifier(callbacks=[Ungrouped()], max_epochs=1).fit(X, y)
