"""Do multipliers that move by fresh rows do less harm? The recipe on COMPAS and Adult at 0.98.

Run ``python -m benchmarks.studies.fresh_rows.run`` (minutes on one core; it takes up again where it
stopped). A fifth of the training rows is held out of all trainings; multipliers move by the losses
of the rest, or by those of that fifth. Seeds 0 to 4, those of choices. Rows go to ``rows.csv``, the
table to ``page.md``. Data is looked for in the folder SK_PRUNEFAIR_DATA.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from skorch.dataset import ValidSplit

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tables import SCORES, mean_and_spread, with_excess
from benchmarks.lib.tasks import TASKS
from benchmarks.lib.training import PRUNERS, dense_net, prune, recipe, scores

RATE = 0.98
SEEDS = range(5)
PAGE = Path(__file__).with_name("page.md")


def work(cell: Cell) -> list[dict[str, Any]]:
    """Train, prune, score."""
    task = TASKS[cell["task"]]
    train, _, test = task.load(cell["seed"])
    source = cell["multipliers"]
    given = None if source == "none" else recipe(multipliers_from=source)
    params = {"train_split": ValidSplit(5, stratified=True), "pruner": PRUNERS[cell["task"]]}
    clf = dense_net(task, (train, test), cell["seed"], given, **params)
    prune(clf, RATE, train)
    return [scores(clf, test)]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the table."""
    rows = with_excess(rows)
    n_seeds = rows.groupby("task")["seed"].nunique().to_dict()
    table = mean_and_spread(rows.groupby(["task", "multipliers"], sort=False)[SCORES])
    seeds = ", ".join(f"{task} {n}" for task, n in n_seeds.items())
    write(path, [by_hand(PAGE, until="Seeds:"), f"Seeds: {seeds}.", markdown(table)])


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the table."""
    args = options(__doc__).parse_args(argv)
    todo = grid(seed=SEEDS, task=("compas", "adult"), multipliers=("none", "train", "valid"))
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
