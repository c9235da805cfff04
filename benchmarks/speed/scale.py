"""Epochs and reports from 100,000 to 10,000,000 rows and from 2 to 10,000 groups; a file of 2 GB.

*Time.* Rows of 8 columns, an MLP with one hidden layer of 32, ``EqualLossConstraint``, batches of
4,096. Processor seconds on one thread; contenders are numbers of groups, run turn by turn in one
process; medians over the rounds, and the median of the ratios to two groups within a round. An
epoch is ``partial_fit(..., epochs=1)`` with its checks.

*Memory.* Private memory (RssAnon of /proc/self/status), the most during a step beyond what was held
before it, every 10 ms; each cell in a process of its own, after a run on 2,000 rows that imports
what is imported late. What is freed goes back to the system at once
(``MALLOC_MMAP_THRESHOLD_=1000000``).

*Audit.* 100,000,000 rows in parts of 100,000, made as they are asked for; the seconds that it takes
to make them, known from a hundredth of them, are taken off.

*File.* 2,000,000 rows of 256 single-precision numbers in a `numpy.memmap`: fit, prune with
fine-tuning, predict, report and curve, all of the process's private memory with Python and torch.

Run ``python -m benchmarks.speed.scale``: cells that are in ``scale.csv`` are not run again.
"""

from __future__ import annotations

import gc
import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lib.harness import Cell
from benchmarks.lib.study import options, run_study
from benchmarks.lib.timing import alone, memory, seconds
from benchmarks.lib.training import named, of_one_epoch
from benchmarks.speed.scale_page import write_page
from sk_prunefair import EqualLossConstraint, FairnessReport, FairPrunedClassifier, pruning_curve

GROUPS = (2, 50, 500, 10_000)
PART_ROWS = 100_000
CELLS = [
    {"part": "time", "rows": 100_000, "groups": 0},
    {"part": "file", "rows": 2_000_000, "groups": 4},
    *({"part": "memory", "rows": rows, "groups": 2} for rows in (100_000, 1_000_000)),
    {"part": "time", "rows": 1_000_000, "groups": 0},
    *({"part": "memory", "rows": 1_000_000, "groups": groups} for groups in (500, 10_000)),
    {"part": "audit", "rows": 100_000_000, "groups": 500},
    {"part": "time", "rows": 10_000_000, "groups": 0},
    {"part": "memory", "rows": 10_000_000, "groups": 2},
]


def drawn(n_rows: int, n_groups: int, seed: int = 0) -> dict[str, Any]:
    """Return labels, groups, and what two models predict."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n_rows)
    return {
        "y_true": y,
        "dense_pred": y ^ (rng.random(n_rows) < 0.1),
        "compressed_pred": y ^ (rng.random(n_rows) < 0.12),
        "dense_losses": rng.exponential(0.3, n_rows),
        "compressed_losses": rng.exponential(0.32, n_rows),
        "sensitive_features": rng.integers(0, n_groups, n_rows),
    }


def report_of(rows: dict[str, Any]) -> FairnessReport:
    """Return the report of all rows at once."""
    renamed = {name.replace("compressed", "pruned"): each for name, each in rows.items()}
    return FairnessReport(**renamed)


def parts(n_rows: int, n_groups: int) -> Iterator[dict[str, Any]]:
    """Yield rows that are made as they are asked for."""
    for start in range(0, n_rows, PART_ROWS):
        yield drawn(min(PART_ROWS, n_rows - start), n_groups, seed=start)


def slices(rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield parts of rows that are in memory."""
    for start in range(0, len(rows["y_true"]), PART_ROWS):
        yield {name: each[start : start + PART_ROWS] for name, each in rows.items()}


def make_net(**options: Any) -> FairPrunedClassifier:
    """Return the net of all cells, not fitted."""
    constraint = named(EqualLossConstraint(phase="before"))
    given: dict[str, Any] = {"module__hidden": (32,), "batch_size": 4096, "callbacks": constraint}
    return of_one_epoch(**given | options)


def times(n_rows: int, _: int) -> list[dict[str, Any]]:
    """Return the seconds of each step by number of groups, turn by turn, and sizes."""
    X = np.random.default_rng(1).standard_normal((n_rows, 8), dtype=np.float32)
    report_of(drawn(1000, 2)).to_html()
    nets: dict[int, FairPrunedClassifier] = {}
    found = []
    for turn, groups in itertools.product(range(3 if n_rows <= 1_000_000 else 1), GROUPS):
        rows = drawn(n_rows, groups)
        y, s = rows["y_true"], rows["sensitive_features"]
        if groups not in nets:
            nets[groups] = make_net(max_epochs=0).fit(X, y, sensitive_features=s)
        report = report_of(rows)
        steps: dict[str, Callable[[], Any]] = {
            "epoch": partial(nets[groups].partial_fit, X, y, sensitive_features=s, epochs=1),
            "report": lambda rows=rows: report_of(rows).to_frame(),
            "text": partial(str, report),
            "parts": lambda rows=rows: FairnessReport.from_parts(slices(rows)).to_frame(),
        }
        if turn == 0:
            steps["json"] = partial(report.to_json, samples=False)
            if n_rows <= 100_000:
                steps["page"] = report.to_html
        values = {step: collected_seconds(work) for step, work in steps.items()}
        if turn == 0:
            values["text_bytes"] = len(str(report))
        if "page" in steps:
            values["page_bytes"] = len(report.to_html().encode())
        told = {"turn": turn, "n_groups": groups}
        found += [told | {"step": step, "value": value} for step, value in values.items()]
    return found


