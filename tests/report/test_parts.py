"""A report of rows in parts is the report of all rows at once."""

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.report.kinds import Kinds
from sk_prunefair.report.parts import NEEDED, add_up


def draw(n=600, n_groups=5, n_classes=3, seed=0):
    """Return rows of two models' probabilities, with two columns of groups."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(2, n, n_classes)) + 2 * np.eye(n_classes)[y]
    scores = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    groups = pd.DataFrame(
        {"race": rng.choice([f"g{i}" for i in range(n_groups)], n), "age": rng.integers(0, 2, n)}
    )
    return {
        "y_true": y,
        "dense_pred": scores[0],
        "compressed_pred": scores[1],
        "sensitive_features": groups.sort_values("race", ignore_index=True),  # new ones come late
        "control_features": rng.choice(["u", "v"], n),
    }


def cut(rows, *ends):
    starts = (0, *ends)
    for start, end in zip(starts, (*ends, None), strict=True):
        yield {
            name: each.iloc[start:end] if hasattr(each, "iloc") else each[start:end]
            for name, each in rows.items()
        }


def whole(rows, **options):
    given = dict(rows)
    losses = {
        name: given.pop(f"{role}_losses", None)
        for name, role in (("dense_losses", "dense"), ("pruned_losses", "compressed"))
    }
    if losses["dense_losses"] is None:
        return FairnessReport.from_predictions(**given, **options)
    given["pruned_pred"] = given.pop("compressed_pred")
    return FairnessReport(**given, **losses, names=("dense", "compressed"), **options)


def assert_close(found, expected):
    """Compare nested figures; numbers to the last digits of a sum, all else as it is."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, each in expected.items():
            assert_close(found[key], each)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    else:
        assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scores", "labels", "texts", "losses"])
@pytest.mark.parametrize("has_levels", [False, True])
def test_from_parts_equals_all_rows_at_once(kind, has_levels):
    rows = draw()
    if not has_levels:
        del rows["control_features"]
    if kind != "scores":
        for name in ("dense_pred", "compressed_pred"):
            rows[name] = rows[name].argmax(axis=1)
    if kind == "texts":
        for name in ("y_true", "dense_pred", "compressed_pred"):
            rows[name] = np.array(["no", "maybe", "yes"])[rows[name]]
    if kind == "losses":
        rng = np.random.default_rng(1)
        rows |= {f"{role}_losses": rng.random(600) for role in ("dense", "compressed")}
    found = FairnessReport.from_parts(cut(rows, 1, 120, 120, 470))
    expected = whole(rows)
    assert str(found) == str(expected)
    assert found._repr_html_() == expected._repr_html_()
    assert_close(found.to_dict(), expected.to_dict())
    pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame())
    pd.testing.assert_frame_equal(found.by_group, expected.by_group)
    pd.testing.assert_series_equal(found.accuracy_gap, expected.accuracy_gap)
    pd.testing.assert_frame_equal(found.dense.by_group, expected.dense.by_group)
    pd.testing.assert_frame_equal(found.change.by_group, expected.change.by_group)
    pd.testing.assert_frame_equal(found.class_errors, expected.class_errors)
    if kind in ("scores", "losses"):
        assert found.fairness_violation == pytest.approx(expected.fairness_violation, rel=1e-12)
        pd.testing.assert_series_equal(found.excessive_risk, expected.excessive_risk)
    else:
        assert found.fairness_violation is None
    assert found.findings == expected.findings
    # Its block has all digits.
    assert found.to_model_card().split("---")[2:] == expected.to_model_card().split("---")[2:]
    verdicts = [report.promise(0.1, criteria="accuracy") for report in (found, expected)]
    pd.testing.assert_frame_equal(
        *(
            verdict.table.sort_values(["group", "criterion"], ignore_index=True)
            for verdict in verdicts
        )
    )
    assert str(verdicts[0]) == str(verdicts[1])


def test_from_parts_page_has_the_figures_and_gaps_of_all_rows():
    rows = draw(30_000)
    del rows["control_features"]
    pages = [
        report.to_html() for report in (FairnessReport.from_parts(cut(rows, 9_000)), whole(rows))
    ]
    heads = [page.split('<section id="gaps"')[0].split("</header>")[1] for page in pages]
    tables = [head.split('<section id="groups"')[1] for head in heads]
    assert tables[0] == tables[1]
    facts = [page.split('<section id="facts"')[1].split("</section>")[0] for page in pages]
    assert facts[0] == facts[1]


