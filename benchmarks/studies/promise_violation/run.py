"""Is the promise on the fairness violation kept? Draws of losses with known truth, three rules.

No nets: by how much pruning changes the loss of a sample is drawn from known distributions, so that
the true ξ is known. Each rule passes a draw, or not, for the promise "ξ is at most 0.2". A draw is
*broken* when it passes though the true ξ is beyond that. Changes are either rare and large, a share
of the samples losing two nats, or common and small; losses are clipped at four.

Run ``python -m benchmarks.studies.promise_violation.run``: some minutes on one core. It rewrites
the CSV and the page beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from tqdm import tqdm

from benchmarks.lib.tables import written_by
from sk_prunefair.outcome import Outcome
from sk_prunefair.selection.promise import Promise

HERE = Path(__file__).parent
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


def main() -> None:
    """Draw, judge, count, and write the table."""
    cells = list(itertools.product(GROUPS, VIOLATIONS, CHANGES))
    rows = []
    for index, (groups, true, changes) in enumerate(tqdm(cells, disable=None)):
        sizes, rng = GROUPS[groups], np.random.default_rng([1, index])
        codes = np.repeat(np.arange(len(sizes)), sizes)
        passed = dict.fromkeys(RULES, 0)
        for _ in range(DRAWS):
            means = [0.0] * (len(sizes) - 1) + [VIOLATIONS[true]]
            drawn = [CHANGES[changes](rng, n, m) for n, m in zip(sizes, means, strict=True)]
            for name, rule in RULES.items():
                passed[name] += rule(np.concatenate(drawn), codes)
        shares = {name: count / DRAWS for name, count in passed.items()}
        rows.append({"groups": groups, "true ξ": true, "changes": changes} | shares)
    results = pd.DataFrame(rows)
    results.to_csv(HERE / "rows.csv", index=False)
    write_page(results, HERE / "page.md")


def write_page(results: pd.DataFrame, path: Path) -> None:
    """Write the results in Markdown."""
    over = results["true ξ"] == "just over"
    error = 3 * float(np.sqrt(LEVEL * (1 - LEVEL) / DRAWS))
    lines = [
        "# Is the promise on ξ kept?",
        "",
        written_by("promise_violation", __doc__),
        "",
        f"Confidence {1 - LEVEL}: at most {LEVEL} of the draws may be broken; {DRAWS} draws per "
        f"cell, three standard errors {error:.3f}. The true ξ: "
        + ", ".join(f"{name} {value}" for name, value in VIOLATIONS.items())
        + ".",
        "",
        "## Share of broken draws",
        "",
        results[over].drop(columns="true ξ").to_markdown(index=False, floatfmt=".3f"),
        "",
        "## Share of draws that pass where they may",
        "",
        results[~over].to_markdown(index=False, floatfmt=".3f"),
    ]
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
