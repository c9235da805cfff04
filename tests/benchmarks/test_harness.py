"""The benchmarks' harness: cells are run once, kept, and taken up again."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.lib import harness


def test_harness_some_cells_done_runs_only_those_missing(tmp_path):
    path, ran = tmp_path / "cells.csv", []

    def work(cell):
        ran.append(cell["seed"])
        if cell["seed"] == 2 and len(ran) < 4:
            raise RuntimeError("stopped")
        return [{"rate": rate, "score": cell["seed"] + rate} for rate in (0.0, 0.5)]

    cells = [{"method": "none", "seed": seed} for seed in range(4)]
    with pytest.raises(RuntimeError, match="stopped"):
        harness.run_cells(cells, work, path)
    assert ran == [0, 1, 2]
    assert len(pd.read_csv(path)) == 4
    rows = harness.run_cells(cells, work, path)
    assert ran == [0, 1, 2, 2, 3]
    assert rows.seed.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert rows.score.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    harness.run_cells(cells, work, path)
    assert len(ran) == 5


def test_harness_columns_in_another_order_go_by_name(tmp_path):
    path = tmp_path / "cells.csv"
    values = {"score": 1.0, "time": 2.0}

    def work(cell):
        names = list(values) if cell["seed"] == 0 else reversed(values)
        return [{name: values[name] for name in names}]

    rows = harness.run_cells([{"seed": seed} for seed in range(2)], work, path)
    assert rows["score"].tolist() == [1, 1]
    values["loss"] = 3.0
    with pytest.raises(ValueError, match="has the columns"):
        harness.run_cells([{"seed": 2}], work, path)
    assert len(pd.read_csv(path)) == 2
