"""What a report costs, against one `predict` of the same rows.

Random rows of 20 columns, a small MLP, random losses, groups by name. Each case runs in a process
of its own, on one thread. Seconds are of the processor, the median of several runs where a run is
short. Memory is the peak of the process beyond what it held before: rows, labels and losses.

Run ``python -m benchmarks.speed.report_cost``: it replaces the rows named ``after`` in the CSV
beside it and writes the page. Those named ``before`` are of an older package, whose intervals were
extrapolated from one draw.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.lib.pages import bare_table, by_hand, write
from benchmarks.lib.study import keep_times, options
from benchmarks.lib.timing import alone, peak, seconds
from benchmarks.lib.training import of_one_epoch
from sk_prunefair import FairnessReport

PAGE = Path(__file__).with_suffix(".md")
CASES = [(rows, groups) for rows in (100_000, 1_000_000) for groups in (10, 500)]
STEPS = {
    "predict": "one `predict`",
    "report": "`FairnessReport(...)`",
    "to_frame": "`to_frame()`",
    "text": "`str(report)`",
    "gaps": "`accuracy_gap`, `excessive_risk`",
    "page": "`to_html()`",
    "intervals_20": "report and `to_frame()`, `n_boot=20`",
    "intervals_200": "report and `to_frame()`, `n_boot=200`",
}
SHORT = 0.5  # seconds: shorter steps are repeated


def median_seconds(work: Callable[[], Any], rounds: int = 3) -> float:
    """Return the processor time of a call, the median of several if it is short."""
    times: list[float] = []
    while len(times) < rounds and (not times or times[0] <= 10 * SHORT):
        times.append(seconds(work))
    return statistics.median(times)


def drawn(n_rows: int, n_groups: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Return rows and the arguments of a report."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, n_rows)
    flips = [(rng.random(n_rows) < share).astype(truth.dtype) for share in (0.1, 0.12)]
    names = np.array([f"group {i:03}" for i in range(n_groups)], dtype=object)
    return rng.standard_normal((n_rows, 20), dtype=np.float32), {
        "y_true": truth,
        "dense_pred": truth ^ flips[0],
        "pruned_pred": truth ^ flips[1],
        "dense_losses": rng.exponential(0.3, n_rows),
        "pruned_losses": rng.exponential(0.32, n_rows),
        "sensitive_features": pd.Series(names[rng.integers(0, n_groups, n_rows)], name="group"),
    }


def measure(n_rows: int, n_groups: int) -> dict[str, float]:
    """Return the seconds of each step, and the peak of the memory, of one case."""
    torch.set_num_threads(1)
    X, given = drawn(n_rows, n_groups)
    clf = of_one_epoch(module__hidden=(64, 32), batch_size=1024)
    clf.fit(X[:1024], given["y_true"][:1024])
    small = FairnessReport(**{name: values[:1000] for name, values in given.items()})
    small.to_html()  # what is imported late is imported
    str(small)
    found = {"predict": median_seconds(lambda: clf.predict(X))}
    found["memory_gb"] = peak(lambda: str(FairnessReport(**given))) / 1e9
    found["report"] = median_seconds(lambda: FairnessReport(**given))
    # A report may keep what it was asked once: each step gets one of its own.
    fresh = [FairnessReport(**given) for _ in range(4)]
    steps: list[Callable[[FairnessReport], Any]] = [
        lambda report: report.to_frame(),
        str,
        lambda report: (report.accuracy_gap, report.excessive_risk),
        lambda report: report.to_html(),
    ]
    for step, report, name in zip(steps, fresh, list(STEPS)[2:6], strict=True):
        found[name] = seconds(functools.partial(step, report))
    for n_boot in (20, 200):
        told = given | {"n_boot": n_boot, "ci_quantiles": [0.025, 0.975], "random_state": 0}
        found[f"intervals_{n_boot}"] = seconds(lambda told=told: FairnessReport(**told).to_frame())
    return found


def write_page(table: pd.DataFrame, path: Path) -> None:
    """Write a table for each case."""
    parts = [by_hand(PAGE)]
    for (rows, groups), part in table.groupby(["rows", "groups"], sort=False):
        by_name = part.set_index("name")
        names = [name for name in ("before", "after") if name in by_name.index]
        by_name = by_name.loc[names]
        times = ((by_name["report"] + by_name["to_frame"]) / by_name["predict"]).map(
            "{:.1f}".format
        )
        memory = by_name["memory_gb"].map("{:.2f} GB".format)
        lines = [[words, *by_name[key].map(_rounded)] for key, words in STEPS.items()]
        lines += [["report and `to_frame()` ÷ `predict`", *times]]
        lines += [["peak memory of report and text", *memory]]
        parts += [f"## {rows:,} rows, {groups} groups", bare_table(["", *names], lines)]
    write(path, parts)


def _rounded(value: float) -> str:
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"


def main(argv: list[str] | None = None) -> None:
    """Measure each case in a process of its own, and write the CSV and the page."""
    args = options(__doc__, n_jobs=0, quick="few rows").parse_args(argv)
    cases = [(2000, 10)] if args.quick else CASES
    found = [
        {"name": "after", "rows": n, "groups": k} | alone(measure, n, k)
        for n, k in tqdm(cases, disable=None)
    ]
    table = pd.DataFrame(found)
    if not args.quick:
        known = pd.read_csv(PAGE.with_suffix(".csv"))
        table = pd.concat([known[known["name"] != "after"], table])
    keep_times(__file__, args, table, write_page)


if __name__ == "__main__":
    main()
