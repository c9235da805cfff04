"""How small a pruned ResNet-18's file is, and how long it takes to load.

Run ``python -m benchmarks.speed.compact`` (half a minute). For random weights pruned by magnitude
at 0.5, 0.9 and 0.99: bytes of the compact file ÷ those of ``torch.save(state_dict)``, and the time
of ``load_compact`` ÷ that of ``load_state_dict(torch.load(..., weights_only=True))``, interleaved,
the median of the rounds' ratios. It writes ``compact.csv`` and ``compact.md``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import ResNet18
from sk_prunefair.pruning import MagnitudePruner, apply_masks

RATES = (0.5, 0.9, 0.99)


def seconds(action: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(net: nn.Module, rate: float, rounds: int, folder: Path) -> list[dict[str, float]]:
    """Return sizes and times to load, round by round, of the net, which is pruned in place."""
    apply_masks(net, MagnitudePruner().masks(net, rate))
    plain, compact = folder / "net.pt", folder / "net.zip"
    torch.save(net.state_dict(), plain)
    save_compact(net, compact)
    target = ResNet18(n_classes=10)
    sizes = {"dense_bytes": plain.stat().st_size, "compact_bytes": compact.stat().st_size}
    rows = []
    for number in range(-1, rounds):
        ours = seconds(lambda: load_compact(compact, target))
        dense = seconds(lambda: target.load_state_dict(torch.load(plain, weights_only=True)))
        rows.append({"rate": rate, "round": number} | sizes | {"dense_s": dense, "compact_s": ours})
    return rows[1:]  # the first warms up


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write sizes and ratios."""
    rows = rows.assign(slower=rows["compact_s"] / rows["dense_s"])
    at = rows.groupby("rate").median()
    table = pd.DataFrame(
        {
            "dense file, MB": (at["dense_bytes"] / 1e6).map("{:.1f}".format),
            "compact file, MB": (at["compact_bytes"] / 1e6).map("{:.2f}".format),
            "÷": (at["compact_bytes"] / at["dense_bytes"]).map("{:.4f}".format),
            "time to load ÷": at["slower"].map("{:.2f}".format),
        }
    )
    path.write_text(
        "# The compact file of a ResNet-18\n\n`benchmarks/speed/compact.py`, random weights, "
        "one thread, "
        f"median of {rows['round'].nunique()} rounds. Targets: 0.10 of the dense file at 0.9, "
        "0.015 at 0.99; loading at most 3 × the dense file's time.\n\n"
        + table.reset_index().to_markdown(index=False)
        + "\n"
    )


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = ResNet18(n_classes=10)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for rate in RATES for row in measure(net, rate, args.rounds, Path(folder))]
    pd.DataFrame(rows).to_csv(args.out, index=False, float_format="%.5g")
    write_table(pd.read_csv(args.out), args.out.with_suffix(".md"))


if __name__ == "__main__":
    main()
