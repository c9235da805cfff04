"""The GPU benchmark in its tiny form on a CPU, and its page from rows that were made up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn


@pytest.fixture
def gpu(benchmark_module):
    pytest.importorskip("transformers")
    return benchmark_module("speed.gpu")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_main_tiny_runs_each_part_on_a_cpu_and_writes_beside_its_csv(gpu, tmp_path):
    pytest.importorskip("torch_pruning")
    gpu.main(["--tiny", "--out", str(tmp_path / "gpu.csv")])
    rows = pd.read_csv(tmp_path / "gpu.csv")
    assert set(rows["part"]) == {"epoch", "report", "net", "CSR"}
    assert set(rows["card"]) == {"CPU"}
    assert rows["mb"].isna().all()
    measured = rows.dropna(subset=["seconds"])
    assert set(measured["case"]) >= {"BERT-base", "ViT-B/16", "ResNet-50", "0.9", "0.95"}
    assert set(measured.loc[measured["part"] == "net", "form"]) == {"dense", "half of the channels"}
    epochs = measured[measured["part"] == "epoch"].groupby("form")["waits"].first()
    assert epochs["ours, no constraint"] == 0
    assert (epochs < 1).all()  # one look-up on the CPU an epoch of three batches
    page = (tmp_path / "gpu.md").read_text()
    assert "one CPU, torch" in page
    assert "2:4 needs CUDA: net BERT-base bfloat16 2" in page


def test_main_without_a_card_and_not_tiny_ends_with_a_message(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "there is no CUDA card; --tiny runs on the CPU" in capsys.readouterr().err


def test_measure_without_time_names_all_that_is_left_out(gpu, tmp_path):
    bench = gpu.Bench("cpu", tiny=True, limit=0.0)
    rows = gpu.measure(bench, tmp_path / "gpu.csv")
    assert rows["seconds"].isna().all()
    assert set(rows["note"]) == {"left out: no time"}
    page = gpu.write_page(rows, tmp_path / "gpu.md") or (tmp_path / "gpu.md").read_text()
    assert "- left out: no time: epoch MLP 128–64, report" in page
    assert "## Training" not in page


def test_measure_of_a_cell_that_fails_goes_on(gpu, tmp_path, monkeypatch):
    def fails():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried\nmore")

    rows = [
        {"form": "dense", "round": 0, "seconds": 1.0},
        {"form": "CSR", "round": 0, "seconds": 2.0},
    ]
    told = {"part": "CSR", "case": "0.9", "dtype": "float32", "batch": 1}
    made = [({"part": "epoch", "case": "MLP"}, fails), (told, lambda: rows)]
    monkeypatch.setattr(gpu, "cells", lambda bench: iter(made))
    found = gpu.measure(gpu.Bench("cpu", tiny=True), tmp_path / "gpu.csv")
    assert list(found["note"].dropna()) == ["failed: CUDA out of memory. Tried"]
    assert list(found["seconds"].dropna()) == [1.0, 2.0]


def made_up():
    common = {"card": "NVIDIA Any", "torch": "9.9", "note": ""}
    loops = ("plain loop, rows on the CPU", "plain loop, rows on the card", "ours, 2 groups")
    rows = [
        {"part": "epoch", "case": "MLP 128–64", "batch": 256, "form": form, "round": number}
        | {"seconds": seconds * (1 + number), "mb": 1234.4, "waits": 0.25}
        for form, seconds in zip(loops, (0.2, 0.1, 0.22), strict=True)
        for number in range(3)
    ]
    rows += [
        {"part": "report", "case": "1,000,000 rows × 500 groups", "batch": 8192, "form": form}
        | {"round": 0, "seconds": seconds, "mb": 80.0}
        for form, seconds in (("predict", 0.5), ("report", 2.0))
    ]
    net = {"part": "net", "case": "BERT-base", "dtype": "bfloat16", "batch": 64, "round": 0}
    rows += [
        net | {"form": form, "seconds": seconds, "mb": mb}
        for form, seconds, mb in (("dense", 0.03, 900), ("half of the channels", 0.012, 500))
    ]
    rows[-1]["note"] = rows[-2]["note"] = "no 2:4: not on this card"
    rows += [
        {"part": "CSR", "case": "0.9", "dtype": "float32", "batch": 1, "round": 0}
        | {"form": form, "seconds": seconds}
        for form, seconds in (("dense", 1e-4), ("CSR", 4e-4))
    ]
    late = {"part": "net", "case": "ViT-B/16", "dtype": "float16", "batch": 512}
    rows.append(late | {"note": "left out: no time"})
    return pd.DataFrame([common | row for row in rows])


def cells(page, name):
    """Return the cells of the table row that begins with a name."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    [found] = [row for row in rows if row and row[0] == name]
    return found


def test_page_of_made_rows_has_their_ratios_memory_and_what_is_missing(benchmark_module):
    page = benchmark_module("speed.gpu_page").page(made_up())
    assert "one NVIDIA Any, torch 9.9" in page
    assert cells(page, "ours, 2 groups")[1:] == ["440", "1.1", "2.2", "0.25", "1,234"]
    assert "over 1,000,000 rows × 500 groups takes 2.00 s, 4.0 times" in page.replace("\n", " ")
    assert cells(page, "BERT-base")[1:] == ["bf16", "64", "30", "2.5", "–", "900 / 500 / –"]
    assert cells(page, "0.9")[1:] == ["fp32", "1", "0.1", "0.25"]
    assert "- no 2:4: not on this card: net BERT-base bfloat16 64" in page
    assert "- left out: no time: net ViT-B/16 float16 512" in page


def test_page_of_rows_without_a_part_leaves_its_section_out(benchmark_module):
    rows = made_up().query("part == 'CSR'")
    page = benchmark_module("speed.gpu_page").page(rows)
    assert page.count("##") == 1
    assert "What is missing" not in page


def test_two_of_four_keeps_the_two_largest_of_each_four(benchmark_module):
    nets = benchmark_module("speed.gpu_nets")
    weight = torch.tensor([[1.0, -4.0, 2.0, -3.0, 0.0, 0.0, 5.0, -1.0]])
    expected = torch.tensor([[0.0, -4.0, 0.0, -3.0, 0.0, 0.0, 5.0, -1.0]])
    assert (nets.two_of_four(weight) == expected).all()


def test_with_zeros_changes_layers_of_the_right_size_and_no_others(benchmark_module):
    nets = benchmark_module("speed.gpu_nets")
    net = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 10))
    found = nets.with_zeros(net)
    fours = (found[0].weight.reshape(-1, 4) != 0).sum(1)
    assert set(fours.tolist()) == {2}
    assert (found[1].weight == net[1].weight).all()
    assert (net[0].weight != 0).all()
    with pytest.raises(ValueError, match="2:4 for linear layers alone"):
        nets.with_zeros(nn.Linear(63, 32))


def test_distance_of_a_tenth_more_is_a_tenth(benchmark_module):
    expected = torch.tensor([3.0, 4.0])
    assert np.isclose(benchmark_module("speed.gpu_nets").distance(1.1 * expected, expected), 0.1)
