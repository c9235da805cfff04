"""Is a verdict right? Draws of held-out rows with known truth, and other ways to judge them.

No nets: ``page.md`` says what is drawn and judged. Each rule approves a draw or does not. Where the
truth is beyond what was promised, an approval is an error, of which at most 0.05 are allowed;
elsewhere it is power. Run ``python -m benchmarks.studies.promise_verdict.run``: some minutes on one
core; it goes on where it was stopped.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import options, run_study
from sk_prunefair.promise.evidence import rounds
from sk_prunefair.promise.pairs import examine_pairs
from sk_prunefair.stats.betting import mean_lower_bound, mean_p_value, mean_upper_bound
from sk_prunefair.stats.combine import hochberg
from sk_prunefair.stats.paired import drop_p_value, drop_upper_bound

PAGE = Path(__file__).with_name("page.md")
LEVEL, BOUND = 0.05, 0.05
MARGIN = 0.1  # between groups
OVER, FINE = 0.051, 0.005  # true drops: just over the bound, and well below it
Row = dict[str, Any]
Sizes = list[int]
upper_bound = functools.cache(drop_upper_bound)


@functools.cache
def p_value(n: int, lost: int, won: int) -> float:
    """Return the exact p-value of "the drop is at least the bound"."""
    return drop_p_value(n, lost, won, BOUND, LEVEL / 20)


def counts(rng: np.random.Generator, n: int, drop: float, won: float, draws: int) -> np.ndarray:
    """Return samples lost and won, of shape (draws, 2)."""
    return rng.multinomial(n, [won + drop, won, 1 - 2 * won - drop], size=draws)[:, :2]


def verdict(draws: int) -> Iterator[Row]:
    """Yield the approvals of three ways to judge accuracy and recalls."""
    groups = {"two of 600": [600] * 2, "300 and 3,000": [3000, 300], "six of 2,000": [2000] * 6}
    truths = ["rare recall", "all recalls", "none"]
    for (name, sizes), share, truth in itertools.product(groups.items(), [0.5, 0.2], truths):
        rng = np.random.default_rng([0, len(sizes), int(100 * share), truths.index(truth)])
        p = np.ones((draws, len(sizes), 3))
        needed = np.zeros((len(sizes), 3), dtype=bool)
        for group, size in enumerate(sizes):
            rows = [round(size * (1 - share)), round(size * share)]
            is_last = group == len(sizes) - 1
            drops = [OVER if truth == "all recalls" else FINE] * 2
            drops[1] = OVER if truth == "rare recall" and is_last else drops[1]
            found = [counts(rng, n, d, FINE, draws) for n, d in zip(rows, drops, strict=True)]
            for place, (n, each) in enumerate(
                [(size, found[0] + found[1]), *zip(rows, found, strict=True)]
            ):
                p[:, group, place] = [p_value(n, int(lost), int(won)) for lost, won in each]
                needed[group, place] = place == 0 or p_value(n, 0, 0) <= LEVEL
        passed, strict = p <= LEVEL, p <= LEVEL / needed.sum()
        rules = {
            "ours: accuracy and recalls": (passed | ~needed).all(axis=(1, 2)),
            "accuracy alone": passed[:, :, 0].all(axis=1),
            "Bonferroni": (strict | ~needed).all(axis=(1, 2)),
        }
        # Beyond counts only what is tested: the recalls of a class that has rows enough.
        is_beyond = truth != "none" and bool(needed[-1, 2])
        case = f"{name}, rarer class {share:g}"
        yield from _rows(case, truth, rules, is_beyond=is_beyond)


def single_groups(draws: int) -> Iterator[Row]:
    """Yield errors and power of statements about single groups."""
    cases = {"four of 300": [300] * 4, "six of 200 to 1,200": [200, 200, 600, 600, 1200, 1200]}
    cases["twelve of 400"] = [400] * 12
    for name, sizes in cases.items():
        rng = np.random.default_rng([1, len(sizes)])
        drops = [(OVER, FINE)[group % 2] for group in range(len(sizes))]
        p = np.array(
            [
                [p_value(n, int(lost), int(won)) for lost, won in counts(rng, n, d, 0.005, draws)]
                for n, d in zip(sizes, drops, strict=True)
            ]
        ).T
        rules = {
            "ours: Hochberg": np.array([hochberg(each) for each in p]),
            "Holm": np.array([holm(each) for each in p]),
            "Bonferroni": p * len(sizes),
            "none": p,
        }
        harmed = np.array(drops) == OVER
        approved = {rule: each <= LEVEL for rule, each in rules.items()}
        wrong = {rule: each[:, harmed].any(axis=1) for rule, each in approved.items()}
        right = {rule: each[:, ~harmed] for rule, each in approved.items()}
        yield from _rows(name, "half beyond", wrong, is_beyond=True)
        yield from _rows(name, "half within", right, is_beyond=False)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Holm's procedure."""
    order, adjusted = np.argsort(p), np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return adjusted


