"""A report as dicts, JSON and a model card: every figure with its n and interval, and back."""

from __future__ import annotations

import datetime
import json

import jsonschema
import numpy as np
import pandas as pd
import pytest
from scipy.stats import skew

from sk_prunefair import FairnessReport
from sk_prunefair.report.document import schema
from sk_prunefair.stats.intervals import mean_interval
from sk_prunefair.stats.tango import tango_interval
from sk_prunefair.stats.wilson import wilson_interval


def make(n=200, seed=0, **options):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.clip(0.2 + 0.6 * y + rng.normal(0, 0.25, n), 0.01, 0.99)
    q = np.clip(p + rng.normal(0, 0.15, n), 0.01, 0.99)
    features = pd.DataFrame({"sex": rng.choice(["f", "m"], n), "age": rng.choice([20, 40], n)})
    scores = np.c_[1 - p, p], np.c_[1 - q, q]
    given = {"sensitive_features": features, "names": ("fp32", "int8")}
    return FairnessReport.from_predictions(y, *scores, **(given | options))


def labels_alone():
    y = np.array(["a|b", "c"] * 10)
    return FairnessReport.from_predictions(y, y, y[::-1], sensitive_features=["x"] * 12 + ["y"] * 8)


@pytest.mark.parametrize(
    "report",
    [
        make(),
        make(control_features=np.arange(200) % 3),
        make(metrics={"share": lambda y, p: float(np.mean(p)), "none": lambda y, p: np.nan}),
        labels_alone(),
    ],
    ids=["probabilities", "controls", "metrics", "labels"],
)
def test_to_json_is_what_the_schema_describes(report):
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    validator.validate(json.loads(report.to_json()))
    validator.validate(json.loads(report.to_json(samples=False)))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(report.to_dict() | {"n_samples": 0})


@pytest.mark.parametrize(
    "report", [make(), make(control_features=np.arange(200) % 3), labels_alone()]
)
def test_from_json_is_the_same_report(report, tmp_path):
    document = report.to_json(tmp_path / "report.json")
    for source in (document, tmp_path / "report.json", str(tmp_path / "report.json")):
        again = FairnessReport.from_json(source)
        assert again.to_json() == document
        assert str(again) == str(report)
        pd.testing.assert_frame_equal(again.to_frame(), report.to_frame())


def test_from_json_takes_what_a_document_does_not_hold():
    share = {"share": lambda y, p: float(np.mean(p))}
    again = FairnessReport.from_json(make().to_json(), metrics=share)
    expected = make(metrics=share)
    np.testing.assert_allclose(again.dense.by_group["share"], expected.dense.by_group["share"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {}, "its format is not"),
        (lambda d: d | {"format": "sk_prunefair report 9"}, "its format is not"),
        (lambda d: {k: v for k, v in d.items() if k != "samples"}, "written without samples"),
        (lambda d: {k: v for k, v in d.items() if k != "labels"}, "it lacks 'labels'"),
        (lambda d: d | {"samples": d["samples"] | {"y_true": [7] * 200}}, "out of bounds"),
        (lambda d: d | {"samples": {}}, "it lacks"),
    ],
)
def test_from_json_of_another_document_raises(change, message):
    with pytest.raises(ValueError, match=message):
        FairnessReport.from_json(json.dumps(change(json.loads(make().to_json()))))


def test_from_json_of_broken_text_raises(tmp_path):
    with pytest.raises(ValueError, match="must be a report written by to_json"):
        FairnessReport.from_json('{"format": ')
    with pytest.raises(FileNotFoundError):
        FairnessReport.from_json(tmp_path / "none.json")


