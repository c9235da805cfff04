"""Figures that the README and the user guide quote are those of the committed rows."""

from __future__ import annotations

import pytest

from benchmarks.lib.harness import committed
from tests.conftest import BENCHMARKS

ROOT = BENCHMARKS.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("[gh]*/*.md"))]
TEXT = " ".join(" ".join(page.read_text() for page in PAGES).split())


@pytest.fixture
def of(benchmark_module):
    """Return a function from the name of a CSV, a column and what is looked for to a mean."""
    results, page = benchmark_module("results.data"), benchmark_module("studies.field.page")
    frames = {name: results.rows(name) for name in ("constraints", "field", "pruners")}
    frames |= {"recalibration": results.rows("recalibration")}
    for name in ("constraints", "field"):
        rows = frames[name]
        rows = benchmark_module("lib.tables").with_excess(rows)
        frames[name] = rows[rows["seed"] < 5]
    frames["field"] = page.pick_literal(frames["field"])
    constraints = frames["constraints"]
    frames["constraints"] = constraints[(constraints["split"] == "test") & constraints["finetuned"]]
    frames["pruners"] = frames["pruners"].query("finetuned")

    def mean(name, column, task, rate, **where):
        return results.mean(frames[name], column, task=task, rate=rate, **where)

    return mean


def test_recalibration(of):
    at = ("faces_race", 0.7)
    accuracy, xi = (
        [of("recalibration", column, *at, recalibrated=again) for again in (False, True)]
        for column in ("accuracy", "xi")
    )
    low = [
        of("recalibration", "xi", "faces_race", 0.3, recalibrated=again) for again in (False, True)
    ]
    text = (
        "{:.3f} to {:.3f} accuracy and from {:.2f} to {:.2f} in ξ, but at 0.3 from {:.2f} to {:.2f}"
    )
    assert text.format(*accuracy, *xi, *low) in TEXT
    clothes = [
        of("recalibration", "accuracy", "fashion", rate, recalibrated=True)
        - of("recalibration", "accuracy", "fashion", rate, recalibrated=False)
        for rate in (0.3, 0.5, 0.6, 0.7, 0.8)
    ]
    assert min(clothes) > -0.001
    assert max(clothes) < 0.01


def test_criteria(of):
    names = ("fairgrape", "fairprune", "magnitude")
    xi = [of("pruners", "xi", "adult", 0.9, pruner=name) for name in names]
    assert "a lower ξ ({0:.3f} against {2:.3f} of magnitude) at half a".format(*xi) in TEXT
    assert f"FairPrune's ({xi[1]:.3f}) is within the noise" in TEXT
    mean = [of("pruners", "balanced", "adult", 0.9, pruner=name) for name in names]
    assert 0.004 < mean[2] - mean[0] < 0.006
    texts = {
        0.9: "{2:.3f} accuracy against {0:.3f} (FairGRAPE) and {1:.3f} (FairPrune)",
        0.95: "at 0.95 {2:.3f} against {0:.3f} and {1:.3f}",
    }
    for rate, text in texts.items():
        faces = [of("pruners", "accuracy", "faces_race", rate, pruner=name) for name in names]
        assert text.format(*faces) in TEXT


def test_constraints(of):
    clothes = [
        of("field", "excess", "fashion", 0.9, method=method)
        for method in ("ours, reweighting", "ours", "literal", "none")
    ]
    text = (
        "at 0.9: {3:.2f} by none, {1:.2f} by the earlier default, {2:.2f} by the literal method, "
        '{0:.2f} with `by="reweighting"`)'
    )
    assert text.format(*clothes) in TEXT
    digits = [
        of("field", "accuracy", "digits", 0.95, method=method)
        for method in ("none", "ours", "ours, reweighting")
    ]
    text = "digits at 0.95: {:.2f} by none, {:.2f} by the earlier default, {:.2f} by reweighting"
    assert text.format(*digits) in TEXT
    race = [
        of("constraints", column, "faces_race", 0.9, method=method)
        for column in ("accuracy", "worst", "balanced", "xi")
        for method in ("none", "ours")
    ]
    text = (
        "race at 0.9 the earlier default lowers it from {:.2f} to {:.2f}, while the worst race "
        "rises from {:.2f} to {:.2f} and the group mean from {:.2f} to {:.2f}. ξ doubles"
    )
    assert text.format(*race) in TEXT
    assert 1.8 < race[7] / race[6] < 2.3
    clothes = [
        of("field", column, "fashion", 0.98, method=method)
        for column in ("worst", "accuracy")
        for method in ("none", "ours")
    ]
    assert "worst class {:.2f} → {:.2f}, accuracy {:.2f} → {:.2f}".format(*clothes) in TEXT
    xi = committed("constraints").query(
        "seed >= 5 and rate >= 0.8 and finetuned and split == 'test'"
    )
    by_cell = xi.groupby(["task", "rate", "method"])["xi"].mean().unstack()
    lower = (by_cell["ours"] < by_cell["none"]).sum()
    assert f"lowered it in only {lower} of {len(by_cell)} cells" in TEXT
    lost = [
        of("constraints", "accuracy", "faces_race", 0.95, method="none", seed=seed)
        - of("constraints", "accuracy", "faces_race", 0.95, method=method, seed=seed)
        for method, seed in (("ours, step 10", 0), ("ours", 0), ("ours", 1), ("ours", 2))
    ]
    assert "loses seven points of accuracy by default, and eleven with a step size" in TEXT
    assert round(100 * lost[0]) == 11
    assert round(100 * sum(lost[1:]) / 3) == 7