def harmless(draws: int) -> Iterator[Row]:
    """Yield the approvals of three ways to compare groups."""
    groups = {"two of 200": [200] * 2, "100 and 1,000": [1000, 100]}
    won_shares = {"few changes": 0.002, "many changes": 0.05}
    truths = {"beyond": 0.111, "within": 0.03}
    for (name, sizes), (changes, won), (truth, drop) in itertools.product(
        groups.items(), won_shares.items(), truths.items()
    ):
        rng = np.random.default_rng([2, len(sizes), int(1000 * won), int(1000 * drop)])
        drops = [0.01] * (len(sizes) - 1) + [drop]
        passed: dict[str, list[bool]] = {}
        for _ in range(draws):
            found = [
                (n, *map(int, counts(rng, n, d, won, 1)[0]))
                for n, d in zip(sizes, drops, strict=True)
            ]
            for rule, approves in HARMLESS.items():
                passed.setdefault(rule, []).append(approves(found))
        case = f"{name}, {changes}"
        yield from _rows(case, truth, passed, is_beyond=truth == "beyond")


Found = list[tuple[int, int, int]]


def pairs(found: Found) -> bool:
    """Return whether our test of each pair approves."""
    rows = [np.repeat([1, -1, 0], [lost, won, n - lost - won]) for n, lost, won in found]
    options = {"margin": MARGIN, "scale": 1.0, "is_binary": True, "confidence": 1 - LEVEL}
    return all(each.p_value <= LEVEL for each in examine_pairs(rows, **options))


def two_bounds(found: Found) -> bool:
    """Return whether exact bounds of both drops, at half the level each, approve."""
    upper = np.array([upper_bound(*each, 1 - LEVEL / 2) for each in found])
    lower = np.array([_lower(*each) for each in found])
    return _all_below(np.subtract.outer(upper, lower), MARGIN)


@functools.cache
def _lower(n: int, lost: int, won: int) -> float:
    low, high = -10_000, 10_000
    while high - low > 1:
        middle = (low + high) // 2
        p = drop_p_value(n, won, lost, -middle / 10_000, LEVEL / 40)
        low, high = (middle, high) if p <= LEVEL / 2 else (low, middle)
    return low / 10_000


def normal(found: Found) -> bool:
    """Return whether the normal interval of each difference does."""
    n, lost, won = np.array(found, dtype=float).T
    drops = (lost - won) / n
    return _normal_below(drops, ((lost + won) / n - drops**2) / n, MARGIN)


HARMLESS: dict[str, Callable[[Found], bool]] = {
    "ours: pairs": pairs,
    "two exact bounds": two_bounds,
    "normal interval": normal,
}


def balanced(draws: int) -> Iterator[Row]:
    """Yield the approvals of three ways to bound the drop of the balanced accuracy."""
    cases = {"two of 1,000": [1000] * 2, "2,700 and 300": [2700, 300], "ten of 300": [300] * 10}
    cases["ten of 100 to 1,900"] = list(range(1900, 0, -200))
    for (name, sizes), truth in itertools.product(cases.items(), ["beyond", "within"]):
        rng = np.random.default_rng([3, len(sizes), sizes[-1], len(truth)])
        drops = [0.0] * (len(sizes) - 1) + [OVER * len(sizes)]
        drops = drops if truth == "beyond" else [0.015] * len(sizes)
        labels = np.repeat(np.arange(len(sizes)), sizes)
        passed: dict[str, list[bool]] = {"ours: rounds": [], "union of classes": [], "normal": []}
        for _ in range(draws):
            shares = [(0.01 + d, 0.01, 0.98 - d) for d in drops]
            rows = [
                rng.choice([1.0, -1.0, 0.0], size=n, p=p)
                for n, p in zip(sizes, shares, strict=True)
            ]
            values = rounds(np.concatenate(rows), labels)
            options = {"low": -1.0, "high": 1.0, "confidence": 1 - LEVEL}
            passed["ours: rounds"].append(mean_p_value(-values, -BOUND, **options) <= LEVEL)
            tallies = [(len(r), int((r > 0).sum()), int((r < 0).sum())) for r in rows]
            upper = [upper_bound(*each, 1 - LEVEL / len(sizes)) for each in tallies]
            passed["union of classes"].append(float(np.mean(upper)) <= BOUND)
            spread = np.sqrt(np.mean([r.var() / len(r) for r in rows]) / len(rows))
            mean = float(np.mean([r.mean() for r in rows]))
            passed["normal"].append(mean + norm.ppf(1 - LEVEL) * spread <= BOUND)
        yield from _rows(name, truth, passed, is_beyond=truth == "beyond")