def test_from_parts_harmless_promise_equals_all_rows_at_once():
    rows = draw(300, n_groups=2)
    found = FairnessReport.from_parts(cut(rows, 100)).promise(0.1, harmless=0.3)
    expected = whole(rows).promise(0.1, harmless=0.3)
    columns = ["group", "criterion", "count", "drop", "p_value", "passed", "samples_needed"]
    frames = (
        each.table.sort_values(["group", "criterion"], ignore_index=True)[columns]
        for each in (found, expected)
    )
    pd.testing.assert_frame_equal(*frames)


def test_from_parts_whole_weights_equal_repeated_rows():
    rows = draw(200)
    weight = np.arange(200) % 3
    repeated = {
        name: each.iloc[np.repeat(np.arange(200), weight)].reset_index(drop=True)
        if hasattr(each, "iloc")
        else np.repeat(each, weight, axis=0)
        for name, each in rows.items()
    }
    found = FairnessReport.from_parts([rows | {"sample_weight": weight}])
    assert str(found) == str(whole(repeated))
    assert_close(found.to_dict(), whole(repeated).to_dict())


def test_from_parts_bootstrap_of_accuracy_covers_as_all_rows_do():
    rows = draw(4000, n_groups=2)
    options = {"n_boot": 400, "ci_quantiles": [0.05, 0.95], "random_state": 0}
    found = FairnessReport.from_parts(cut(rows, 1000), **options).to_frame()
    expected = whole(rows, **options).to_frame()
    for name in ("accuracy_drop", "excessive_risk"):
        for ends in ("q0.05", "q0.95"):
            column = f"{name}_{ends}"
            # A quantile of 400 draws is known to about a tenth of a standard deviation.
            width = (expected[f"{name}_q0.95"] - expected[f"{name}_q0.05"]) / 3.3
            distance = (found[column] - expected[column]).abs() / width
            assert distance.max() < 0.5


def test_from_parts_what_needs_samples_says_so():
    report = FairnessReport.from_parts(cut(draw(), 100))
    asked = {
        "exemplars": lambda: report.exemplars,
        "harmed_slices": lambda: report.harmed_slices(np.zeros((600, 1))),
        "practice_frame": report.practice_frame,
        "practice_summary": report.practice_summary,
        "samples=True": lambda: report.to_json(samples=True),
        "loss": lambda: report.promise(criteria="loss"),
        "balanced accuracy": lambda: report.promise(criteria="balanced_accuracy"),
        "max_violation": lambda: report.promise(max_violation=0.1),
        "metrics": lambda: FairnessReport.from_parts([draw()], metrics={"f": lambda y, p: 0.0}),
    }
    for name, ask in asked.items():
        with pytest.raises(ValueError, match=f"{name}.*pass all rows"):
            ask()
    assert '"samples"' not in report.to_json()


ONE = {
    "y_true": [0],
    "dense_pred": [0],
    "compressed_pred": [0],
    "sensitive_features": ["a"],
}
GOOD = ([0, 1], [0, 1], [0, 0], ["a", "b"])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (([0, 1], [0], [0, 0], ["a", "b"]), "part 1: dense_pred has 1 values, but y_true has 2"),
        (([0, 1], [0, 1], [0, 0], ["a"]), "part 1: sensitive_features has 1 rows.* has 2"),
        (([], [0], [0], ["a"]), "part 1: y_true must hold at least one value"),
        (([0, 1], ["x", "y"], [0, 0], ["a", "b"]), "part 1: dense_pred must hold labels as"),
        (([0, 1], [0, 1], [0, 0], ["a", None]), "part 1: sensitive_features must have no missing"),
        (([0, 1], [0, 1], [0, 0], {"sex": ["a", "b"]}), "part 1: .*columns .*as before, got"),
        (([0, np.nan], [0, 1], [0, 0], ["a", "b"]), "part 1: y_true must have no missing"),
        (
            dict(zip(NEEDED, GOOD, strict=True)) | {"control_features": {"x": ["u", "v"]}},
            "part 1: control_features must have the columns .* as before, got .'x'.",
        ),
        ({"y_true": [0]}, "part 1: must hold y_true.*'dense_pred'.* are missing"),
        (dict(zip("abcd", GOOD, strict=True)), "part 1: must hold .*not known"),
        (
            ONE | {"sample_weight": [0.5]},
            "part 1: sample_weight must hold whole numbers.*got 0.5",
        ),
        (
            ONE | {"dense_losses": [0.5]},
            "part 1: must hold both of",
        ),
        (
            ONE | {"dense_losses": [0.5], "compressed_losses": [0.1]},
            "part 1: it has losses, but the parts before it have no losses",
        ),
    ],
)  # fmt: skip
def test_from_parts_malformed_part_is_named(part, message):
    with pytest.raises(ValueError, match=message):
        FairnessReport.from_parts([GOOD, part])