def collected_seconds(work: Callable[[], Any]) -> float:
    """Return the processor time of a call, once the garbage is collected."""
    gc.collect()
    return seconds(work)


def private() -> float:
    """Return the megabytes that are this process's alone."""
    return memory("RssAnon") / 2**20


def most(work: Callable[[], Any]) -> float:
    """Return the most private memory during a call."""
    found, done = [private()], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            found.append(private())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(*found, private())


def peaks(n_rows: int, n_groups: int) -> list[dict[str, Any]]:
    """Return the megabytes that each step takes beyond what was there before."""

    def steps(n_rows: int) -> Iterator[tuple[str, Callable[[], Any]]]:
        rows = drawn(n_rows, n_groups)
        X = np.ones((n_rows, 8), dtype=np.float32)
        y, s = rows["y_true"], rows["sensitive_features"]
        yield "epoch", lambda: make_net().fit(X, y, sensitive_features=s)
        yield "report", lambda: report_of(rows).to_frame()
        yield "parts", lambda: FairnessReport.from_parts(slices(rows)).to_frame()
        yield "stream", lambda: FairnessReport.from_parts(parts(n_rows, n_groups)).to_frame()

    for _, work in steps(max(2000, 2 * n_groups)):
        work()
    found = []
    for step, work in steps(n_rows):
        gc.collect()
        before = private()
        found.append({"n_groups": n_groups, "step": step, "value": most(work) - before})
    return found


def file(n_rows: int, n_groups: int) -> list[dict[str, Any]]:
    """Return the private memory of all that is done with a file of 256 columns."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X"
        with path.open("wb") as stream:
            for start in range(0, n_rows, 10_000):
                size = min(10_000, n_rows - start)
                stream.write(rng.standard_normal((size, 256), dtype=np.float32).tobytes())
        X = np.memmap(path, dtype=np.float32, mode="r", shape=(n_rows, 256))
        y, s = rng.integers(0, 2, n_rows), rng.integers(0, n_groups, n_rows)
        net = make_net(batch_size=1024)
        steps: dict[str, Callable[[], Any]] = {
            "before": lambda: None,
            "fit": lambda: net.fit(X, y, sensitive_features=s, sample_weight=np.ones(n_rows)),
            "prune": lambda: net.prune(0.8, X, y, sensitive_features=s, finetune_epochs=1),
            "predict": lambda: net.predict(X),
            "report": lambda: net.fairness_report(X, y, sensitive_features=s).to_frame(),
            "curve": lambda: pruning_curve(
                net, X, y, sensitive_features=s, rates=[0.5, 0.9], verbose=0
            ),
        }
        return [
            {"n_groups": n_groups, "step": step, "value": most(work)}
            for step, work in steps.items()
        ]


def audit(n_rows: int, n_groups: int) -> list[dict[str, Any]]:
    """Return seconds and all private memory of a report of parts, with what makes the parts."""
    made = collected_seconds(lambda: [None for _ in parts(n_rows // 100, n_groups)]) * 100
    reports: list[FairnessReport] = []
    held: list[float] = []

    def work() -> None:
        held.append(
            most(lambda: reports.append(FairnessReport.from_parts(parts(n_rows, n_groups))))
        )

    found = {"seconds": collected_seconds(work) - made}
    found |= {"private": held[0], "n_samples": reports[0].n_samples}
    found["text"] = collected_seconds(lambda: str(reports[0]))
    return [{"n_groups": n_groups, "step": step, "value": each} for step, each in found.items()]


PARTS = {"time": times, "memory": peaks, "file": file, "audit": audit}


def run_cell(part: str, n_rows: int, n_groups: int) -> list[dict[str, Any]]:
    """Return what a cell measures, in this process."""
    torch.set_num_threads(1)
    return [{"turn": 0} | row for row in PARTS[part](n_rows, n_groups)]


def measure(cell: Cell) -> list[dict[str, Any]]:
    """Return the rows of a cell, run in a process of its own."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "1000000"  # the process reads it as it starts
    return alone(run_cell, *cell.values())


def main(argv: list[str] | None = None) -> None:
    """Run the cells that are missing, and write the page."""
    args = options(__doc__, n_jobs=0, quick="few rows").parse_args(argv)
    todo = [cell | {"rows": 2000} for cell in CELLS[:3]] if args.quick else CELLS
    run_study(__file__, args, todo, measure, write_page)


if __name__ == "__main__":
    main()
