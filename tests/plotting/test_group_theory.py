"""Displays: the numbers of the frame stand in the axes."""

from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from sk_prunefair.plotting import THEORY_PANELS, GroupTheoryDisplay

mpl.use("Agg")


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    groups = pd.MultiIndex.from_product([["f", "m"], ["<b>x</b>", "$y$", "é"]])
    values = {name: rng.random(6) for name in THEORY_PANELS} | {"size": [5, 3, 9, 1, 7, 2]}
    return pd.DataFrame(values, index=groups)


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def test_group_theory_display_bars_are_the_numbers_sorted_by_size(frame):
    display = GroupTheoryDisplay.from_frame(frame)
    assert display.figure_ is display.ax_[0].figure
    ordered = frame.sort_values("size")
    for axis, name in zip(display.ax_, THEORY_PANELS, strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in axis.patches], ordered[name])
    labels = [label.get_text() for label in display.ax_[0].get_yticklabels()]
    assert labels == [rf"{a}, {b}".replace("$", r"\$") for a, b in ordered.index]
    rank = frame["gradient_norm"].rank().corr(frame["excessive_risk"].rank())
    assert display.ax_[1].get_xlabel().endswith(f"{rank:.2f}")
    display.figure_.canvas.draw()


@pytest.mark.slow
def test_group_theory_display_constant_column_has_no_rank_correlation(frame):
    display = GroupTheoryDisplay.from_frame(frame.assign(gradient_norm=1.0))
    assert display.ax_[1].get_xlabel() == "all alike"
    assert display.ax_[2].get_xlabel().startswith("rank correlation")


def test_group_theory_display_axes_that_are_given_are_used_or_refused(frame):
    _, axes = pyplot.subplots(1, 5)
    assert GroupTheoryDisplay(frame).plot(ax=axes).ax_[0] is axes[0]
    with pytest.raises(ValueError, match="ax must hold 5 axes, got 4"):
        GroupTheoryDisplay.from_frame(frame, ax=axes[:4])
    with pytest.raises(ValueError, match="got no column 'gradient_norm'"):
        GroupTheoryDisplay.from_frame(frame.drop(columns="gradient_norm"))


def test_group_theory_display_without_matplotlib_names_the_extra(frame, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[plot\]"):
        GroupTheoryDisplay.from_frame(frame)
