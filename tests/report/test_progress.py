"""The progress bar of fairlearn's bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.report import progress
from sk_prunefair.report.cells import Cells


def report(**options):
    y, other = np.array([0, 1] * 20), np.array([0, 1, 1, 1] * 10)
    given = {
        "dense_pred": y,
        "pruned_pred": other,
        "sensitive_features": ["a"] * 25 + ["b"] * 15,
        "n_boot": 4,
        "ci_quantiles": [0.05, 0.95],
        "random_state": 0,
    }
    return FairnessReport(y, **(given | options))


@pytest.fixture
def bars(monkeypatch):
    """Return the bars that are made, as shown on a terminal."""
    made = []

    class Bar(progress.tqdm):
        def __init__(self, *args, disable, **options):
            self.asked = disable
            super().__init__(*args, disable=False, **options)
            made.append(self)

    monkeypatch.setattr(progress, "tqdm", Bar)
    return made


def zero_one(y_true, y_pred):
    return float(np.mean(y_true != y_pred))


def test_bootstrap_of_user_metrics_counts_to_the_end(bars):
    report(metrics={"error": zero_one})
    [bar] = bars
    # Two nets; four draws and the rows as they are; two groups and all.
    assert bar.total == bar.n == 2 * 5 * 3
    assert bar.asked is None  # shown where somebody watches


@pytest.mark.parametrize("options", [{"verbose": 0}, {"n_boot": None, "ci_quantiles": None}])
def test_bootstrap_bar_is_off_where_nothing_is_drawn_or_nobody_asked(bars, options):
    report(metrics={"error": zero_one}, **options)
    assert [bar.asked for bar in bars] == [True]


def test_bootstrap_of_means_has_no_bar(bars):
    assert len(report().change.by_group_ci) == 2
    assert bars == []


def test_bootstrap_bar_of_draws_without_a_group_still_ends(bars):
    cells = Cells(pd.DataFrame({"group": ["a", "b"]}))
    with progress.bootstrap_bar(cells, 3, 1) as tick:
        tick()
    assert bars[0].n == bars[0].total
