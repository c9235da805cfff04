"""An acceptance file: what it may say, and errors that name line and key."""

from __future__ import annotations

import json
import sys

import jsonschema
import pytest

from sk_prunefair.acceptance import METRICS, AcceptanceCriterion, read_criteria, schema

YAML = """\
confidence: 0.9
min_count: 50
small_groups: skip
criteria:
  - name: nobody loses
    metric: accuracy_drop
    limit: 0.02
  - metric: recall_drop
    label: "yes"
    limit: 0.05
    groups: {race: [A, B], sex: "f*"}
    min_count: 10
  - metric: impact_ratio
    limit: 0.8
"""


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def one(**keys):
    return {"criteria": [{"metric": "accuracy_drop", "limit": 0.02} | keys]}


def test_read_criteria_yaml_json_and_mapping_agree(tmp_path):
    yaml = pytest.importorskip("yaml")
    mapping = yaml.safe_load(YAML)
    found = read_criteria(written(tmp_path / "a.yaml", YAML))
    assert found == read_criteria(mapping)
    assert found == read_criteria(written(tmp_path / "a.json", json.dumps(mapping)))
    assert [each.name for each in found] == ["nobody loses", "recall_drop", "impact_ratio"]
    assert [each.min_count for each in found] == [50, 10, 50]
    assert [each.test for each in found] == ["proven"] * 3  # confidence is set
    assert {each.confidence for each in found} == {0.9}
    jsonschema.Draft202012Validator(schema()).validate(mapping)


@pytest.mark.parametrize(
    ("shared", "own", "expected"),
    [
        ({}, {}, "observed"),
        ({"confidence": 0.9}, {}, "proven"),
        ({}, {"confidence": 0.9}, "proven"),
        ({}, {"test": "proven"}, "proven"),
        ({"confidence": 0.9}, {"test": "observed"}, "observed"),
        ({"confidence": 0.9}, {"metric": "auc"}, "observed"),
    ],
)
def test_read_criteria_confidence_asks_for_proof_where_there_is_a_bound(shared, own, expected):
    [found] = read_criteria(shared | one(**{"metric": "accuracy", "limit": 0.8} | own))
    assert found.test == expected


def test_criterion_that_has_no_bound_cannot_be_proven():
    with pytest.raises(ValueError, match="'a': auc has no bound, and can be 'observed' alone"):
        AcceptanceCriterion("a", "auc", 0.8, test="proven")


