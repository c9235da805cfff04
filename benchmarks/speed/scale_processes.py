"""Training on two processes beside one: speed, what communication takes, exactness.

Run ``python -m benchmarks.speed.scale_processes``; it starts two gloo processes by
``torch.distributed.run``, writes ``scale_processes.csv`` and, from that and from arithmetic, the
page
``scale_processes.md``. Contenders take turns within one launch: the plain classifier on rank 0
while
rank 1 waits, the same with half of each batch (what a rank computes), and both ranks together.
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

from benchmarks.lib.harness import out_path

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

    def seconds(clf: Any, clock: str) -> float:
        return clf.history[-1, clock]  # the second epoch: the first one warms up

    def reduction(n_values: int, dtype: torch.dtype) -> float:
        values = torch.ones(n_values, dtype=dtype)
        times = []
        for _ in range(12):
            distributed.barrier()
            begun = time.perf_counter()
            distributed.all_reduce(values)
            times.append(time.perf_counter() - begun)
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
                        "one": seconds(alone, "dur"),
                        "two": seconds(both, "dur"),
                        "cpu_one": seconds(alone, "cpu"),
                        "cpu_half": seconds(half, "cpu"),
                        "cpu_two": seconds(both, "cpu"),
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


def launch(path: Path, options: list[str]) -> None:
    """Run `worker` in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "-m", "benchmarks.speed.scale_processes"]
    command += ["--worker", "--out", str(path), *options]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def measured(rows: pd.DataFrame) -> str:
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
    return pd.DataFrame(lines).to_markdown(index=False, stralign="left", disable_numparse=True)


def size(n_bytes: float) -> str:
    """Return a number of bytes for readers."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def collectives() -> str:
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
    return pd.DataFrame(table, columns=names).to_markdown(
        index=False, stralign="left", disable_numparse=True
    )


def groups_per_batch() -> str:
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
    return pd.DataFrame(lines).to_markdown(index=False, stralign="left", disable_numparse=True)


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the page."""
    share = 4 * 8 * 10_000 / (4 * PARAMETERS)
    faster = (rows["cpu_one"] / rows["cpu_two"]).groupby([rows["net"], rows["batch"]]).median()
    least, most = faster.idxmin(), faster.idxmax()
    text = f"""# Several processes

Written by `benchmarks/speed/scale_processes.py` from `scale_processes.csv`: one epoch of the dense
training with `EqualLossConstraint`, {N_ROWS:,} rows, {N_GROUPS} groups, batches of all ranks of the
given size, one process beside two with gloo on one machine of two cores, one thread each. Medians,
and ratios within a round. The machine was shared with others and very busy, some ten processes on
the two cores: so the work of a process is its own time, of all its threads, and "times less" is how
much faster two processes would be on cores of their own, but for waiting. "Times as fast" is by the
clock on the wall, as it was. "Work of communication" is the part of a rank's work that is above
that of one process with half of each batch; "waiting for gradients" is what as many all-reduces of
the gradients' size take by themselves on the wall, which torch partly hides behind the backward
pass. Multipliers and weights are those after two epochs, less those of the plain classifier.

{measured(rows)}

Two processes pay where a step takes long beside its exchange: {faster[most]:.1f} times less work
each for {most[0]} in batches of {most[1]:,}, and {1 / faster[least]:.1f} times *more* for
{least[0]} in batches of {least[1]:,}. The difference of the weights is single precision's rounding,
as a sum over two ranks has another order; in double precision (`tests/distributed`) both agree to
1e-12, and ranks among each other agree bit for bit.

## A hundred nodes, by arithmetic

One process a node, P = {PARAMETERS:,} parameters in single precision, {ROWS} rows a rank, {DATA:,}
rows in all, ten classes. In a ring all-reduce each of R nodes sends 2 (R − 1) / R times the bytes,
with a hundred nodes twice what it is with two; what grows is the latency, of 2 (R − 1) messages one
after the other.

{collectives()}

The constraint is not what limits: with 10,000 groups its sums of an epoch are {share:.1%} of the
gradients of one step. They are sums, so that nothing grows with the number of rows. Of the draws
nothing is sent: every rank draws them itself from the same generator.

## When groups are the limit

What limits is what a batch holds of a group. With R ranks a batch has R times the rows, so a group
that is rare on one process is less rare in a batch of all; `by="auto"` draws a group more often
until it has two rows in the mean, and weights the rest, so draws are needed less the more nodes
there are.

{groups_per_batch()}

On the other side, an epoch has fewer steps, and multipliers move once an epoch: {DATA:,} rows on
{NODES[-1]} nodes are {math.ceil(DATA / (NODES[-1] * ROWS)):,} steps. Where an epoch gets shorter
than some tens of steps, use fewer rows a rank or more epochs. The constraints on derivatives see a
rank's own rows only: with {ROWS} rows a rank, {ROWS // 2} equal groups are as many as have two rows
there, whatever the number of nodes.
"""
    path.write_text(text)


def main(argv: list[str] | None = None) -> None:
    """Measure, and write CSV and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--quick", action="store_true", help="one net, one round")
    parser.add_argument("--page", action="store_true", help="write the page from the CSV alone")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds, args.rows, args.nets, args.batches = 1, 512, ["MLP 64"], [256]
    path = out_path(__file__, args.out, args.quick)
    if args.worker:
        worker(path, args.rounds, args.rows, args.nets, args.batches)
        return
    if not args.page:
        options = ["--rounds", str(args.rounds), "--rows", str(args.rows), "--nets", *args.nets]
        launch(path, [*options, "--batches", *map(str, args.batches)])
    write_page(pd.read_csv(path), path.with_suffix(".md"))


if __name__ == "__main__":
    main()
