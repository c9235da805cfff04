"""What memory it takes to get a sparse module from a compact file, with and without dense weights.

Run ``python -m benchmarks.speed.sparse_memory``; it rewrites ``sparse_memory.csv`` in a
minute. A net of linear layers 4096×4096, the smallest 0.95 of each layer removed, in a file of
`save_compact`. Each way runs in a process of its own; its peak is what the operating system counts
as resident beyond what stood there once everything was imported. The sentence it gives stands in
``sparse.md``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from sk_prunefair.export import load_compact, load_sparse, save_compact, sparse_module

OUT = Path(__file__).with_suffix(".csv")
MODULE = "benchmarks.speed.sparse_memory"
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


def _resident(key: str) -> int:
    """Return what Linux says of this process: VmRSS is resident now, VmHWM was at the peak."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[key].split()[0])


def peak(path: str, way: str, size: int) -> int:
    """Return the bytes at the peak beyond those before."""
    torch.set_num_threads(1)
    X = torch.zeros(1, size)
    sparse_module(nn.Linear(2, 2), torch.zeros(1, 2))  # imports what is imported late
    before = _resident("VmRSS")
    if way == WAYS[0]:
        sparse_module(load_compact(path, net(size)), X)
    else:
        with torch.device("meta"):
            target = net(size)
        load_sparse(path, target, X)
    return _resident("VmHWM") - before


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small net, nothing written")
    parser.add_argument("--one", nargs=3, help="a file, a way and a size, for one process")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(peak(args.one[0], args.one[1], int(args.one[2]))))
        return
    size, rows = 64 if args.quick else SIZE, list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.zip"
        n_dense = write(path, size)
        for way in WAYS:
            command = [sys.executable, "-m", MODULE, "--one", str(path), way, str(size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told = {"way": way, "bytes_dense": n_dense, "bytes_file": path.stat().st_size}
            rows.append(told | {"bytes_peak": int(done.stdout.splitlines()[-1])})
    if not args.quick:
        pd.DataFrame(rows).to_csv(OUT, index=False)
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    main()
