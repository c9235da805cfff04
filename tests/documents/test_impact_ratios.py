"""Impact ratios of scores, and intervals of ratios: by hand, and how often they miss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, norm

from sk_prunefair import FairnessReport
from sk_prunefair.cli import main
from sk_prunefair.documents.impact_ratios import _table

SEX = ["f"] * 4 + ["m"] * 4 + ["unknown"] * 2


def scored(p, sex=SEX, before=None):
    p, before = np.asarray(p), np.asarray(p if before is None else before)
    y = np.arange(len(p)) % 2
    both = (np.stack([1 - each, each], axis=1) for each in (before, p))
    return FairnessReport.from_predictions(y, *both, sensitive_features={"sex": list(sex)})


def test_scoring_rates_are_the_shares_above_the_median_of_all_rows():
    # In order 0.1 … 0.9, the median of ten is 0.45; unknowns have the two largest.
    p = [0.1, 0.2, 0.3, 0.7, 0.25, 0.4, 0.5, 0.6, 0.8, 0.9]
    found = scored(p).impact_ratios(sex="sex", of="scores")
    assert found.median == pytest.approx(0.45)
    assert found.sex["above_median"].to_dict() == {"f": 1, "m": 2}
    assert found.sex["scoring_rate"].to_dict() == {"f": 0.25, "m": 0.5}
    assert found.sex["impact_ratio"].to_dict() == {"f": 0.5, "m": 1.0}
    assert found.n_unknown == 2
    text = found.to_markdown()
    assert text.startswith("# Scoring rates and impact ratios\n")
    assert "| category | number | above median | scoring rate | impact ratio |" in text
    assert "probability of 1 above 0.45, the median of all rows" in text
    assert "score above 0.45: 1" in str(found)


def test_scoring_rates_are_of_the_positive_label_and_of_the_model_that_is_named():
    p = np.array([0.1, 0.2, 0.3, 0.7, 0.25, 0.4, 0.5, 0.6, 0.8, 0.9])
    report = scored(p, before=p[::-1])
    of_no = report.impact_ratios(sex="sex", of="scores", positive=0).sex["scoring_rate"]
    of_dense = report.impact_ratios(sex="sex", of="scores", model="dense").sex["scoring_rate"]
    assert of_no.to_dict() == {"f": 0.75, "m": 0.5}
    # Backwards, f has 0.9, 0.8, 0.6 and 0.5, and m 0.4, 0.25, 0.7 and 0.3.
    assert of_dense.to_dict() == {"f": 1.0, "m": 0.25}


def test_impact_ratios_unknown_may_be_one_word():
    found = scored(np.linspace(0.1, 0.9, 10)).impact_ratios(sex="sex", unknown="M")
    assert found.n_unknown == 4
    assert found.sex.index.tolist() == ["f", "unknown"]


def test_scores_that_are_all_the_same_have_rates_of_zero_and_no_ratio():
    found = scored([0.3] * 10).impact_ratios(sex="sex", of="scores")
    assert found.sex["scoring_rate"].tolist() == [0, 0]
    assert found.sex[["impact_ratio", "low", "high"]].isna().all(axis=None)
    assert "| f | 4 | 0 | 0.000 | n/a |" in found.to_markdown()


def test_intervals_of_ratios_are_made_of_those_of_the_rates():
    y = np.r_[np.arange(40) < 10, np.arange(50) < 35].astype(int)
    sex = ["f"] * 40 + ["m"] * 50 + ["x"]
    report = FairnessReport(
        np.r_[y, 1], dense_pred=np.r_[y, 1], pruned_pred=np.r_[y, 1], sensitive_features=sex
    )
    table = report.impact_ratios(sex=sex, confidence=0.9).sex
    # Two categories have ratios, so that each tail has a fourth of the level.
    low = [beta.ppf(0.025, k, n - k + 1) for k, n in ((10, 40), (35, 50))]
    high = [beta.ppf(0.975, k + 1, n - k) for k, n in ((10, 40), (35, 50))]
    assert table.loc["f", "low"] == pytest.approx(low[0] / high[1])
    assert table.loc["f", "high"] == pytest.approx(high[0] / low[1])
    assert table.loc["m", ["low", "high"]].tolist() == pytest.approx([low[1] / high[1], 1])
    assert table.loc["x", "excluded"]
    assert table.loc["x", ["low", "high"]].isna().all()


@pytest.mark.parametrize(
    ("rates", "n"),
    [
        ((0.3, 0.3), (15, 25)),
        ((0.6, 0.5, 0.05), (60, 20, 12)),
        ((0.9,) * 6, (8, 12, 15, 20, 30, 90)),
    ],
)
def test_intervals_of_ratios_of_small_groups_hold_all_at_once(rates, n):
    rng = np.random.default_rng(0)
    categories = pd.DataFrame({"sex": np.repeat(np.arange(len(n)), n)})
    true = np.array(rates) / max(rates)
    missed = 0
    for _ in range(100):
        selected = rng.random(len(categories)) < np.repeat(rates, n)
        table = _table(categories, selected, 0.0, 0.8, ("selected", "selection_rate"))
        is_known = table["impact_ratio"].notna()
        holds = (table["low"] <= true + 1e-12) & (true <= table["high"] + 1e-12)
        missed += not holds[is_known].all()
    # Three standard errors of 0.2 are 0.12.
    assert missed / 100 < 0.2 + 0.12


def test_interval_of_scoring_rates_holds_with_the_median_as_given():
    rng = np.random.default_rng(0)
    n, shift = np.array([30, 50, 120]), np.array([-0.8, 0.3, 0.0])
    codes = np.repeat([0, 1, 2], n)
    missed = 0
    for _ in range(100):
        scores = rng.normal(shift[codes], 1)
        table = _table(
            pd.DataFrame({"sex": codes}),
            scores > np.median(scores),
            0.0,
            0.8,
            ("above_median", "scoring_rate"),
        )
        rates = norm.sf(np.median(scores) - shift)
        true = rates / rates.max()
        missed += not ((table["low"] <= true) & (true <= table["high"])).all()
    assert missed / 100 < 0.2 + 0.12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "probabilities"}, "of must be one of"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"of": "scores"}, "of='scores' needs the probabilities of the compressed model"),
    ],
)
def test_impact_ratios_bad_option_names_it(options, message):
    y = [0, 1, 0, 1]
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features={"sex": y})
    with pytest.raises(ValueError, match=message):
        report.impact_ratios(sex="sex", **options)


def test_cli_documents_have_scoring_rates_where_there_are_probabilities(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    p = np.linspace(0.1, 0.9, 40)
    frame = pd.DataFrame({"y": np.arange(40) % 2, "sex": ["f", "m"] * 20, "d0": 1 - p, "d1": p})
    frame.assign(d=frame["y"]).to_csv("t.csv", index=False)
    shared = ["audit", "--predictions", "t.csv", "--label", "y", "--groups", "sex"]
    scores = ["--dense-scores", "d0", "d1", "--compressed-scores", "d0", "d1"]
    assert main([*shared, *scores, "--documents", "scored"]) == 0
    assert "| f | 20 | 10 | 0.500 | 1.000" in Path("scored/scoring_rates.md").read_text("utf-8")
    assert (
        main([*shared, "--dense-pred", "d", "--compressed-pred", "d", "--documents", "seen"]) == 0
    )
    assert Path("seen/impact_ratios.md").exists()
    assert not Path("seen/scoring_rates.md").exists()


def test_interval_that_takes_the_highest_category_as_known_covers_less_than_it_says():
    # Why the intervals here do not: Katz's, of six equal categories.
    n, rng = np.array([8, 12, 15, 20, 30, 90]), np.random.default_rng(0)
    x = rng.binomial(n, 0.9, size=(5000, 6))
    best = np.argmax(x / n, axis=1)[:, np.newaxis]
    most = np.take_along_axis(x / n, best, axis=1)
    error = np.sqrt(1 / x - 1 / n + 1 / (most * n[best]) - 1 / n[best])
    holds = np.abs(np.log(x / n / most)) <= 1.96 * error
    assert 0.75 < holds[np.arange(6) != best].mean() < 0.8
