"""What a report costs, against one `predict` of the same rows.

Random rows of 20 columns, a small MLP, random losses, groups by name. Each case runs in a process
of its own, on one thread. Seconds are of the processor, the median of several runs where a run is
short. Memory is the peak of the process beyond what it held before: rows, labels and losses.

Run ``python -m benchmarks.speed.report_cost``: it replaces the rows named ``after`` in the CSV
beside it and writes the page. ``--name before --draws 1`` with an older package on the path
measures that one; the intervals are then extrapolated from one draw.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sk_prunefair import FairnessReport, FairPrunedClassifier
from sk_prunefair.modules import MLP

HERE = Path(__file__)
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


def seconds(work: Callable[[], Any], rounds: int = 3) -> float:
    """Return the processor time of a call: no other job on the machine counts."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
        if times[0] > 10 * SHORT:
            break
    return float(np.median(times))


def memory(key: str) -> float:
    """Return what Linux says of this process, in gigabytes: VmRSS, or VmHWM for the peak."""
    [line] = [
        each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(key)
    ]
    return int(line.split()[1]) / 1e6


def peak(work: Callable[[], Any]) -> float:
    """Return the gigabytes that a call takes at most, beyond those that were taken before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = memory("VmRSS")
    work()
    return memory("VmHWM") - before


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


def measure(n_rows: int, n_groups: int, draws: int | None) -> dict[str, float]:
    """Return the seconds of each step, and the peak of the memory, of one case."""
    torch.set_num_threads(1)
    X, given = drawn(n_rows, n_groups)
    clf = FairPrunedClassifier(
        MLP,
        criterion=nn.CrossEntropyLoss,
        module__hidden=(64, 32),
        max_epochs=1,
        batch_size=1024,
        verbose=0,
        random_state=0,
    ).fit(X[:1024], given["y_true"][:1024])
    small = FairnessReport(**{name: values[:1000] for name, values in given.items()})
    small.to_html()  # what is imported late is imported
    str(small)
    found = {"predict": seconds(lambda: clf.predict(X))}
    found["memory_gb"] = peak(lambda: str(FairnessReport(**given)))
    found["report"] = seconds(lambda: FairnessReport(**given))
    # A report may keep what it was asked once: each step gets one of its own.
    fresh = [FairnessReport(**given) for _ in range(4)]
    steps: list[Callable[[FairnessReport], Any]] = [
        lambda report: report.to_frame(),
        str,
        lambda report: (report.accuracy_gap, report.excessive_risk),
        lambda report: report.to_html(),
    ]
    for step, report, name in zip(steps, fresh, list(STEPS)[2:6], strict=True):
        found[name] = seconds(lambda step=step, report=report: step(report), rounds=1)
    for n_boot in (20, 200):
        run = n_boot if draws is None else draws
        options = {"n_boot": run, "ci_quantiles": [0.025, 0.975], "random_state": 0}
        took = seconds(lambda options=options: FairnessReport(**given, **options).to_frame(), 1)
        once = found["report"] + found["to_frame"]
        found[f"intervals_{n_boot}"] = once + (took - once) * n_boot / run
    return found


def page(table: pd.DataFrame) -> str:
    """Return the results in Markdown."""
    lines = [
        "# What a report costs",
        "",
        "Processor seconds on one thread, by `benchmarks/speed/report_cost.py`: what they are of",
        "is said there. *Before* is the last state of the package in which each report made",
        "fairlearn's frames over all rows; its intervals are extrapolated from one draw.",
    ]
    for (rows, groups), part in table.groupby(["rows", "groups"], sort=False):
        by_name = part.set_index("name")
        names = [name for name in ("before", "after") if name in by_name.index]
        lines += ["", f"## {rows:,} rows, {groups} groups", "", f"| | {' | '.join(names)} |"]
        lines.append("|---" * (len(names) + 1) + "|")
        for key, words in STEPS.items():
            cells = [_rounded(by_name.loc[name, key]) for name in names]
            lines.append(f"| {words} | {' | '.join(cells)} |")
        both = by_name["report"] + by_name["to_frame"]
        cells = [f"{both[name] / by_name.loc[name, 'predict']:.1f}" for name in names]
        lines.append(f"| report and `to_frame()` ÷ `predict` | {' | '.join(cells)} |")
        cells = [f"{by_name.loc[name, 'memory_gb']:.2f} GB" for name in names]
        lines.append(f"| peak memory of report and text | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _rounded(value: float) -> str:
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"


def main() -> None:
    """Measure each case in a process of its own, and write the CSV and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=("before", "after"), default="after")
    parser.add_argument("--draws", type=int, help="extrapolate intervals from so many draws")
    parser.add_argument("--case", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(pd.DataFrame([measure(*args.case, args.draws)]).to_csv(index=False))
        return
    rows = []
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.speed.report_cost", "--case", *map(str, case)]
        command += ["--draws", str(args.draws)] * (args.draws is not None)
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        found = pd.read_csv(StringIO(ran.stdout)).iloc[0].to_dict()
        rows.append({"name": args.name, "rows": case[0], "groups": case[1]} | found)
        print(rows[-1], flush=True)
    table, path = pd.DataFrame(rows), HERE.with_suffix(".csv")
    if path.exists():
        known = pd.read_csv(path)
        table = pd.concat([known[known["name"] != args.name], table])
    table.to_csv(path, index=False, float_format="%.4g")
    HERE.with_suffix(".md").write_text(page(table), encoding="utf-8")


if __name__ == "__main__":
    main()