def test_to_dict_figures_equal_frames_and_known_intervals():
    report = make()
    found = report.to_dict()
    frame = report.to_frame()
    assert "samples" not in found
    samples = report.samples
    for row, (key, expected) in zip(found["groups"], frame.iterrows(), strict=True):
        assert tuple(row["group"].values()) == key
        n, members = row["count"], samples[samples["group"] == key]
        accuracy = row["accuracy"]["int8"]
        assert accuracy["value"] == expected["accuracy_int8"]
        assert (accuracy["low"], accuracy["high"]) == pytest.approx(
            wilson_interval(expected["accuracy_int8"], n)
        )
        risks = members["loss_pruned"] - members["loss_dense"]
        skewness = skew(risks) * (1 - 1 / n) ** 1.5  # scipy's is of the deviation with ddof=0
        ends = mean_interval(risks.mean(), risks.std(), n, skewness=skewness)
        assert row["excessive_risk"]["value"] == pytest.approx(expected["excessive_risk"])
        assert (row["excessive_risk"]["low"], row["excessive_risk"]["high"]) == pytest.approx(
            tuple(map(float, ends))
        )
        change = members["is_right_dense"] - members["is_right_pruned"]
        ends = [float(end) for end in tango_interval(n, (change > 0).sum(), (change < 0).sum())]
        assert (row["accuracy_drop"]["low"], row["accuracy_drop"]["high"]) == pytest.approx(
            tuple(ends)
        )
    gaps = found["gaps"]
    assert gaps["fairness_violation"]["value"] == report.fairness_violation
    assert gaps["fairness_violation"]["low"] <= report.fairness_violation
    assert gaps["fairness_violation"]["high"] >= report.fairness_violation
    assert gaps["accuracy_gap"]["fp32"]["value"] == report.accuracy_gap["fp32"]


def test_to_dict_with_controls_has_no_interval_of_gaps():
    gaps = make(control_features=np.arange(200) % 3).to_dict()["gaps"]
    assert gaps["fairness_violation"]["low"] is None


def test_to_dict_says_what_was_saved_and_why_groups_are_hurt():
    diagnostics = pd.DataFrame(
        {"gradient_norm": [0.5, np.nan], "count": [3, 4]},
        index=pd.MultiIndex.from_tuples([("f", 20), ("m", 40)], names=["sex", "age"]),
    )
    compression = pd.Series({"sparsity": 0.9, "macs_dense": np.inf})
    found = make(compression=compression, diagnostics=diagnostics).to_dict()
    assert found["compression"] == {"sparsity": 0.9, "macs_dense": None}
    assert found["diagnostics"] == [
        {"group": ["f", 20], "gradient_norm": 0.5, "count": 3},
        {"group": ["m", 40], "gradient_norm": None, "count": 4},
    ]
    one = diagnostics.set_axis(["f", "m"])
    rows = make(sensitive_features=list("fm") * 100, diagnostics=one).to_dict()["diagnostics"]
    assert [row["group"] for row in rows] == [["f"], ["m"]]
    bare = make().to_dict()
    assert bare["compression"] is None
    assert bare["diagnostics"] is None


def test_from_json_keeps_what_was_saved_and_layers_without_weights():
    report = make(compression=pd.Series({"sparsity": 0.9}), empty_layers=["fc"])
    again = FairnessReport.from_json(report.to_json())
    assert again.compression.to_dict() == {"sparsity": 0.9}
    assert again.empty_layers == ("fc",)
    assert str(again) == str(report)


def test_to_json_infinite_group_is_a_text():
    report = make(sensitive_features=[np.inf, 0.5] * 100)
    found = json.loads(report.to_json(), parse_constant=pytest.fail)
    names = {row["group"]["sensitive_feature"] for row in found["groups"]}
    assert names == {"inf", 0.5}


def test_to_dict_class_errors_of_one_class_are_none():
    y = [1] * 6
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features=list("ababab"))
    assert report.to_dict()["classes"] == {"errors": []}
    assert [row["label"] for row in make().to_dict()["classes"]["errors"]] == [0, 1]


@pytest.mark.slow
def test_violation_interval_covers_the_truth():
    """Groups whose excessive risk is 0 and 0.2 in truth: the interval of ξ is conservative."""
    rng, n_covered = np.random.default_rng(0), 0
    for _ in range(100):
        s = np.repeat([0, 1, 2], [30, 60, 90])
        risk = 0.2 * (s == 1) + rng.normal(0, 0.3, len(s))
        y = np.zeros(len(s), dtype=int)
        report = FairnessReport(
            y,
            dense_pred=y,
            pruned_pred=y,
            dense_losses=np.ones(len(s)),
            pruned_losses=1 + risk,
            sensitive_features=s,
        )
        found = report.to_dict()["gaps"]["fairness_violation"]
        n_covered += found["low"] <= 0.2 <= found["high"]
    assert n_covered >= 95


