"""Axes and rows of the small pictures."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.audit._svg import Scale, curves, dumbbell, interval

NAN = float("nan")


@pytest.mark.parametrize(
    "values",
    [[0.62, 0.88], [0, 1], [0.5], [1.0], [0.0], [0.999, 1.0], [-0.3, 0.7], [1e-4, 2e-4], [0, 5e6]],
)
def test_scale_holds_all_values_between_round_ends(values):
    scale = Scale.over([*values, NAN])
    assert scale.low <= min(values)
    assert max(values) <= scale.high
    assert scale.low < scale.high
    assert 2 <= len(scale.ticks) <= 6
    assert scale.ticks[0] == scale.low
    assert scale.ticks[-1] == scale.high
    steps = np.array(scale.ticks) / scale.step
    np.testing.assert_allclose(steps, steps.round(), atol=1e-6)


def test_scale_places_are_shares_of_the_axis():
    scale = Scale(0.5, 1.0, 0.1)
    assert [scale.at(value) for value in (0.5, 0.75, 1.0, 2.0, 0.0)] == [
        *("0%", "50%", "100%"),
        *("100%", "0%"),
    ]


def test_scale_of_accuracies_ends_at_one():
    assert Scale.over([1.0, 1.0]).ticks == [0.99, 1.0]


def test_scale_without_known_values_is_an_axis():
    assert Scale.over([NAN]).ticks[0] == 0


def test_dumbbell_places_both_models_and_the_interval():
    drawn = dumbbell(0.9, 0.6, (0.55, 0.7), Scale(0.5, 1.0, 0.1), 'from "a" to <b>')
    assert '<circle class="before" cx="80%"' in drawn
    assert '<circle class="after" cx="20%"' in drawn
    assert '<line class="stem" x1="80%" x2="20%"' in drawn
    assert '<line class="whisker" x1="10%" x2="40%"' in drawn
    assert 'class="row lost"' in drawn
    assert "<title>from &quot;a&quot; to &lt;b&gt;</title>" in drawn


@pytest.mark.parametrize(("after", "kind"), [(0.6, "lost"), (0.95, "gained"), (0.9, "same")])
def test_dumbbell_kind_follows_the_change(after, kind):
    assert f'class="row {kind}"' in dumbbell(0.9, after, None, Scale(0.5, 1.0, 0.1), "t")


def test_intervals_that_are_not_known_are_not_drawn():
    scale = Scale(0.0, 1.0, 0.2)
    assert "whisker" not in dumbbell(0.9, 0.8, (NAN, 0.9), scale, "t")
    assert "whisker" not in interval(0.1, None, scale, "t")
    assert '<line class="zero" x1="0%"' in interval(0.1, None, scale, "t")


def test_curves_points_rise_with_values_and_leave_out_what_is_missing():
    scale, labels = Scale(0.0, 1.0, 0.5), ["0", "½", "1"]
    lines = [("overall", [0.0, 0.5, 1.0], [0.0, NAN, 0.75])]
    drawn = curves(lines, (scale, labels), (scale, labels), "t", "<d>")
    assert '<polyline class="overall" points="0,100 100,25"/>' in drawn
    assert drawn.count("<circle") == 2
    assert "<desc>&lt;d&gt;</desc>" in drawn
