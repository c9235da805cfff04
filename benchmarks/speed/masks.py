"""What a global magnitude mask costs, beside torch's own pruning.

Run ``python -m benchmarks.speed.masks`` (a minute or two). It measures, for a ResNet-18 and a
ResNet-50 at rates of 0.5, 0.9 and 0.99: the time of ``MagnitudePruner().masks`` ÷ that of
`torch.nn.utils.prune.global_unstructured`, interleaved, the median of several rounds; the peak of
memory beyond what was there before, ÷ that of the weights, in a process of its own; and how many
weights are removed where many tie. It writes ``masks.md``.
"""

from __future__ import annotations

import argparse
import copy
import gc
import multiprocessing
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import prune
from tqdm import tqdm

from sk_prunefair.modules import ResNet18, ResNet50
from sk_prunefair.pruning import MagnitudePruner, prunable_parameters

NETS = {"ResNet-18": ResNet18, "ResNet-50": ResNet50}
RATES = (0.5, 0.9, 0.99)


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


def seconds(name: str, rate: float, rounds: int) -> tuple[float, float]:
    """Return the median seconds of ours and of torch's."""
    net, ours, theirs = build(name), [], []
    for _ in range(rounds):
        start = time.perf_counter()
        MagnitudePruner().masks(net, rate)
        ours.append(time.perf_counter() - start)
        victim = copy.deepcopy(net)
        start = time.perf_counter()
        torch_masks(victim, rate)
        theirs.append(time.perf_counter() - start)
    return statistics.median(ours), statistics.median(theirs)


def peak_ratio(name: str, rate: float) -> float:
    """Return the peak of memory during the masks ÷ the bytes of the weights."""
    net = build(name)
    MagnitudePruner().masks(nn.Linear(10, 10), rate)  # imports and pools
    n_bytes = sum(4 * weight.numel() for weight in prunable_parameters(net).values())
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    before = memory("VmHWM")
    MagnitudePruner().masks(net, rate)
    return (memory("VmHWM") - before) / n_bytes


def memory(field: str) -> int:
    """Return a line of the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field))
    return 1024 * int(line.split()[1])


def removed_under_ties(name: str, rate: float) -> tuple[int, int]:
    """Return how many weights go and how many should, where weights take 16 values."""
    net = build(name)
    for weight in prunable_parameters(net).values():
        weight.data = (weight.data * 100).round().clamp(-8, 7)
    masks = MagnitudePruner().masks(net, rate)
    n_weights = sum(mask.numel() for mask in masks.values())
    return sum(int((~mask).sum()) for mask in masks.values()), round(rate * n_weights)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# Masks for large nets",
        "",
        "`benchmarks/speed/masks.py`, one thread, medians of "
        f"{args.rounds} interleaved rounds. Targets: time ÷ torch's ≤ 0.12, memory ≤ 2 × the "
        "weights, exact counts.",
        "",
        "| net | weights | rate | seconds | ÷ torch's | peak memory ÷ weights | removed of 16 "
        "distinct values (of those due) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    cases = [(name, rate) for name in NETS for rate in RATES]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, rate in tqdm(cases, disable=None):
            ours, theirs = seconds(name, rate, args.rounds)
            peak = pool.apply(peak_ratio, (name, rate))
            removed, due = removed_under_ties(name, rate)
            n_weights = sum(w.numel() for w in prunable_parameters(build(name)).values())
            lines.append(
                f"| {name} | {n_weights:,} | {rate} | {ours:.3f} | {ours / theirs:.3f} | "
                f"{peak:.2f} | {removed:,} ({due:,}) |"
            )
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
