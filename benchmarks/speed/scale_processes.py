"""Training on two processes beside one: speed, what communication takes, exactness.

Run ``python -m benchmarks.speed.scale_processes``; it starts two gloo processes by
``torch.distributed.run``, writes ``scale_processes.csv`` and, from that and from arithmetic, the
page ``scale_processes.md``. Contenders take turns within one launch: the plain classifier on rank 0
while rank 1 waits, the same with half of each batch (what a rank computes), and both ranks
together.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skorch.callbacks import Callback

from benchmarks.lib.harness import out_path, page_path
from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.study import options
from benchmarks.lib.timing import seconds

PAGE = Path(__file__).with_suffix(".md")
N_ROWS, N_FEATURES, N_GROUPS = 8_192, 64, 10
NETS = {"MLP 64": [64], "MLP 512–512": [512, 512], "MLP 1024–1024": [1024, 1024]}
BATCHES = (256, 2048)

# The setting of the arithmetic: nodes with one process each, parameters, rows of a rank's batch.
NODES, PARAMETERS, ROWS, DATA = (1, 10, 100), 25_600_000, 256, 10_000_000
GENERATOR_BYTES = 5_056


class Clock(Callback):
    """Record the time that this process has worked in an epoch, all of its threads."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin."""
        self.begun_ = time.process_time()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record."""
        net.history.record("cpu", time.process_time() - self.begun_)


def data(n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of ten groups; the harder a group, the more its labels are noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    group = rng.integers(N_GROUPS, size=n_rows)
    noise = rng.normal(size=n_rows) * group / 2
    return X, (X[:, 0] + X[:, 1] * X[:, 2] + noise > 0).astype(int), group


def worker(path: Path, rounds: int, n_rows: int, nets: list[str], batches: list[int]) -> None:
    """Measure on one of two processes; rank 0 writes."""
    import torch
    from accelerate import Accelerator, DataLoaderConfiguration
    from torch import distributed, nn

    from sk_prunefair import EqualLossConstraint, FairPrunedClassifier
    from sk_prunefair.distributed import AcceleratedFairPrunedClassifier
    from sk_prunefair.modules import MLP

    torch.set_num_threads(1)
    loader = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(cpu=True, dataloader_config=loader)
    X, y, group = data(n_rows)

    def trained(n_processes: int, hidden: list[int], batch_size: int, rows: slice) -> Any:
        given: dict[str, Any] = {"accelerator": accelerator} if n_processes == 2 else {}
        kind = AcceleratedFairPrunedClassifier if n_processes == 2 else FairPrunedClassifier
        clf = kind(
            MLP,
            module__hidden=hidden,
            criterion=nn.CrossEntropyLoss,
            callbacks=[("equal_loss", EqualLossConstraint()), ("clock", Clock())],
            batch_size=batch_size,
            max_epochs=2,
            lr=0.05,
            train_split=None,
            verbose=0,
            random_state=0,
            **given,
        )
        return clf.fit(X[rows], y[rows], sensitive_features=group[rows])

    def reduction(n_values: int, dtype: torch.dtype) -> float:
        values = torch.ones(n_values, dtype=dtype)
        times = []
        for _ in range(12):
            distributed.barrier()
            times.append(seconds(lambda: distributed.all_reduce(values), time.perf_counter))
        return statistics.median(times)

    rows = []
    for name in nets:
        for batch_size in batches:
            for number in range(rounds):
                alone = half = None
                if accelerator.is_main_process:
                    alone = trained(1, NETS[name], batch_size, slice(None))
                    half = trained(1, NETS[name], batch_size // 2, slice(n_rows // 2))
                distributed.barrier()
                both = trained(2, NETS[name], batch_size, slice(None))
                n_parameters = sum(p.numel() for p in both.module_.parameters())
                gradients = reduction(n_parameters, torch.float32)
                sums = reduction(4 * N_GROUPS, torch.float64)
                if alone is None or half is None:
                    continue
                found, expected = (dict(clf.callbacks_)["equal_loss"] for clf in (both, alone))
                differs = max(
                    float((a - b).detach().abs().max())
                    for a, b in zip(
                        both.module_.parameters(), alone.module_.parameters(), strict=True
                    )
                )
                rows.append(
                    {
                        "net": name,
                        "batch": batch_size,
                        "round": number,
                        "parameters": n_parameters,
                        "steps": alone.history[-1, "train_batch_count"],
                        # Of the second epoch: the first one warms up.
                        "one": alone.history[-1, "dur"],
                        "two": both.history[-1, "dur"],
                        "cpu_one": alone.history[-1, "cpu"],
                        "cpu_half": half.history[-1, "cpu"],
                        "cpu_two": both.history[-1, "cpu"],
                        "all_reduce_gradients": gradients,
                        "all_reduce_sums": sums,
                        "multipliers_differ": float(
                            (found.multipliers_ - expected.multipliers_).abs().max()
                        ),
                        "largest_multiplier": float(expected.multipliers_.abs().max()),
                        "weights_differ": differs,
                    }
                )
    if accelerator.is_main_process:
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4g")
    # A process that ends while the other still listens to it is aborted.
    distributed.barrier()
    distributed.destroy_process_group()


def launch(options: list[str]) -> None:
    """Run `worker` in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "-m", "benchmarks.speed.scale_processes", *options]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table of what was measured."""
    lines = []
    for (net, batch), part in rows.groupby(["net", "batch"], sort=False):
        beyond = (part["cpu_two"] - part["cpu_half"]) / part["cpu_two"]
        reduces = part["steps"] * part["all_reduce_gradients"] + part["all_reduce_sums"]
        lines.append(
            {
                "net": net,
                "batch": f"{batch:,}",
                "parameters": f"{part['parameters'].iloc[0]:,}",
                "one process, s of work": f"{part['cpu_one'].median():.3g}",
                "each of two": f"{part['cpu_two'].median():.3g}",
                "times less": f"{(part['cpu_one'] / part['cpu_two']).median():.2f}",
                "times as fast": f"{(part['one'] / part['two']).median():.2f}",
                "work of communication": f"{beyond.clip(lower=0).median():.0%}",
                "waiting for gradients": f"{(reduces / part['two']).median():.0%}",
                "multipliers differ": f"{part['multipliers_differ'].max():.0e}",
                "weights differ": f"{part['weights_differ'].max():.0e}",
            }
        )
    return pd.DataFrame(lines)


def size(n_bytes: float) -> str:
    """Return a number of bytes for readers."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def collectives() -> pd.DataFrame:
    """Return the table of bytes per collective operation, at a hundred nodes."""
    nodes, steps = NODES[-1], DATA // (NODES[-1] * ROWS)
    reduced, gathered, broadcast = 2 * (nodes - 1) / nodes, (nodes - 1) / nodes, 1.0
    lines = [
        ("gradients", "each step", "any", "4 P", 4 * PARAMETERS, reduced),
        *(
            (
                "sums of the equal-loss constraint",
                "each epoch",
                f"{g:,}",
                "4 · 8 G",
                32 * g,
                reduced,
            )
            for g in (2, 500, 10_000)
        ),
        *(
            ("sums of `violation='absolute'`", "each step", f"{g:,}", "2 · 4 G", 8 * g, reduced)
            for g in (2, 10_000)
        ),
        ("losses of the batches", "each epoch", "any", "4 · steps", 4 * steps, reduced),
        ("outputs of V = 100,000 rows", "each validation", "any", "4 · 10 V", 4e6, gathered),
        ("state of the generator", "each training", "any", "5,056", GENERATOR_BYTES, broadcast),
        ("masks of a plan", "each pruning", "any", "P", PARAMETERS, broadcast),
    ]
    names = ["what", "when", "groups", "bytes", "here", f"sent by each of {nodes}"]
    table = [(*rest, size(n), size(times * n)) for *rest, n, times in lines]
    return pd.DataFrame(table, columns=names)


