"""Is the promise on the fairness violation kept? Draws of losses with known truth, three rules.

No nets: ``page.md`` says what is drawn, and when a draw is *broken*. Changes are either rare and
large, a share of the samples losing two nats, or common and small; losses are clipped at four. Run
``python -m benchmarks.studies.promise_violation.run``: some minutes on one core; it goes on where
it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import options, run_study
from sk_prunefair.outcome import Outcome
from sk_prunefair.selection.promise import Promise

PAGE = Path(__file__).with_name("page.md")
MAX_VIOLATION, LEVEL, LOSS_BOUND = 0.2, 0.05, 4.0
DRAWS = 400
# Sizes of the groups; the last pays, the others do not.
GROUPS = {
    "two of 30": [30, 30],
    "two of 300": [300, 300],
    "two of 3,000": [3000, 3000],
    "30, 300 and 3,000": [3000, 300, 30],
    "twelve of 300": [300] * 12,
}
VIOLATIONS = {"just over": 0.201, "far below": 0.05, "none": 0.0}
DENSE_LOSS = 1.0
Sample = Callable[[np.random.Generator, int, float], np.ndarray]


def rare(rng: np.random.Generator, size: int, mean: float) -> np.ndarray:
    """Return changes of 2 for a few samples and 0 for the others."""
    return 2.0 * (rng.random(size) < mean / 2)


def common(rng: np.random.Generator, size: int, mean: float) -> np.ndarray:
    """Return changes within 0.5 of their mean."""
    return mean + rng.uniform(-0.5, 0.5, size)


CHANGES: dict[str, Sample] = {"rare and large": rare, "common and small": common}


def ours(changes: np.ndarray, codes: np.ndarray) -> bool:
    """Return whether the bets of `PruneRateSearchCV` pass; no sample's prediction changes."""
    promise = Promise(0.9, MAX_VIOLATION, LOSS_BOUND, 1 - LEVEL)
    labels = np.arange(len(changes)) % 2
    dense = Outcome(np.full(len(changes), DENSE_LOSS), labels, labels)
    pruned = Outcome(DENSE_LOSS + changes, labels, labels)
    groups = pd.Index(range(codes.max() + 1))
    return bool(promise.judge(dense, pruned, codes, groups, labels=[0, 1])["passed"].all())


def naive(changes: np.ndarray, codes: np.ndarray) -> bool:
    """Return whether the observed ξ is within the bound."""
    means = np.bincount(codes, changes) / np.bincount(codes)
    return bool(np.ptp(means) <= MAX_VIOLATION)


def normal(changes: np.ndarray, codes: np.ndarray) -> bool:
    """Return whether normal intervals of the groups' means do."""
    sizes = np.bincount(codes)
    means = np.bincount(codes, changes) / sizes
    variances = np.bincount(codes, (changes - means[codes]) ** 2) / (sizes - 1)
    half = norm.ppf(1 - LEVEL / 2) * np.sqrt(variances / sizes)
    excess = np.subtract.outer(means + half, means - half)
    np.fill_diagonal(excess, 0)
    return bool(excess.max() <= MAX_VIOLATION)


RULES = {"ours: bets": ours, "naive: observed ξ": naive, "normal intervals": normal}
CELLS = grid(**{"groups": GROUPS, "true ξ": VIOLATIONS, "changes": CHANGES})


def work(cell: Cell) -> list[dict[str, Any]]:
    """Draw, judge by each rule, and count."""
    sizes, rng = GROUPS[cell["groups"]], np.random.default_rng([1, CELLS.index(cell)])
    codes = np.repeat(np.arange(len(sizes)), sizes)
    means = [0.0] * (len(sizes) - 1) + [VIOLATIONS[cell["true ξ"]]]
    passed = dict.fromkeys(RULES, 0)
    for _ in range(DRAWS):
        sample = CHANGES[cell["changes"]]
        drawn = np.concatenate([sample(rng, n, m) for n, m in zip(sizes, means, strict=True)])
        for name, rule in RULES.items():
            passed[name] += rule(drawn, codes)
    return [{name: count / DRAWS for name, count in passed.items()}]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write a table of broken draws, and one of those that pass where they may."""
    is_over = rows["true ξ"] == "just over"
    tables = [rows[is_over].drop(columns="true ξ"), rows[~is_over]]
    path.write_text(fill(PAGE, [markdown(each, floatfmt=".3f") for each in tables]))


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    run_study(__file__, options(__doc__).parse_args(argv), CELLS, work, write_page)


if __name__ == "__main__":
    main()
