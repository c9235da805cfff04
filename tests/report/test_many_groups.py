"""Hundreds of groups: what is read has the worst first and folds the rest, frames have all."""

import json

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.plotting import GroupRiskDisplay, GroupTheoryDisplay, PruningCurveDisplay


def report_of(n_groups, harmed=7):
    """Return a report of groups of four samples, of which one loses two and all others none."""
    codes = np.repeat(np.arange(n_groups), 4)
    truth = np.tile([0, 1], 2 * n_groups)
    after = np.where((codes == harmed) & (np.arange(len(codes)) % 4 < 2), 1 - truth, truth)
    return FairnessReport(
        truth,
        dense_pred=truth,
        pruned_pred=after,
        dense_losses=np.full(len(truth), 0.1),
        pruned_losses=np.where(after == truth, 0.1, 1.1),
        sensitive_features=pd.Series([f"g{code:04}" for code in codes], name="group"),
    )


@pytest.mark.parametrize(("n_groups", "left"), [(20, 0), (21, 1), (500, 480)])
def test_text_of_many_groups_shows_the_worst_and_counts_the_rest(n_groups, left):
    report = report_of(n_groups)
    table = str(report).split("\n\n")[0].splitlines()
    assert len(table) == 1 + 2 + 20 + bool(left)  # title, heads, groups, what is left out
    assert table[3].startswith("g0007")
    more = [line for line in table if "more group" in line]
    noun = "group" if left == 1 else "groups"
    said = f"… {left} more {noun}, which were harmed less: to_frame()"
    assert more == ([said] if left else [])
    assert report._repr_html_().count("<tr>") == 21  # and the head, which has a style
    assert len(report.to_frame()) == n_groups


def test_page_of_many_groups_lists_a_thousand_and_draws_a_few():
    report = report_of(1200)
    page = report.to_html()
    listed = page.split('id="by-group"')[1].split("</table>")[0]
    assert listed.count('<th scope="row">') == 1000
    assert "1,000 of 1,200 groups" in listed
    assert "All numbers of the 1,000 of 1,200 groups that lost most" in page
    assert page.split('id="groups"')[1].split("</figure>")[0].count('<li class="bar') == 25
    assert len(page) < 300_000
    assert len(json.loads(report.to_json(samples=False))["groups"]) == 1200


def test_model_card_of_many_groups_has_the_fifty_that_lost_most():
    card = report_of(60).to_model_card()
    rows = [line for line in card.splitlines() if line.startswith("| g")]
    assert len(rows) == 51  # and the head
    assert rows[1].startswith("| g0007 ")
    assert "The 50 of 60 groups that lost most." in card


def test_json_figures_equal_those_of_each_group_alone():
    rng = np.random.default_rng(0)
    truth, codes = rng.integers(0, 2, 300), rng.integers(0, 4, 300)
    rows = {
        "y_true": truth,
        "dense_pred": truth ^ (rng.random(300) < 0.1),
        "pruned_pred": truth ^ (rng.random(300) < 0.3),
        "dense_losses": rng.random(300),
        "pruned_losses": rng.random(300),
        "sensitive_features": codes,
    }
    for found in FairnessReport(**rows).to_dict()["groups"]:
        code = found["group"]["sensitive_feature"]
        alone = FairnessReport(**{name: each[codes == code] for name, each in rows.items()})
        [expected] = alone.to_dict()["groups"]
        for name in ("accuracy_drop", "excessive_risk"):
            assert found[name] == pytest.approx(expected[name])
        for name in ("accuracy", "loss"):
            assert found[name]["pruned"] == pytest.approx(expected[name]["pruned"])


@pytest.mark.slow
def test_group_risk_display_of_many_groups_draws_the_largest():
    pytest.importorskip("matplotlib")
    frame = report_of(100).to_frame()
    display = GroupRiskDisplay.from_frame(frame)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert len(labels) == 40
    assert labels[-1] == "g0007 (4)"
    assert display.ax_.get_title(loc="left") == "the largest 40 of 100 groups"
    few = GroupRiskDisplay.from_frame(frame, max_groups=3)
    assert len(few.ax_.get_yticklabels()) == 3
    with pytest.raises(ValueError, match="max_groups must be an integer >= 1, got 0"):
        GroupRiskDisplay.from_frame(frame, max_groups=0)


def test_group_theory_display_of_many_groups_draws_those_of_largest_risk():
    pytest.importorskip("matplotlib")
    names = ["size", "gradient_norm", "boundary_closeness", "hessian_max_eigenvalue"]
    frame = pd.DataFrame({name: np.arange(60.0) for name in names})
    frame["excessive_risk"] = np.arange(60.0)[::-1]
    display = GroupTheoryDisplay.from_frame(frame)
    labels = [label.get_text() for label in display.ax_[0].get_yticklabels()]
    assert labels == [str(group) for group in range(40)]
    assert display.ax_[0].get_xlabel() == "rank correlation with R: -1.00"
    assert "largest 40 of 60 groups" in display.figure_.get_suptitle()


@pytest.mark.parametrize(("metric", "worst"), [("accuracy", 0), ("accuracy_drop", 29)])
def test_pruning_curve_display_of_many_groups_draws_the_worst_off(metric, worst):
    pytest.importorskip("matplotlib")
    groups, rates = np.tile(np.arange(30), 2), np.repeat([0.5, 0.9], 30)
    curve = pd.DataFrame({"rate": rates, "group": groups, "count": 9, metric: groups / 30})
    display = PruningCurveDisplay.from_frame(curve, metric=metric)
    titles = [axis.get_title() for axis in display.ax_]
    assert len(titles) == 24
    assert f"{worst} (9)" in titles
    assert f"{29 - worst} (9)" not in titles
    assert "the 24 of 30 groups that are worst off" in display.figure_.get_supxlabel()