def groups_per_batch() -> pd.DataFrame:
    """Return the table of what a batch of all nodes holds of a group."""
    lines = []
    for nodes in NODES:
        batch = nodes * ROWS
        for share in (0.01, 0.001, 0.0001):
            rows = batch * share
            lines.append(
                {
                    "nodes": nodes,
                    "rows of a batch": f"{batch:,}",
                    "steps an epoch": f"{math.ceil(DATA / batch):,}",
                    "share of the group": f"{share:.2%}",
                    "its rows in a batch": f"{rows:.3g}",
                    "batches without it": f"{(1 - share) ** batch:.2%}",
                    "draws until two rows": f"× {max(1.0, 2 / rows):.3g}",
                    "equal groups with two rows": f"{batch // 2:,}",
                }
            )
    return pd.DataFrame(lines)


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write what was measured, and two tables of arithmetic."""
    faster = (rows["cpu_one"] / rows["cpu_two"]).groupby([rows["net"], rows["batch"]]).median()
    least, most = faster.idxmin(), faster.idxmax()
    said = (
        f"Two processes pay where a step takes long beside its exchange: {faster[most]:.1f} times "
        f"less work\neach for {most[0]} in batches of {most[1]:,}, and {1 / faster[least]:.1f} "
        f"times *more* for\n{least[0]} in batches of {least[1]:,}. The difference of the weights "
        "is single precision's rounding,\nas a sum over two ranks has another order; in double "
        "precision (`tests/distributed`) both agree to\n1e-12, and ranks among each other agree "
        "bit for bit."
    )
    parts = [by_hand(PAGE), _table(measured(rows)), said]
    parts += [by_hand(PAGE, "## A hundred nodes"), _table(collectives())]
    parts += [by_hand(PAGE, "The constraint is not what limits")]
    parts += [by_hand(PAGE, "## When groups are the limit"), _table(groups_per_batch())]
    write(path, [*parts, by_hand(PAGE, "On the other side")])


def _table(frame: pd.DataFrame) -> str:
    return markdown(frame, stralign="left", disable_numparse=True)


def main(argv: list[str] | None = None) -> None:
    """Measure, and write CSV and page."""
    parser = options(__doc__, n_jobs=0, rounds=7, quick="one net, one round")
    parser.add_argument("--page", action="store_true", help="write the page from the CSV alone")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker and args.quick:
        worker(args.worker, 1, 512, ["MLP 64"], [256])
    elif args.worker:
        worker(args.worker, args.rounds, N_ROWS, list(NETS), list(BATCHES))
    else:
        path = out_path(__file__, args.out, args.quick)
        if not args.page:
            quick = ["--quick"] if args.quick else []
            launch(["--worker", str(path), "--rounds", str(args.rounds), *quick])
        write_page(pd.read_csv(path), page_path(path))


if __name__ == "__main__":
    main()
