"""Is the promise kept? Draws of held-out data with known truth, and several rules to choose by.

No nets: what two nets get right on the same samples is drawn from known shares, so that it is known
which rates break the promise "no group's accuracy drops by more than 0.02". Each rule goes through
the rates from small to large and stops before the first that it rejects. A draw is *broken* when a
rate is chosen at which some group's true drop is beyond 0.02, and has *power* when the largest rate
that keeps the promise is chosen.

Run ``python -m benchmarks.studies.promise.run``: some minutes on one core. It rewrites the CSV and
the page beside it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import beta, binom, norm
from tqdm import tqdm

from benchmarks.lib.tables import written_by
from sk_prunefair.selection import drop_p_value

HERE = Path(__file__).parent
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


def main() -> None:
    """Draw, decide, count, and write the tables."""
    cells = [
        cell
        for cell in itertools.product(GROUPS, DROPS, WHO, SHARE_WON)
        if len(GROUPS[cell[0]]) > 1 or cell[2] == "all"
    ]
    rows = []
    for index, (groups, drops, who, changes) in enumerate(tqdm(cells, disable=None)):
        sizes, true = GROUPS[groups], DROPS[drops]
        counts = draw(sizes, true, who, SHARE_WON[changes], np.random.default_rng([0, index]))
        n_kept = sum(drop <= MAX_DROP for drop in true)
        for name, rule in RULES.items():
            n_chosen = chosen(counts, sizes, rule)
            rows.append(
                {
                    "groups": groups,
                    "drops": drops,
                    "whose": who,
                    "changes": changes,
                    "rule": name,
                    "broken": (n_chosen > n_kept).mean(),
                    "power": (n_chosen >= n_kept).mean() if n_kept else np.nan,
                    "refused": (n_chosen == 0).mean(),
                }
            )
    results = pd.DataFrame(rows)
    results.to_csv(HERE / "rows.csv", index=False, float_format="%.5g")
    (HERE / "page.md").write_text(page(results))


def page(results: pd.DataFrame) -> str:
    """Return the results in Markdown."""
    worst = results.groupby("rule", sort=False)["broken"].max()
    lines = [
        "# Is the promise kept?",
        "",
        written_by("promise", __doc__),
        "",
        f"Bound {MAX_DROP}, confidence {1 - LEVEL}: at most {LEVEL} of the draws may be broken. "
        f"{DRAWS:,} draws per cell; a true share of {LEVEL} shows as "
        f"{LEVEL - 3 * _error():.3f} to {LEVEL + 3 * _error():.3f} (three standard errors).",
        "",
        "The true drops at the five rates, from small to large; samples won at any rate: "
        + ", ".join(f"{share} ({name})" for name, share in SHARE_WON.items())
        + ".",
        "",
        *[f"- {name}: {', '.join(map(str, drops))}" for name, drops in DROPS.items()],
        "",
        "Verdicts on recalls, balanced accuracy and differences between groups: "
        "[promise_verdict.md](../promise_verdict/page.md).",
        "",
        f"## The worst of the {len(results) // len(RULES)} cells",
        "",
        worst.rename("largest share of broken draws").to_frame().to_markdown(floatfmt=".3f"),
    ]
    # Where nothing is near the bound on its far side, there is nothing to break, and the reverse.
    parts = {
        "broken": ("Share of broken draws", results["drops"].str.contains("over")),
        "power": ("Power", results["drops"].str.contains("under")),
    }
    for value, (title, is_shown) in parts.items():
        shown = results[is_shown]
        table = shown.pivot_table(
            index=["groups", "drops", "whose", "changes"], columns="rule", values=value, sort=False
        )
        lines += [
            "",
            f"## {title}",
            "",
            table.reset_index().to_markdown(index=False, floatfmt=".3f"),
        ]
    return "\n".join(lines) + "\n"


def _error() -> float:
    return float(np.sqrt(LEVEL * (1 - LEVEL) / DRAWS))


if __name__ == "__main__":
    main()