@pytest.mark.slow
def test_recipe(benchmark_module):
    results, page = benchmark_module("results.data"), benchmark_module("studies.field.page")
    with_excess = benchmark_module("lib.tables").with_excess
    rows = with_excess(results.rows("mitigation"))

    def mean(column, task, method):
        return results.mean(rows, column, task=task, rate=0.9, method=method)

    clothes = [mean(c, "fashion", m) for c in ("excess", "xi") for m in ("none", "recipe")]
    assert "from {:.2f} to {:.2f} and ξ from {:.2f} to {:.2f} at the same".format(*clothes) in TEXT
    accuracy = [mean("accuracy", "fashion", method) for method in ("none", "recipe")]
    assert abs(accuracy[1] - accuracy[0]) < 0.005
    faces = [mean("xi", "faces_race", method) for method in ("none", "recipe")]
    assert "UTKFace race at 0.9, {:.2f} → {:.2f}.".format(*faces) in TEXT
    test = page.same_seeds(page.pick_literal(with_excess(results.rows("field"))))
    cells = [
        part.groupby("method")[list(page.MEASURES)].mean() for _, part in test.groupby(page.KEYS)
    ]
    shares = page.shares_on_front(cells) * len(cells)
    n_on = shares.round().astype(int)
    either, gap = n_on["either"], n_on["accuracy, excess gap"]
    assert f"in {either['recipe']} of the {len(cells)} cells of" in TEXT
    often = f"more often (in {gap['balanced draws']} cells; the recipe in {gap['recipe']})"
    assert f"balanced draws are on the front {often}" in TEXT


def test_accuracy_gap(of):
    values = [
        of("constraints", "excess", task, rate, method=method)
        for task, rate in (("digits", 0.9), ("fashion", 0.98))
        for method in ("none", "accuracy gap")
    ]
    assert "noise floor from {:.2f} to {:.2f}; on Fashion-MNIST".format(*values) in TEXT
    assert "no effect below 0.98 (there {2:.2f} to {3:.2f})".format(*values) in TEXT
    widened = [
        of("constraints", "excess", "adult", 0.8, method=m) for m in ("none", "equal gradient")
    ]
    assert "excess gap of Adult at 0.8 from {:.2f} to {:.2f}".format(*widened) in TEXT
    compas = of("constraints", "accuracy", "compas", 0.9, method="none")
    assert f"({compas:.3f} accuracy after fine-tuning)" in TEXT


def test_decisions():
    rows = committed("decide").query("cost == 'bytes'")
    assert (rows.groupby("way").size() == 18).all()
    assert rows["task"].nunique() == 6
    by_way = rows.groupby("way")[["bytes", "none"]].mean()
    ours, today = by_way.loc["CompressionSearchCV"], by_way.loc["PruneRateSearchCV"]
    holm = by_way.loc['CompressionSearchCV, "holm"']
    text = (
        f"It shipped {ours['bytes']:.2f} of the dense net's bytes in the mean, `PruneRateSearchCV` "
        f"{today['bytes']:.2f}, Holm's correction {holm['bytes']:.2f}; it returned nothing in "
        f"{ours['none']:.0%} of the draws, against {today['none']:.0%} and {holm['none']:.0%}"
    )
    assert text.replace("%", " %") in TEXT
    broken = committed("decide").groupby("way")["broken"].max()
    assert broken["CompressionSearchCV"] == 0
    assert broken["by eye: magnitude 0.9"] == 1
    assert f"in up to {broken['by the observed drop']:.0%}".replace("%", " %") in TEXT


def test_promises():
    broken = committed("promise").groupby("rule")["broken"].max() * 100
    ours, naive = broken["ours: exact, paired"], broken["naive: observed drop"]
    assert f"in at most {ours:.1f} % of the draws" in TEXT
    assert f"chose one in up to {naive:.0f} %" in TEXT
    rows = committed("promise_violation")
    rules = rows[rows["true ξ"] == "just over"].iloc[:, 3:].max() * 100
    text = "broken in {:.2f} % of the draws at most, where the observed ξ breaks it in {:.0f} % and"
    assert text.format(rules.iloc[0], rules.iloc[1]) in TEXT
    assert f"normal intervals in {rules.iloc[2]:.0f} %" in TEXT


def test_costs(benchmark_module):
    overhead = benchmark_module("speed.training_overhead")
    found = overhead.ratios(committed("training_overhead"))
    for _, row in found.iterrows():
        assert f"| {row['median']:.2f} | {row['min']:.2f} – {row['max']:.2f} |" in TEXT
    cost = benchmark_module("speed.constraint_cost")
    digits = cost.ratios(committed("constraint_cost"))[("digits", "ratio")]
    gradient, curvature = digits["equal gradient"], digits["equal curvature"]
    text = f"takes {gradient:.1f} and {curvature:.1f} times as long as one without, with "
    assert text + f"`AccuracyGapConstraint` {digits['accuracy gap']:.1f} times" in TEXT
    files = committed("compact").query("rate == 0.9").iloc[0]
    assert "a ResNet-18 at 0.9: a tenth of its state dict" in TEXT
    assert files["compact_bytes"] < 0.1 * files["dense_bytes"]
