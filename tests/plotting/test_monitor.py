"""Tests of MonitorDisplay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import GroupMonitor
from sk_prunefair.plotting import MonitorDisplay

pytest.importorskip("matplotlib").use("agg")


@pytest.mark.slow
def test_monitor_display_draws_groups_and_marks_alarms():
    rng = np.random.default_rng(0)
    monitor = GroupMonitor(0.02)
    for _ in range(20):
        group = rng.choice(["a$", "b"], 300)
        lost = (group == "b") & (rng.random(300) < 0.2)
        zeros = np.zeros(300, dtype=int)
        monitor.update(zeros, lost.astype(int), sensitive_features=group, y=zeros)
    display = MonitorDisplay.from_monitor(monitor)
    lines = {line.get_label(): line for line in display.ax_.get_lines()}
    np.testing.assert_array_equal(lines["b"].get_ydata(), monitor.trace_["b"])
    assert r"a\$" in lines
    (alarm,) = monitor.alarms_.itertuples()
    assert lines["alarm"].get_xdata().tolist() == [alarm.batch]
    assert lines["alarm"].get_ydata()[0] == pytest.approx(np.log10(alarm.evidence))


def test_monitor_display_many_groups_draws_those_with_most_evidence():
    trace = pd.DataFrame(np.arange(40.0).reshape(1, -1), columns=range(40), index=[1])
    drawn = MonitorDisplay.from_frame(trace).ax_.get_lines()
    assert [line.get_label() for line in drawn][:2] == ["39", "38"]
    assert len(drawn) == 12


def test_monitor_display_without_batches_is_refused():
    with pytest.raises(ValueError, match="at least one batch"):
        MonitorDisplay.from_monitor(GroupMonitor())
    with pytest.raises(TypeError, match="DataFrame"):
        MonitorDisplay.from_frame([1])
