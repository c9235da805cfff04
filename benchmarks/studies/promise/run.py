"""Is the promise kept? Draws of held-out data with known truth, and several rules to choose by.

No nets: ``page.md`` says what is drawn, when a draw is *broken* and when it has *power*. Run
``python -m benchmarks.studies.promise.run``: some minutes on one core; it goes on where it was
stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta, binom, norm

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import options, run_study
from sk_prunefair.selection import drop_p_value

PAGE = Path(__file__).with_name("page.md")
MAX_DROP, LEVEL = 0.02, 0.05
DRAWS = 5000
Rule = Callable[[int, int, int], bool]

# Sizes of the groups.
GROUPS = {
    "one group of 30": [30],
    "one group of 300": [300],
    "one group of 3,000": [3000],
    "30, 300 and 3,000": [30, 300, 3000],
    "twelve of 3,000": [3000] * 12,
}
# The true drop at each rate, in all groups, or in the last alone while the others lose nothing:
# then nothing but its own test stands between it and a broken promise.
WHO = ["all", "last"]
DROPS = {
    "just over the bound": [0.0, 0.005, 0.0201, 0.05, 0.2],
    "over from the first rate": [0.0201, 0.0201, 0.021, 0.05, 0.2],
    "just under the bound": [0.0, 0.005, 0.018, 0.05, 0.2],
    "well under the bound": [0.0, 0.001, 0.005, 0.05, 0.2],
}
# What share of its samples any pruning changes for the better.
SHARE_WON = {"few changes": 0.002, "many changes": 0.05}


def ours(n: int, lost: int, won: int) -> bool:
    """Return whether the test of `PruneRateSearchCV` passes."""
    return drop_p_value(n, lost, won, MAX_DROP, LEVEL / 20) <= LEVEL


def naive(n: int, lost: int, won: int) -> bool:
    """Return whether the observed drop is within the bound."""
    return (lost - won) / n <= MAX_DROP


def normal(n: int, lost: int, won: int) -> bool:
    """Return whether the usual normal interval of a paired difference stays below the bound."""
    drop = (lost - won) / n
    spread = np.sqrt(max((lost + won) / n - drop**2, 0) / n)
    return drop + norm.ppf(1 - LEVEL) * spread <= MAX_DROP


def two_intervals(n: int, lost: int, won: int) -> bool:
    """Return whether Clopper-Pearson bounds of the two shares, at half the level each, do."""
    upper = beta.ppf(1 - LEVEL / 2, lost + 1, n - lost) if lost < n else 1.0
    lower = beta.ppf(LEVEL / 2, won, n - won + 1) if won else 0.0
    return upper - lower <= MAX_DROP


def hoeffding_bentkus(n: int, lost: int, won: int) -> bool:
    """Return whether the bound of Learn then Test does, for the change scaled to [0, 1]."""
    mean, bound = (1 + (lost - won) / n) / 2, (1 + MAX_DROP) / 2
    if mean >= bound:
        return False
    bentkus = np.e * binom.cdf(np.ceil(n * mean - 1e-9), n, bound)
    rest = (1 - mean) * np.log((1 - mean) / (1 - bound)) if mean < 1 else 0.0
    hoeffding = np.exp(-n * ((mean * np.log(mean / bound) if mean else 0.0) + rest))
    return min(bentkus, hoeffding) <= LEVEL


def bets(n: int, lost: int, won: int) -> bool:
    """Return whether an even mixture of 40 fixed bets against the drop multiplies by 1 / level."""
    stakes = np.linspace(0.025, 1, 40) / (1 - MAX_DROP)
    with np.errstate(divide="ignore"):
        gains = won * np.log1p(stakes * (1 + MAX_DROP)) + (n - lost - won) * np.log1p(
            stakes * MAX_DROP
        )
        # A stake of everything is lost with the first lost sample; 0 · log 0 is 0.
        losses = lost * np.log1p(-stakes * (1 - MAX_DROP) + 1e-300) if lost else 0.0
    return bool(np.logaddexp.reduce(gains + losses) - np.log(len(stakes)) >= -np.log(LEVEL))


RULES: dict[str, Rule] = {
    "ours: exact, paired": ours,
    "naive: observed drop": naive,
    "normal interval": normal,
    "two exact intervals": two_intervals,
    "Hoeffding-Bentkus": hoeffding_bentkus,
    "mixture of bets": bets,
}


def draw(
    sizes: list[int], drops: list[float], who: str, share_won: float, rng: np.random.Generator
) -> np.ndarray:
    """Return counts of lost and won samples, of shape (draws, groups, rates, 2).

    The rates of a draw are independent of each other, the hardest case for a naive rule.
    """
    counts = np.empty((DRAWS, len(sizes), len(drops), 2), dtype=int)
    for group, size in enumerate(sizes):
        is_hurt = who == "all" or group == len(sizes) - 1
        for rate, drop in enumerate(drops if is_hurt else [0.0] * len(drops)):
            shares = [share_won + drop, share_won, 1 - 2 * share_won - drop]
            counts[:, group, rate] = rng.multinomial(size, shares, size=DRAWS)[:, :2]
    return counts


@functools.cache
def last_passing(rule: Rule, n: int, differ: int) -> int:
    """Return the most lost samples, of those that differ, with which a rule passes; -1 for none."""
    low, high = -1, differ
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if rule(n, middle, differ - middle) else (low, middle - 1)
    return low


def chosen(counts: np.ndarray, sizes: list[int], rule: Rule) -> np.ndarray:
    """Return how many rates, from the smallest on, pass in all groups, for each draw."""
    lost, differ = counts[..., 0], counts.sum(axis=-1)
    passed = np.empty(lost.shape, dtype=bool)
    for group, size in enumerate(sizes):
        values, where = np.unique(differ[:, group], return_inverse=True)
        most = np.array([last_passing(rule, size, int(value)) for value in values])
        passed[:, group] = lost[:, group] <= most[where].reshape(lost[:, group].shape)
    return np.cumprod(passed.all(axis=1), axis=1).sum(axis=1)


def cells() -> list[Cell]:
    """Return all cells; a single group is the last as well."""
    todo = grid(groups=GROUPS, drops=DROPS, whose=WHO, changes=SHARE_WON)
    return [cell for cell in todo if len(GROUPS[cell["groups"]]) > 1 or cell["whose"] == "all"]


def work(cell: Cell) -> list[dict[str, Any]]:
    """Draw, decide by each rule, and count."""
    sizes, true = GROUPS[cell["groups"]], DROPS[cell["drops"]]
    rng = np.random.default_rng([0, cells().index(cell)])
    counts = draw(sizes, true, cell["whose"], SHARE_WON[cell["changes"]], rng)
    n_kept = sum(drop <= MAX_DROP for drop in true)
    rows = []
    for name, rule in RULES.items():
        n_chosen = chosen(counts, sizes, rule)
        power = (n_chosen >= n_kept).mean() if n_kept else np.nan
        row = {"rule": name, "broken": (n_chosen > n_kept).mean(), "power": power}
        rows.append(row | {"refused": (n_chosen == 0).mean()})
    return rows


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the worst of each rule, and two tables of all cells."""
    worst = rows.groupby("rule", sort=False)["broken"].max()
    tables = [worst.rename("largest share of broken draws").to_frame().to_markdown(floatfmt=".3f")]
    # Where nothing is near the bound on its far side, there is nothing to break, and the reverse.
    for value, where in (("broken", "over"), ("power", "under")):
        shown = rows[rows["drops"].str.contains(where)]
        keys = ["groups", "drops", "whose", "changes"]
        table = shown.pivot_table(index=keys, columns="rule", values=value, sort=False)
        tables.append(markdown(table, floatfmt=".3f"))
    path.write_text(fill(PAGE, tables))


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    run_study(__file__, options(__doc__).parse_args(argv), cells(), work, write_page)


if __name__ == "__main__":
    main()
