"""How may several candidates be tested? Draws of held-out rows with known truth, no nets.

Each of some candidates loses a known share of each group's rows, the more the cheaper it is, up to
a scatter; among those that save as much some break the promise "no group's accuracy drops by more
than 0.02" and others do not. Procedures of `sk_prunefair.selection.decide` take one by the drawn
rows alone; "pareto, training" has an order by other rows, twice as many, on which each candidate
loses half as much, as nets do on rows that they were trained on. A draw is *broken* where what is
taken breaks the promise; *saved* is the share of the cost that is saved, of what knowing the truth
would save.

Run ``python -m benchmarks.studies.decide.procedures`` (minutes on one core). It rewrites the CSV
and the page beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lib.harness import Cell, grid, page_path, run_cells
from benchmarks.lib.pages import fill, markdown
from sk_prunefair.outcome import Outcome
from sk_prunefair.promise import Promise
from sk_prunefair.selection._nets import Run
from sk_prunefair.selection.procedures import HeldOut, OrderRows, decide, split_rows

PAGE = Path(__file__).with_name("page_procedures.md")
MAX_DROP, CONFIDENCE = 0.02, 0.95
DRAWS = 100
N_CANDIDATES = (12,)
GROUPS = {"one of 1,000": [1000], "3 × 1,000": [1000] * 3, "400 and 5 × 2,000": [400] + [2000] * 5}
TRUTHS = ("none breaks it far", "one in two just breaks it", "all just break it", "scattered")
SHARES = (0.15, 0.3, 0.5)
SHARE_WON = 0.01


def drops(truth: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return what each candidate loses, from the dearest to the cheapest."""
    if truth == "all just break it":
        return np.full(n, MAX_DROP + 1e-9)
    if truth == "one in two just breaks it":
        return np.where(np.arange(n) % 2, MAX_DROP + 1e-9, 0.0)
    rising = np.linspace(0.0, 0.04, n)
    return rising if truth == "none breaks it far" else rising * rng.choice([0.2, 1.0, 3.0], n)


def draw(sizes: list[int], lost: np.ndarray, rng: np.random.Generator) -> Any:
    """Return held-out rows and what each candidate does on them, independent of each other."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    truth = np.arange(len(codes)) % 2
    is_right = rng.random(len(codes)) < 0.8
    dense = Outcome(None, np.where(is_right, truth, 1 - truth), truth)
    runs = []
    for drop in lost:
        u = rng.random(len(codes))
        # Of all rows a share is lost and a share won, whatever the accuracy of the dense net.
        turned = np.where(is_right, u < (SHARE_WON + drop) / 0.8, u < SHARE_WON / 0.2)
        right = is_right ^ turned
        runs.append(Run(Outcome(None, np.where(right, truth, 1 - truth), truth)))
    return dense, codes, runs


def one(
    way: tuple[str, Any], seed: int, costs: list[float], drawn: Any, trained: Any, promise: Promise
) -> int | None:
    """Return what a procedure takes."""
    procedure, share = way
    dense, codes, runs = drawn
    order, test = split_rows(codes, 0.0 if share in (None, "training") else share, seed)
    held_out = HeldOut(dense, codes, pd.RangeIndex(codes.max() + 1), [0, 1], order, test)
    others = trained if share == "training" else None
    return decide(procedure, promise, costs, runs, held_out, (), others).best  # type: ignore[arg-type]


def work(cell: Cell, n_draws: int = DRAWS) -> list[dict[str, Any]]:
    """Draw many times, and decide by each procedure."""
    promise = Promise(MAX_DROP, None, 5.0, CONFIDENCE)
    n, sizes = cell["candidates"], GROUPS[cell["groups"]]
    costs = [float(n - i) for i in range(n)]
    ways = [("pareto", share) for share in ("training", *SHARES)]
    ways += [(each, None) for each in ("fixed_sequence", "holm")]
    found: dict[Any, list[tuple[bool, float, bool]]] = {way: [] for way in ways}
    for seed in range(n_draws):
        rng = np.random.default_rng([seed, n, *sizes])
        lost = drops(cell["truth"], n, rng)
        drawn = draw(sizes, lost, rng)
        dense, codes, runs = draw([2 * size for size in sizes], lost / 2, rng)
        trained = OrderRows(dense, runs, codes)
        fine = [costs[i] for i in range(n) if lost[i] <= MAX_DROP]
        could = n + 1 - min(fine) if fine else np.nan
        for way in ways:
            best = one(way, seed, costs, drawn, trained, promise)
            is_broken = best is not None and lost[best] > MAX_DROP
            saved = 0.0 if best is None or is_broken else (n + 1 - costs[best]) / could
            found[way].append((is_broken, saved if fine else np.nan, best is None))
    return [
        {
            "procedure": f"{name}, {share}" if share else name,
            "draws": n_draws,
            "broken": np.mean([each[0] for each in rows]),
            "saved": np.mean([each[1] for each in rows]),
            "nothing": np.mean([each[2] for each in rows]),
        }
        for (name, share), rows in found.items()
    ]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write one table of levels, one of what is saved and one of how often nothing passes."""
    keys = ["truth", "groups", "candidates"]
    tables = []
    for name in ("broken", "saved", "nothing"):
        table = rows.pivot_table(index=keys, columns="procedure", values=name, sort=False)
        means = rows.groupby("procedure", sort=False)[name].agg(["mean", "max"]).T
        tables += [means.to_markdown(floatfmt=".3f"), markdown(table, floatfmt=".3f")]
    path.write_text(fill(PAGE, tables), encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    out = args.out or Path(__file__).with_name("rows_procedures.csv")
    todo = grid(candidates=N_CANDIDATES, groups=GROUPS, truth=TRUTHS)
    write_page(run_cells(todo, work, out), page_path(out))


if __name__ == "__main__":
    main()
