"""Find slices of the data that compression harmed, without named groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_random_state

from sk_prunefair.checks import as_vector, check_count, check_number
from sk_prunefair.report.slice_columns import BinnedColumn, binned_columns
from sk_prunefair.report.slice_search import Rule, SliceSearch, matches, rule_text
from sk_prunefair.stats.combine import holm
from sk_prunefair.stats.excess_drop import excess_drop_p_value
from sk_prunefair.stats.tango import tango_interval

_DTYPES = {
    "rule": "str",
    "count": "int64",
    "drop": "float64",
    "lower": "float64",
    "upper": "float64",
    "p_value": "float64",
}
_Result = tuple[Rule, dict[str, Any]]
_NUISANCE = 100  # parts of a test's level, one of which is the nuisance level


def harmed_slices(
    features: Any,
    harm: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    min_count: int | None = None,
    max_features: int = 2,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Find short rules whose rows lost more accuracy than the rest, and test them on other rows.

    A slice S is harmed if its drop is larger than that of the other rows and larger than 0:
    ``d(S) > max(d(not S), 0)``, with d the mean of `harm` in the population. More frequent changes
    of predictions in S, as near a decision boundary, are not harm as long as they occur in both
    directions.

    The rows are split at random into halves A and B. A beam search over A finds the rule whose rows
    lost most, then the one among the remaining rows, and so on, at most three rules. Each is tested
    on B by `sk_prunefair.stats.excess_drop.excess_drop_p_value`, for any number of matching rows,
    with Holm's correction over the rules. Then A and B are exchanged, and all p-values are doubled.
    So the probability that any reported slice is not harmed is at most ``1 − confidence``.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        DataFrame, dict of columns or array; numbers, strings, booleans, categories. Missing values
        are a separate value. They need not be the classifier's features.
    harm : array-like of shape (n_samples,)
        1 if only the dense net is correct, −1 if only the compressed net is, else 0.
    confidence : float in (0, 1), default=0.95
        Confidence of all reported slices together.
    min_count : int, default=None
        Least number of rows of a slice in the half of the search. None takes 1 % of them, and at
        least 20.
    max_features : int, default=2
        Largest number of conditions of a rule, each on another feature.
    random_state : int, RandomState or None, default=0
        Seed of the split. The same number gives the same slices.

    Returns
    -------
    pandas.DataFrame
        One row per slice, the smallest p-value first; empty if no rule passes. ``rule``, then for
        the half that was not searched: ``count`` of its rows, ``drop`` of their accuracy,
        ``lower`` and ``upper``, Tango's interval (all of them hold with `confidence` together),
        and ``p_value``, adjusted for all rules tested and never below a hundredth of
        ``1 − confidence``. Of two rules with mostly the same rows the better one is kept.
        ``attrs["n_tested"]`` is the number of tested rules.

    Raises
    ------
    ValueError
        If `harm` has other values, or an argument is malformed or out of range.

    Notes
    -----
    An empty frame does not prove the absence of harm: `benchmarks/studies/slices/page.md` has the
    size of drops that are found.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> age, race = rng.integers(18, 80, size=4000), rng.choice(["a", "b", "c"], size=4000)
    >>> is_hurt = (age > 60) & (race == "b") & (rng.random(4000) < 0.3)
    >>> found = harmed_slices({"age": age, "race": race}, is_hurt.astype(int))
    >>> found[["rule", "p_value"]].round(3)
                          rule  p_value
    0  age > 61 and race = "b"    0.001
    """
    check_number("confidence", confidence, above=0, most=1 - 1e-6)
    check_count("max_features", max_features)
    harm = _as_harm(harm)
    if min_count is None:
        min_count = max(20, len(harm) // 200)
    check_count("min_count", min_count, or_else=" or None")
    columns = binned_columns(features, len(harm))
    order = check_random_state(random_state).permutation(len(harm))
    halves = np.sort(order[: len(harm) // 2]), np.sort(order[len(harm) // 2 :])
    tested: list[_Result] = []
    for here, there in (halves, halves[::-1]) if columns else ():
        search = SliceSearch(columns, here, harm, min_count=min_count, max_features=max_features)
        tested += _tested(search.promising(), columns, there, harm, (1 - confidence) / 2)
    held = [each for each in tested if each[1]["p_value"] <= 1 - confidence]
    held.sort(key=lambda each: (each[1]["p_value"], -each[1]["drop"], each[0]))
    rows = [row for _, row in _distinct(held, columns)]
    frame = pd.DataFrame(rows, columns=list(_DTYPES)).astype(_DTYPES)
    frame.attrs["n_tested"] = len(tested)
    return frame


def _as_harm(harm: npt.ArrayLike) -> npt.NDArray[np.int64]:
    values = as_vector(harm, "harm", np.float64)
    is_odd = ~np.isin(values, (-1, 0, 1))
    if is_odd.any():
        raise ValueError(
            f"harm must be -1, 0 or 1, right before minus right after, got {values[is_odd][0]:g}"
        )
    return values.astype(np.int64)


def _tested(
    rules: list[Rule],
    columns: list[BinnedColumn],
    rows: npt.NDArray[np.int64],
    harm: npt.NDArray[np.int64],
    level: float,
) -> list[_Result]:
    """Return each rule with its figures over the rows, and twice its p-value after Holm."""
    all_counts = _counts(harm[rows])
    results = []
    for rule in rules:
        counts = _counts(harm[rows[matches(rule, columns)[rows]]])
        n, lost, won = counts
        rest = (all_counts[0] - n, all_counts[1] - lost, all_counts[2] - won)
        if n == 0 or rest[0] == 0:
            continue
        lower, upper = tango_interval(n, lost, won, 1 - level / len(rules))
        row: dict[str, Any] = {
            "rule": rule_text(rule, columns),
            "count": n,
            "drop": (lost - won) / n,
            "lower": float(lower),
            "upper": float(upper),
            "p_value": excess_drop_p_value(counts, rest, level / len(rules) / _NUISANCE),
        }
        results.append((rule, row))
    adjusted = holm([row["p_value"] for _, row in results], len(rules))
    for (_, row), p in zip(results, adjusted, strict=True):
        row["p_value"] = min(1.0, 2 * p)
    return results


def _counts(harm: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    return len(harm), int((harm > 0).sum()), int((harm < 0).sum())


def _distinct(held: list[_Result], columns: list[BinnedColumn]) -> list[_Result]:
    """Drop rules whose rows are mostly those of a better rule, or the reverse."""
    kept: list[_Result] = []
    masks: list[npt.NDArray[np.bool_]] = []
    for rule, row in held:
        mask = matches(rule, columns)
        if all((mask & other).sum() <= (mask | other).sum() / 2 for other in masks):
            kept.append((rule, row))
            masks.append(mask)
    return kept
