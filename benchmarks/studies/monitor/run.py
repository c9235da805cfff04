"""How often a monitor raises a false alarm over 100,000 batches, and how soon a true one.

No nets: of each row it is drawn whether the dense or the compressed model alone has it right, from
known shares. Six groups; the promise is two points. *Restarted bets* are what `GroupMonitor` uses.
*Fixed-size test, repeated* looks after every batch at all rows of a group so far and raises an
alarm where a one-sided test of the mean drop rejects at α / 6, as if it were the only look;
*fixed-size test, last 2,000 rows* does that with a window.

Run ``python -m benchmarks.studies.monitor.run``: some minutes on one core. It rewrites the CSV and
the page beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from tqdm import tqdm

from benchmarks.lib.harness import out_path, page_path
from sk_prunefair.monitor.counts import BatchCounts
from sk_prunefair.monitor.evidence import Evidence, log_thresholds

LIMIT, CONFIDENCE, N_GROUPS = 0.02, 0.95, 6
WINDOW = 2_000
RULES = ["restarted bets", "fixed-size test, repeated", "fixed-size test, last 2,000 rows"]
# Shares of rows that are lost and won before the harm; what is lost more once it is there.
CALM = {"drop of 0, 6 % differ": (0.03, 0.03), "drop of 2 points, 6 % differ": (0.04, 0.02)}
HARM = 0.02  # beyond the limit


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


def level(name: str, n_batches: int, n_runs: int) -> list[dict[str, object]]:
    """Return how often an alarm was raised where nothing was harmed."""
    first = first_alarms(CALM[name], n_batches + 1, n_batches, 20, n_runs, seed=0)
    marks = sorted({min(mark, n_batches) for mark in (100, 1_000, 10_000, 100_000)})
    return [
        {"part": "level", "case": name, "batches": mark, "rule": rule, "runs": n_runs, "value": v}
        for rule, batches in first.items()
        for mark in marks
        for v in [((batches > 0) & (batches <= mark)).any(axis=1).mean()]
    ]


def delay(start: int, rows: int, n_batches: int, n_runs: int) -> list[dict[str, object]]:
    """Return how many rows of the harmed group it took, and how often there was an alarm before."""
    name = "drop of 0, 6 % differ"
    first = first_alarms(CALM[name], start, start + n_batches, rows, n_runs, seed=start)
    found = []
    for rule, batches in first.items():
        one = batches[:, 0]
        early = ((batches > 0) & (batches < start)).any(axis=1)
        taken = np.where(one >= start, (one - start + 1) * rows, np.nan)
        cell = {"part": "delay", "case": f"harm from batch {start:,} on", "batches": start}
        for quantile in (0.5, 0.9):
            waited = np.where(np.isnan(taken) & ~early, np.inf, taken)[~early]
            value = np.quantile(waited, quantile, method="higher") if len(waited) else np.nan
            kind = f"rows until the alarm, {quantile:g}"
            found.append(cell | {"rule": rule, "runs": n_runs, "kind": kind, "value": value})
        found.append(
            cell | {"rule": rule, "runs": n_runs, "kind": "false alarm", "value": early.mean()}
        )
    return found


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the results as Markdown."""
    levels = rows[rows["part"] == "level"]
    shares = levels.pivot_table(
        index=["case", "rule"], columns="batches", values="value", sort=False
    )
    shares = shares[sorted(shares.columns)].reset_index()
    shares.columns = [f"{c:,}" if isinstance(c, int | np.integer) else c for c in shares.columns]
    delays = rows[rows["part"] == "delay"]
    table = delays.pivot_table(index=["case", "rule"], columns="kind", values="value", sort=False)
    table = table.reset_index()
    for column in [c for c in table if "rows until" in str(c)]:
        table[column] = table[column].map(lambda v: "–" if not np.isfinite(v) else f"{v:,.0f}")
    table["false alarm"] = table["false alarm"].map("{:.3f}".format)
    intro = (__doc__ or "").split("\n\n")[1]
    runs = int(levels["runs"].iloc[0])
    path.write_text(
        f"""# A monitor's level and delay

Written by `benchmarks/studies/monitor/run.py`. {intro}

## False alarms: share of {runs} runs with any alarm up to a batch

At most 0.05 is promised, for ever. 20 rows of each group a batch.

{shares.to_markdown(index=False, floatfmt=".3f")}

## Delay: rows of the harmed group until the alarm

One group loses four points from some batch on, two more than it may, and nothing before; 50 rows of
each group a batch. Quantiles over the {int(delays["runs"].iloc[0])} runs without a false alarm
before; *false alarm* is the share of runs with one.

{table.to_markdown(index=False)}

–: no alarm within 20,000 rows, in that share of the runs. A level that holds for ever has its
price: the bets ask for several times the rows of a test without one, and for more the later the
harm begins. Without it, repeated looks raise a false alarm sooner or later wherever a group is at
its limit, and a test of all rows so far does not see a harm that begins late, which is a small part
of them.
"""
    )


def main() -> None:
    """Draw, and write CSV and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few batches, written elsewhere")
    parser.add_argument("--out", type=Path, help="the CSV")
    args = parser.parse_args()
    n_batches, n_runs = (60, 10) if args.quick else (100_000, 100)
    starts = (1, 20) if args.quick else (1, 100, 1_000, 10_000)
    path = out_path(__file__, args.out, args.quick)
    rows: list[dict[str, object]] = []
    for name in tqdm(CALM, disable=None):
        rows += level(name, n_batches, n_runs)
    for start in tqdm(starts, disable=None):
        rows += delay(start, 50, 20 if args.quick else 400, 10 if args.quick else 200)
    pd.DataFrame(rows).to_csv(path, index=False)
    write_page(pd.read_csv(path), page_path(path))


if __name__ == "__main__":
    main()
