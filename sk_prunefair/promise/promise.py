"""A promise to every group, and its test on held-out samples at one rate."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.outcome import Outcome, paired_counts
from sk_prunefair.promise._bounds import check_promise
from sk_prunefair.promise.counts import prove
from sk_prunefair.promise.criteria import as_criteria, losses_of
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.promise.judging import judge
from sk_prunefair.promise.verdict import Verdict, group_name
from sk_prunefair.stats.betting import mean_lower_bound, mean_upper_bound
from sk_prunefair.stats.paired import samples_needed
from sk_prunefair.stats.paired_many import drop_p_values

_MOST_NAMED = 20  # groups in an error message


class NoRateError(ValueError):
    """No pruning rate keeps the promise, as far as the held-out data show.

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
    """The promise on the pruned net, with its confidence; ValueError for invalid parameters.

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
        """Return one row per group: its drop, the bound on its drop, and whether it passes.

        A net that predicts one label for all samples, or no longer predicts a label of the dense
        net, passes for no group: losing a rare label costs no group much accuracy.

        The promise concerns all groups at once, so it is broken only if it is broken for one of
        them: each is tested at the full level, without a correction for their number (an
        intersection-union test).
        """
        drops = self._judge_drops(dense, pruned, codes, len(groups))
        frame = pd.DataFrame({"group": groups.to_flat_index()} | drops)
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

    def check_criteria(self, labels: Any) -> None:
        """Raise an error where `criteria` are malformed, or name none of these labels."""
        as_criteria(
            self.criteria, labels, max_drop=self.max_accuracy_drop, loss_bound=self.loss_bound
        )

    def keeps(
        self,
        dense: Outcome,
        pruned: Outcome,
        codes: npt.NDArray[np.int64],
        groups: pd.Index,
        labels: Any,
    ) -> bool:
        """Return whether all groups pass, as in `judge`, without its table."""
        if self.max_violation is not None or self.criteria is not None:
            table = self.judge(dense, pruned, codes, groups, labels)
            return bool(table["passed"].all())
        if label_findings(dense, pruned, labels):
            return False
        count, lost, won = paired_counts(dense, pruned, codes, len(groups))
        level = 1 - self.confidence
        bounds = np.full(len(count), self.max_accuracy_drop)
        return bool((drop_p_values(count, lost, won, bounds, level / 20) <= level).all())

    def _judge_drops(
        self, dense: Outcome, pruned: Outcome, codes: npt.NDArray[np.int64], n_groups: int
    ) -> dict[str, Any]:
        count, lost, won = paired_counts(dense, pruned, codes, n_groups)
        right = np.bincount(codes, dense.is_right, n_groups).astype(np.int64)
        counts = list(zip(count.tolist(), lost.tolist(), won.tolist(), strict=True))
        proofs = prove(counts, self.max_accuracy_drop, self.confidence)
        p_value = np.array([proof.p_value for proof in proofs])
        return {
            "count": count,
            "n_lost": lost,
            "n_won": won,
            "accuracy_dense": right / count,
            "accuracy_pruned": (right - lost + won) / count,
            "accuracy_drop": (lost - won) / count,
            "drop_bound": [proof.drop_bound for proof in proofs],
            "p_value": p_value,
            "passed": p_value <= 1 - self.confidence,
            "samples_needed": [proof.needed for proof in proofs],
            "samples_needed_most": [proof.needed_most for proof in proofs],
        }

    def _judge_violation(
        self, frame: pd.DataFrame, dense: Outcome, pruned: Outcome, codes: npt.NDArray[np.int64]
    ) -> pd.DataFrame:
        """Bound the difference between any two groups' risks, each of the two at half the level."""
        bound = self.loss_bound
        risks = np.clip(losses_of(pruned), 0, bound) - np.clip(losses_of(dense), 0, bound)
        # Betting tests need an order that does not depend on the values; files are often sorted.
        order = np.random.default_rng(0).permutation(len(risks))
        risks, codes = risks[order], codes[order]
        by_group = [risks[codes == code] for code in range(len(frame))]
        options = {"low": -bound, "high": bound, "confidence": (1 + self.confidence) / 2}
        frame["excessive_risk"] = [values.mean() for values in by_group]
        frame["risk_lower"] = [mean_lower_bound(values, **options) for values in by_group]
        frame["risk_upper"] = [mean_upper_bound(values, **options) for values in by_group]
        # Row a, column b: bound on the loss of a minus the loss of b.
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

    def warn_of_small_groups(self, codes: npt.NDArray[np.int64], groups: pd.Index) -> None:
        """Warn of groups with too few rows for a proof, even if no prediction changes."""
        needed = samples_needed(0.0, 0.0, self.max_accuracy_drop, self.confidence)
        counts = np.bincount(codes, minlength=len(groups))
        small = np.flatnonzero(counts < needed) if needed else np.array([], dtype=np.int64)
        if len(small) == 0:
            return
        named = ", ".join(f"{group_name(groups[i])} ({counts[i]:,})" for i in small[:_MOST_NAMED])
        more = f" and {len(small) - _MOST_NAMED} more" if len(small) > _MOST_NAMED else ""
        warnings.warn(
            f"too few held-out samples in group {named}{more}: {needed:,} of each are needed to "
            f"prove max_accuracy_drop={self.max_accuracy_drop} with confidence={self.confidence}, "
            "even if no prediction changes, so that no rate is likely to pass; hold out more data, "
            "merge groups or increase max_accuracy_drop",
            UserWarning,
            stacklevel=3,
        )

    def binding_row(self, frame: pd.DataFrame) -> pd.Series:
        """Return the row of the group nearest to breaking the promise, or breaking it furthest."""
        failed = frame[~frame["passed"]]
        rows = failed if len(failed) else frame
        too_much = rows[rows["p_value"] > 1 - self.confidence]
        is_violation = "risk_upper" in frame and not frame["findings"].iloc[0]
        if len(failed) and too_much.empty and "criterion" in frame:
            by_p = rows.sort_values("criterion_p_value")
            if by_p["criterion_p_value"].iloc[-1] > 1 - self.confidence:
                return by_p.iloc[-1]
        if len(failed) and too_much.empty and is_violation:  # only the violation is too large
            return rows.sort_values("risk_upper").iloc[-1]
        return (too_much if len(too_much) else rows).sort_values("drop_bound").iloc[-1]

    def why_not(self, frame: pd.DataFrame) -> str:
        """Return a sentence with the binding group, its drop, and the number of samples needed."""
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
                f"group {group_name(row['group'])} may have an excessive risk of up to "
                f"{row['risk_upper']:.3g}, over {row['count']} samples, and the fairness violation "
                "may be "
                f"{row['violation_bound']:.3g}, where max_violation={self.max_violation}{others}"
            )
        return (
            f"group {group_name(row['group'])} lost {row['accuracy_drop']:.3f} of accuracy over "
            f"{row['count']:,} held-out samples, and may have lost {row['drop_bound']:.3f}, where "
            f"max_accuracy_drop={self.max_accuracy_drop}; {_remedy(row)}{others}"
            f"{self._others(frame, row.name)}"
        )

    def _others(self, frame: pd.DataFrame, binding: Any) -> str:
        """Return the numbers of samples needed by the other groups that fail by their accuracy."""
        fails = (frame["p_value"] > 1 - self.confidence) & (frame.index != binding)
        rows = frame[fails].head(_MOST_NAMED).to_dict("records")
        said = ", ".join(f"{group_name(row['group'])}: {_amount(row)}" for row in rows)
        more = f" and {fails.sum() - len(rows)} more" if fails.sum() > len(rows) else ""
        return f" (samples needed by the other groups: {said}{more})" if rows else ""


def _remedy(row: Any) -> str:
    """Return the number of samples needed, for the least drop not refuted and the observed one."""
    if np.isinf(row["samples_needed"]):
        return "more samples like these would not help"
    if np.isinf(row["samples_needed_most"]):
        return (
            f"some {row['samples_needed']:,.0f} samples or more would be needed, if the drop were "
            "smaller than observed"
        )
    return f"some {_amount(row)} samples like these would be needed"


def _amount(row: Any) -> str:
    """Return the number of samples needed as a range.

    >>> _amount({"samples_needed": 152.0, "samples_needed_most": float("inf")})
    '152 or more'
    """
    least, most = row["samples_needed"], row["samples_needed_most"]
    if np.isinf(least):
        return "no number"
    if np.isinf(most):
        return f"{least:,.0f} or more"
    return f"{least:,.0f}" if most <= 1.1 * least else f"{least:,.0f} to {most:,.0f}"
