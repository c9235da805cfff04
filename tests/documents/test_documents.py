"""Documents made of one audit: their forms, numbers worked out by hand, names that are markup."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.documents import named_columns

TEXT = {"type": "string", "minLength": 1}


def form(required, **properties):
    """Return the JSON schema of an object without other keys."""
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
    }


def listed(items):
    return {"type": "array", "items": items, "minItems": 1}


# Of the specification of CycloneDX 1.6, what is written here: all figures are texts.
INTERVAL = form(["lowerBound", "upperBound"], lowerBound=TEXT, upperBound=TEXT)
METRIC = form(["type", "value"], type=TEXT, value=TEXT, slice=TEXT, confidenceInterval=INTERVAL)
ASSESSED = ["groupAtRisk", "benefits", "harms", "mitigationStrategy"]
PROPERTY = form(["name", "value"], name=TEXT, value=TEXT)
CARD = form(
    ["modelParameters", "quantitativeAnalysis", "considerations"],
    modelParameters=form(
        ["task", "datasets"],
        task=TEXT,
        datasets=listed(
            form(["type"], type={"const": "dataset"}, name=TEXT, description=TEXT),
        ),
    ),
    quantitativeAnalysis=form(["performanceMetrics"], performanceMetrics=listed(METRIC)),
    considerations=form(
        ["technicalLimitations", "fairnessAssessments"],
        technicalLimitations=listed(TEXT),
        performanceTradeoffs=listed(TEXT),
        fairnessAssessments=listed(form(ASSESSED, **dict.fromkeys(ASSESSED, TEXT))),
    ),
    properties=listed(PROPERTY),
)
MODEL = {"const": "machine-learning-model"}
COMPONENT = form(
    ["type", "name", "modelCard"],
    **{"type": MODEL, "bom-ref": TEXT, "name": TEXT, "version": TEXT, "modelCard": CARD},
)
TOOL = form(["type", "name"], type={"const": "library"}, name=TEXT, version=TEXT)
UUID = "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"
BOM = form(
    ["bomFormat", "specVersion", "components"],
    **{
        "$schema": {"const": "http://cyclonedx.org/schema/bom-1.6.schema.json"},
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {"type": "string", "pattern": UUID},
        "version": {"type": "integer", "minimum": 1},
        "metadata": form(
            ["timestamp", "tools"],
            timestamp={"type": "string", "pattern": TIME},
            tools=form(["components"], components=listed(TOOL)),
        ),
        "components": listed(COMPONENT),
    },
)


@pytest.fixture
def report():
    """Return one of 100 rows: 40 f, 58 m, and 2 of which nothing is known; 20 of B, 1 of C."""
    sex = ["f"] * 40 + ["m"] * 58 + ["Unknown"] * 2
    race = (["A"] * 30 + ["B"] * 10) + (["A"] * 47 + ["B"] * 10 + ["C"]) + ["A", "B"]
    before = np.zeros(100, dtype=int)
    before[:10] = before[30:40] = before[40:69] = 1  # of f 20, of m 29
    after = before.copy()
    after[30:40] = 0  # the women of B are selected no more
    return FairnessReport(
        before,
        dense_pred=before,
        pruned_pred=after,
        sensitive_features=pd.DataFrame({"race": race, "sex": sex}, index=range(7, 107)),
    )


def test_cyclonedx_has_the_form_of_the_specification(report, tmp_path):
    found = report.to_cyclonedx(tmp_path / "a.cdx.json", name="credit", version="1.2")
    jsonschema.Draft202012Validator(BOM).validate(found)
    assert json.loads((tmp_path / "a.cdx.json").read_text("utf-8")) == found
    assert found["components"][0]["version"] == "1.2"
    assert found["serialNumber"] != report.to_cyclonedx()["serialNumber"]


def test_cyclonedx_of_losses_and_compression_has_the_form_too():
    scores = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]
    report = FairnessReport.from_predictions(
        [0, 1, 0, 1],
        scores,
        scores[::-1],
        sensitive_features=["a", "a", "b", "b"],
        compression=pd.Series({"sparsity": 0.9}),
        empty_layers=["fc1.weight"],
    )
    found = report.to_cyclonedx()
    jsonschema.Draft202012Validator(BOM).validate(found)
    card = found["components"][0]["modelCard"]
    kinds = [each["type"] for each in card["quantitativeAnalysis"]["performanceMetrics"]]
    assert {"excessive risk", "fairness violation"} <= set(kinds)
    assert card["considerations"]["performanceTradeoffs"] == [
        "90.0% of the prunable weights removed"
    ]
    assert "no weight is left of fc1.weight" in card["considerations"]["technicalLimitations"][0]


def test_cyclonedx_figures_are_those_of_the_report(report):
    card = report.to_cyclonedx()["components"][0]["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0]["value"] == "0.9"
    assert "slice" not in metrics[0]
    worst = report.to_dict()["groups"][0]
    assert metrics[1]["slice"] == "race=B, sex=f"
    interval = worst["accuracy"]["pruned"]
    assert float(metrics[1]["value"]) == interval["value"] == 0
    assert float(metrics[1]["confidenceInterval"]["upperBound"]) == pytest.approx(
        interval["high"], rel=1e-5
    )
    assessed = {each["groupAtRisk"]: each for each in card["considerations"]["fairnessAssessments"]}
    assert "over 10 rows: 1.000 lost" in assessed["race=B, sex=f"]["harms"]
    assert assessed["race=A, sex=m"]["harms"].startswith("none seen in accuracy, over 47 rows")


@pytest.mark.parametrize("option", ["version", "dataset", "mitigation"])
def test_cyclonedx_empty_text_names_the_argument(report, option):
    with pytest.raises(ValueError, match=f"{option} must be a string, got ''"):
        report.to_cyclonedx(**{option: ""})


def test_impact_ratios_are_the_numbers_worked_out_by_hand(report):
    found = report.impact_ratios(sex="sex", race="race")
    assert (found.n_rows, found.n_unknown, found.positive) == (98, 2, 1)
    # 10 of 40 women and 29 of 58 men.
    assert found.sex["selected"].to_dict() == {"f": 10, "m": 29}
    assert found.sex["selection_rate"].to_dict() == {"f": 0.25, "m": 0.5}
    assert found.sex["impact_ratio"].to_dict() == {"f": 0.5, "m": 1.0}
    # C is one row of 98, less than 2 %: it has a rate, no ratio, and is no one's yardstick.
    assert found.race["excluded"].to_dict() == {"A": False, "B": False, "C": True}
    assert found.race.loc["A", "selection_rate"] == pytest.approx(39 / 77)
    assert np.isnan(found.race.loc["C", "impact_ratio"])
    assert found.race["impact_ratio"].max() == 1
    assert found.intersections.loc[("f", "B"), "selection_rate"] == 0
    assert found.intersections["impact_ratio"].loc[("m", "A")] == 1
    before = report.impact_ratios(sex="sex", model="dense")
    assert before.sex["impact_ratio"].to_dict() == {"f": 1.0, "m": 1.0}
    assert before.intersections is None
    assert list(before.table.index.names) == ["kind", "category"]
    assert len(found.table) == len(found.sex) + len(found.race) + len(found.intersections)


def test_impact_ratios_markdown_names_what_is_left_out(report, tmp_path):
    found = report.impact_ratios(sex="sex", race="race")
    text = found.to_markdown(tmp_path / "a.md", dataset="held <out>")
    assert (tmp_path / "a.md").read_text("utf-8") == text
    assert "| f | 40 | 10 | 0.250 | 0.500 (0.175 to 1.000) |" in text
    assert "less than 2% of the data: C: 1 rows, selection rate 0.000" in text
    assert "2 more rows have an unknown category" in text
    assert "held \\<out\\>" in text
    assert "not legal advice" in text
    assert "f, A" in str(found)


def test_impact_ratios_of_arrays_and_nobody_selected(report):
    found = report.impact_ratios(sex=["x", "y"] * 50, positive=0, exclude_below=0)
    assert found.sex.index.tolist() == ["x", "y"]
    assert not found.sex["excluded"].any()
    y = [0, 1, 0, 1]
    nobody = FairnessReport(y, dense_pred=y, pruned_pred=[0] * 4, sensitive_features=list("aabb"))
    ratios = nobody.impact_ratios(sex="sensitive_feature")
    assert ratios.sex["impact_ratio"].isna().all()
    assert "| a | 2 | 0 | 0.000 | n/a |" in ratios.to_markdown()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "sex or race must be given"),
        ({"sex": "gender"}, r"sex must be one of the columns \['race', 'sex'\], got 'gender'"),
        ({"sex": ["f"]}, "sex has 1 rows, but the data has 100"),
        ({"sex": "sex", "positive": 2}, r"positive must be one of the labels \[0, 1\], got 2"),
        ({"sex": "sex", "model": "int8"}, "model must be one of"),
        ({"sex": "sex", "exclude_below": 2}, "exclude_below must be a finite number"),
        ({"sex": "sex", "unknown": ["F", "M", "unknown"]}, "must be known for at least one row"),
    ],
)
def test_impact_ratios_malformed_argument_names_it(report, options, message):
    with pytest.raises(ValueError, match=message):
        report.impact_ratios(**options)


def test_impact_ratios_of_three_labels_needs_the_positive_one():
    y = ["a", "b", "c"]
    report = FairnessReport(y, dense_pred=y, pruned_pred=y, sensitive_features={"sex": y})
    with pytest.raises(ValueError, match=r"positive must be one of the labels .*, got None"):
        report.impact_ratios(sex="sex")
    assert report.impact_ratios(sex="sex", positive="b").sex["selected"].tolist() == [0, 1, 0]


def test_named_columns_knows_kin_and_nothing_else():
    assert named_columns(pd.DataFrame(columns=["Ethnicity", "age"])) == {"race": "Ethnicity"}
    assert named_columns(pd.DataFrame(columns=["age"])) is None


def test_technical_documentation_has_groups_limits_and_what_is_open(report, tmp_path):
    text = report.to_technical_documentation(tmp_path / "a.md", title="A|B", dataset="2026 test")
    assert (tmp_path / "a.md").read_text("utf-8") == text
    assert text.startswith("# Accuracy by group: A\\|B\n")
    for heading in ("points 2 (g), 3 and 4", "Overall accuracy", "specific groups", "Foreseeable"):
        assert heading in text
    assert "| B | f | 10 | 1.000" in text
    assert "of each group by itself, in: race=B, sex=f." in text
    assert "little is known; see their intervals: race=B, sex=f (10)" in text
    assert "demographic\\_parity\\_difference" in text
    assert text.count("*To be completed by the provider:*") == 3
    assert "What this section does not cover" in text
    assert "not legal advice" in text


@pytest.mark.parametrize("groups", [["<b>|"] * 4, [1, 1, 2, 2], [True, True, False, False]])
def test_documents_escape_names_and_take_any_kind_of_group(groups):
    y = ["no", "yes"] * 2
    report = FairnessReport(y, dense_pred=y, pruned_pred=y[::-1], sensitive_features=groups)
    text = (
        report.to_technical_documentation()
        + report.impact_ratios(sex="sensitive_feature").to_markdown()
    )
    assert "<b>" not in text
    jsonschema.Draft202012Validator(BOM).validate(report.to_cyclonedx())
