"""How fast pruned nets run on a CPU: `sparse_module` beside the dense net and other ways.

Run ``python -m benchmarks.speed.sparse``, half an hour on a quiet core; it goes on where it was
stopped. Rows go to ``sparse.csv``, the page to ``sparse.md``. Nets by configuration, weights as
they are initialised, the smallest of each layer removed; the last layer and embeddings stay. One
thread, time of the process, contenders turn by turn; medians of the ratios within a round.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn.utils import prune

from benchmarks.lib.harness import Cell
from benchmarks.lib.study import options, run_study
from benchmarks.lib.timing import seconds
from benchmarks.speed.sparse_page import (
    CASES,
    CHANNELS,
    DENSE,
    FLOAT,
    INT8,
    INT8_MASKED,
    MASKED,
    SPARSE,
    write_page,
)
from sk_prunefair.export import sparse_module, to_onnx
from sk_prunefair.export._sparse_forms import seconds_of
from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.nested import map_tensors, run
from sk_prunefair.pruning import ChannelPruner, PruningData, shrink_module

Net = tuple[nn.Module, Any]
Call = Callable[[Any], Any]
# All ways are measured at this rate, the sparse net beside the masked one at others.
RATE = 0.9
N_ROUNDS, SECONDS = 21, 10.0


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


NETS: dict[str, Callable[[int], Net]] = dict(zip(CASES, (mlp, resnet, bert), strict=True))


def thin(module: nn.Module, rate: float) -> nn.Module:
    """Return a copy without the smallest weights of each layer but the last."""
    module = copy.deepcopy(module).eval()
    layers = [part for part in module.modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
    for layer in layers[:-1]:
        prune.l1_unstructured(layer, "weight", rate)
        prune.remove(layer, "weight")
    return module


def narrow(module: nn.Module, rate: float, X: Any) -> tuple[nn.Module, str]:
    """Return a copy with fewer channels, so that layers between two of these lose this share."""
    few = map_tensors(lambda tensor: tensor[:1], X)
    data = PruningData([(few, torch.zeros(1, dtype=torch.int64), torch.zeros(1))])
    small = shrink_module(module, ChannelPruner().kept(module, 1 - (1 - rate) ** 0.5, data))
    left = sum(p.numel() for p in small.parameters()) / sum(p.numel() for p in module.parameters())
    return small.eval(), f"{left:.0%} of the weights left"


def in_onnx(module: nn.Module, X: Any, path: Path, int8: bool) -> Call:
    """Return a call of ONNX Runtime, one thread; it takes the example it was made with."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    example = map_tensors(lambda tensor: tensor[:2], X)
    told: dict[str, Any] = {}
    if int8:
        # Ranges of random rows: the speed is that of any others.
        rows = map_tensors(lambda t: t[torch.arange(10) % len(t)].numpy(), X)
        told = {"quantize": "int8", "calibration": rows}
    to_onnx(module, path, example, **told)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    named = X if isinstance(X, dict) else {"X": X}
    feed = {each.name: named[each.name].numpy() for each in session.get_inputs()}
    return lambda X: session.run(None, feed)


def contenders(cell: Cell, folder: Path) -> tuple[dict[str, Call], dict[str, str], Any]:
    """Return calls by name, what is to be told of some, and the input."""
    torch.manual_seed(0)
    net, X = NETS[cell["net"]](cell["batch"])
    net = net.eval()
    masked = thin(net, cell["rate"])
    fast = sparse_module(masked, X)
    [chosen] = fast.candidates.loc[fast.candidates["chosen"], "net"]
    forms = Counter(fast.choices["form"]).most_common()
    nets = {MASKED: masked, SPARSE: fast}
    told = {SPARSE: "; ".join([chosen, *(f"{form}: {n}" for form, n in forms)])}
    calls: dict[str, Call] = {}
    if cell["rate"] == RATE:
        nets[DENSE] = net
        nets[CHANNELS], told[CHANNELS] = narrow(net, cell["rate"], X)
        for name, module in ((FLOAT, masked), (INT8, net), (INT8_MASKED, masked)):
            try:
                calls[name] = in_onnx(module, X, folder / f"{name}.onnx", name != FLOAT)
            except (ValueError, RuntimeError) as error:
                told[name] = f"not run: {str(error).splitlines()[0]}"
    calls |= {name: lambda X, each=each: run(each, X) for name, each in nets.items()}  # type: ignore[misc]
    return calls, told, X


def work(cell: Cell) -> list[dict[str, Any]]:
    """Time the contenders of a cell; return a row for each and each round."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        calls, told, X = contenders(cell, Path(folder))
        once = seconds(lambda: calls[MASKED](X))
        rounds = int(min(N_ROUNDS, max(3, SECONDS / once)))
        found = seconds_of(list(calls.values()), X, n_rounds=rounds)
    return [
        {"contender": name, "round": number, "seconds": each, "told": told.get(name, "")}
        for which, name in enumerate(calls)
        for number, each in enumerate(found[:, which])
    ] + [
        {"contender": name, "round": 0, "seconds": np.nan, "told": told[name]}
        for name in told.keys() - calls
    ]


def main(argv: list[str] | None = None) -> None:
    """Measure what is not measured yet, and write the page."""
    args = options(__doc__, n_jobs=0, quick="one net").parse_args(argv)
    todo = [
        {"net": name, "batch": batch, "rate": rate}
        for name, batches in CASES.items()
        for batch, rates in batches.items()
        for rate in rates
    ]
    run_study(__file__, args, todo[:1] if args.quick else todo, work, write_page)


if __name__ == "__main__":
    main()
