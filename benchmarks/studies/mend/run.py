"""How many held-out rows, and how strong: the last layer fitted again, alone and after the recipe.

Run ``python -m benchmarks.studies.mend.run`` (minutes on one core; it takes up again where it
stopped). Fashion-MNIST, class = group, a long tail of 20 : 1, pruned to 0.9 and fine-tuned for
three epochs; `mend_head` is given so many validation rows of each class. The setting is chosen on
seed 0 and reported on seed 10. Rows go to ``rows.csv``, the tables to ``page.md``. Data is
looked for in the folder SK_PRUNEFAIR_DATA.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tables import SCORES, mean_and_spread, with_excess
from benchmarks.lib.tasks import TASKS
from benchmarks.lib.training import dense_net, prune, recipe, scores
from sk_prunefair import mend_head

RATE = 0.9
ROWS, STRENGTHS = (100, 300), (0.01, 0.1)
CHOSEN, REPORTED = 0, 10
PAGE = Path(__file__).with_name("page.md")


def work(cell: Cell) -> list[dict[str, Any]]:
    """Train, prune, and mend by every setting from the same pruned net."""
    task = TASKS["fashion"]
    train, valid, test = task.load(cell["seed"])
    given = recipe() if cell["method"] == "recipe" else None
    clf = dense_net(task, (train, test), cell["seed"], given)
    prune(clf, RATE, train)
    before = copy.deepcopy(clf.module_.state_dict())
    out = [{"rows": 0, "strength": 0} | scores(clf, test)]
    for n_rows in ROWS:
        rows = np.concatenate([np.flatnonzero(valid.group == a)[:n_rows] for a in range(10)])
        held_out = valid.take(rows)
        for strength in STRENGTHS:
            clf.module_.load_state_dict(before)
            mend_head(clf, held_out.X, held_out.y, held_out.group, strength=strength)
            out.append({"rows": n_rows, "strength": strength} | scores(clf, test))
    return out


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write means of all settings on the seeds of the choice and on the others."""
    rows = with_excess(rows)
    parts = [by_hand(PAGE)]
    for seed, title in ((CHOSEN, "Chosen on seed"), (REPORTED, "Reported on seed")):
        part = rows[rows["seed"] == seed]
        if part.empty:
            continue
        by_setting = part.groupby(["method", "rows", "strength"], sort=False)[SCORES]
        parts += [f"## {title} {seed}", markdown(mean_and_spread(by_setting))]
    write(path, parts)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the tables."""
    args = options(__doc__).parse_args(argv)
    todo = grid(seed=(CHOSEN, REPORTED), method=("none", "recipe"))
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
