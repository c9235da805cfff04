"""How small a pruned ResNet-18's file is, and how long it takes to load.

Run ``python -m benchmarks.speed.compact`` (half a minute). For random weights pruned by magnitude
at 0.5, 0.9 and 0.99: bytes of the compact file ÷ those of ``torch.save(state_dict)``, and the time
of ``load_compact`` ÷ that of ``load_state_dict(torch.load(..., weights_only=True))``, interleaved,
the median of the rounds' ratios. It writes ``compact.csv`` and ``compact.md``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import keep_times, options
from benchmarks.lib.timing import in_turns
from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import ResNet18
from sk_prunefair.pruning import MagnitudePruner, apply_masks

RATES = (0.5, 0.9, 0.99)
ROUNDS = 15
PAGE = Path(__file__).with_suffix(".md")


def measure(net: nn.Module, rate: float, rounds: int, folder: Path) -> pd.DataFrame:
    """Return sizes and times to load, round by round, of the net, which is pruned in place."""
    apply_masks(net, MagnitudePruner().masks(net, rate))
    plain, compact = folder / "net.pt", folder / "net.zip"
    torch.save(net.state_dict(), plain)
    save_compact(net, compact)
    target = ResNet18(n_classes=10)
    works = {
        "dense_s": lambda: target.load_state_dict(torch.load(plain, weights_only=True)),
        "compact_s": lambda: load_compact(compact, target),
    }
    times = in_turns(works, rounds, time.perf_counter)
    sizes = {"dense_bytes": plain.stat().st_size, "compact_bytes": compact.stat().st_size}
    return times.reset_index().assign(rate=rate, **sizes)


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
    path.write_text(fill(PAGE, [markdown(table)]))


def main(argv: list[str] | None = None) -> None:
    """Measure and write the table."""
    args = options(__doc__, n_jobs=0, quick="two rounds").parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = ResNet18(n_classes=10)
    rounds = 2 if args.quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        times = [measure(net, rate, rounds, Path(folder)) for rate in RATES]
    keep_times(__file__, args, pd.concat(times), write_table)


if __name__ == "__main__":
    main()
