"""Does `harmed_slices` find what is planted, and nothing where nothing is? Draws of known truth.

No nets: what two nets get right on the same rows is drawn from known shares. Six numeric features,
one of them with missing values, and four categorical ones of 2, 4, 5 and 8 values. Everywhere some
share of the answers changes, half of them for the better. A planted slice of 5 % of the rows loses
ten points more. It is *found* in a draw where some reported rule shares more than half of its
rows, and of the slice's. Where nothing is planted, any reported rule is false.

Run ``python -m benchmarks.studies.slices.run``: some ten minutes on one core. It rewrites the CSV
and the page beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.lib.harness import out_path, page_path
from sk_prunefair.report.slices import harmed_slices

CHANGED = [0.02, 0.03, 0.04]
DROPS = [0.05, 0.1, 0.2]
SIZES = [2000, 6000, 20_000]
DRAWS, NULL_DRAWS = 100, 200
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


def work(kind: str, n: int, changed: float, drop: float, seed: int) -> dict[str, object]:
    """Return what is found in one draw."""
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
    cell = {"kind": kind, "rows": n, "changed": changed, "drop": drop, "seed": seed}
    return cell | {"n_rules": len(found), "found": any(shared)}


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


def cells(quick: bool) -> list[tuple[str, int, float, float, int]]:
    """Return all draws: kind, rows, share that changes, drop, seed."""
    draws, null_draws = (1, 1) if quick else (DRAWS, NULL_DRAWS)
    listed = [
        (kind, 6000, share, 0.1, s) for kind in KINDS for share in CHANGED for s in range(draws)
    ]
    others = [(n, drop) for n in SIZES for drop in DROPS if (n, drop) != (6000, 0.1)]
    listed += [(KINDS[3], n, 0.03, drop, s) for n, drop in others for s in range(draws)]
    return listed + [(kind, 6000, 0.03, 0.0, s) for kind in NULLS for s in range(null_draws)]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the results as Markdown."""
    planted, null = rows[rows["kind"].isin(KINDS)], rows[rows["kind"].isin(NULLS)]
    usual = planted[(planted["rows"] == 6000) & (planted["drop"] == 0.1)]
    by_kind = usual.pivot_table(index="kind", columns="changed", values="found", sort=False)
    pairs = planted[(planted["kind"] == KINDS[3]) & (planted["changed"] == 0.03)]
    by_size = pairs.pivot_table(index="rows", columns="drop", values="found")
    false = null.assign(false=null["n_rules"] > 0).groupby("kind", sort=False)["false"]
    false = false.agg(["mean", "size"]).set_axis(["draws with a slice", "draws"], axis=1)
    false["draws"] = false["draws"].map(str)
    extra = (planted["n_rules"] - planted["found"]).clip(lower=0) > 0
    intro = "\n\n".join((__doc__ or "").split("\n\n")[:2])
    path.write_text(
        f"""# Are harmed slices found?

Written by `benchmarks/studies/slices/run.py`. {intro}

## Nothing planted, 6,000 rows, 3 % of the answers changed

At most 0.05 of the draws may report a slice.

{false.to_markdown(floatfmt=".3f")}

## Share of draws in which the slice is found, by the share of answers that change anywhere

6,000 rows, of which the slice's 300 lose ten points. Over all of these cells it is found in
{usual["found"].mean():.3f} of {len(usual):,} draws.

{by_kind.to_markdown(floatfmt=".2f")}

## A bound and a value, by the number of rows and the drop

3 % of the answers change anywhere.

{by_size.to_markdown(floatfmt=".2f")}

In {extra.mean():.3f} of all draws with a slice, something is reported that does not match it.
"""
    )


def main(argv: list[str] | None = None) -> None:
    """Draw, search, and write the rows and the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one draw of each cell")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    out = out_path(__file__, options.out, options.quick)
    rows = pd.DataFrame([work(*cell) for cell in tqdm(cells(options.quick), disable=None)])
    rows.to_csv(out, index=False)
    write_page(rows, page_path(out))


if __name__ == "__main__":
    main()
