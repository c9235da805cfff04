"""What measuring batch norm's averages again does to a pruned net that is not fine-tuned.

Run ``python -m benchmarks.studies.recalibration.run`` (half an hour on one core; it takes up again
where it stopped). Rows go to ``rows.csv``, the table to ``page.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import by_hand, write
from benchmarks.lib.study import options, run_study
from benchmarks.lib.training import scores
from benchmarks.studies.pruners.run import trained

RATES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
SEEDS = 3
PAGE = Path(__file__).with_name("page.md")


def work(cell: Cell) -> list[dict[str, Any]]:
    """Prune one net at each rate, by magnitude, with the old averages and with new ones."""
    clf, train, test = trained(cell["task"], cell["seed"])
    clf.set_params(pruner="magnitude")
    rows = []
    for rate in RATES:
        for recalibrate in (False, True):
            # New averages need no labels.
            clf.prune(rate, train.X if recalibrate else None, recalibrate=recalibrate)
            rows.append({"rate": rate, "recalibrated": recalibrate} | scores(clf, test))
    return rows


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write means over seeds, and by how much recalibration changes each of them."""
    parts = [by_hand(PAGE)]
    names = {"accuracy": "accuracy", "worst": "worst group", "gap": "accuracy gap", "xi": "ξ"}
    for task, part in rows.groupby("task", sort=False):
        lines = ["| rate | " + " | ".join(names.values()) + " |", "|---:|" + "---:|" * len(names)]
        means = part.groupby(["rate", "recalibrated"])[list(names)].mean()
        for rate in RATES:
            old, new = means.loc[(rate, False)], means.loc[(rate, True)]
            shown = [f"{old[name]:.3f} → {new[name]:.3f}" for name in names]
            lines.append(f"| {rate} | " + " | ".join(shown) + " |")
        parts += [f"## {task}", "\n".join(lines)]
    write(path, parts)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the table."""
    args = options(__doc__, tasks=("fashion", "faces_race")).parse_args(argv)
    todo = grid(seed=range(SEEDS), task=args.tasks)
    run_study(__file__, args, todo, work, write_table)


if __name__ == "__main__":
    main()
