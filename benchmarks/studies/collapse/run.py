"""Does it ever collapse? Steps from 0.001 to 10, ten groups, groups of one, three and eight rows.

Run ``python -m benchmarks.studies.collapse.run`` (minutes on one core; it takes up again where it
stopped), or ``--quick`` for two settings. Digits, ten classes that are ten groups, a long tail of
20 : 1; of the class 9 so many training rows are kept as ``rows`` says (0: all that the long tail
leaves). Rows go to ``rows.csv``, the table to ``page.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import markdown, wrapped, write
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tasks import TASKS
from benchmarks.lib.training import PRUNERS, Given, dense_net, prune, recipe, scores
from sk_prunefair import EqualLossConstraint

STEPS = (0.001, 0.01, 0.1, 0.5, 1, 10)  # written as the CSV has them
ROWS = (0, 1, 3, 8)
RATES = (0.8, 0.9, 0.95)
SEEDS = (10, 11, 12)
SMALL = 9  # the class that is thinned
METHODS: dict[str, Callable[[float], Given]] = {
    "none": lambda step: None,
    "equal losses": lambda step: EqualLossConstraint(step_size=step),
    "recipe": lambda step: recipe(step_size=step),
}

HEAD = """Made by `python -m benchmarks.studies.collapse.run`: digits, ten classes that are ten
groups, a long tail of 20 to 1, held-out rows, seeds {seeds}, three epochs of fine-tuning at
{rates}. The smallest class has the four training rows that the long tail leaves (*all*), or one,
three or eight (its four, twice). The default step is 0.5. *Least*: the least, of all rates and
seeds, of accuracy less that of no constraint on the same rows and seed; *mean*: its mean. {finite}
With steps of 0.001 and 0.01 hardly anything acts: the least there is what chance makes of a net at
0.95.
"""


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Train on few rows of one class, prune at each rate."""
    task = TASKS["digits"]
    train, _, test = task.load(cell["seed"])
    if cell["rows"]:
        own = np.flatnonzero(train.group == SMALL)
        # Where the long tail has fewer, they come again: a group of eight needs eight.
        rest = np.flatnonzero(train.group != SMALL)
        train = train.take(np.r_[rest, np.resize(own, cell["rows"])])
    params = {"pruner": PRUNERS["digits"]} | ({"max_epochs": 2} if quick else {})
    given = METHODS[cell["method"]](cell["step"])
    clf = dense_net(task, (train, test), cell["seed"], given, **params)
    out = []
    for rate in RATES[:1] if quick else RATES:
        prune(clf, rate, train)
        weights = clf.module_.state_dict().values()
        is_finite = all(bool(weight.isfinite().all()) for weight in weights)
        out.append({"rate": rate, "finite": is_finite} | scores(clf, test))
    return out


def cells() -> list[Cell]:
    """Return all cells; without a constraint, there is no step."""
    todo = grid(seed=SEEDS, rows=ROWS, method=METHODS, step=(0, *STEPS))
    return [cell for cell in todo if (cell["method"] == "none") == (cell["step"] == 0)]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write by how much accuracy is below that of no constraint."""
    keys = ["rows", "seed", "rate"]
    none = rows[rows["method"] == "none"].set_index(keys)["accuracy"]
    ours = rows[rows["method"] != "none"]
    less = ours["accuracy"] - none.loc[ours.set_index(keys).index].to_numpy()
    by_cell = ours.assign(less=less).groupby(["method", "step", "rows"], sort=False)["less"]
    shown = by_cell.min().map("{:+.3f}".format) + " / " + by_cell.mean().map("{:+.3f}".format)
    table = shown.unstack("rows").rename(columns=lambda n: f"{n or 'all'} row{'s' * (n != 1)}")
    said = HEAD.format(
        seeds=", ".join(map(str, rows["seed"].unique())),
        rates=", ".join(map(str, rows["rate"].unique())),
        finite=f"All weights are finite in {int(rows['finite'].sum())} of {len(rows)} nets.",
    )
    write(path, ["# No collapse", wrapped(said), "Least / mean:", markdown(table)])


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the table."""
    args = options(__doc__, quick="two settings, shortly").parse_args(argv)
    todo = cells()
    if args.quick:
        todo = [c for c in todo if c["seed"] == 10 and c["rows"] == 1 and c["step"] in (0, 10)]
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