def violation(draws: int) -> Iterator[Row]:
    """Yield the approvals of three ways to bound ξ."""
    margin, high = 0.2, 4.0
    groups = {"two of 300": [300] * 2, "200 and 2,000": [2000, 200], "six of 500": [500] * 6}
    for (name, sizes), truth in itertools.product(groups.items(), ["beyond", "within"]):
        rng = np.random.default_rng([4, len(sizes), sizes[-1], len(truth)])
        means = [0.0] * (len(sizes) - 1) + [0.201 if truth == "beyond" else 0.02]
        passed: dict[str, list[bool]] = {"ours: pairs": [], "two bounds": [], "normal": []}
        for _ in range(draws):
            rows = [
                2.0 * (rng.random(n) < 0.02 + m / 2) - 2.0 * (rng.random(n) < 0.02)
                for n, m in zip(sizes, means, strict=True)
            ]
            found = examine_pairs(
                rows, margin=margin, scale=high, is_binary=False, confidence=1 - LEVEL
            )
            passed["ours: pairs"].append(all(each.p_value <= LEVEL for each in found))
            options = {"low": -high, "high": high, "confidence": 1 - LEVEL / 2}
            upper = np.array([mean_upper_bound(each, **options) for each in rows])
            lower = np.array([mean_lower_bound(each, **options) for each in rows])
            passed["two bounds"].append(_all_below(np.subtract.outer(upper, lower), margin))
            drop = np.array([each.mean() for each in rows])
            variance = np.array([each.var() / len(each) for each in rows])
            passed["normal"].append(_normal_below(drop, variance, margin))
        yield from _rows(name, truth, passed, is_beyond=truth == "beyond")


def _normal_below(means: np.ndarray, variances: np.ndarray, margin: float) -> bool:
    spread = norm.ppf(1 - LEVEL) * np.sqrt(np.add.outer(variances, variances))
    return _all_below(np.subtract.outer(means, means) + spread, margin)


def _all_below(excess: np.ndarray, margin: float) -> bool:
    np.fill_diagonal(excess, -1)
    return bool(excess.max() <= margin)


def _rows(case: str, truth: str, rules: dict[str, Any], *, is_beyond: bool) -> Iterator[Row]:
    for rule, approved in rules.items():
        row = {"case": case, "truth": truth, "rule": rule}
        yield row | {"is_beyond": is_beyond, "draws": len(approved), "approved": np.mean(approved)}


# What is judged, and how many draws.
PARTS: dict[str, tuple[Callable[[int], Iterator[Row]], int]] = {
    "verdict": (verdict, 1000),
    "groups": (single_groups, 2000),
    "harmless": (harmless, 100),
    "balanced": (balanced, 100),
    "ξ": (violation, 400),
}


def work(cell: Cell) -> list[Row]:
    """Draw, judge and count."""
    part, draws = PARTS[cell["part"]]
    return list(part(draws))


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write, part by part, tables of what was approved though beyond, and of power."""
    tables = [
        rows[(rows["part"] == part) & (rows["is_beyond"] == is_beyond)].pivot_table(
            index=["case", "truth"], columns="rule", values="approved", sort=False
        )
        for part in PARTS
        for is_beyond in (True, False)
    ]
    path.write_text(fill(PAGE, [markdown(each, floatfmt=".3f") for each in tables]))


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    run_study(__file__, options(__doc__).parse_args(argv), grid(part=PARTS), work, write_page)


if __name__ == "__main__":
    main()
