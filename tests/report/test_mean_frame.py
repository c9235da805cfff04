"""Frames made of sums, against fairlearn's own over all rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, count, selection_rate

from sk_prunefair import FairnessReport
from sk_prunefair.report.mean_frame import Bootstrap

N = 400


def given(n_columns=1, controls=0, losses=True, n=N, **more):
    """Return arguments of a report, with names that trip up whoever sorts or joins them."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    columns = {
        "loss": rng.choice(["é", "b <i>", "", "B"], n),
        "count": rng.integers(-2, 2, n),
        "y_true": rng.random(n) < 0.5,
    }
    found = {
        "y_true": truth,
        "dense_pred": np.where(rng.random(n) < 0.8, truth, 0),
        "pruned_pred": np.where(rng.random(n) < 0.7, truth, 1),
        "sensitive_features": pd.DataFrame(columns).iloc[:, :n_columns],
    }
    if controls:
        levels = {"age": rng.choice([10, 9, 30], n), "site": rng.choice(["x", "y"], n)}
        found["control_features"] = pd.DataFrame(levels).iloc[:, :controls]
    if losses:
        found["dense_losses"] = rng.exponential(size=n)
        found["pruned_losses"] = rng.exponential(size=n) + 0.1
    return found | more


def mean(y_true, y_pred, *, values):
    return np.mean(values)


def reference(given, **options):
    """Return the frames dense, pruned and change as fairlearn makes them of rows."""
    groups = {
        name: given[name].rename(columns={"y_true": "y_true (group)"})
        for name in ("sensitive_features", "control_features")
        if name in given
    }
    right = {role: given[f"{role}_pred"] == given["y_true"] for role in ("dense", "pruned")}
    has_losses = "dense_losses" in given
    frames = []
    for role in ("dense", "pruned"):
        values = {"accuracy": right[role]}
        if has_losses:
            values["loss"] = given[f"{role}_losses"]
        frames.append((values, {"count": count}))
    drop = {"accuracy_drop": right["dense"].astype(float) - right["pruned"]}
    if has_losses:
        drop["excessive_risk"] = given["pruned_losses"] - given["dense_losses"]
    frames.append((drop, {}))
    return [
        MetricFrame(
            metrics=dict.fromkeys(values, mean) | more,
            y_true=given["y_true"],
            y_pred=given["dense_pred"],
            sample_params={name: {"values": each} for name, each in values.items()},
            **groups,
            **options,
        )
        for values, more in frames
    ]


def assert_same(found, expected, **options):
    assert type(found) is type(expected)
    assert_equal = (
        pd.testing.assert_frame_equal
        if isinstance(found, pd.DataFrame)
        else pd.testing.assert_series_equal
    )
    assert_equal(found, expected, check_index_type=False, **({"rtol": 1e-12} | options))


