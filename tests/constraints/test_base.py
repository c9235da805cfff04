"""Constraints of one's own: what the base class does with their answers."""

from __future__ import annotations

import numpy as np

from sk_prunefair.constraints import Constraint
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
