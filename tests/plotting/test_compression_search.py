"""The display of a search: costs, drops, the front, what passed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair.plotting import CompressionSearchDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close():
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


def frame():
    """Return five candidates: costs, drops of two groups, and what became of them."""
    rows = [
        ("dear", 9.0, 0, True, (0.0, -0.01)),
        ("middle", 5.0, 1, True, (0.01, 0.005)),
        ("beaten", 6.0, np.nan, False, (0.03, 0.0)),
        ("cheap", 2.0, 2, False, (0.0, 0.04)),
        ("$x^2$", 1.0, np.nan, False, (0.5, 0.6)),
    ]
    return pd.DataFrame(
        [
            {
                "candidate": name,
                "cost": cost,
                "order": order,
                "kept": kept,
                "group": group,
                "accuracy_drop": drop,
                "drop_bound": drop + 0.01,
            }
            for name, cost, order, kept, drops in rows
            for group, drop in zip("ab", drops, strict=True)
        ]
    )


def test_search_display_points_front_and_choice_are_the_frames():
    display = CompressionSearchDisplay.from_frame(frame(), max_accuracy_drop=0.02)
    rows = display.candidates_
    assert rows["worst_drop"].tolist() == [0.0, 0.01, 0.03, 0.04, 0.6]
    assert rows["kind"].tolist() == [
        "may be returned",
        "may be returned",
        "not tested",
        "failed",
        "not tested",
    ]
    assert rows.index[rows["on_front"]].tolist() == ["dear", "middle", "cheap", "$x^2$"]
    assert rows.index[rows["is_best"]].tolist() == ["middle"]
    [kept, failed, untested, _] = display.ax_.collections[1:]
    assert kept.get_offsets().tolist() == [[9.0, 0.0], [5.0, 0.01]]
    assert failed.get_offsets().tolist() == [[2.0, 0.04]]
    assert len(untested.get_offsets()) == 2
    names = [text.get_text() for text in display.ax_.texts]
    assert names == ["middle"]


def test_search_display_of_no_search_or_lacking_columns_raises():
    with pytest.raises(TypeError, match="fitted CompressionSearchCV, got int"):
        CompressionSearchDisplay.from_estimator(3)
    with pytest.raises(ValueError, match="got no column 'kept'"):
        CompressionSearchDisplay.from_frame(frame().drop(columns="kept"))


def test_search_display_where_nothing_passed_has_no_choice():
    display = CompressionSearchDisplay.from_frame(frame().assign(kept=False))
    assert not display.candidates_["is_best"].any()
    assert not display.ax_.texts