def test_schema_names_each_metric_and_key():
    jsonschema.Draft202012Validator.check_schema(schema())
    criterion = schema()["$defs"]["criterion"]["properties"]
    assert criterion["metric"]["enum"] == list(METRICS)
    for key in schema()["properties"].keys() - {"format", "criteria"}:
        assert key in criterion


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "the file must be a mapping"),
        ({"criteria": []}, "criteria must be a list with at least one"),
        ({"criteria": "accuracy"}, "criteria must be a list"),
        ({}, "must have the key 'criteria'"),
        (
            {**one(), "confidence_level": 0.9},
            "confidence_level is an unknown key; accepted keys are format",
        ),
        ({**one(), "format": "2"}, "format must be 'sk_prunefair acceptance 1'"),
        (
            one(confidence=1),
            r"criteria\[0\].confidence must be a number of at least 0.5 and below 1",
        ),
        (one(confidence=0.05), "confidence must be a number of at least 0.5"),  # that is α
        (one(metric="brier_score", limit=20), "limit must be at least 0 and below 2"),
        (one(metric="brier_score", label=1), "label is accepted only with recall_drop"),
        (one(metric="fairness_violation", limit=20), r"below loss_bound \(5\), got 20"),
        (one(min_count=0), r"criteria\[0\].min_count must be a whole number of at least 1"),
        (one(min_count=True), "min_count must be a whole number"),
        (one(small_groups="drop"), "small_groups must be one of fail, skip, got 'drop'"),
        (
            one(metric="correctness"),
            r"criteria\[0\].metric must be one of accuracy_drop, recall_drop",
        ),
        (one(metric=["a"]), "metric must be one of"),
        (one(limit="0.02"), "limit must be a finite number, got '0.02'"),
        (one(limit=float("nan")), "limit must be a finite number"),
        (one(limit=2), "limit must be a share, at least 0 and below 1, got 2"),
        (one(limit=-0.1), "limit must be a share"),
        (one(name=" "), "name must be a string"),
        (one(groups=[]), "groups must be 'all', a list of groups, or a mapping"),
        (one(groups="women"), "groups must be 'all'"),
        (one(groups=[{"sex": None}]), "groups must be 'all'"),
        (one(label=1), "label is accepted only with recall_drop"),
        (one(test="exact"), "test must be one of proven, observed"),
        (
            one(metric="auc", test="proven"),
            "test must be 'observed' for auc, calibration_error, labels",
        ),
        (one(metric="auc", confidence=0.9), "confidence does not go with auc, calibration_error"),
        (one(test="observed", confidence=0.9), "confidence does not go with test 'observed'"),
        (one(metric="fairness_violation", limit=0), "limit must be above 0"),
        (one(metric="excessive_risk", limit=6), r"below loss_bound \(5\)"),
        (one(metric="labels_lost", limit=1), "limit must be 0 or left out"),
        (one(metric="labels_lost", limit=0, groups=["a"]), "labels_lost is computed over all rows"),
        ({"criteria": [{"metric": "accuracy_drop"}]}, "must have the key 'limit'"),
        ({"criteria": [{"limit": 1}]}, "must have the key 'metric'"),
        ({"criteria": one()["criteria"] * 2}, r"criteria\[1\] must have a unique name"),
    ],
)
def test_read_criteria_malformed_names_the_key_and_what_is_accepted(tmp_path, values, message):
    path = written(tmp_path / "a.json", json.dumps(values))
    with pytest.raises(ValueError, match=message):
        read_criteria(path)


def test_read_criteria_yaml_error_names_the_line(tmp_path):
    pytest.importorskip("yaml")
    text = YAML.replace("limit: 0.05", "bound: 0.05")
    with pytest.raises(
        ValueError, match=r"^a.yaml, line 10: criteria\[1\].bound is an unknown key"
    ):
        read_criteria(written(tmp_path / "a.yaml", text))
    with pytest.raises(ValueError, match=r"^a.yaml, line 1: confidence must be"):
        read_criteria(written(tmp_path / "a.yaml", YAML.replace("0.9", "95 %")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("criteria: [", "must be a YAML document"),
        ("criteria: &a []\nother: *a\n", "line 2: aliases are not supported"),
        ("min_count: 1\nmin_count: 2\n", "line 2: the key 'min_count' occurs twice"),
        ("!!python/object/apply:os.getcwd []\n", "must be a YAML document"),
        ("", "the file must be a mapping"),
        ("[" * 1_200, "must be a YAML document"),
    ],
    ids=["open", "alias", "twice", "object", "empty", "deep"],
)
def test_read_criteria_yaml_that_is_no_criteria_is_an_error(tmp_path, text, message):
    pytest.importorskip("yaml")
    with pytest.raises(ValueError, match=message):
        read_criteria(written(tmp_path / "a.yml", text))


def test_read_criteria_json_that_is_no_criteria_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"^a\.json must be a JSON document"):
        read_criteria(written(tmp_path / "a.json", "{"))
    with pytest.raises(ValueError, match="'min_count' occurs twice"):
        read_criteria(written(tmp_path / "a.json", '{"min_count": 1, "min_count": 2}'))
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="must be a UTF-8 text file"):
        read_criteria(tmp_path / "b.json")
    with pytest.raises(TypeError, match="the path of a file or a mapping, got list"):
        read_criteria([])


def test_read_criteria_without_pyyaml_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = written(tmp_path / "a.yaml", YAML)
    with pytest.raises(ImportError, match=r"pip install 'sk-prunefair\[yaml\]'"):
        read_criteria(path)
    assert read_criteria(written(tmp_path / "a.json", json.dumps(one())))
