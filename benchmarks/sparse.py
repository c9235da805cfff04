"""How fast nets run at their sparsity on a CPU: `sparse_module` beside the dense net.

Run ``python benchmarks/sparse.py``; it rewrites ``benchmarks/sparse.csv`` and ``sparse.md``, in a
quarter of an hour. Nets by configuration, weights as they are initialised, the smallest of each
layer removed; the last layer and embeddings stay. One thread, time of the process, dense and
sparse turn by turn; medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.utils import prune
from tqdm import tqdm

from sk_prunefair.export import sparse_module
from sk_prunefair.export._sparse_forms import seconds_of
from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.nested import run

MLP_, BERT, RESNET = "MLP 256–2048–2048", "BERT-base", "ResNet-18"
# Net and batch: how many times as fast is asked for, by rate.
CASES: dict[tuple[str, int], dict[float, float | None]] = {
    (MLP_, 1): {0.9: None, 0.95: None, 0.98: None},
    (MLP_, 64): {0.9: 1.5, 0.95: 3, 0.98: 6},
    (MLP_, 1024): {0.9: None, 0.95: None, 0.98: None},
    (RESNET, 1): {0.9: 1.3, 0.95: 1.8, 0.98: None},
    (BERT, 1): {0.9: 1.7, 0.95: 2.8, 0.98: None},
    (BERT, 16): {0.9: 1.3, 0.95: 2},
    (RESNET, 64): {0.9: 1, 0.95: 1, 0.98: 1},
}
OUT = Path(__file__).with_suffix(".csv")

Net = tuple[nn.Module, Any]


def mlp(batch: int) -> Net:
    """Return 256–2048–2048–10 and random rows."""
    return MLP(256, 10, hidden=(2048, 2048)), torch.randn(batch, 256)


def bert(batch: int) -> Net:
    """Return BERT-base for two classes, and 128 random tokens a sample."""
    from transformers import BertConfig, BertForSequenceClassification

    tokens = torch.randint(1, 30_000, (batch, 128))
    X = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return BertForSequenceClassification(BertConfig()), X


def resnet(batch: int) -> Net:
    """Return ResNet-18 for small images, and random images of 32×32."""
    return ResNet18(10), torch.randn(batch, 3, 32, 32)


NETS: dict[str, Callable[[int], Net]] = {
    MLP_: mlp,
    BERT: bert,
    RESNET: resnet,
}


def thin(module: nn.Module, rate: float) -> nn.Module:
    """Return a copy without the smallest weights of each layer but the last."""
    module = copy.deepcopy(module).eval()
    layers = [part for part in module.modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
    for layer in layers[:-1]:
        prune.l1_unstructured(layer, "weight", rate)
        prune.remove(layer, "weight")
    return module


def measure(
    cases: Sequence[tuple[str, int]], n_rounds: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Time nets at every rate; yield a row for each round."""
    for name, batch in tqdm(cases, disable=None):
        torch.manual_seed(0)
        net, X = NETS[name](batch)
        for rate in CASES[name, batch]:
            dense = thin(net, rate)
            fast = sparse_module(dense, X)
            calls = [lambda X, net=net: run(net, X) for net in (dense, fast)]
            start = time.process_time()
            calls[0](X)
            once = time.process_time() - start
            rounds = int(min(n_rounds, max(3, seconds / once)))
            forms = Counter(fast.choices["form"])
            told = "; ".join(f"{form}: {n}" for form, n in forms.most_common())
            for number, (before, after) in enumerate(seconds_of(calls, X, n_rounds=rounds)):
                row = {"net": name, "batch": batch, "rate": rate, "round": number}
                yield row | {"dense": before, "sparse": after, "forms": told}


def table(times: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the rounds, and what was asked for."""
    times = times.assign(gain=times["dense"] / times["sparse"])
    lines = []
    for (name, batch, rate), part in times.groupby(["net", "batch", "rate"], sort=False):
        target = CASES[name, batch][rate]
        lines.append(
            {
                "net": name,
                "batch": batch,
                "rate": rate,
                "rounds": len(part),
                "dense, ms": _milliseconds(part["dense"].median()),
                "sparse, ms": _milliseconds(part["sparse"].median()),
                "times as fast": f"{part['gain'].median():.2f}",
                "least to most": f"{part['gain'].min():.2f} to {part['gain'].max():.2f}",
                "asked for": "–" if target is None else f"{target:g}",
                "layers by form": part["forms"].iloc[0],
            }
        )
    return pd.DataFrame(lines)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"


def write_page(times: pd.DataFrame, path: Path) -> None:
    """Write the table and how it was measured."""
    path.write_text(
        "# Sparse nets on a CPU\n\nWritten by `benchmarks/sparse.py` from `sparse.csv`: the speed "
        "of `sparse_module(net, batch)` beside the same net dense. Nets by configuration "
        "(BERT-base with 128 tokens a sample, ResNet-18 at 32×32), weights as they are "
        "initialised, the smallest of each layer removed but those of the last; float32. One "
        "thread. The machine was shared and busy: times are of the process, not of the clock on "
        "the wall, dense and sparse turn by turn, and the ratio is the median of those within a "
        "round. Other processes still take caches and memory bandwidth.\n\n"
        + table(times).to_markdown(index=False, disable_numparse=True)
        + "\n\nA net that was not faster as a whole stays dense: 1.00 there means that nothing "
        "was gained. Tried and left out: scipy's CSR for one row, as with int32 indices torch's "
        "product of a matrix and a vector was faster; `torch.nn.functional.linear` with a CSR "
        "weight, which was slower than dense at 0.9.\n"
    )


def main() -> None:
    """Measure and write, or write the page again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=10, help="of a net and rate, about")
    parser.add_argument("--quick", action="store_true", help="one net, nothing written")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if args.quick:
            print(table(pd.DataFrame(measure([(MLP_, 1)], 2, 0))).to_string())
            return
        if not args.page:
            for row in measure(list(CASES), args.rounds, args.seconds):
                rows.append(row)
                # At once, as it takes a while and what is measured is not to be lost.
                pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.7f")
    times = pd.read_csv(OUT)
    write_page(times, OUT.with_suffix(".md"))
    print(table(times).to_string())


if __name__ == "__main__":
    main()
