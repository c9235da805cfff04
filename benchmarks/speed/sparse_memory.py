"""What memory it takes to get a sparse module from a compact file, with and without dense weights.

Run ``python -m benchmarks.speed.sparse_memory``; it rewrites ``sparse_memory.csv`` in a
minute. A net of linear layers 4096×4096, the smallest 0.95 of each layer removed, in a file of
`save_compact`. Each way runs in a process of its own; its peak is what the operating system counts
as resident beyond what stood there once everything was imported. The sentence it gives stands in
``sparse.md``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from benchmarks.lib.study import keep_times, options
from benchmarks.lib.timing import alone, peak
from sk_prunefair.export import load_compact, load_sparse, save_compact, sparse_module

RATE, SIZE, DEPTH = 0.95, 4096, 4
WAYS = ("load_compact, then sparse_module", "load_sparse")


def net(size: int) -> nn.Sequential:
    """Return linear layers, of no values where torch's device is meta."""
    return nn.Sequential(*(nn.Linear(size, size) for _ in range(DEPTH)))


def write(path: Path, size: int) -> int:
    """Write a sparse net to a file, and return the bytes of its dense weights."""
    torch.manual_seed(0)
    made = net(size).requires_grad_(False)
    for layer in made:
        weight = layer.weight
        weight.masked_fill_(weight.abs() < weight.abs().max() * RATE, 0)
    save_compact(made, path)
    return sum(p.numel() * p.element_size() for p in made.parameters())


def most(path: Path, way: str, size: int) -> int:
    """Return the bytes at the peak beyond those before, in a process of its own."""
    torch.set_num_threads(1)
    X = torch.zeros(1, size)
    sparse_module(nn.Linear(2, 2), torch.zeros(1, 2))  # imports what is imported late

    def work() -> None:
        if way == WAYS[0]:
            sparse_module(load_compact(path, net(size)), X)
        else:
            with torch.device("meta"):
                target = net(size)
            load_sparse(path, target, X)

    return peak(work)


def main(argv: list[str] | None = None) -> None:
    """Measure, write, print."""
    args = options(__doc__, n_jobs=0, quick="a small net").parse_args(argv)
    size = 64 if args.quick else SIZE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.zip"
        told = {"bytes_dense": write(path, size), "bytes_file": path.stat().st_size}
        rows = [{"way": w} | told | {"bytes_peak": alone(most, path, w, size)} for w in WAYS]
    keep_times(__file__, args, pd.DataFrame(rows))
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    main()
