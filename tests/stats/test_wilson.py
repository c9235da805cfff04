"""Wilson's interval against scipy's."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.stats.wilson import wilson_interval


def test_wilson_interval_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    z = stats.norm.ppf(0.975)
    for right, n in [(0, 5), (5, 5), (3, 10), (70, 100)]:
        theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(wilson_interval(right / n, n, z), theirs, atol=1e-12)
