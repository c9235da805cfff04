"""How often a monitor raises a false alarm over 100,000 batches, and how soon a true one.

No nets: ``page.md`` says what is drawn, and which tests are compared. Run ``python -m
benchmarks.studies.monitor.run``: some minutes on one core; it goes on where it was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import options, run_study
from sk_prunefair.monitor.counts import BatchCounts
from sk_prunefair.monitor.evidence import Evidence, log_thresholds

LIMIT, CONFIDENCE, N_GROUPS = 0.02, 0.95, 6
WINDOW = 2_000
RULES = ["restarted bets", "fixed-size test, repeated", "fixed-size test, last 2,000 rows"]
# Shares of rows that are lost and won before the harm; what is lost more once it is there.
CALM = {"drop of 0, 6 % differ": (0.03, 0.03), "drop of 2 points, 6 % differ": (0.04, 0.02)}
HARM = 0.02  # beyond the limit
STARTS = {f"harm from batch {start:,} on": start for start in (1, 100, 1_000, 10_000)}
PAGE = Path(__file__).with_name("page.md")


class Fixed:
    """Tests of the mean of all rows, or of the last ones, as if each look were the only one."""

    def __init__(self, n_streams: int, batches: int | None) -> None:
        self.sums, self.squares, self.n = (np.zeros(n_streams) for _ in range(3))
        self.batches, self.held = batches, []
        self.threshold = norm.isf((1 - CONFIDENCE) / N_GROUPS)

    def take(self, lost: np.ndarray, won: np.ndarray, rows: int) -> np.ndarray:
        """Take a batch; tell which streams are rejected."""
        self._add(lost, won, rows, 1)
        if self.batches is not None:
            self.held.append((lost, won))
            if len(self.held) > self.batches:
                self._add(*self.held.pop(0), rows, -1)
        mean = self.sums / self.n
        spread = np.sqrt(np.maximum(self.squares / self.n - mean**2, 1e-12) / self.n)
        # A normal test needs some rows; it would be worse without this.
        return ((mean - LIMIT) / spread > self.threshold) & (self.n >= 200)

    def _add(self, lost: np.ndarray, won: np.ndarray, rows: int, sign: int) -> None:
        self.sums += sign * (lost - won)
        self.squares += sign * (lost + won)
        self.n += sign * rows


def first_alarms(
    shares: tuple[float, float], start: int, n_batches: int, rows: int, n_runs: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the batch of each run's first alarm by rule; 0 for none.

    The first group is harmed from batch `start` on; the others never.
    """
    rng = np.random.default_rng(seed)
    streams = n_runs * N_GROUPS
    harmed = np.tile(np.arange(N_GROUPS) == 0, n_runs)
    evidence = Evidence(LIMIT, None, None)
    evidence.add_groups(np.zeros(streams))
    thresholds = log_thresholds(1 - CONFIDENCE, 1, N_GROUPS, N_GROUPS)
    repeated, window = Fixed(streams, None), Fixed(streams, max(WINDOW // rows, 1))
    first = {rule: np.zeros((n_runs, N_GROUPS), dtype=int) for rule in RULES}
    all_rows = np.full(streams, rows)
    for t in range(1, n_batches + 1):
        more = np.where(harmed & (t >= start), LIMIT + HARM - (shares[0] - shares[1]), 0.0)
        lost = rng.binomial(rows, shares[0] + more)
        won = rng.binomial(rows - lost, shares[1] / (1 - shares[0] - more))
        evidence.take(BatchCounts(all_rows, lost + won, all_rows, lost, won))
        found = {
            RULES[0]: evidence.log_evidence("accuracy").reshape(n_runs, -1) >= thresholds,
            RULES[1]: repeated.take(lost, won, rows).reshape(n_runs, -1),
            RULES[2]: window.take(lost, won, rows).reshape(n_runs, -1),
        }
        for rule, is_raised in found.items():
            first[rule] = np.where((first[rule] == 0) & is_raised, t, first[rule])
    return first


def level(name: str, n_batches: int, n_runs: int) -> list[dict[str, Any]]:
    """Return how often an alarm was raised where nothing was harmed."""
    first = first_alarms(CALM[name], n_batches + 1, n_batches, 20, n_runs, seed=0)
    marks = sorted({min(mark, n_batches) for mark in (100, 1_000, 10_000, 100_000)})
    return [
        {"batches": mark, "rule": rule, "runs": n_runs, "value": v, "kind": ""}
        for rule, batches in first.items()
        for mark in marks
        for v in [((batches > 0) & (batches <= mark)).any(axis=1).mean()]
    ]


def delay(start: int, rows: int, n_batches: int, n_runs: int) -> list[dict[str, Any]]:
    """Return how many rows of the harmed group it took, and how often there was an alarm before."""
    name = "drop of 0, 6 % differ"
    first = first_alarms(CALM[name], start, start + n_batches, rows, n_runs, seed=start)
    found = []
    for rule, batches in first.items():
        one = batches[:, 0]
        early = ((batches > 0) & (batches < start)).any(axis=1)
        taken = np.where(one >= start, (one - start + 1) * rows, np.nan)
        told = {"batches": start, "rule": rule, "runs": n_runs}
        for quantile in (0.5, 0.9):
            waited = np.where(np.isnan(taken) & ~early, np.inf, taken)[~early]
            value = np.quantile(waited, quantile, method="higher") if len(waited) else np.nan
            kind = f"rows until the alarm, {quantile:g}"
            found.append(told | {"value": value, "kind": kind})
        found.append(told | {"value": early.mean(), "kind": "false alarm"})
    return found


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Draw runs of one case, without a harm or with one from some batch on."""
    if cell["part"] == "level":
        return level(cell["case"], *((60, 10) if quick else (100_000, 100)))
    return delay(STARTS[cell["case"]], 50, *((20, 10) if quick else (400, 200)))


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write a table of false alarms and one of delays."""
    levels, delays = (rows[rows["part"] == part] for part in ("level", "delay"))
    keys = {"index": ["case", "rule"], "values": "value", "sort": False}
    shares = levels.pivot_table(columns="batches", **keys).sort_index(axis=1)
    shares = shares.rename(columns="{:,}".format)
    table = delays.pivot_table(columns="kind", **keys)
    for column in [name for name in table if "rows until" in name]:
        table[column] = table[column].map(lambda v: "–" if not np.isfinite(v) else f"{v:,.0f}")
    table["false alarm"] = table["false alarm"].map("{:.3f}".format)
    path.write_text(fill(PAGE, [markdown(shares, floatfmt=".3f"), markdown(table)]))


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    args = options(__doc__, quick="a few batches").parse_args(argv)
    starts = {name: start for name, start in STARTS.items() if not args.quick or start <= 20}
    todo = grid(part=["level"], case=CALM) + grid(part=["delay"], case=starts)
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
