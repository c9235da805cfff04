"""What groups, reports, channels and sparse forms cost on a GPU, in eight minutes at most.

Run ``python -m benchmarks.speed.gpu`` where there is a CUDA card; it rewrites ``gpu.csv`` and
``gpu.md``. ``--tiny`` runs the same on the CPU in seconds, with small nets and few rows, and writes
``gpu_quick.csv``. What is most asked for comes first; what there was no time for is named.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.lib.harness import out_path
from benchmarks.lib.training import bare_loop, named, of_one_epoch
from benchmarks.speed import gpu_nets as nets
from benchmarks.speed.gpu_bench import SECONDS, Bench
from benchmarks.speed.gpu_page import write_page
from sk_prunefair import EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.modules import MLP

EPOCHS, BATCH = 3, 256
N_FEATURES = 100
WRONG = 0.05  # relative distance from the same weights as zeros, in half precision
# Of a card, a kernel or a package that is not there; too little memory is a RuntimeError.
FAILURES = (RuntimeError, NotImplementedError, ValueError, ImportError)
Row = dict[str, Any]


# ----------------------------------------------------------------------------- training, report


def table(n_rows: int, n_features: int, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random rows, labels that follow from them, and groups."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(np.int64), rng.integers(0, n_groups, n_rows)


def classifier(bench: Bench, constrained: bool = True, **params: Any) -> FairPrunedClassifier:
    """Return an MLP 128–64, with equal losses or without."""
    constraint = named(EqualLossConstraint() if constrained else None)
    given = {"lr": 0.05, "batch_size": BATCH, "device": bench.device, "callbacks": constraint}
    return of_one_epoch(**given | params)


def plain_loop(bench: Bench, X: np.ndarray, y: np.ndarray, where: str) -> Callable[[], None]:
    """Return a function that trains some epochs by hand, rows on the CPU or on the device."""
    torch.manual_seed(0)
    net = MLP(X.shape[1], 2).to(bench.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    Xt, yt = torch.from_numpy(X).to(where), torch.from_numpy(y).to(where)
    return bare_loop(net, Xt, yt, BATCH, optimizer, EPOCHS)


def epochs(bench: Bench) -> Iterator[Row]:
    """Time an epoch by hand and ours, with and without groups, turn by turn."""
    n_rows = 600 if bench.tiny else 50_000
    X, y, _ = table(n_rows, N_FEATURES, 2)
    works = {
        "plain loop, rows on the CPU": plain_loop(bench, X, y, "cpu"),
        "plain loop, rows on the card": plain_loop(bench, X, y, bench.device),
    }
    forms: dict[str, tuple[int, dict[str, Any]]] = {
        "ours, no constraint": (2, {"constrained": False}),
        "ours, 2 groups": (2, {}),
        "ours, 500 groups": (500, {}),
        "ours, 500 groups, bfloat16": (500, {"autocast": "bfloat16"}),
    }
    for name, (n_groups, params) in forms.items():
        group = np.arange(n_rows) % n_groups
        clf = classifier(bench, **params).fit(X, y, sensitive_features=group)

        def ours(clf: Any = clf, group: Any = group) -> None:
            clf.partial_fit(X, y, sensitive_features=group, epochs=EPOCHS)

        works[name] = ours
    for work in works.values():
        work()
    n_batches = EPOCHS * -(-n_rows // BATCH)
    told = {
        form: {"mb": bench.megabytes(work), "waits": bench.waits(work) / n_batches}
        for form, work in works.items()
    }
    for number, (form, work) in itertools.product(range(bench.rounds), works.items()):
        seconds = bench.seconds(work) / EPOCHS
        yield told[form] | {"form": form, "batch": BATCH, "round": number, "seconds": seconds}


def reports(bench: Bench, n_rows: int, n_groups: int) -> Iterator[Row]:
    """Time predictions and the report over many rows."""
    X, y, group = table(n_rows, 20, n_groups)
    few = slice(0, 20_000)
    clf = classifier(bench, constrained=False)
    clf.fit(X[few], y[few], sensitive_features=group[few]).prune(0.5)
    clf.set_params(batch_size=8192)
    works = {
        "predict": lambda: clf.predict(X),
        "report": lambda: clf.fairness_report(X, y, sensitive_features=group).excessive_risk,
    }
    told = {form: {"mb": bench.megabytes(work)} for form, work in works.items()}
    for number, (form, work) in itertools.product(range(bench.rounds), works.items()):
        seconds = bench.seconds(work)
        yield told[form] | {"form": form, "batch": 8192, "round": number, "seconds": seconds}


# ------------------------------------------------------------------------------------ inference


def in_turns(
    bench: Bench, works: dict[str, Callable[[], Any]], weights: dict[str, float] | None = None
) -> Iterator[Row]:
    """Time forms turn by turn, each for long enough that a clock can tell."""
    calls, told = {}, {}
    for form, work in works.items():
        work()
        told[form] = {"mb": bench.megabytes(work) + (weights or {}).get(form, 0.0)}
        once = bench.device_seconds(work, 2)
        calls[form] = int(np.clip(0.05 / max(once, 1e-6), 1, 3 if bench.tiny else 100))
    for number, (form, work) in itertools.product(range(bench.rounds), works.items()):
        seconds = bench.device_seconds(work, calls[form])
        yield told[form] | {"form": form, "round": number, "seconds": seconds}


class Forms:
    """The nets, dense and without half of their channels, each made once for all batches."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.made: dict[str, dict[str, nn.Module]] = {}
        self.notes: dict[str, list[str]] = {}

    def of(self, name: str) -> dict[str, nn.Module]:
        """Return the forms of a net in single precision."""
        if name not in self.made:
            kind, tiny = nets.NETS[name], self.bench.tiny
            torch.manual_seed(0)
            self.made[name] = {"dense": kind.make(tiny).eval()}
            self.notes[name] = []
            try:
                fewer = nets.without_channels(
                    self.made[name]["dense"], kind.draw(2, tiny), self.bench.device
                )
                self.made[name]["half of the channels"] = fewer
            except FAILURES as error:
                self.notes[name] = [f"no channels removed: {first_line(error)}"]
        return self.made[name]

    def measure(self, name: str, dtype: torch.dtype, batch: int) -> list[Row]:
        """Time a net dense, without half of its channels, and with 2:4 in its linear layers."""
        bench, weights, works = self.bench, {}, {}
        X = nets.placed(nets.NETS[name].draw(batch, bench.tiny), bench.device, dtype)
        with torch.no_grad():
            for form, net in self.of(name).items():
                own, weights[form] = bench.placed(
                    lambda net=net: copy.deepcopy(net).to(bench.device, dtype)
                )
                works[form] = lambda own=own: nets.scores(own, X)
                if form == "dense":
                    dense = own
            notes = list(self.notes[name])
            if bench.is_cuda:
                try:
                    sparse, weights["2:4"] = bench.placed(lambda: nets.semi_structured(dense))
                    off = nets.distance(
                        nets.scores(sparse, X), nets.scores(nets.with_zeros(dense), X)
                    )
                    works["2:4"] = lambda: nets.scores(sparse, X)
                    notes += [] if off < WRONG else [f"2:4 is wrong by {off:.2g}"]
                except FAILURES as error:
                    notes.append(f"no 2:4: {first_line(error)}")
            else:
                notes.append("2:4 needs CUDA")
            return [row | {"note": "; ".join(notes)} for row in in_turns(bench, works, weights)]


