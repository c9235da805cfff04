"""What the constraints cost: the time of a fine-tuning step beside one without any constraint.

Run ``python -m benchmarks.speed.constraint_cost``; it rewrites ``constraint_cost.csv`` and the
table ``constraint_cost.md``. MLP 128-64 on digits (ten groups, the classes) and on 5,000
rows of Adult (ten groups, race × sex). The contenders take turns, several rounds, and medians of
the ratios within a round are reported, because machines are noisy.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.lib.tasks import encoder
from sk_prunefair import (
    AccuracyGapConstraint,
    EqualCurvatureConstraint,
    EqualGradientConstraint,
    EqualLossConstraint,
    FairPrunedClassifier,
)
from sk_prunefair.constraints import Constraint
from sk_prunefair.datasets import load_adult, load_digits
from sk_prunefair.modules import MLP

BATCH_SIZE = 128
N_ADULT = 5_000
NO_CONSTRAINT = "no constraint"

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def digits() -> Data:
    """Return digits; the class is the group."""
    bunch = load_digits()
    return bunch.data.astype(np.float32), bunch.target, bunch.target


def adult() -> Data:
    """Return the first rows of Adult, encoded and scaled, with race × sex."""
    bunch = load_adult()
    X = encoder().fit_transform(bunch.data)[:N_ADULT].astype(np.float32)
    sensitive = bunch.sensitive_features
    group = sensitive.groupby(list(sensitive), observed=True).ngroup().to_numpy()
    return X, np.asarray(bunch.target)[:N_ADULT], group[:N_ADULT]


def contenders() -> dict[str, Constraint | None]:
    """Return what is compared; the first is what the others are divided by."""
    return {
        NO_CONSTRAINT: None,
        "equal loss": EqualLossConstraint(),
        "accuracy gap": AccuracyGapConstraint(),
        "equal gradient": EqualGradientConstraint(),
        "equal gradient, every step": EqualGradientConstraint(interval=1),
        "equal gradient, all layers": EqualGradientConstraint(layers="all"),
        "equal gradient, all layers, every step": EqualGradientConstraint(layers="all", interval=1),
        "equal gradient, all layers, every step, 4 rows a group": EqualGradientConstraint(
            layers="all", interval=1, max_samples=4
        ),
        "equal curvature": EqualCurvatureConstraint(),
        "equal curvature, every step": EqualCurvatureConstraint(interval=1),
        "equal curvature, all layers": EqualCurvatureConstraint(layers="all"),
        "equal curvature, all layers, every step": EqualCurvatureConstraint(
            layers="all", interval=1
        ),
        "equal curvature, all layers, every step, refreshed each": EqualCurvatureConstraint(
            layers="all", interval=1, refresh=1
        ),
    }


def step_seconds(data: Data, constraint: Constraint | None, epochs: int) -> float:
    """Return the mean time of a fine-tuning step, all of prune's work included."""
    X, y, group = data
    clf = FairPrunedClassifier(
        MLP,
        criterion=nn.CrossEntropyLoss,
        lr=0.05,
        batch_size=BATCH_SIZE,
        max_epochs=1,
        train_split=None,
        verbose=0,
        random_state=0,
        callbacks=None if constraint is None else [("constraint", constraint)],
    )
    clf.fit(X, y, sensitive_features=group)
    start = time.perf_counter()
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=epochs)
    return (time.perf_counter() - start) / sum(clf.history[1:, "train_batch_count"])


def measure(rounds: int, epochs: dict[str, int]) -> pd.DataFrame:
    """Time all contenders in turn; one row per data set, round and contender."""
    data = {"digits": digits(), "adult": adult()}
    rows = []
    for number in tqdm(range(-1, rounds), disable=None):
        for name, given in data.items():
            for contender, constraint in contenders().items():
                # The round before the first warms everything up.
                took = step_seconds(given, constraint, 1 if number < 0 else epochs[name])
                row = {"data": name, "contender": contender, "round": number, "seconds": took}
                if number >= 0:
                    rows.append(row)
    return pd.DataFrame(rows)


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """Return medians over rounds: milliseconds a step, and the ratio to no constraint."""
    wide = times.pivot(index=["data", "round"], columns="contender", values="seconds")
    relative = wide.div(wide[NO_CONSTRAINT], axis=0)
    by_data = {
        (name, column): values
        for name in times["data"].unique()
        for column, values in {
            "ms": 1000 * wide.loc[name].median(),
            "ratio": relative.loc[name].median(),
            "min": relative.loc[name].min(),
            "max": relative.loc[name].max(),
        }.items()
    }
    return pd.DataFrame(by_data).loc[times["contender"].unique()]


def write_table(times: pd.DataFrame, path: Path) -> None:
    """Write milliseconds a step and ratios."""
    shown = ratios(times).round(2)
    shown.columns = [f"{data}, {name}" for data, name in shown.columns]
    path.write_text(
        "# What the constraints cost\n\nWritten by `benchmarks/speed/constraint_cost.py` from "
        "`constraint_cost.csv`: an MLP 128-64, batches of 128, ten groups; milliseconds of a "
        "fine-tuning step on one thread, and the median, the smallest and the largest ratio to a "
        "step without constraint within a round.\n\n"
        + shown.rename_axis("constraint").reset_index().to_markdown(index=False)
        + "\n"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two short rounds, nothing written")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    epochs = {"digits": 1, "adult": 1} if args.quick else {"digits": 4, "adult": 2}
    times = measure(min(args.rounds, 2) if args.quick else args.rounds, epochs)
    if not args.quick:
        out = Path(__file__).with_suffix(".csv")
        times.to_csv(out, index=False, float_format="%.6f")
        write_table(pd.read_csv(out), out.with_suffix(".md"))
    print(ratios(times).round(2).to_string())


if __name__ == "__main__":
    main()