CASES = [
    {},
    {"losses": False},
    {"n_columns": 2},
    {"n_columns": 3, "n": 30},
    {"controls": 1},
    {"n_columns": 2, "controls": 2, "n": 60},
    {"n_columns": 2, "controls": 1, "losses": False},
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_frames_equal_those_over_rows(case):
    arguments = given(**case)
    report = FairnessReport(**arguments)
    for name, expected in zip(("dense", "pruned", "change"), reference(arguments), strict=True):
        found = getattr(report, name)
        assert isinstance(found, MetricFrame)
        assert found.control_levels == expected.control_levels
        assert found.sensitive_levels == expected.sensitive_levels
        assert (found.n_boot, found.ci_quantiles) == (None, None)
        assert_same(found.by_group, expected.by_group)
        assert_same(found.overall, expected.overall)
        assert_same(found.group_min(), expected.group_min())
        assert_same(found.group_max(), expected.group_max())
        for method in ("between_groups", "to_overall"):
            assert_same(found.difference(method), expected.difference(method), atol=1e-12)
            assert_same(found.ratio(method), expected.ratio(method), rtol=1e-9)
    assert report.compressed is report.pruned


@pytest.mark.parametrize("case", CASES)
def test_report_equals_what_frames_over_rows_say(case):
    arguments = given(**case)
    report = FairnessReport(**arguments)
    dense, pruned, change = reference(arguments)
    drops = change.by_group["accuracy_drop"].dropna()
    assert_same(report.accuracy_drop, drops)
    gaps = [np.max(each.difference()["accuracy"]) for each in (dense, pruned)]
    np.testing.assert_allclose(report.accuracy_gap, gaps, rtol=1e-12)
    if "dense_losses" in arguments:
        assert_same(report.excessive_risk, change.by_group["excessive_risk"].dropna())
        violation = np.max(change.difference()["excessive_risk"])
        assert report.fairness_violation == pytest.approx(violation, rel=1e-12)
    else:
        assert report.excessive_risk is None
        assert report.fairness_violation is None
    frame = report.to_frame()
    assert frame["count"].dtype == int
    in_order = frame.loc[drops.index]
    for role, each in (("dense", dense), ("pruned", pruned)):
        for name in each.by_group.columns.drop("count"):
            expected = each.by_group[name].dropna().rename(f"{name}_{role}")
            assert_same(in_order[f"{name}_{role}"], expected)
    assert in_order["count"].tolist() == dense.by_group["count"].dropna().tolist()
    assert frame["accuracy_drop"].round(12).is_monotonic_decreasing


def fairlearns_draws(n_draws, seed):
    """Return a stand-in for `drawn_sums` that draws the rows that fairlearn draws."""

    def sums(codes, values, n_boot, rng):
        states = np.random.default_rng(seed).integers(
            0, np.iinfo(np.uint32).max, n_draws, dtype=np.uint32
        )
        found = []
        for state in states:
            sample = pd.Series(np.arange(len(codes))).sample(
                frac=1, replace=True, random_state=state
            )
            rows, n_groups = sample.to_numpy(), codes.max() + 1
            weights = [np.ones(len(rows)), *(each[rows] for each in values)]
            found.append([np.bincount(codes[rows], each, n_groups) for each in weights])
        return np.array(found)

    return sums


# Fairlearn's, of groups that no draw has and of ratios to 0.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:All-NaN slice", "ignore:invalid value")
@pytest.mark.parametrize("case", CASES)
def test_quantiles_of_the_same_draws_are_fairlearns(case, monkeypatch):
    monkeypatch.setattr("sk_prunefair.report.mean_frame.drawn_sums", fairlearns_draws(4, 5))
    arguments = given(**case)
    options = {"n_boot": 4, "ci_quantiles": [0.1, 0.5, 0.9], "random_state": 5}
    report = FairnessReport(**arguments, **options)
    frames, references = (report.dense, report.change), reference(arguments, **options)[::2]
    for found, expected in zip(frames, references, strict=True):
        assert (found.n_boot, found.ci_quantiles) == (4, [0.1, 0.5, 0.9])
        pairs = [
            (found.by_group_ci, expected.by_group_ci),
            (found.overall_ci, expected.overall_ci),
            (found.group_min_ci(), expected.group_min_ci()),
            (found.group_max_ci(), expected.group_max_ci()),
        ]
        for method in ("between_groups", "to_overall"):
            pairs.append((found.difference_ci(method), expected.difference_ci(method)))
            if found is report.dense:  # changes may be near 0, where ratios mean nothing
                pairs.append((found.ratio_ci(method), expected.ratio_ci(method)))
        for mine, others in pairs:
            for quantile, other in zip(mine, others, strict=True):
                if isinstance(other, pd.DataFrame):
                    # Fairlearn leaves out what occurs in no draw.
                    quantile = quantile.loc[other.index]
                assert_same(quantile, other, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_quantiles_are_fairlearns_within_the_error_of_simulation():
    arguments = given(n=60) | {"sensitive_features": pd.DataFrame({"loss": ["a", "b", "b"] * 20})}
    options = {"n_boot": 120, "ci_quantiles": [0.1, 0.5, 0.9], "random_state": 1}
    change = FairnessReport(**arguments, **options).change
    expected = reference(arguments, **options)[2]
    width = expected.by_group_ci[2] - expected.by_group_ci[0]
    for mine, other in zip(change.by_group_ci, expected.by_group_ci, strict=True):
        # The standard error of such a quantile of 120 draws is some 6 % of the width.
        assert ((mine - other).abs() < 0.3 * width).all(axis=None)


def test_quantile_columns_are_those_of_the_frame():
    options = {"n_boot": 50, "ci_quantiles": [0.05, 0.95], "random_state": 3}
    report = FairnessReport(**given(n_columns=2), **options)
    frame = report.to_frame()
    names = [
        *("accuracy_drop", "accuracy_drop_q0.05", "accuracy_drop_q0.95"),
        *("excessive_risk", "excessive_risk_q0.05", "excessive_risk_q0.95"),
    ]
    assert list(frame)[-6:] == names
    low = report.change.by_group_ci[0]["excessive_risk"]
    assert_same(frame["excessive_risk_q0.05"], low.loc[frame.index], check_names=False)
    again = FairnessReport(**given(n_columns=2), **options).to_frame()
    pd.testing.assert_frame_equal(frame, again)
    other = FairnessReport(**given(n_columns=2), **(options | {"random_state": 4})).to_frame()
    assert (other["accuracy_drop"] == frame["accuracy_drop"]).all()
    assert not other.equals(frame)


def test_quantiles_of_the_user_s_metrics_are_fairlearn_s():
    options = {"n_boot": 3, "ci_quantiles": [0.5], "random_state": 0}
    binary = given(losses=False)
    for name in ("y_true", "dense_pred", "pruned_pred"):
        binary[name] = np.minimum(binary[name], 1)
    report = FairnessReport(**binary, metrics={"rate": selection_rate}, **options)
    expected = MetricFrame(
        metrics={"rate": selection_rate},
        y_true=binary["y_true"],
        y_pred=binary["dense_pred"],
        sensitive_features=binary["sensitive_features"],
        **options,
    )
    assert_same(report.dense.by_group[["rate"]], expected.by_group)
    assert_same(report.dense.by_group_ci[0][["rate"]], expected.by_group_ci[0])
    names = ["count", "accuracy_dense", "accuracy_pruned", "rate_dense", "rate_pruned"]
    assert list(report.to_frame())[:5] == names
    found = report.to_frame()["rate_dense"].sort_index()
    assert_same(found, expected.by_group["rate"].rename("rate_dense"))


def test_metrics_that_fail_do_so_when_the_report_is_made():
    def broken(y_true, y_pred):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        FairnessReport(**given(), metrics={"broken": broken})


def test_quantiles_of_known_draws_by_hand(monkeypatch):
    # Groups a and b in the levels u and v; sizes of both nets' draws, and sums of right answers.
    counts = np.array([[2, 2, 4, 1], [1, 3, 2, 2], [3, 1, 1, 4]])
    sums = np.array([[1, 2, 1, 1], [1, 1, 2, 1], [2, 1, 1, 3]])
    draws = np.stack([counts, sums], axis=1).astype(float)
    monkeypatch.setattr("sk_prunefair.report.mean_frame.drawn_sums", lambda *_: draws)
    truth = np.ones(8, dtype=int)
    report = FairnessReport(
        truth,
        dense_pred=truth,
        pruned_pred=truth,
        sensitive_features=list("abababab"),
        control_features=list("uuuuvvvv"),
        n_boot=3,
        ci_quantiles=[0.5],
    )
    assert report.n_boot == 3
    dense, means = report.dense, sums / counts
    [by_group] = dense.by_group_ci
    np.testing.assert_allclose(by_group["accuracy"], np.median(means, axis=0))
    levels = {"u": slice(0, 2), "v": slice(2, 4)}
    for level, own in levels.items():
        overall = sums[:, own].sum(axis=1) / counts[:, own].sum(axis=1)
        low, high = means[:, own].min(axis=1), means[:, own].max(axis=1)
        ratios = means[:, own] / overall[:, None]
        expected = {
            "overall": (dense.overall_ci, overall),
            "min": (dense.group_min_ci(), low),
            "max": (dense.group_max_ci(), high),
            "difference": (dense.difference_ci(), high - low),
            "ratio": (dense.ratio_ci(), low / high),
            "difference to all": (
                dense.difference_ci("to_overall"),
                abs(means[:, own] - overall[:, None]).max(axis=1),
            ),
            "ratio to all": (
                dense.ratio_ci("to_overall"),
                np.minimum(ratios, 1 / ratios).min(axis=1),
            ),
        }
        for name, ([found], values) in expected.items():
            assert found.loc[level, "accuracy"] == pytest.approx(np.median(values)), name


def test_one_group_has_no_gap():
    arguments = given() | {"sensitive_features": ["all"] * N}
    options = {"n_boot": 20, "ci_quantiles": [0.5], "random_state": 0}
    report = FairnessReport(**arguments, **options)
    assert report.fairness_violation == 0
    assert (report.accuracy_gap == 0).all()
    assert (report.accuracy_gap_floor == 0).all()
    assert report.change.difference_ci()[0].tolist() == [0, 0]
    assert len(report.to_frame()) == 1


def test_group_of_one_row_is_absent_from_some_draws():
    arguments = given(n=50) | {"sensitive_features": ["few"] + ["many"] * 49}
    options = {"n_boot": 40, "ci_quantiles": [0.1, 0.9], "random_state": 0}
    report = FairnessReport(**arguments, **options)
    low, high = report.dense.by_group_ci
    # Where it is drawn, its mean is that of its one row.
    loss = arguments["dense_losses"][0]
    assert low.loc["few", "loss"] == pytest.approx(loss)
    assert high.loc["few", "loss"] == pytest.approx(loss)
    assert low.loc["few", "count"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_boot": 5}, "n_boot and ci_quantiles must be given together"),
        ({"ci_quantiles": [0.5]}, "n_boot and ci_quantiles must be given together"),
        ({"n_boot": 0, "ci_quantiles": [0.5]}, "n_boot must be an integer >= 1 or None, got 0"),
        ({"n_boot": 2.5, "ci_quantiles": [0.5]}, "n_boot must be an integer"),
        ({"n_boot": 5, "ci_quantiles": [0.5, 1]}, r"ci_quantiles must hold fractions in \(0, 1\)"),
        ({"n_boot": 5, "ci_quantiles": [1.5]}, r"ci_quantiles must hold fractions in \(0, 1\)"),
        (
            {"control_features": pd.DataFrame({"loss": ["a"] * N})},
            r"must have distinct column names, got \['loss'\] in both",
        ),
    ],
)
def test_bad_input_is_refused_when_the_report_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        FairnessReport(**given(), **options)


def test_intervals_that_nobody_asked_for_raise():
    report = FairnessReport(**given())
    for ask in (lambda frame: frame.by_group_ci, lambda frame: frame.difference_ci()):
        with pytest.raises(ValueError, match="n_boot and ci_quantiles, which were not given"):
            ask(report.change)
    with pytest.raises(ValueError, match="method must be 'between_groups' or 'to_overall'"):
        report.change.ratio_ci("sideways")


def test_random_state_of_a_generator_is_taken():
    options = {"n_boot": 10, "ci_quantiles": [0.5]}
    found = [
        FairnessReport(**given(), **options, random_state=np.random.RandomState(7)).to_frame()
        for _ in range(2)
    ]
    pd.testing.assert_frame_equal(*found)


@pytest.mark.parametrize("kind", [int, np.random.RandomState])
def test_bootstrap_seeds_of_many_random_states_are_distinct(kind):
    seeds = {Bootstrap.checked(5, [0.5], kind(state)).seed for state in range(500)}
    assert len(seeds) >= 499  # two of 500 among 2³¹ are alike once in 17,000 times
    again = {Bootstrap.checked(5, [0.5], kind(state)).seed for state in range(500)}
    assert again == seeds


@pytest.mark.parametrize("levels", [None, [True, False] * (N // 2)])
def test_figures_of_boolean_groups_are_those_of_the_frame(levels):
    groups = {"sensitive_features": np.arange(N) % 3 == 0, "control_features": levels}
    report = FairnessReport(**(given() | groups), metrics={"one": lambda y_true, y_pred: 1.0})
    frame, figures = report.to_frame(), report.to_dict()["groups"]
    for found, (key, row) in zip(figures, frame.iterrows(), strict=True):
        names = key if levels else (key,)
        assert tuple(found["group"].values()) == names
        assert found["count"] == row["count"]
        assert found["accuracy"]["dense"]["value"] == pytest.approx(row["accuracy_dense"])
        assert found["metrics"]["one"]["dense"] == {
            **{"value": 1.0, "n": row["count"]},
            **{"low": None, "high": None},
        }


def test_samples_name_groups_and_levels():
    report = FairnessReport(**given(n_columns=2, controls=1))
    columns = given(n_columns=2, controls=1)
    groups = [*columns["sensitive_features"].itertuples(index=False, name=None)]
    assert report.samples["group"].tolist() == groups
    assert report.samples["level"].tolist() == columns["control_features"]["age"].tolist()
    single = FairnessReport(**given())
    assert single.samples["group"].tolist() == columns["sensitive_features"]["loss"].tolist()
    assert single.samples["level"].isna().all()


def test_report_with_its_frames_is_pickled():
    options = {"n_boot": 5, "ci_quantiles": [0.5], "random_state": 0}
    report = FairnessReport(**given(), **options)
    frame = report.to_frame()
    again = pickle.loads(pickle.dumps(report))
    pd.testing.assert_frame_equal(again.to_frame(), frame)
    pd.testing.assert_frame_equal(again.change.by_group_ci[0], report.change.by_group_ci[0])


def test_arrays_of_the_user_may_change_afterwards():
    arguments = given()
    report = FairnessReport(**arguments)
    frame, errors = report.to_frame(), report.class_errors
    arguments["y_true"][:] = 0
    arguments["dense_pred"][:] = 1
    pd.testing.assert_frame_equal(report.to_frame(), frame)
    pd.testing.assert_frame_equal(report.class_errors, errors)
