"""Whether zeros in blocks pay on a CPU: torch's products with BSR matrices, beside dense and CSR.

Run ``python -m benchmarks.speed.sparse_blocks``; it rewrites ``sparse_blocks.csv`` in some
minutes. One linear layer of 2048×2048, blocks removed at random; one thread, time of the process,
contenders turn by turn. The line it gives stands in ``sparse.md``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import nn

from benchmarks.lib.study import keep_times, options
from benchmarks.lib.timing import by_round
from sk_prunefair.export._sparse_forms import seconds_of
from sk_prunefair.export.sparse_layers import SparseLinear

BLOCKS = ((1, 4), (8, 8), (16, 16))
RATES = (0.9, 0.95)
BATCHES = (1, 64)

Call = Callable[[torch.Tensor], torch.Tensor]


def thin(size: int, rate: float, block: tuple[int, int]) -> torch.Tensor:
    """Return a square weight from which this share of the blocks was removed."""
    kept = torch.rand(size // block[0], size // block[1]) >= rate
    mask = kept.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    return torch.randn(size, size) / size**0.5 * mask


def contenders(size: int, rate: float) -> dict[str, Call]:
    """Return a call for each way to run a layer: as X → W X."""
    dense = nn.Linear(size, size, bias=False).requires_grad_(False)
    calls: dict[str, Call] = {"dense": dense}
    calls["csr, no blocks"] = SparseLinear(thin(size, rate, (1, 1)), None, 32)
    for block in BLOCKS:
        weight = thin(size, rate, block)
        name = f"{block[0]}×{block[1]}"
        calls[f"csr, {name}"] = SparseLinear(weight, None, 32)
        bsr = weight.to_sparse_bsr(block)
        calls[f"bsr, {name}"] = lambda X, bsr=bsr: (bsr @ X.T).T  # type: ignore[misc]
        calls[f"bsr by linear, {name}"] = lambda X, bsr=bsr: nn.functional.linear(X, bsr)  # type: ignore[misc]
    return calls


def measure(size: int, n_rounds: int) -> list[dict[str, Any]]:
    """Return a row for each contender and round."""
    rows: list[dict[str, Any]] = []
    for rate in RATES:
        for batch in BATCHES:
            torch.manual_seed(0)
            X, calls = torch.randn(batch, size), contenders(size, rate)
            errors = {name: _error(call, X) for name, call in calls.items()}
            works = [name for name, error in errors.items() if error is None]
            seconds = seconds_of([calls[name] for name in works], X, n_rounds)
            cell = {"size": size, "rate": rate, "batch": batch}
            for name, error in errors.items():
                times = [None] if error else seconds[:, works.index(name)]
                rows += [
                    cell | {"contender": name, "round": n, "seconds": each, "error": error}
                    for n, each in enumerate(times)
                ]
    return rows


def _error(call: Call, X: torch.Tensor) -> str | None:
    try:
        call(X)
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


def main(argv: list[str] | None = None) -> None:
    """Measure, write, and print how many times as fast as dense each is."""
    args = options(__doc__, n_jobs=0, rounds=15, quick="a small layer").parse_args(argv)
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = pd.DataFrame(measure(64, 2) if args.quick else measure(2048, args.rounds))
    keep_times(__file__, args, times)
    keys = ["size", "rate", "batch"]
    wide = by_round(times, *keys)
    print(wide.rdiv(wide["dense"], axis=0).groupby(keys).median().T.to_string())
    print(times.dropna(subset="error")[["contender", "error"]].drop_duplicates().to_string())


if __name__ == "__main__":
    main()
