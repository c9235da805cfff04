"""The page of ``run.py``: ratios and differences to no constraint, against targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.tables import SCORES, mean_and_spread, with_excess

KEYS = ["task", "rate"]
# Data sets in which groups are classes, with a gap that training can close.
GAPS = ("digits", "fashion", "faces_race")
WORSE = {"excess": 1, "xi": 1, "balanced": -1, "accuracy": -1}  # sign of what is worse
PAGE = Path(__file__).with_name("page.md")


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the page."""
    rows = with_excess(rows)
    write(path, [by_hand(PAGE), *_targets(rows), *_cells(rows), *_time(rows)])


def paired(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return, by data set and rate, means of both, and the difference with its standard error."""
    values = rows.set_index([*KEYS, "seed"])
    none = values[values["method"] == "none"][list(WORSE)]
    ours = values[values["method"] == method][list(WORSE)]
    both = none.add_suffix("_none").join(ours, how="inner")
    by_cell = both.groupby(level=KEYS)
    out = by_cell.mean()
    for name in WORSE:
        difference = (both[name] - both[f"{name}_none"]).groupby(level=KEYS)
        out[f"{name}_diff"] = difference.mean()
        out[f"{name}_se"] = difference.std() / np.sqrt(difference.count())
    spread = by_cell["excess_none"].std() / np.sqrt(by_cell["excess_none"].count())
    mean = out["excess_none"]
    is_asked = out.index.get_level_values("task").isin(GAPS)
    out["has_gap"] = is_asked & (mean >= 0.1) & (mean > 2 * spread.fillna(0))
    return out


def verdicts(cells: pd.DataFrame) -> dict[str, str]:
    """Return each target with what was found."""
    gap, rest = cells[cells["has_gap"]], cells[~cells["has_gap"]]
    up_to = gap[gap.index.get_level_values("rate") <= 0.95]
    up_to_90 = gap[gap.index.get_level_values("rate") <= 0.9]
    ratio = (up_to["excess"] / up_to["excess_none"]).median()
    xi = (up_to_90["xi"] / up_to_90["xi_none"]).median()
    below = (up_to["xi"] < up_to["xi_none"]).mean()
    higher = (up_to["balanced"] > up_to["balanced_none"]).mean()
    worse = pd.DataFrame(
        {name: sign * rest[f"{name}_diff"] > rest[f"{name}_se"] for name, sign in WORSE.items()}
    )
    low = rest[rest.index.get_level_values("rate") <= 0.9]
    lower = (low["xi"] < low["xi_none"]).mean()
    n_gap, n_rest = len(up_to), len(rest)
    found = {
        f"excess gap ÷ none's, median of {n_gap} cells with one, to 0.95 (≤ 0.55)": f"{ratio:.2f}",
        f"ξ ÷ none's, median of {len(up_to_90)} of them, to 0.9 (≤ 0.5)": f"{xi:.2f}",
        "ξ below none's, share of them to 0.95 (≥ 0.75)": f"{below:.2f}",
        "group mean above none's, share of them to 0.95 (1)": f"{higher:.2f}",
    }
    for name in WORSE:
        what = f"other cells ({n_rest}): {name} worse by more than a standard error (0)"
        found[what] = str(int(worse[name].sum()))
    found[f"other cells: ξ below none's, share of {len(low)} to 0.9 (≥ 0.75)"] = f"{lower:.2f}"
    return found


def _targets(rows: pd.DataFrame) -> list[str]:
    methods = [name for name in rows["method"].unique() if name != "none"]
    table = pd.DataFrame({name: verdicts(paired(rows, name)) for name in methods})
    n_seeds = rows.groupby("task")["seed"].nunique()
    seeds = ", ".join(f"{task} {n}" for task, n in n_seeds.items())
    return ["## Against the targets", f"Seeds: {seeds}.", table.to_markdown()]


def _cells(rows: pd.DataFrame) -> list[str]:
    parts = ["## All cells"]
    for task, part in rows.groupby("task", sort=False):
        table = mean_and_spread(part.groupby(["rate", "method"], sort=False)[SCORES])
        parts += [f"### {task}", markdown(table.sort_index(level="rate", sort_remaining=False))]
    return parts


def _time(rows: pd.DataFrame) -> list[str]:
    seconds = rows.groupby(["task", "method", "seed"])["seconds"].sum().unstack("method")
    ratios = seconds.div(seconds["none"], axis=0).groupby(level="task").median()
    return [by_hand(PAGE, "## Time"), ratios.to_markdown(floatfmt=".2f")]
