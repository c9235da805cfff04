"""The gaps between groups, beside the gaps expected by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.metrics import accuracy_gap_floor
from sk_prunefair.stats.permutation import shuffled_gaps

N_SHUFFLES = 999
VIOLATION, DROPS = "fairness violation ξ", "difference of accuracy drops"
_MAX_FLOOR_DRAWS = 1_000_000  # numbers drawn for the expected gap of one rate


def gap_table(report: AuditedReport, n_shuffles: int = N_SHUFFLES) -> pd.DataFrame:
    """Return each gap beside that of shuffled groups, for each level of the control features.

    ξ is included where losses are known.

    The null hypothesis of the p-value is that groups do not matter; it is a permutation test, see
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
    samples, names = report.samples, report.names
    quantities = {
        accuracy_gap(names.dense_model): samples["is_right_dense"],
        accuracy_gap(names.compressed_model): samples["is_right_pruned"],
        DROPS: samples["is_right_dense"] - samples["is_right_pruned"],
    }
    if report.has_losses:
        quantities[VIOLATION] = samples["loss_pruned"] - samples["loss_dense"]
    values = pd.DataFrame(quantities)
    rows = []
    for level, members in samples.groupby("level", dropna=False).indices.items():
        codes = pd.factorize(samples["group"].iloc[members])[0]
        options: dict[str, Any] = {}
        if report.kinds is not None:
            options["counts"] = report.kinds.counts[members]
            risk = report.kinds.squares.get("risk")
            options["squares"] = {} if risk is None else {len(values.columns) - 1: risk[members]}
        measured, shuffled, p_value = shuffled_gaps(
            values.iloc[members], codes, n_shuffles, **options
        )
        keys = {"level": level, "gap": values.columns}
        rows.append(
            pd.DataFrame(keys | {"measured": measured, "shuffled": shuffled, "p_value": p_value})
        )
    return pd.concat(rows, ignore_index=True)


def accuracy_gap(model: str) -> str:
    """Return the name of a model's accuracy gap."""
    return f"accuracy gap, {model}"


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
        groups), ``fairness_violation`` where the curve has it, ``worst_group`` and its
        ``worst_accuracy``. Of groups with the same accuracy, the worst is the one with the larger
        loss, where the curve has it.
    """
    rows = []
    for rate, part in curve.groupby("rate"):
        of_all = ("accuracy_overall", "accuracy_gap", "fairness_violation")
        overall = part[[name for name in of_all if name in part]].mean()
        measures = [name for name in ("accuracy", "count", "loss") if name in part]
        by_group = part.groupby("group")[measures].mean()
        counts = np.maximum(by_group["count"].round(), 1)
        worst = _worst_row(by_group)
        accuracy = float(np.clip(overall["accuracy_overall"], 0, 1))  # rounding: 1 + 1e-16
        n_draws = int(np.clip(_MAX_FLOOR_DRAWS // len(counts), 100, 10_000))
        row: dict[str, Any] = {
            "rate": rate,
            "accuracy_overall": overall["accuracy_overall"],
            "accuracy_gap": overall["accuracy_gap"],
            "expected_gap": accuracy_gap_floor(accuracy, counts, n_draws=n_draws),
        }
        if "fairness_violation" in overall:
            row["fairness_violation"] = overall["fairness_violation"]
        row["worst_group"] = by_group.index[worst]
        row["worst_accuracy"] = by_group["accuracy"].iloc[worst]
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
