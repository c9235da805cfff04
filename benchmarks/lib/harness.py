"""Cells of a benchmark: run side by side, kept in one CSV, taken up again where they stopped.

A cell is a dict of what it varies (data set, method, seed …); a function turns it into rows. Rows
are appended as soon as their cell is done, so that nothing but the cells in progress is lost when a
run is stopped, and the same command goes on.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from tqdm import tqdm

Cell = dict[str, Any]
ROOT = Path(__file__).parents[2]


def run_cells(
    cells: Iterable[Cell],
    work: Callable[[Cell], list[dict[str, Any]]],
    path: Path,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Run the cells whose rows are not in the CSV yet, and return all rows.

    Parameters
    ----------
    cells : iterable of dict
        What each cell varies; all with the same keys. They are run in this order.
    work : callable
        From a cell to its rows. The cell's keys are put in front of each row.
    path : pathlib.Path
        The CSV; made when it is absent, appended to when it is there.
    n_jobs : int, default=1
        Cells at a time, one thread each.

    Returns
    -------
    pandas.DataFrame
        The CSV's rows.
    """
    cells = list(cells)
    done = _done(path, list(cells[0])) if cells else set()
    waiting = [cell for cell in cells if tuple(map(_text, cell.values())) not in done]
    finished = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        joblib.delayed(_rows)(work, cell) for cell in waiting
    )
    for rows in tqdm(finished, total=len(waiting), desc=path.stem, disable=None):
        _append(pd.DataFrame(rows), path)
    return pd.read_csv(path)


def grid(**values: Iterable[Any]) -> list[Cell]:
    """Return a cell for each combination, the last of the names the fastest."""
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def out_path(script: str, given: Path | None, quick: bool) -> Path:
    """Return where a benchmark's rows go: a quick run's never to those that are committed."""
    stem = "rows" if Path(script).stem == "run" else Path(script).stem
    if given is not None or not quick:
        return given or Path(script).with_name(f"{stem}.csv")
    path = Path(script).with_name(f"{stem}_quick.csv")
    path.unlink(missing_ok=True)  # the code may have changed since
    return path


def page_path(rows: Path) -> Path:
    """Return where the page of some rows goes: ``page.md`` beside ``rows.csv``."""
    return rows.with_name(rows.stem.replace("rows", "page") + ".md")


def committed(name: str) -> pd.DataFrame:
    """Return the committed rows of a study or a timing."""
    timing = ROOT / "benchmarks" / "speed" / f"{name}.csv"
    study = ROOT / "benchmarks" / "studies" / name / "rows.csv"
    return pd.read_csv(timing if timing.exists() else study)


def _rows(work: Callable[[Cell], list[dict[str, Any]]], cell: Cell) -> list[dict[str, Any]]:
    # Small nets on two threads are slower than on one, and cells run side by side.
    import torch

    torch.set_num_threads(1)
    return [cell | row for row in work(cell)]


def _done(path: Path, keys: list[str]) -> set[tuple[str, ...]]:
    if not path.exists():
        return set()
    known = pd.read_csv(path, dtype=str, keep_default_na=False)
    return {tuple(map(_text, row)) for row in known[keys].itertuples(index=False)}


def _text(value: Any) -> str:
    """Return a cell's value as it is compared: 0, 0.0 and "0" are one number."""
    try:
        return f"{float(value):.5g}"
    except ValueError:
        return str(value)


def _append(rows: pd.DataFrame, path: Path) -> None:
    is_new = not path.exists()
    if not is_new:
        columns = list(pd.read_csv(path, nrows=0))
        if set(columns) != set(rows):
            raise ValueError(f"{path} has the columns {columns}, new rows {list(rows)}.")
        rows = rows[columns]
    with path.open("a") as file:
        rows.to_csv(file, index=False, header=is_new, float_format="%.5g")
        file.flush()
        os.fsync(file.fileno())
