"""What a global magnitude mask costs, beside torch's own pruning.

Run ``python -m benchmarks.speed.masks`` (a minute or two). It measures, for a ResNet-18 and a
ResNet-50 at rates of 0.5, 0.9 and 0.99: the time of ``MagnitudePruner().masks`` ÷ that of
`torch.nn.utils.prune.global_unstructured`, interleaved, the median of several rounds; the peak of
memory beyond what was there before, ÷ that of the weights, in a process of its own; and how many
weights are removed where many tie. It writes ``masks.md``.
"""

from __future__ import annotations

import copy
import functools
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import prune
from tqdm import tqdm

from benchmarks.lib.harness import out_path, page_path
from benchmarks.lib.pages import fill
from benchmarks.lib.study import options
from benchmarks.lib.timing import alone, peak, seconds
from sk_prunefair.modules import ResNet18, ResNet50
from sk_prunefair.pruning import MagnitudePruner, prunable_parameters

NETS = {"ResNet-18": ResNet18, "ResNet-50": ResNet50}
RATES = (0.5, 0.9, 0.99)
ROUNDS = 5
PAGE = Path(__file__).with_suffix(".md")
HEAD = """\
| net | weights | rate | seconds | ÷ torch's | peak memory ÷ weights \
| removed of 16 distinct values (of those due) |
|---|---:|---:|---:|---:|---:|---:|"""


def build(name: str) -> nn.Module:
    """Return a net of full width with random weights."""
    torch.manual_seed(0)
    return NETS[name](n_classes=10)


def torch_masks(net: nn.Module, rate: float) -> None:
    """Prune in place, as torch does."""
    modules = dict(net.named_modules())
    weights = [
        (modules[name.rpartition(".")[0]], "weight") for name in list(prunable_parameters(net))
    ]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=rate)


def medians(name: str, rate: float, rounds: int) -> tuple[float, float]:
    """Return the median seconds of ours and of torch's, which changes a copy of the net."""
    net, ours, theirs = build(name), [], []
    for _ in range(rounds):
        work = functools.partial(MagnitudePruner().masks, net, rate)
        ours.append(seconds(work, time.perf_counter))
        work = functools.partial(torch_masks, copy.deepcopy(net), rate)
        theirs.append(seconds(work, time.perf_counter))
    return statistics.median(ours), statistics.median(theirs)


def peak_ratio(name: str, rate: float) -> float:
    """Return the peak of memory during the masks ÷ the bytes of the weights."""
    net = build(name)
    MagnitudePruner().masks(nn.Linear(10, 10), rate)  # imports and pools
    n_bytes = sum(4 * weight.numel() for weight in prunable_parameters(net).values())
    return peak(lambda: MagnitudePruner().masks(net, rate)) / n_bytes


def removed_under_ties(name: str, rate: float) -> tuple[int, int]:
    """Return how many weights go and how many should, where weights take 16 values."""
    net = build(name)
    for weight in prunable_parameters(net).values():
        weight.data = (weight.data * 100).round().clamp(-8, 7)
    masks = MagnitudePruner().masks(net, rate)
    n_weights = sum(mask.numel() for mask in masks.values())
    return sum(int((~mask).sum()) for mask in masks.values()), round(rate * n_weights)


def row(name: str, rate: float, rounds: int) -> str:
    """Return a row of the table."""
    ours, theirs = medians(name, rate, rounds)
    most = alone(peak_ratio, name, rate)
    removed, due = removed_under_ties(name, rate)
    n_weights = sum(w.numel() for w in prunable_parameters(build(name)).values())
    return (
        f"| {name} | {n_weights:,} | {rate} | {ours:.3f} | {ours / theirs:.3f} | "
        f"{most:.2f} | {removed:,} ({due:,}) |"
    )


def main(argv: list[str] | None = None) -> None:
    """Measure and write the table."""
    args = options(__doc__, n_jobs=0, quick="a ResNet-18, one round").parse_args(argv)
    torch.set_num_threads(1)
    nets, rounds = (["ResNet-18"], 1) if args.quick else (NETS, ROUNDS)
    rows = [row(name, rate, rounds) for name in tqdm(nets, disable=None) for rate in RATES]
    table = "\n".join([HEAD, *rows])
    page_path(out_path(__file__, args.out, args.quick)).write_text(fill(PAGE, [table]))


if __name__ == "__main__":
    main()
