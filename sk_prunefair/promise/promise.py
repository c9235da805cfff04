"""A promise to every group, and what held-out samples say about it at one rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.outcome import Outcome
from sk_prunefair.promise._bounds import check_promise
from sk_prunefair.promise.criteria import losses_of
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.promise.judging import judge
from sk_prunefair.promise.verdict import Verdict
from sk_prunefair.stats.betting import mean_lower_bound, mean_upper_bound
from sk_prunefair.stats.paired import (
    drop_lower_bound,
    drop_p_value,
    drop_upper_bound,
    samples_needed,
)


class NoRateError(ValueError):
    """No pruning rate keeps the promise, as far as the held-out data can tell.

    Attributes
    ----------
    results : pandas.DataFrame
        The table that `PruneRateSearchCV.results_` would hold.
    """

    def __init__(self, message: str, results: pd.DataFrame) -> None:
        super().__init__(message, results)
        self.results = results

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Promise:
    """What is promised of the pruned net, and with which confidence; raises ValueError if absurd.

    Parameters are those of `PruneRateSearchCV`.
    """

    max_accuracy_drop: float
    max_violation: float | None
    loss_bound: float
    confidence: float

    criteria: Any = None

    def __post_init__(self) -> None:
        check_promise(self.max_accuracy_drop, self.max_violation, self.loss_bound, self.confidence)

    def judge(
        self,
        dense: Outcome,
        pruned: Outcome,
        codes: npt.NDArray[np.int64],
        groups: pd.Index,
        labels: Any,
    ) -> pd.DataFrame:
        """Return one row per group: what it lost, what it may have lost, and whether that passes.

        A net that gives every sample one label, or no longer gives a label that the dense net gave,
        passes for no group: where a label is rare, no group loses much accuracy by it.

        The promise is to all groups at once, so that it is broken only if it is broken to one of
        them: each is tested at the full level, without a correction for their number (an
        intersection-union test).
        """
        rows = [self._judge_drop(dense, pruned, codes == code) for code in range(len(groups))]
        frame = pd.DataFrame({"group": groups.to_flat_index()} | _columns(rows))
        if self.max_violation is not None:
            frame = self._judge_violation(frame, dense, pruned, codes)
        if self.criteria is not None:
            frame = self._judge_criteria(
                frame,
                judge(
                    dense,
                    pruned,
                    codes,
                    groups,
                    labels,
                    max_accuracy_drop=self.max_accuracy_drop,
                    confidence=self.confidence,
                    criteria=self.criteria,
                    loss_bound=self.loss_bound,
                ),
            )
        frame["findings"] = "; ".join(label_findings(dense, pruned, labels))
        frame["passed"] &= frame["findings"] == ""
        return frame

    def _judge_drop(
        self, dense: Outcome, pruned: Outcome, rows: npt.NDArray[np.bool_]
    ) -> dict[str, Any]:
        before, after = dense.is_right[rows], pruned.is_right[rows]
        count, lost, won = len(before), int((before & ~after).sum()), int((after & ~before).sum())
        level = 1 - self.confidence
        p_value = drop_p_value(count, lost, won, self.max_accuracy_drop, level / 20)
        return {
            "count": count,
            "n_lost": lost,
            "n_won": won,
            "accuracy_dense": before.mean(),
            "accuracy_pruned": after.mean(),
            "accuracy_drop": (lost - won) / count,
            "drop_bound": drop_upper_bound(count, lost, won, self.confidence),
            "p_value": p_value,
            "passed": p_value <= level,
        }

    def _judge_violation(
        self, frame: pd.DataFrame, dense: Outcome, pruned: Outcome, codes: npt.NDArray[np.int64]
    ) -> pd.DataFrame:
        """Bound the difference between any two groups' risks, each of the two at half the level."""
        bound = self.loss_bound
        risks = np.clip(losses_of(pruned), 0, bound) - np.clip(losses_of(dense), 0, bound)
        # The bets need an order that does not depend on the values; files are often sorted.
        order = np.random.default_rng(0).permutation(len(risks))
        risks, codes = risks[order], codes[order]
        by_group = [risks[codes == code] for code in range(len(frame))]
        options = {"low": -bound, "high": bound, "confidence": (1 + self.confidence) / 2}
        frame["excessive_risk"] = [values.mean() for values in by_group]
        frame["risk_lower"] = [mean_lower_bound(values, **options) for values in by_group]
        frame["risk_upper"] = [mean_upper_bound(values, **options) for values in by_group]
        # Row a, column b: by how much a may pay more than b.
        excess = np.subtract.outer(frame.risk_upper.to_numpy(), frame.risk_lower.to_numpy())
        np.fill_diagonal(excess, 0)
        frame["fairness_violation"] = np.ptp(frame["excessive_risk"])
        frame["violation_bound"] = excess.max()
        frame["passed"] &= np.maximum(excess.max(axis=0), excess.max(axis=1)) <= self.max_violation
        return frame

    def _judge_criteria(self, frame: pd.DataFrame, verdict: Verdict) -> pd.DataFrame:
        """Add, for each group, the criterion with the largest p-value, and whether all pass."""
        table = verdict.table[verdict.table["passed"].notna()]
        by_group = table.groupby(pd.factorize(table["group"], use_na_sentinel=False)[0])
        largest = table.loc[by_group["p_value"].idxmax()]
        frame["criterion"] = largest["criterion"].to_numpy()
        frame["criterion_p_value"] = largest["p_value"].to_numpy()
        frame["passed"] &= by_group["passed"].all().to_numpy(dtype=bool)
        frame.attrs["criteria"] = verdict.sentence.partition(": ")[2]
        return frame

    def binding_row(self, frame: pd.DataFrame) -> pd.Series:
        """Return the row of the group that is nearest to, or furthest beyond, what was promised."""
        failed = frame[~frame["passed"]]
        rows = failed if len(failed) else frame
        too_much = rows[rows["p_value"] > 1 - self.confidence]
        is_violation = "risk_upper" in frame and not frame["findings"].iloc[0]
        if len(failed) and too_much.empty and "criterion" in frame:
            by_p = rows.sort_values("criterion_p_value")
            if by_p["criterion_p_value"].iloc[-1] > 1 - self.confidence:
                return by_p.iloc[-1]
        if len(failed) and too_much.empty and is_violation:  # the violation alone is too large
            return rows.sort_values("risk_upper").iloc[-1]
        return (too_much if len(too_much) else rows).sort_values("drop_bound").iloc[-1]

    def why_not(self, frame: pd.DataFrame) -> str:
        """Return which group binds, by how much, and how many samples of it would do."""
        if frame["findings"].iloc[0]:
            return str(frame["findings"].iloc[0])
        row = self.binding_row(frame)
        n_failed = int((~frame["passed"]).sum())
        too_much = row["p_value"] > 1 - self.confidence
        if not too_much and row.get("criterion_p_value", 0.0) > 1 - self.confidence:
            return str(frame.attrs["criteria"])
        others = f"; {n_failed} of {len(frame)} groups fail" if n_failed > 1 else ""
        if not too_much:
            return (
                f"group {row['group']!r} may pay up to {row['risk_upper']:.3g} in loss, over "
                f"{row['count']} samples, and the fairness violation may be "
                f"{row['violation_bound']:.3g}, where max_violation={self.max_violation}{others}"
            )
        return (
            f"group {row['group']!r} lost {row['accuracy_drop']:.3f} of accuracy over "
            f"{row['count']:,} held-out samples, and may have lost {row['drop_bound']:.3f}, where "
            f"max_accuracy_drop={self.max_accuracy_drop}; {self._remedy(row)}{others}"
        )

    def _remedy(self, row: pd.Series) -> str:
        """Return how many samples would do, were the drop the least not refuted, or as seen."""
        count, lost, won = (int(row[name]) for name in ("count", "n_lost", "n_won"))
        bound, confidence = self.max_accuracy_drop, self.confidence
        low = drop_lower_bound(count, lost, won, confidence)
        least = samples_needed(won / count + low, won / count, bound, confidence)
        most = samples_needed(lost / count, won / count, bound, confidence)
        if least is None:
            return "more samples like these would not help"
        if most is None:
            return (
                f"some {max(least, count + 1):,} samples or more would be needed, were the drop "
                "less than seen"
            )
        return f"some {max(most, count + 1):,} samples like these would be needed"


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}
