"""What benchmarks share: prose of pages by hand, times turn by turn, cells, nets by hand."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.lib import harness, pages, timing, training

PAGE = """# Title

Of 3 nets.

Seeds: 1.

| a |
|--:|
| 1 |

Between.

## Part

Said of it.

| b |
|--:|
| 2 |
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_by_hand_ends_at_tables_headings_and_what_a_script_makes(page):
    assert pages.by_hand(page) == "# Title\n\nOf 3 nets.\n\nSeeds: 1."
    assert pages.by_hand(page, until="Seeds:") == "# Title\n\nOf 3 nets."
    assert pages.by_hand(page, "Between") == "Between."
    assert pages.by_hand(page, "## Part") == "## Part\n\nSaid of it."


def test_by_hand_of_a_block_that_is_not_there_raises(page):
    with pytest.raises(ValueError, match="no block that begins with '## Other'"):
        pages.by_hand(page, "## Other")


def test_fill_replaces_tables_and_nothing_else(page):
    filled = pages.fill(page, ["| c |\n|--:|\n| 3 |", "| d |\n|--:|\n| 4 |\n| 5 |"])
    assert filled == PAGE.replace("| a |", "| c |").replace("| 1 |", "| 3 |").replace(
        "| b |\n|--:|\n| 2 |", "| d |\n|--:|\n| 4 |\n| 5 |"
    )
    with pytest.raises(ValueError, match="has 2 tables, given 1"):
        pages.fill(page, ["| c |"])


def test_markdown_shows_an_index_only_if_it_has_a_name():
    frame = pd.DataFrame({"x": [1]})
    assert "index" not in pages.markdown(frame)
    assert pages.markdown(frame.rename_axis("row")).startswith("|   row |   x |")


def test_bare_table_of_texts_by_hand():
    assert pages.bare_table(["", "a"], [["b", "1"]]) == "| | a |\n|---|---|\n| b | 1 |"


def test_in_turns_changes_the_order_and_leaves_the_first_round_out():
    calls, ticks = [], itertools.count()
    works = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = timing.in_turns(works, 2, clock=lambda: float(next(ticks)))
    assert "".join(calls) == "abc" + "bca" + "cab"
    assert times.index.tolist() == [0, 1]
    assert (times[["a", "b", "c"]] == 1).all(axis=None)
    times = timing.in_turns(works, 1, clock=lambda: float(next(ticks)), calls=4)
    assert (times == 0.25).all(axis=None)


def test_rows_of_turns_come_back_by_round_and_spread_by_hand():
    times = pd.DataFrame({"a": [1.0, 4.0, 3.0], "b": [2.0, 2.0, 2.0]}).rename_axis("round")
    rows = timing.as_rows(times, net="n")
    assert list(rows) == ["net", "round", "contender", "seconds"]
    pd.testing.assert_frame_equal(timing.by_round(rows, "net").loc["n"], times, check_names=False)
    assert timing.spread(times, "a", "b") == {"median": 1.5, "min": 0.5, "max": 2.0}


def test_alone_runs_in_another_process():
    assert timing.alone(os.getpid) != os.getpid()


def test_peak_counts_what_a_call_takes():
    assert timing.peak(lambda: np.ones(4_000_000).sum()) > 30_000_000


def test_grid_is_every_combination_the_last_name_fastest():
    assert harness.grid(seed=range(2), task=["a", "b"]) == [
        {"seed": 0, "task": "a"},
        {"seed": 0, "task": "b"},
        {"seed": 1, "task": "a"},
        {"seed": 1, "task": "b"},
    ]


def test_cells_with_numbers_as_the_csv_rounds_them_are_not_run_again(tmp_path):
    ran = []

    def work(cell):
        ran.append(cell)
        return [{"score": 1}]

    cells = harness.grid(drop=[0.0, 1 / 3], n=[20_000])
    for _ in range(2):
        harness.run_cells(cells, work, tmp_path / "cells.csv")
    assert len(ran) == 2


def test_bare_loop_is_plain_descent_on_the_same_batches():
    torch.manual_seed(0)
    net, X = torch.nn.Linear(3, 2), torch.randn(8, 3)
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(net.state_dict())
    y = (X[:, 0] > 0).long()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    training.bare_loop(net, X, y, 8, optimizer, epochs=2)()
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(other(X), y)
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(other.parameters(), gradients, strict=True):
                parameter -= 0.5 * gradient
    torch.testing.assert_close(net.weight, other.weight)
