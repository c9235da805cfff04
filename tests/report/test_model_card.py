"""The model card: its block, its sections, its file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from sk_prunefair import FairnessReport


def report(**options):
    """Return one of group a, which loses one of two, and b, which loses none."""
    truth = [0, 1, 0, 1]
    given = {
        "dense_pred": truth,
        "pruned_pred": [0, 0, 0, 1],
        "sensitive_features": pd.DataFrame({"sex": list("aabb")}),
    }
    return FairnessReport(truth, **(given | options))


def block_of(card):
    """Return the metadata block; each line is a key and JSON."""
    _, head, _ = card.split("---\n", 2)
    pairs = (line.split(": ", 1) for line in head.splitlines())
    return {key: json.loads(value) for key, value in pairs}


def headings(card):
    return [line for line in card.splitlines() if line.startswith("#")]


def test_model_card_block_has_the_results_by_hand():
    block = block_of(report().to_model_card(dataset="test", task="tabular-classification"))
    assert block["library_name"] == "sk_prunefair"
    assert block["tags"] == ["pruning", "fairness"]
    [index] = block["model-index"]
    assert index["name"] == "pruned net"
    [source] = index["results"]
    assert source["task"] == {"type": "tabular-classification"}
    assert source["dataset"] == {"type": "custom", "name": "test"}
    assert [(each["name"], each["value"]) for each in source["metrics"]] == [
        ("accuracy, all samples", 0.75),
        ("accuracy, sex=a", 0.5),
        ("accuracy lost, sex=a", 0.5),
        ("accuracy, sex=b", 1.0),
        ("accuracy lost, sex=b", 0.0),
        ("accuracy gap", 0.5),
    ]
    assert {each["type"] for each in source["metrics"]} == {
        "accuracy", "accuracy_drop", "accuracy_gap",
    }  # fmt: skip


def test_model_card_of_losses_has_the_violation():
    losses = {"dense_losses": [0.1] * 4, "pruned_losses": [0.1, 0.9, 0.1, 0.1]}
    block = block_of(report(**losses).to_model_card())
    last = block["model-index"][0]["results"][0]["metrics"][-1]
    assert last["type"] == "fairness_violation"
    assert np.isclose(last["value"], 0.4)


def test_model_card_title_metadata_and_file(tmp_path):
    path = tmp_path / "README.md"
    card = report().to_model_card(
        path, title="mine: été", metadata={"license": "mit", "tags": ["x"]}
    )
    assert path.read_text(encoding="utf-8") == card
    block = block_of(card)
    assert block["license"] == "mit"
    assert block["tags"] == ["x"]
    assert block["model-index"][0]["name"] == "mine: été"
    assert "été" in card.splitlines()[4]  # as it is, not escaped
    assert headings(card)[0] == "# mine: été"


def test_model_card_sections_of_what_is_known():
    plain = ["# pruned net", "## Groups, the most harmed first", "## Gaps between groups"]
    last = ["## How to read it", "## Limits"]
    assert headings(report().to_model_card()) == plain + last
    more = report(compression=pd.Series({"sparsity": 0.9}), empty_layers=["fc"])
    card = more.to_model_card()
    assert headings(card) == [*plain, "## Size and time", *last]
    assert "- 90.0% of the prunable weights removed" in card
    assert "**no weight is left of fc with 90.0% of" in card
    assert "on 4 samples (held-out samples): dense → pruned" in card
    assert "groups that lost most" not in card


def test_model_card_of_fifty_groups_leaves_none_out():
    truth = [0, 1] * 50
    groups = [f"g{i}" for i in range(50) for _ in range(2)]
    found = FairnessReport(truth, dense_pred=truth, pruned_pred=truth, sensitive_features=groups)
    assert "groups that lost most" not in found.to_model_card()
