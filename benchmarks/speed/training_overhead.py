"""What groups cost in training: our fit against a hand-written loop and against plain skorch.

Run ``python -m benchmarks.speed.training_overhead``; it prints a table and rewrites
``training_overhead.csv`` and ``training_overhead.md``. Adult, MLP 128-64, batches of
256, the equal-loss constraint on race × sex. The contenders take turns, several rounds, and time of
the process is compared within a round, because machines are noisy; a first round warms everything
up.
"""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNetClassifier
from torch import nn
from tqdm import tqdm

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.tasks import encoder
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_adult
from sk_prunefair.modules import MLP

BATCH_SIZE = 256
LR = 0.05
BOUNDS = (-1.0, 4.0)
FACTORS = (0.1, 50.0)
STEP = 0.5
POWER = 8


def adult() -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Return Adult, encoded and scaled, with race and sex."""
    bunch = load_adult()
    X = encoder().fit_transform(bunch.data).astype(np.float32)
    y = (bunch.target == np.unique(bunch.target)[1]).astype(np.int64)
    return np.ascontiguousarray(X), y, bunch.sensitive_features


def hand_written(X: np.ndarray, y: np.ndarray, group: np.ndarray, epochs: int) -> None:
    """Train the same net with the same constraint in a bare tensor loop."""
    net = MLP(X.shape[1], 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    Xt, yt, gt = torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(group)
    n_groups = int(group.max()) + 1
    sizes = torch.bincount(gt, minlength=n_groups).double()
    shares = sizes / len(y)
    multipliers = torch.zeros(n_groups, dtype=torch.float64)
    first_loss = None
    for _ in range(epochs):
        factors = (1 + multipliers / (n_groups * shares)).clamp(*FACTORS)
        order = draw(factors[gt])
        epoch_losses, average = [], None
        for number, rows in enumerate(order.split(BATCH_SIZE), start=1):
            losses = nn.functional.cross_entropy(net(Xt[rows]), yt[rows], reduction="none")
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            epoch_losses.append(losses.detach())
            with torch.no_grad():
                tensors = list(net.parameters())
                average = average or [tensor.clone() for tensor in tensors]
                torch._foreach_lerp_(average, tensors, (POWER + 1) / (POWER + number))
        seen, losses = gt[order], torch.cat(epoch_losses).double()
        counts = torch.bincount(seen, minlength=n_groups).clamp(min=1)
        means = torch.bincount(seen, losses, minlength=n_groups) / counts
        variances = torch.bincount(seen, (losses - means[seen]) ** 2, minlength=n_groups) / counts
        overall = shares @ means
        first_loss = overall if first_loss is None else first_loss
        distances = means - overall
        noise = (variances / (torch.minimum(counts, sizes) - 1)).sqrt()
        beyond = distances.sign() * (distances.abs() - noise).clamp(min=0)
        step = STEP * beyond / max(overall, first_loss)
        multipliers = (multipliers + step).clamp(*BOUNDS)
    with torch.no_grad():
        torch._foreach_copy_(tensors, average)


def draw(weights: torch.Tensor) -> torch.Tensor:
    """Return as many rows as there are, drawn by weight, systematically along a random order."""
    order = torch.randperm(len(weights))
    marks = weights[order].cumsum(0)
    marks = (marks / marks[-1] * len(order) + torch.rand(1)).floor().long()
    marks[-1] = len(order)
    order = order.repeat_interleave(marks.diff(prepend=torch.zeros(1, dtype=torch.int64)))
    return order[torch.randperm(len(order))]


def hand_written_without(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Train the same net without any constraint in a bare tensor loop."""
    net = MLP(X.shape[1], 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    Xt, yt = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(BATCH_SIZE):
            loss = nn.functional.cross_entropy(net(Xt[rows]), yt[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def ours(
    X: np.ndarray,
    y: np.ndarray,
    group: np.ndarray,
    epochs: int,
    constrained: bool,
    **params: Any,
) -> None:
    """Train with FairPrunedClassifier."""
    callbacks = [("equal_loss", FirstDefault(step_size=STEP))] if constrained else None
    FairPrunedClassifier(MLP, callbacks=callbacks, **skorch_options(epochs) | params).fit(
        X, y, sensitive_features=group
    )


def plain_skorch(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Train with skorch's own classifier, shuffled as ours is."""
    NeuralNetClassifier(
        MLP,
        module__n_features=X.shape[1],
        module__n_classes=2,
        iterator_train__shuffle=True,
        **skorch_options(epochs),
    ).fit(X, y)


def skorch_options(epochs: int) -> dict:
    """Return what both skorch contenders are given."""
    return {
        "criterion": nn.CrossEntropyLoss,
        "lr": LR,
        "batch_size": BATCH_SIZE,
        "max_epochs": epochs,
        "train_split": None,
        "verbose": 0,
    }


def seconds(run: Callable[[], None]) -> float:
    """Return the time of the process in one call: others are busy on the machine."""
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(rounds: int, epochs: int) -> pd.DataFrame:
    """Time all contenders in turn; one row per round and contender."""
    X, y, sensitive = adult()
    race_sex = sensitive.groupby(list(sensitive), observed=True).ngroup().to_numpy(copy=True)
    rng = np.random.default_rng(0)
    random_groups = {n: rng.integers(0, n, len(y)) for n in (2, 10, 100, 500)}
    contenders: dict[str, Callable[[], None]] = {
        "hand-written loop": lambda: hand_written(X, y, race_sex, epochs),
        "ours, equal loss": lambda: ours(X, y, race_sex, epochs, constrained=True),
        "ours, no constraint": lambda: ours(X, y, race_sex, epochs, constrained=False),
        "ours, set-up": lambda: ours(X, y, race_sex, 0, constrained=True),
        "skorch, no constraint": lambda: plain_skorch(X, y, epochs),
        "hand-written, no constraint": lambda: hand_written_without(X, y, epochs),
        "ours, compiled": lambda: ours(X, y, race_sex, epochs, True, compile=True),
        "ours, bfloat16": lambda: ours(X, y, race_sex, epochs, True, autocast="bfloat16"),
    }
    for n, group in random_groups.items():
        contenders[f"ours, {n} groups"] = lambda group=group: ours(X, y, group, epochs, True)
    rows = []
    for number in tqdm(range(-1, rounds), disable=None):
        for name, run in contenders.items():
            took = seconds(run)
            if number >= 0:
                rows.append({"contender": name, "round": number, "seconds": took / epochs})
    return pd.DataFrame(rows)


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """Return medians over rounds of the ratios within a round."""
    wide = times.pivot(index="round", columns="contender", values="seconds")
    pairs = [
        ("ours, equal loss", "hand-written loop", 1.1),
        ("ours, equal loss", "skorch, no constraint", 0.7),
        ("ours, equal loss", "ours, no constraint", 1.15),
        ("ours, 500 groups", "ours, 2 groups", 1.1),
    ]
    return pd.DataFrame(
        {"ratio": f"{over} ÷ {under}"} | spread(wide, over, under) | {"target": target}
        for over, under, target in pairs
    )


def spread(wide: pd.DataFrame, over: str, under: str) -> dict[str, float]:
    """Return median, least and most of a ratio within the rounds."""
    ratio = wide[over] / wide[under]
    return {"median": ratio.median(), "min": ratio.min(), "max": ratio.max()}


PAIRS = (
    ("ours, equal loss", "hand-written loop"),
    ("ours, equal loss, once set up", "hand-written loop"),
    ("ours, no constraint", "hand-written, no constraint"),
    ("ours, equal loss", "ours, no constraint"),
    ("ours, 500 groups", "ours, 2 groups"),
    ("ours, equal loss", "skorch, no constraint"),
    ("ours, compiled", "ours, equal loss"),
    ("ours, bfloat16", "ours, equal loss"),
)


def write_page(times: pd.DataFrame, path: Path) -> None:
    """Write the seconds of an epoch and their ratios."""
    wide = times.pivot(index="round", columns="contender", values="seconds")
    epochs = wide.median()[list(dict.fromkeys(times["contender"]))]
    wide["ours, equal loss, once set up"] = wide["ours, equal loss"] - wide["ours, set-up"]
    lines = []
    for over, under in PAIRS:
        found = spread(wide, over, under)
        told = f"{found['min']:.2f} to {found['max']:.2f}"
        line = {"an epoch of": over, "÷ one of": under, "median": f"{found['median']:.2f}"}
        lines.append(line | {"least to most": told})
    told = ", ".join(f"{name} {1000 * value:.0f}" for name, value in epochs.items())
    text = (
        "Written by `benchmarks/speed/training_overhead.py` from `training_overhead.csv`: "
        "Adult, MLP "
        "128–64, batches of 256, SGD, equal losses over race × sex or over random groups (the "
        "default before the one of today: all of a group's factor is drawn). *Hand-written* is "
        "the same algorithm in a bare loop over tensors, without any check, callback or history; "
        "what `fit` does once (*set-up*: checks, labels, groups, the net) is shared by three "
        f"epochs, and left out in *once set up*. One thread, {len(wide)} rounds, contenders turn "
        "by turn. The machine was shared and busy: times are of the process, ratios those within a "
        "round, as medians. Milliseconds an epoch: "
    )
    compiled, half = (
        f"{spread(wide, name, 'ours, equal loss')['median']:.2f}"
        for name in ("ours, compiled", "ours, bfloat16")
    )
    options = (
        "On a CPU and a net this small, an epoch with `compile=True` (inductor, compiled in a "
        f"round before) takes {compiled} times one without, and one with "
        f'`autocast="bfloat16"` {half} '
        "times one in single precision. Larger nets were not measured. Inductor needs a C++ "
        'compiler; where there is none, `compile__backend="aot_eager"` runs, and saves no time.'
    )
    path.write_text(
        f"# What groups cost in training\n\n{textwrap.fill(text + told + '.', 100)}\n\n"
        f"{pd.DataFrame(lines).to_markdown(index=False)}\n\n{textwrap.fill(options, 100)}\n"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    times = measure(args.rounds, args.epochs)
    path = Path(__file__).with_suffix(".csv")
    times.to_csv(path, index=False, float_format="%.4f")
    write_page(pd.read_csv(path), path.with_suffix(".md"))
    print(times.groupby("contender")["seconds"].median().rename("s per epoch").round(3).to_string())
    print()
    print(ratios(times).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
