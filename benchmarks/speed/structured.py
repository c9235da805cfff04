"""What a net with half its channels costs: seconds per batch beside the dense net, in two runtimes.

Run ``python -m benchmarks.speed.structured`` (some minutes), or ``--quick`` for a slim net. A
ResNet-18 of width 64 on images of 3×32×32 loses half its channels by magnitude, untrained: the time
does not depend on the weights. The contenders take turns, many rounds, on one thread and on two;
the order changes from round to round. Rows go to ``structured.csv``, ratios to ``structured.md``:
the median of the ratios within a round, and that of each contender's fastest round, since two
threads on cores that others keep busy wait for each other. What removing channels does to groups is
another matter; here is only what it buys.
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch
from torch import nn

from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import keep_times, options
from benchmarks.lib.timing import as_rows, by_round, in_turns
from sk_prunefair.export import to_onnx
from sk_prunefair.modules import ResNet18
from sk_prunefair.pruning.channels import ChannelPruner
from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.shrink import shrink_module

THREADS = (1, 2)
SIZE = 32
PAGE = Path(__file__).with_suffix(".md")
BATCHES = (1, 64)
TARGETS = [
    ("pruned, torch", "dense, torch", 1, 0.45),
    ("pruned, torch", "dense, torch", 64, 0.35),
    ("pruned, ONNX Runtime", "pruned, torch", 1, 1.0),
    ("pruned, ONNX Runtime", "pruned, torch", 64, 1.0),
]
Runner = Callable[[torch.Tensor], object]


def nets(width: int) -> dict[str, nn.Module]:
    """Return a dense net and the one without half of its channels."""
    torch.manual_seed(0)
    dense = ResNet18(10, width=width).eval()
    zeros = torch.zeros(1, dtype=torch.int64)
    data = PruningData([(torch.randn(1, 3, SIZE, SIZE), zeros, zeros)])
    pruned = shrink_module(dense, ChannelPruner().kept(dense, 0.5, data))
    return {"dense": dense, "pruned": pruned.eval()}


def in_onnxruntime(module: nn.Module, folder: str, threads: int) -> Runner:
    """Return a function that runs the net in ONNX Runtime, once its scores are those of torch."""
    path = Path(folder) / "net.onnx"
    X = torch.randn(3, 3, SIZE, SIZE)
    to_onnx(module, path, example=X)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would go on spinning into the turn of the next contender.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])

    def run(X: torch.Tensor) -> object:
        return session.run(None, {"X": X.numpy()})[0]

    with torch.inference_mode():
        np.testing.assert_allclose(run(X), module(X).numpy(), rtol=1e-3, atol=1e-4)
    return run


def contenders(given: dict[str, nn.Module], folder: str, threads: int) -> dict[str, Runner]:
    """Return what is timed, by name."""
    out: dict[str, Runner] = {}
    for name, net in given.items():
        out[f"{name}, torch"] = net
        out[f"{name}, ONNX Runtime"] = in_onnxruntime(net, folder, threads)
    return out


@torch.inference_mode()
def measure(given: dict[str, nn.Module], folder: str, threads: int, rounds: int) -> pd.DataFrame:
    """Time all contenders in turn; one row per batch size, round and contender."""
    torch.set_num_threads(threads)
    runners = contenders(given, folder, threads)
    tables = []
    for batch in BATCHES:
        X = torch.randn(batch, 3, SIZE, SIZE)
        works = {name: functools.partial(run, X) for name, run in runners.items()}
        times = in_turns(works, rounds, time.perf_counter, calls=20 if batch == 1 else 1)
        tables.append(as_rows(times, threads=threads, batch=batch))
    return pd.concat(tables)


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """Return medians of the ratios within a round, and the ratios of the fastest rounds."""
    keys = ["threads", "batch"]
    wide = by_round(times, *keys)
    fastest = wide.groupby(level=keys).min()
    rows = []
    for threads in times["threads"].unique():
        for over, under, batch, target in TARGETS:
            ratio = wide.loc[(threads, batch), over] / wide.loc[(threads, batch), under]
            low, median, high = ratio.quantile([0.25, 0.5, 0.75])
            row = {"threads": threads, "batch": batch, "ratio": f"{over} ÷ {under}"}
            row |= {
                "target": f"≤ {target}",
                "median": median,
                "quartiles": f"{low:.2f}, {high:.2f}",
            }
            best = fastest.loc[(threads, batch)]
            rows.append(row | {"of the fastest": best[over] / best[under]})
    return pd.DataFrame(rows)


def write_page(times: pd.DataFrame, path: Path, machine: str = "") -> None:
    """Write ratios and milliseconds; what is said of the machine of another run is replaced."""
    fastest = times.groupby(["contender", "threads", "batch"], sort=False)["seconds"].min() * 1e3
    milliseconds = fastest.round(2).unstack(["threads", "batch"]).to_markdown()
    text = fill(PAGE, [markdown(ratios(times).round(2)), milliseconds])
    path.write_text(re.sub("The machine has .*", machine, text) if machine else text)


def main(argv: list[str] | None = None) -> None:
    """Measure, write, print."""
    args = options(__doc__, n_jobs=0, quick="three rounds of a slim net").parse_args(argv)
    width, rounds = (8, 3) if args.quick else (64, 25)
    given = nets(width)
    with tempfile.TemporaryDirectory() as folder:
        times = pd.concat([measure(given, folder, threads, rounds) for threads in THREADS])
    machine = (
        f"The machine has {os.cpu_count()} cores, its load over the last quarter of an hour, this "
        f"run included, was {os.getloadavg()[2]:.1f}."
    )
    keep_times(__file__, args, times, functools.partial(write_page, machine=machine))


if __name__ == "__main__":
    main()
