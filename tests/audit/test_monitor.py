"""Tests of what the page says since the release."""

from __future__ import annotations

import numpy as np

from sk_prunefair import FairnessReport, GroupMonitor


def test_page_with_a_monitor_names_alarms_and_groups():
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, 2, 400), rng.choice(["a", "<b>"], 400)
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=group)
    monitor = GroupMonitor.from_report(report)
    page = report.to_html(monitor=monitor)
    assert 'id="monitor"' in page
    assert "<bdi>No alarm</bdi> in <bdi>0 batches</bdi>" in page
    lost = np.where((group == "<b>") & (rng.random(400) < 0.4), 1 - y, y)
    for _ in range(3):
        monitor.update(y, lost, sensitive_features=group, y=y)
    monitor.update(y, y, sensitive_features=["c"] * 400)
    page = report.to_html(monitor=monitor)
    assert "<bdi>1 alarm</bdi> in <bdi>4 batches</bdi>" in page
    assert "<bdi>&lt;b&gt;</bdi>" in page
    assert "not known" in page  # the accuracy of c, which has no labels
    assert "at most <bdi>0.05</bdi>" in page
    assert 'id="monitor"' not in report.to_html()
