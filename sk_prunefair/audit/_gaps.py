"""The gaps between groups, and what chance alone would make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.metrics import accuracy_gap_floor

if TYPE_CHECKING:
    from sk_prunefair.audit.protocol import AuditedReport

N_SHUFFLES = 999
VIOLATION, DROPS = "fairness violation ξ", "difference of accuracy drops"


def gap_table(report: AuditedReport, n_shuffles: int = N_SHUFFLES) -> pd.DataFrame:
    """Return each gap with its noise floor, within each level of the control features.

    The samples' groups are shuffled: what the gap is then, on average, is its floor. The p-value of
    the hypothesis that groups do not matter is that of a permutation test, see `shuffled_gaps`.

    Parameters
    ----------
    report : FairnessReport
        The report.
    n_shuffles : int, default=999
        Number of shuffles, with a fixed seed.

    Returns
    -------
    pandas.DataFrame
        Rows by ``level`` (None without control features) and ``gap``; ``measured``, ``floor``,
        ``p_value``.
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
        measured, floor, p_value = shuffled_gaps(values.iloc[members], codes, n_shuffles)
        names = {"level": level, "gap": values.columns}
        rows.append(
            pd.DataFrame(names | {"measured": measured, "floor": floor, "p_value": p_value})
        )
    return pd.concat(rows, ignore_index=True)


def shuffled_gaps(
    values: npt.ArrayLike, codes: npt.NDArray[np.int64], n_shuffles: int, random_state: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the largest differences of group means, their mean under shuffling, and p-values.

    The gap of the smallest groups is mostly noise, in which a difference between large groups would
    drown. Tested is therefore how far the most unusual group strays from the mean m of all, in
    units of its standard error, ``max_a |m_a − m| / sqrt(1 / n_a − 1 / n)``: the p-value is the
    share ``(1 + #) / (1 + n_shuffles)`` of the shuffles in which that is at least what it is.

    Parameters
    ----------
    values : array-like of shape (n_samples, n_quantities)
        What to take the mean of.
    codes : ndarray of shape (n_samples,)
        Groups from 0 to n_groups - 1, none empty.
    n_shuffles : int
        Number of shuffles.
    random_state : int, default=0
        Seed.

    Returns
    -------
    measured, floor, p_value : ndarray of shape (n_quantities,)
        Of each quantity.

    Examples
    --------
    >>> values, codes = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([0, 1], 50)
    >>> measured, floor, p_value = shuffled_gaps(values, codes, 99)
    >>> measured.tolist(), floor.round(1).tolist(), p_value.tolist()
    ([1.0], [0.1], [0.01])
    """
    columns, counts = np.asarray(values, dtype=float).T, np.bincount(codes)
    errors = np.sqrt(1 / counts - 1 / len(codes)) if len(counts) > 1 else np.ones(1)
    rng = np.random.default_rng(random_state)

    def measure(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        means = np.array([np.bincount(codes, column) / counts for column in columns])
        strays = np.abs(means - columns.mean(axis=1, keepdims=True)) / errors
        return np.array([np.ptp(means, axis=1), strays.max(axis=1)])

    gap, stray = measure(codes)
    shuffled = np.array([measure(rng.permutation(codes)) for _ in range(n_shuffles)])
    # Sums of the same numbers in another order may differ in the last digits.
    as_far = (shuffled[:, 1] >= stray * (1 - 1e-9) - 1e-12).sum(axis=0)
    return gap, shuffled[:, 0].mean(axis=0), (1 + as_far) / (1 + n_shuffles)


def curve_table(curve: pd.DataFrame) -> pd.DataFrame:
    """Return one row per rate: accuracy, gap beside its floor, ξ, and the group that is worst off.

    Parameters
    ----------
    curve : pandas.DataFrame
        As `sk_prunefair.selection.pruning_curve` returns it; repeats are averaged.

    Returns
    -------
    pandas.DataFrame
        ``rate``, ``accuracy_overall``, ``accuracy_gap``, ``gap_floor``, ``fairness_violation``,
        ``worst_group`` and its ``worst_accuracy``.
    """
    rows = []
    for rate, part in curve.groupby("rate"):
        overall = part[["accuracy_overall", "accuracy_gap", "fairness_violation"]].mean()
        by_group = part.groupby("group")[["accuracy", "count"]].mean()
        counts = np.maximum(by_group["count"].round(), 1)
        worst = int(by_group["accuracy"].argmin())
        row: dict[str, Any] = {
            "rate": rate,
            "accuracy_overall": overall["accuracy_overall"],
            "accuracy_gap": overall["accuracy_gap"],
            "gap_floor": accuracy_gap_floor(float(overall["accuracy_overall"]), counts),
            "fairness_violation": overall["fairness_violation"],
            "worst_group": by_group.index[worst],
            "worst_accuracy": by_group["accuracy"].iloc[worst],
        }
        rows.append(row)
    return pd.DataFrame(rows)
