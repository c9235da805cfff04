"""The gaps between groups, beside those that chance alone would make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.metrics import accuracy_gap_floor
from sk_prunefair.stats.permutation import shuffled_gaps

N_SHUFFLES = 999
VIOLATION, DROPS = "fairness violation ξ", "difference of accuracy drops"


def gap_table(report: AuditedReport, n_shuffles: int = N_SHUFFLES) -> pd.DataFrame:
    """Return each gap beside that of shuffled groups, within each level of the control features.

    The p-value of the hypothesis that groups do not matter is that of a permutation test, see
    `sk_prunefair.stats.permutation.shuffled_gaps`.

    Parameters
    ----------
    report : AuditedReport
        The report.
    n_shuffles : int, default=999
        Number of shuffles, with a fixed seed.

    Returns
    -------
    pandas.DataFrame
        Rows by ``level`` (None without control features) and ``gap``; ``measured``,
        ``shuffled`` (the mean over the shuffles), ``p_value``.
    """
    samples = report.samples
    values = pd.DataFrame(
        {
            "accuracy gap, dense net": samples["is_right_dense"],
            "accuracy gap, pruned net": samples["is_right_pruned"],
            DROPS: samples["is_right_dense"] - samples["is_right_pruned"],
            VIOLATION: samples["loss_pruned"] - samples["loss_dense"],
        }
    )
    rows = []
    for level, members in samples.groupby("level", dropna=False).indices.items():
        codes = pd.factorize(samples["group"].iloc[members])[0]
        measured, shuffled, p_value = shuffled_gaps(values.iloc[members], codes, n_shuffles)
        names = {"level": level, "gap": values.columns}
        rows.append(
            pd.DataFrame(names | {"measured": measured, "shuffled": shuffled, "p_value": p_value})
        )
    return pd.concat(rows, ignore_index=True)


def curve_table(curve: pd.DataFrame) -> pd.DataFrame:
    """Return one row per rate: accuracy, the gap, ξ, and the group with the lowest accuracy.

    Parameters
    ----------
    curve : pandas.DataFrame
        As `sk_prunefair.selection.pruning_curve` returns it; repeats are averaged.

    Returns
    -------
    pandas.DataFrame
        ``rate``, ``accuracy_overall``, ``accuracy_gap``, ``expected_gap`` (of equally good
        groups), ``fairness_violation``, ``worst_group`` and its ``worst_accuracy``. Of groups with
        the same accuracy, the worst is the one with the larger loss, where the curve has it.
    """
    rows = []
    for rate, part in curve.groupby("rate"):
        overall = part[["accuracy_overall", "accuracy_gap", "fairness_violation"]].mean()
        measures = [name for name in ("accuracy", "count", "loss") if name in part]
        by_group = part.groupby("group")[measures].mean()
        counts = np.maximum(by_group["count"].round(), 1)
        worst = _worst_row(by_group)
        row: dict[str, Any] = {
            "rate": rate,
            "accuracy_overall": overall["accuracy_overall"],
            "accuracy_gap": overall["accuracy_gap"],
            "expected_gap": accuracy_gap_floor(float(overall["accuracy_overall"]), counts),
            "fairness_violation": overall["fairness_violation"],
            "worst_group": by_group.index[worst],
            "worst_accuracy": by_group["accuracy"].iloc[worst],
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _worst_row(by_group: pd.DataFrame) -> int:
    keys = by_group.reset_index(drop=True).assign(
        accuracy=by_group["accuracy"].to_numpy().round(12)
    )
    names, ascending = ["accuracy"], [True]
    if "loss" in keys:
        names, ascending = ["accuracy", "loss"], [True, False]
    return int(keys.sort_values(names, ascending=ascending, kind="stable").index[0])