def test_model_card_block_is_read_by_hugging_face(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    report = make()
    path = tmp_path / "README.md"
    report.to_model_card(
        path, title="Adult, int8: fast", dataset="Adult, test", metadata={"license": "mit"}
    )
    card = hub.ModelCard.load(path)
    assert card.data.license == "mit"
    assert card.data.tags == ["compression", "fairness"]
    results = {each.metric_name: each.metric_value for each in card.data.eval_results}
    assert results["accuracy, all samples"] == report.pruned.overall["accuracy"]
    assert results["fairness violation ξ"] == report.fairness_violation
    key, row = next(report.to_frame().iterrows())
    assert results[f"accuracy lost, sex={key[0]}, age={key[1]}"] == row["accuracy_drop"]


def test_model_card_names_that_hold_markup_stay_text():
    s = ["<b>|x", "a\nb"] * 10
    y = np.arange(20) % 2
    report = FairnessReport.from_predictions(y, y, 1 - y, sensitive_features=s)
    card = report.to_model_card()
    assert "| \\<b\\>\\|x | 10 |" in card
    assert "| a b | 10 |" in card
    assert "**the" not in card  # both labels are still given


@pytest.mark.parametrize("harmed", [True, False])
def test_to_dict_groups_of_booleans_have_their_own_figures(harmed):
    y, groups = np.ones(40, dtype=int), np.arange(40) < 10
    compressed = np.where((groups == harmed) & (np.arange(40) % 2 == 0), 0, 1)
    report = FairnessReport.from_predictions(y, y, compressed, sensitive_features=groups)
    found = {each["group"]["sensitive_feature"]: each for each in report.to_dict()["groups"]}
    for group in (True, False):
        assert found[group]["count"] == found[group]["accuracy_drop"]["n"] == sum(groups == group)
        assert found[group]["accuracy_drop"]["value"] == (0.5 if group == harmed else 0)
    assert FairnessReport.from_json(report.to_json()).to_dict() == report.to_dict()
    assert report.to_model_card()
    assert report.to_html()


@pytest.mark.parametrize(
    "change",
    [
        lambda samples: samples["y_true"].__setitem__(0, -1),
        lambda samples: samples.__setitem__("y_true", None),
        lambda samples: samples["sensitive_features"]["sex"]["codes"].__setitem__(0, -1),
        lambda samples: samples.__setitem__("sensitive_features", "sex"),
        lambda samples: samples["dense_pred"].__setitem__(0, 0.5),
    ],
)
def test_from_json_samples_that_are_not_codes_raise_and_say_so(change):
    document = json.loads(make().to_json())
    change(document["samples"])
    with pytest.raises(ValueError, match="must be a report written by to_json"):
        FairnessReport.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "  ", "[]"])
def test_from_json_text_that_is_no_document_raises_and_says_so(text):
    with pytest.raises(ValueError, match="must be a report written by to_json"):
        FairnessReport.from_json(text)


def test_from_json_reads_a_file_with_a_byte_order_mark(tmp_path):
    report = make()
    path = tmp_path / "report.json"
    path.write_text(report.to_json(), encoding="utf-8-sig")
    assert FairnessReport.from_json(path).to_dict() == report.to_dict()


@pytest.mark.parametrize(
    "days",
    [
        pd.to_datetime(["2026-03-01", "2026-03-02"]),
        pd.to_datetime(["2026-03-01 02:00", "2026-10-25 02:30"]).tz_localize("Europe/Lisbon"),
        pd.to_timedelta([1, 2], unit="h"),
        pd.period_range("2026-03", periods=2, freq="M"),
        pd.Index([datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)], dtype=object),
    ],
    ids=lambda days: str(days.dtype),
)
def test_from_json_dates_and_times_are_groups_as_they_were(days):
    y = [0, 1, 0, 1]
    report = FairnessReport(
        y, dense_pred=y, pruned_pred=y, sensitive_features={"day": days.repeat(2)}
    )
    document = json.loads(report.to_json())
    jsonschema.Draft202012Validator(schema()).validate(document)
    again = FairnessReport.from_json(json.dumps(document))
    pd.testing.assert_frame_equal(again.sensitive_features, report.sensitive_features)
    pd.testing.assert_frame_equal(again.to_frame(), report.to_frame())


def test_from_json_dtype_that_is_no_time_is_an_error():
    y = [0, 1]
    document = FairnessReport(
        y, dense_pred=y, pruned_pred=y, sensitive_features=["a", "b"]
    ).to_dict(samples=True)
    for dtype, message in (("object", "must be of dates or times"), ("dates", "must be a report")):
        document["samples"]["sensitive_features"]["sensitive_feature"]["dtype"] = dtype
        with pytest.raises(ValueError, match=message):
            FairnessReport.from_json(json.dumps(document))
