"""What the constraints cost: the time of a fine-tuning step beside one without any constraint.

Run ``python -m benchmarks.speed.constraint_cost``; it rewrites ``constraint_cost.csv`` and the
table ``constraint_cost.md``. MLP 128-64 on digits (ten groups, the classes) and on 5,000
rows of Adult (ten groups, race × sex). The contenders take turns, several rounds, and medians of
the ratios within a round are reported, because machines are noisy.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import keep_times, options
from benchmarks.lib.tasks import Split, adult_at_once
from benchmarks.lib.timing import as_rows, by_round, in_turns, spread
from benchmarks.lib.training import named, of_one_epoch
from sk_prunefair import (
    AccuracyGapConstraint,
    EqualCurvatureConstraint,
    EqualGradientConstraint,
    EqualLossConstraint,
)
from sk_prunefair.constraints import Constraint
from sk_prunefair.datasets import load_digits

BATCH_SIZE = 128
N_ADULT = 5_000
NO_CONSTRAINT = "no constraint"
EPOCHS, QUICK = {"digits": 4, "adult": 2}, {"digits": 1, "adult": 1}
PAGE = Path(__file__).with_suffix(".md")


def digits() -> Split:
    """Return digits; the class is the group."""
    bunch = load_digits()
    return Split(bunch.data.astype(np.float32), bunch.target, bunch.target)


def adult() -> Split:
    """Return the first rows of Adult; groups are race × sex."""
    return adult_at_once().take(np.arange(N_ADULT))


DATA = {"digits": digits, "adult": adult}


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


def measure(rounds: int, epochs: dict[str, int]) -> pd.DataFrame:
    """Time a fine-tuning of each in turn, all of prune's work included; seconds of a step."""
    tables = []
    for name, load in DATA.items():
        data = load()
        given = {"y": data.y, "sensitive_features": data.group}
        works = {}
        for contender, constraint in contenders().items():
            clf = of_one_epoch(lr=0.05, batch_size=BATCH_SIZE, callbacks=named(constraint))
            clf.fit(data.X, **given)
            more = given | {"finetune_epochs": epochs[name]}
            works[contender] = functools.partial(clf.prune, 0.5, data.X, **more)
        n_steps = epochs[name] * -(-len(data.y) // BATCH_SIZE)
        tables.append(as_rows(in_turns(works, rounds, time.perf_counter) / n_steps, data=name))
    return pd.concat(tables)


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """Return medians over rounds: milliseconds a step, and the ratio to no constraint."""
    by_data = {}
    for name, part in times.groupby("data", sort=False):
        wide = by_round(part)
        found = {each: spread(wide, each, NO_CONSTRAINT) for each in wide}
        told = pd.DataFrame(found).T.rename(columns={"median": "ratio"})
        by_data[name] = told.assign(ms=1000 * wide.median())[["ms", "ratio", "min", "max"]]
    return pd.concat(by_data, axis=1).loc[times["contender"].unique()]


def write_table(times: pd.DataFrame, path: Path) -> None:
    """Write milliseconds a step and ratios."""
    shown = ratios(times).round(2)
    shown.columns = [f"{data}, {name}" for data, name in shown.columns]
    path.write_text(fill(PAGE, [markdown(shown.rename_axis("constraint"))]))


def main(argv: list[str] | None = None) -> None:
    """Measure, write, print."""
    args = options(__doc__, n_jobs=0, rounds=7, quick="two short rounds").parse_args(argv)
    torch.set_num_threads(1)
    rounds, epochs = (2, QUICK) if args.quick else (args.rounds, EPOCHS)
    keep_times(__file__, args, measure(rounds, epochs), write_table)


if __name__ == "__main__":
    main()