def test_from_parts_group_that_is_a_level_as_well_raises():
    part = dict(zip(NEEDED, GOOD, strict=True))
    part |= {name: {"sex": ["f", "m"]} for name in ("sensitive_features", "control_features")}
    with pytest.raises(ValueError, match=r"part 0: .*distinct column names, got \['sex'\]"):
        FairnessReport.from_parts([part])


@pytest.mark.parametrize("groups", [[], {}, {"sensitive_feature": []}, pd.DataFrame({"x": []})])
def test_from_parts_empty_parts_are_passed_over(groups):
    found = FairnessReport.from_parts([([], [], [], groups), GOOD, ([], [], [], groups)])
    assert str(found) == str(FairnessReport.from_parts([GOOD]))


def test_from_parts_of_no_rows_raises():
    with pytest.raises(ValueError, match="parts must hold at least one row"):
        FairnessReport.from_parts([([], [], [], [])])
    with pytest.raises(TypeError, match="part 0: must be a mapping, or a tuple"):
        FairnessReport.from_parts([[1, 2, 3, 4]])


def test_from_parts_one_group_one_class_each_and_empty_parts():
    parts = [GOOD, ([], [], [], []), ([1], [1], [1], ["c"]), ([2], [2], [0], ["c"])]
    report = FairnessReport.from_parts(parts)
    assert report.accuracy_drop.to_dict() == {"a": 0.0, "b": 1.0, "c": 0.5}
    assert report.n_samples == 4
    assert report.labels.tolist() == [0, 1, 2]


def test_from_parts_columns_of_probabilities_mean_the_same_in_all_parts():
    half = np.full((2, 2), 0.5)
    parts = [([1, 2], half, half, ["a", "b"]), ([0, 1], half, half, ["a", "b"])]
    with pytest.raises(
        ValueError, match=r"part 1: dense_pred has no probability for the labels \[0\]"
    ):
        FairnessReport.from_parts(parts)
    text = [(["no"], half[:1], half[:1], ["a"])]
    with pytest.raises(ValueError, match="part 0: classes must name the 2 columns"):
        FairnessReport.from_parts(text)
    named = FairnessReport.from_parts(text, classes=["no", "yes"])
    assert named.labels.tolist() == ["no", "yes"]


def test_from_parts_part_without_one_of_the_labels_has_the_columns_of_the_first():
    y, group = np.array(["no", "yes", "no", "no"]), np.array(["a", "b", "a", "b"])
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    parts = [(y[r], scores[r], scores[r], group[r]) for r in ([0, 1], [2], [3])]
    report = FairnessReport.from_parts(parts)
    assert report.overall_accuracy == (0.75, 0.75)
    with pytest.raises(ValueError, match="part 0: classes must name the 2 columns"):
        FairnessReport.from_parts(parts[::-1])


def test_add_up_keeps_kinds_alone():
    rows = draw(20_000, n_groups=2)
    del rows["control_features"]
    total = add_up(cut(rows, *range(1000, 20_000, 1000)))
    assert len(total.kinds.counts) <= 2 * 2 * 3**3
    assert total.kinds.counts.sum() == 20_000


def test_kinds_together_have_the_moments_of_all_rows():
    rng = np.random.default_rng(0)
    keys = pd.DataFrame({"k": rng.integers(0, 3, 90)})
    values = 1e6 + rng.normal(size=90)  # a sum of squares would lose it
    parts = [
        Kinds.of(keys[start : start + 30].reset_index(drop=True), {"x": values[start : start + 30]})
        for start in (0, 30, 60)
    ]
    found = Kinds.together(parts)
    for key, n, mean, square in zip(
        found.keys["k"], found.counts, found.means["x"], found.squares["x"], strict=True
    ):
        of_key = values[keys["k"] == key]
        assert n == len(of_key)
        assert mean == pytest.approx(of_key.mean(), rel=1e-14)
        assert square == pytest.approx(((of_key - of_key.mean()) ** 2).sum(), rel=1e-6)