def first_line(error: Exception) -> str:
    """Return what an error says first."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@torch.no_grad()
def csr_forms(bench: Bench, rate: float, dtype: torch.dtype, batch: int) -> list[Row]:
    """Time a linear layer of BERT-base dense and as CSR."""
    n_out, n_in, n_tokens = (64, 32, 4) if bench.tiny else (3072, 768, 128)
    torch.manual_seed(0)
    weight = torch.randn(n_out, n_in)
    weight[weight.abs() <= weight.abs().flatten().kthvalue(int(rate * weight.numel())).values] = 0
    weight = weight.to(bench.device, dtype)
    X = torch.randn(n_in, n_tokens * batch).to(bench.device, dtype)
    csr = weight.to_sparse_csr()
    off = nets.distance(csr @ X, weight @ X)
    note = "" if off < WRONG else f"CSR is wrong by {off:.2g}"
    works = {"dense": lambda: weight @ X, "CSR": lambda: csr @ X}
    return [row | {"note": note} for row in in_turns(bench, works)]


# ----------------------------------------------------------------------------------------- cells

Cell = tuple[Row, Callable[[], Any]]


def cells(bench: Bench) -> Iterator[Cell]:
    """Yield what is measured, what is most asked for first."""
    yield {"part": "epoch", "case": "MLP 128–64"}, lambda: epochs(bench)
    n_rows, n_groups = (2000, 20) if bench.tiny else (1_000_000, 500)
    told = {"part": "report", "case": f"{n_rows:,} rows × {n_groups} groups"}
    yield told, lambda: reports(bench, n_rows, n_groups)
    dtypes = [torch.bfloat16] if bench.tiny else [torch.bfloat16, torch.float16]
    batches = [2] if bench.tiny else [64, 1, 512]
    forms = Forms(bench)
    for dtype, batch, name in itertools.product(dtypes, batches, nets.NETS):
        told = {"part": "net", "case": name, "dtype": precision(dtype), "batch": batch}
        yield told, lambda n=name, d=dtype, b=batch: forms.measure(n, d, b)
    for dtype, batch, rate in itertools.product([torch.float32, *dtypes], batches, (0.9, 0.95)):
        told = {"part": "CSR", "case": f"{rate:g}", "dtype": precision(dtype), "batch": batch}
        yield told, lambda r=rate, d=dtype, b=batch: csr_forms(bench, r, d, b)


def precision(dtype: torch.dtype) -> str:
    """Return the name of a precision."""
    return str(dtype).removeprefix("torch.")


def measure(bench: Bench, path: Path) -> pd.DataFrame:
    """Go through the cells while there is time; rows are written after each."""
    rows: list[Row] = []
    common = {"card": bench.card, "torch": torch.__version__}
    for told, run in cells(bench):
        if not bench.allows(told["part"]):
            found = [{"note": "left out: no time"}]
        else:
            start = bench.elapsed
            try:
                found = list(run())
            except FAILURES as error:
                found = [{"note": f"failed: {first_line(error)}"}]
            took = bench.elapsed - start
            bench.longest[told["part"]] = max(took, bench.longest.get(told["part"], 0.0))
            if bench.is_cuda:
                torch.cuda.empty_cache()
        rows += [common | told | row for row in found]
        write_rows(rows, path)
    return pd.read_csv(path)


def write_rows(rows: list[Row], path: Path) -> None:
    """Write all rows, each with all columns."""
    columns = ["card", "torch", "part", "case", "dtype", "batch", "form", "round", "seconds"]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "mb", "waits", "note"])
    table.to_csv(path, index=False, float_format="%.5g")


def main(argv: list[str] | None = None) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="small nets and few rows, on the CPU")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no cell begins later")
    parser.add_argument("--out", type=Path, help="the CSV; the page goes beside it")
    args = parser.parse_args(argv)
    if not (args.tiny or torch.cuda.is_available()):
        parser.error("there is no CUDA card; --tiny runs on the CPU")
    path = out_path(__file__, args.out, args.tiny)
    device = "cpu" if args.tiny else "cuda"
    torch.backends.cudnn.benchmark = True  # all sizes come again and again
    bench = Bench(device, args.tiny, args.seconds, rounds=2 if args.tiny else 5)
    write_page(measure(bench, path), path.with_suffix(".md"))


if __name__ == "__main__":
    main()
