"""Whether zeros in blocks pay on a CPU: torch's products with BSR matrices, beside dense and CSR.

Run ``python -m benchmarks.speed.sparse_blocks``; it rewrites ``sparse_blocks.csv`` in some
minutes. One linear layer of 2048×2048, blocks removed at random; one thread, time of the process,
contenders turn by turn. The line it gives stands in ``sparse.md``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from sk_prunefair.export._sparse_forms import seconds_of
from sk_prunefair.export.sparse_layers import SparseLinear

BLOCKS = ((1, 4), (8, 8), (16, 16))
RATES = (0.9, 0.95)
BATCHES = (1, 64)
OUT = Path(__file__).with_suffix(".csv")

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


def gains(times: pd.DataFrame) -> pd.DataFrame:
    """Return how many times as fast as dense each contender is, by rate and batch."""
    keys = ["size", "rate", "batch"]
    wide = times.pivot_table("seconds", [*keys, "round"], "contender", sort=False)
    return wide.rdiv(wide["dense"], axis=0).groupby(keys).median()


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="a small layer, nothing written")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = pd.DataFrame(measure(64, 2) if args.quick else measure(args.size, args.rounds))
    if not args.quick:
        times.to_csv(OUT, index=False, float_format="%.7f")
    print(gains(times).T.to_string())
    print(times.dropna(subset="error")[["contender", "error"]].drop_duplicates().to_string())


if __name__ == "__main__":
    main()
