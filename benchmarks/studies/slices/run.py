"""Does `harmed_slices` find what is planted, and nothing where nothing is? Draws of known truth.

No nets: ``page.md`` says what is drawn, and when a slice is *found*. Run ``python -m
benchmarks.studies.slices.run``: some ten minutes on one core; it goes on where it was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import by_hand, write
from benchmarks.lib.study import options, run_study
from sk_prunefair.report.slices import harmed_slices

CHANGED = [0.02, 0.03, 0.04]
DROPS = [0.05, 0.1, 0.2]
SIZES = [2000, 6000, 20_000]
DRAWS, NULL_DRAWS = 100, 200
PAGE = Path(__file__).with_name("page.md")
KINDS = ["a value", "a bound", "an interval", "a bound and a value"]
NULLS = ["alike everywhere", "five points lost everywhere", "a slice where a fifth changes"]


def table(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return features of n rows."""
    columns: dict[str, object] = {f"x{i}": rng.normal(size=n) for i in range(4)}
    columns["age"] = rng.integers(18, 90, size=n)
    hours = rng.gamma(4, 10, size=n).round()
    columns["hours"] = np.where(rng.random(n) < 0.1, np.nan, hours)
    for size in (2, 4, 5, 8):
        shares = rng.dirichlet(np.full(size, 20.0))
        columns[f"c{size}"] = rng.choice(list("abcdefgh")[:size], size=n, p=shares)
    return pd.DataFrame(columns)


def slice_rows(frame: pd.DataFrame, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of a slice of 5 %, at a place drawn at random."""
    n = len(frame)
    place = frame["x0"].rank().to_numpy() / n
    if kind == "a value":
        # A value that is as frequent as the slice shall be, of the feature with eight.
        rows = rng.random(n) < 0.05
        frame.loc[rows, "c8"] = "rare"
        return rows
    if kind == "a bound":
        return place > 0.95 if rng.random() < 0.5 else place <= 0.05
    if kind == "an interval":
        low = rng.uniform(0.1, 0.85)
        return (place > low) & (place <= low + 0.05)
    rows = (frame["c5"] == rng.choice(list("abcde"))).to_numpy()
    # The bound is where 5 % of all rows are on its far side.
    return rows & (place > np.quantile(place[rows], 1 - 0.05 * n / rows.sum()))


def draw_harm(changed: np.ndarray, extra: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 1 for lost, −1 for won and 0 for other rows."""
    u = rng.random(len(changed))
    return np.where(u < changed / 2 + extra, 1, np.where(u > 1 - changed / 2, -1, 0))


def work(cell: Cell) -> list[dict[str, Any]]:
    """Return what is found in one draw."""
    kind, n, changed, drop, seed = cell.values()
    rng = np.random.default_rng([seed, n, round(1000 * changed), round(1000 * drop)])
    frame = table(n, rng)
    shares, extra, rows = np.full(n, changed), np.zeros(n), np.zeros(n, dtype=bool)
    if kind in KINDS:
        rows = slice_rows(frame, kind, rng)
        extra[rows] = drop
    elif kind == NULLS[1]:
        extra[:] = 0.05
    elif kind == NULLS[2]:
        shares[slice_rows(frame, KINDS[3], rng)] = 0.2
    found = harmed_slices(frame, draw_harm(shares, extra, rng), random_state=seed)
    shared = [is_match(frame, rule, rows) for rule in found["rule"]]
    return [{"n_rules": len(found), "found": any(shared)}]


def is_match(frame: pd.DataFrame, rule: str, rows: np.ndarray) -> bool:
    """Return whether a rule and the slice share more than half of their rows."""
    holds = np.ones(len(frame), dtype=bool)
    for condition in rule.split(" and "):
        holds &= condition_rows(frame, condition)
    return bool((holds & rows).sum() > max(holds.sum(), rows.sum()) / 2)


def condition_rows(frame: pd.DataFrame, condition: str) -> np.ndarray:
    """Return where a condition holds, read from its text."""
    for words, is_missing in ((" is missing", True), (" is known", False)):
        if condition.endswith(words):
            return (frame[condition.removesuffix(words)].isna() == is_missing).to_numpy()
    return frame.eval(condition.replace(" = ", " == ")).to_numpy()


def cells(draws: int, null_draws: int) -> list[Cell]:
    """Return all draws."""
    sizes = grid(kind=KINDS[3:], rows=SIZES, changed=[0.03], drop=DROPS, seed=range(draws))
    return [
        *grid(kind=KINDS, rows=[6000], changed=CHANGED, drop=[0.1], seed=range(draws)),
        *(cell for cell in sizes if (cell["rows"], cell["drop"]) != (6000, 0.1)),
        *grid(kind=NULLS, rows=[6000], changed=[0.03], drop=[0.0], seed=range(null_draws)),
    ]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write a table of what is found where nothing is planted, and two of what is planted."""
    planted, null = rows[rows["kind"].isin(KINDS)], rows[rows["kind"].isin(NULLS)]
    usual = planted[(planted["rows"] == 6000) & (planted["drop"] == 0.1)]
    by_kind = usual.pivot_table(index="kind", columns="changed", values="found", sort=False)
    pairs = planted[(planted["kind"] == KINDS[3]) & (planted["changed"] == 0.03)]
    by_size = pairs.pivot_table(index="rows", columns="drop", values="found")
    false = null.assign(false=null["n_rules"] > 0).groupby("kind", sort=False)["false"]
    false = false.agg(["mean", "size"]).set_axis(["draws with a slice", "draws"], axis=1)
    false["draws"] = false["draws"].map(str)
    extra = (planted["n_rules"] - planted["found"]).clip(lower=0) > 0
    hits = (
        "6,000 rows, of which the slice's 300 lose ten points. Over all of these cells it is found "
        f"in\n{usual['found'].mean():.3f} of {len(usual):,} draws."
    )
    others = (
        f"In {extra.mean():.3f} of all draws with a slice, something is reported that does not "
        "match it."
    )
    parts = [by_hand(PAGE), by_hand(PAGE, "## Nothing planted"), false.to_markdown(floatfmt=".3f")]
    parts += [by_hand(PAGE, "## Share of draws", until="6,000 rows"), hits]
    parts += [by_kind.to_markdown(floatfmt=".2f"), by_hand(PAGE, "## A bound and a value")]
    parts += [by_size.to_markdown(floatfmt=".2f"), others]
    write(path, parts)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    args = options(__doc__, quick="one draw of each cell").parse_args(argv)
    todo = cells(1, 1) if args.quick else cells(DRAWS, NULL_DRAWS)
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
