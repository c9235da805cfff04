"""What groups cost in training: our fit against a hand-written loop and against plain skorch.

Run ``python benchmarks/training_overhead.py``; it prints a table and rewrites
``benchmarks/training_overhead.csv``. Adult, MLP 128-64, batches of 256, the equal-loss constraint
on race × sex. The contenders take turns, several rounds, and medians are compared, because machines
are noisy; epochs are timed after a first one that warms everything up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from first_default import FirstDefault
from skorch import NeuralNetClassifier
from tasks import encoder
from torch import nn
from tqdm import tqdm

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


def ours(X: np.ndarray, y: np.ndarray, group: np.ndarray, epochs: int, constrained: bool) -> None:
    """Train with FairPrunedClassifier."""
    callbacks = [("equal_loss", FirstDefault(step_size=STEP))] if constrained else None
    FairPrunedClassifier(MLP, callbacks=callbacks, **skorch_options(epochs)).fit(
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
    """Return the wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


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
        "skorch, no constraint": lambda: plain_skorch(X, y, epochs),
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
        ("ours, equal loss", "hand-written loop", 1.25),
        ("ours, equal loss", "skorch, no constraint", 0.7),
        ("ours, equal loss", "ours, no constraint", 1.15),
        ("ours, 500 groups", "ours, 2 groups", 1.1),
    ]
    rows = []
    for over, under, target in pairs:
        ratio = wide[over] / wide[under]
        rows.append(
            {
                "ratio": f"{over} ÷ {under}",
                "median": ratio.median(),
                "min": ratio.min(),
                "max": ratio.max(),
                "target": target,
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    times = measure(args.rounds, args.epochs)
    times.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.4f")
    print(times.groupby("contender")["seconds"].median().rename("s per epoch").round(3).to_string())
    print()
    print(ratios(times).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
