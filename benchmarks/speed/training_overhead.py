"""What groups cost in training: our fit against a hand-written loop and against plain skorch.

Run ``python -m benchmarks.speed.training_overhead``; it prints a table and rewrites
``training_overhead.csv`` and ``training_overhead.md``. Adult, MLP 128-64, batches of
256, the equal-loss constraint on race × sex. The contenders take turns, several rounds, and time of
the process is compared within a round, because machines are noisy; a first round warms everything
up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.pages import markdown, wrapped, write
from benchmarks.lib.study import keep_times, options
from benchmarks.lib.tasks import adult_at_once
from benchmarks.lib.timing import as_rows, by_round, in_turns, spread
from benchmarks.lib.training import bare_loop, named
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.modules import MLP

BATCH_SIZE = 256
LR = 0.05
BOUNDS = (-1.0, 4.0)
FACTORS = (0.1, 50.0)
STEP = 0.5
POWER = 8
EPOCHS = 3
SKORCH = {
    "criterion": nn.CrossEntropyLoss,
    "lr": LR,
    "batch_size": BATCH_SIZE,
    "max_epochs": EPOCHS,
    "train_split": None,
    "verbose": 0,
}


def hand_written(X: np.ndarray, y: np.ndarray, group: np.ndarray) -> None:
    """Train the same net with the same constraint in a bare tensor loop."""
    net = MLP(X.shape[1], 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    Xt, yt, gt = torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(group)
    n_groups = int(group.max()) + 1
    sizes = torch.bincount(gt, minlength=n_groups).double()
    shares = sizes / len(y)
    multipliers = torch.zeros(n_groups, dtype=torch.float64)
    first_loss = None
    for _ in range(EPOCHS):
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


def hand_written_without(X: np.ndarray, y: np.ndarray) -> None:
    """Train the same net without any constraint."""
    net = MLP(X.shape[1], 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    bare_loop(net, torch.from_numpy(X), torch.from_numpy(y), BATCH_SIZE, optimizer, EPOCHS)()


def ours(
    X: np.ndarray, y: np.ndarray, group: np.ndarray, constrained: bool = True, **params: Any
) -> None:
    """Train with FairPrunedClassifier."""
    constraint = FirstDefault(step_size=STEP) if constrained else None
    clf = FairPrunedClassifier(MLP, callbacks=named(constraint), **SKORCH | params)
    clf.fit(X, y, sensitive_features=group)


def plain_skorch(X: np.ndarray, y: np.ndarray) -> None:
    """Train with skorch's own classifier, shuffled as ours is."""
    NeuralNetClassifier(
        MLP,
        module__n_features=X.shape[1],
        module__n_classes=2,
        iterator_train__shuffle=True,
        **SKORCH,
    ).fit(X, y)


def measure(rounds: int) -> pd.DataFrame:
    """Time all contenders in turn; one row per round and contender."""
    adult = adult_at_once()
    X, y, race_sex = adult.X, adult.y, adult.group
    rng = np.random.default_rng(0)
    random_groups = {n: rng.integers(0, n, len(y)) for n in (2, 10, 100, 500)}
    contenders: dict[str, Callable[[], None]] = {
        "hand-written loop": lambda: hand_written(X, y, race_sex),
        "ours, equal loss": lambda: ours(X, y, race_sex),
        "ours, no constraint": lambda: ours(X, y, race_sex, constrained=False),
        "ours, set-up": lambda: ours(X, y, race_sex, max_epochs=0),
        "skorch, no constraint": lambda: plain_skorch(X, y),
        "hand-written, no constraint": lambda: hand_written_without(X, y),
        "ours, compiled": lambda: ours(X, y, race_sex, compile=True),
        "ours, bfloat16": lambda: ours(X, y, race_sex, autocast="bfloat16"),
    }
    for n, group in random_groups.items():
        contenders[f"ours, {n} groups"] = functools.partial(ours, X, y, group)
    return as_rows(in_turns(contenders, rounds) / EPOCHS)


TARGETS = (
    ("ours, equal loss", "hand-written loop", 1.1),
    ("ours, equal loss", "skorch, no constraint", 0.7),
    ("ours, equal loss", "ours, no constraint", 1.15),
    ("ours, 500 groups", "ours, 2 groups", 1.1),
)


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """Return medians over rounds of the ratios within a round, with targets."""
    wide = by_round(times)
    return pd.DataFrame(
        {"ratio": f"{over} ÷ {under}"} | spread(wide, over, under) | {"target": target}
        for over, under, target in TARGETS
    )


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
    wide = by_round(times)
    epochs = wide.median()[times["contender"].unique()]
    wide["ours, equal loss, once set up"] = wide["ours, equal loss"] - wide["ours, set-up"]
    found = {pair: spread(wide, *pair) for pair in PAIRS}
    lines = [
        {
            "an epoch of": over,
            "÷ one of": under,
            "median": f"{ratio['median']:.2f}",
            "least to most": f"{ratio['min']:.2f} to {ratio['max']:.2f}",
        }
        for (over, under), ratio in found.items()
    ]
    compiled, half = (found[pair]["median"] for pair in PAIRS[-2:])
    text = (
        "Written by `benchmarks/speed/training_overhead.py` from `training_overhead.csv`: Adult, "
        "MLP 128–64, batches of 256, SGD, equal losses over race × sex or over random groups (the "
        "default before the one of today: all of a group's factor is drawn). *Hand-written* is "
        "the same algorithm in a bare loop over tensors, without any check, callback or history; "
        "what `fit` does once (*set-up*: checks, labels, groups, the net) is shared by three "
        f"epochs, and left out in *once set up*. One thread, {len(wide)} rounds, contenders turn "
        "by turn. The machine was shared and busy: times are of the process, ratios those within a "
        "round, as medians. Milliseconds an epoch: "
    ) + ", ".join(f"{name} {1000 * value:.0f}" for name, value in epochs.items())
    options = (
        "On a CPU and a net this small, an epoch with `compile=True` (inductor, compiled in a "
        f"round before) takes {compiled:.2f} times one without, and one with "
        f'`autocast="bfloat16"` {half:.2f} times one in single precision. Larger nets were not '
        "measured. Inductor needs a C++ compiler; where there is none, "
        '`compile__backend="aot_eager"` runs, and saves no time.'
    )
    table = markdown(pd.DataFrame(lines))
    write(path, ["# What groups cost in training", wrapped(f"{text}."), table, wrapped(options)])


def main(argv: list[str] | None = None) -> None:
    """Measure, write, print."""
    args = options(__doc__, n_jobs=0, rounds=7, quick="one round").parse_args(argv)
    torch.set_num_threads(1)
    keep_times(__file__, args, measure(1 if args.quick else args.rounds), write_page)


if __name__ == "__main__":
    main()
