"""Which documents a report writes to files, and by which process."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.documents import impact_ratios

WRITERS = ["html", "json", "model_card", "cyclonedx", "technical_documentation"]


@pytest.fixture
def report():
    return FairnessReport(
        [0, 1, 0, 1],
        dense_pred=[0, 1, 0, 1],
        pruned_pred=[0, 1, 1, 1],
        sensitive_features=pd.DataFrame({"sex": list("fmfm")}),
    )


@pytest.mark.parametrize("kind", WRITERS)
def test_documents_are_returned_and_written_by_one_process_alone(report, tmp_path, kind):
    write = getattr(report, f"to_{kind}")
    found = write(tmp_path / "written")
    text = (tmp_path / "written").read_text(encoding="utf-8")
    assert (json.loads(text) if kind == "cyclonedx" else text) == found
    report.writes_files = False
    again = write(tmp_path / "other")
    assert type(again) is type(found)
    assert not (tmp_path / "other").exists()


def test_impact_ratios_are_those_of_the_report(report):
    found, expected = report.impact_ratios(sex="sex"), impact_ratios(report, sex="sex")
    assert str(found) == str(expected)


def test_impact_ratios_of_parts_raise():
    part = {"y_true": [0], "dense_pred": [0], "compressed_pred": [0]}
    part["sensitive_features"] = pd.DataFrame({"sex": ["f"]})
    with pytest.raises(ValueError, match="impact ratios need single samples"):
        FairnessReport.from_parts([part]).impact_ratios(sex="sex")
