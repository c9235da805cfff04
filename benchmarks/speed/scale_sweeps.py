"""What a sweep costs beside its nets: in series, on processes, threads, Dask and Ray.

One net is pruned at eight rates and fine-tuned for an epoch at each, through joblib's backends with
two workers. The time of the work itself is taken around it, in the worker; what is left of the
processor time of all processes, those of the cluster included, is overhead: sending, scheduling,
waiting. Backends take turns. Also counted: the bytes that are sent, against those of sending the
data with each net. Run ``python -m benchmarks.speed.scale_sweeps [--quick]``: it goes on where it
was stopped, and writes the page of its CSV.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import psutil
import torch
from joblib.externals.loky import get_reusable_executor

from benchmarks.lib.harness import Cell
from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.study import options, run_study
from benchmarks.lib.training import of_one_epoch
from sk_prunefair.selection._nets import make_trial
from sk_prunefair.selection._parallel import Job, run_jobs
from sk_prunefair.selection._shipping import packed

PAGE = Path(__file__).with_suffix(".md")
BACKENDS = ["in series", "loky", "threading", "Dask", "Ray"]
RATES = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
SHAPES = [(5_000, 32), (100_000, 64)]


def timed(trial: Any, rate: float) -> tuple[float, int, float]:
    """Prune, fine-tune and judge one net; return the time of that, the process, and its time."""
    start = time.thread_time()
    trial.pruned(rate, 1, False)
    return time.thread_time() - start, os.getpid(), time.process_time()


def times() -> dict[int, float]:
    """Return the processor time of this process and of all below it, by process."""
    me = psutil.Process()
    found = {}
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            found[process.pid] = sum(process.cpu_times()[:2])
    return found


@functools.lru_cache(maxsize=1)
def make(n_rows: int, n_columns: int) -> Any:
    """Return a net trained for one epoch, with data to judge and to fine-tune it on."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_columns)).astype(np.float32)
    y, groups = (X[:, 0] > 0).astype(int), rng.integers(0, 4, n_rows)
    clf = of_one_epoch(module__hidden=(64, 32), batch_size=256)
    clf.fit(X, y, sensitive_features=groups)
    half = n_rows // 2
    train = X[:half], y[:half], groups[:half]
    return make_trial(clf, X[half:], y[half:], train, finetune_epochs=1)


@contextlib.contextmanager
def started(backend: str) -> Any:
    """Start a backend with two workers."""
    if backend == "Dask":
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster), joblib.parallel_config("dask"):
            yield None
    elif backend == "Ray":
        import ray
        from ray.util.joblib import register_ray

        register_ray()
        with (
            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False),
            joblib.parallel_config("ray", n_jobs=2),
        ):
            yield 2
    else:
        with joblib.parallel_config("threading" if backend == "threading" else "loky"):
            yield 1 if backend == "in series" else 2
        get_reusable_executor().shutdown(wait=True)


def measure(backend: str, n_jobs: int | None, trial: Any, rounds: int) -> list[dict[str, float]]:
    """Return seconds for each sweep: the first also starts the workers, or imports in them."""
    rows = []
    for turn in range(rounds + 1):
        jobs = [Job(f"rate={rate}", trial, (rate,)) for rate in RATES]
        clock, before = time.perf_counter(), times()
        done = list(run_jobs(timed, jobs, n_jobs=n_jobs, desc="", verbose=0))
        seconds = time.perf_counter() - clock
        # Ray's workers are gone by now: what they used is what they said last.
        after = times()
        for _, process, used in done:
            after[process] = max(after.get(process, 0.0), used)
        rows.append(
            {
                "round": turn,
                "clock": seconds,
                "processor": sum(used - before.get(pid, 0.0) for pid, used in after.items()),
                "work": sum(work for work, _, _ in done),
            }
        )
    return rows


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Measure a backend on data of one shape; also the bytes that are sent, once and with each."""
    torch.set_num_threads(1)
    trial = make(cell["rows"], cell["columns"])
    with started(cell["backend"]) as n_jobs:
        found = measure(cell["backend"], n_jobs, trial, 1 if quick else 2)
    once = sum(part.nbytes for part in packed(trial))
    return [{"bytes_once": once, "bytes_each": once * len(RATES)} | row for row in found]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the page of the rows."""
    lines, sizes = [], []
    for (n_rows, n_columns), part in rows.groupby(["rows", "columns"]):
        once, each = part[["bytes_once", "bytes_each"]].iloc[0] / 1e6
        sizes.append(f"{once:.1f} against {each:.0f} MB ({n_rows:,} rows)")
        for backend in BACKENDS:
            mine = part[part.backend == backend]
            beside = mine.processor - mine.work
            is_later = mine["round"] > 0
            work, later = mine.work[is_later].median(), beside[is_later]
            lines.append(
                {
                    "rows × columns": f"{n_rows:,} × {n_columns}",
                    "backend": backend,
                    "work per net, ms": f"{1e3 * work / len(RATES):.0f}",
                    "overhead per net, ms": f"{1e3 * later.median() / len(RATES):.0f}",
                    "least to most": " to ".join(
                        f"{1e3 * value / len(RATES):.0f}" for value in (later.min(), later.max())
                    ),
                    "to start, once, s": f"{max(beside.iloc[0] - later.median(), 0):.1f}",
                }
            )
    table = markdown(pd.DataFrame(lines), disable_numparse=True)
    said = (
        f"What is sent, once against with each net: {'; '.join(sizes)}. On one machine loky maps\n"
        "it into memory, Ray keeps it in its store of objects, and Dask sends it to each worker "
        "once."
    )
    write(path, [by_hand(PAGE), table, said, by_hand(PAGE, "Threads take turns")])


def main(argv: list[str] | None = None) -> None:
    """Run the cells that are missing, and write the page."""
    args = options(__doc__, n_jobs=0, quick="few rows, one sweep").parse_args(argv)
    todo = [
        {"rows": n_rows, "columns": n_columns, "backend": backend}
        for n_rows, n_columns in (SHAPES[:1] if args.quick else SHAPES)
        for backend in BACKENDS
    ]
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
