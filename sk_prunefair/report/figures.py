"""All figures of a report with numbers of samples and intervals, as plain values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from sk_prunefair.report.kinds import group_moments
from sk_prunefair.stats.intervals import mean_interval, spread_interval
from sk_prunefair.stats.tango import tango_interval
from sk_prunefair.stats.wilson import wilson_interval

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

CONFIDENCE = 0.95
_Z = 1.96


def figure(value: Any, count: int, low: Any = None, high: Any = None) -> dict[str, Any]:
    """Return a figure with its number of samples, and its interval if known.

    Examples
    --------
    >>> figure(0.5, 10, 0.2, float("nan"))
    {'value': 0.5, 'n': 10, 'low': 0.2, 'high': None}
    """
    low, high = number(low), number(high)
    return {"value": number(value), "n": int(count), "low": low, "high": high}


def number(value: Any) -> float | int | None:
    """Return a number for JSON: None for one that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return np.asarray(value).item()


def plain(value: Any) -> Any:
    """Return a label or the value of a group for JSON: a string unless it is a number."""
    value = value.item() if isinstance(value, np.generic) else value
    is_known = isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
    return value if is_known else str(value)


class Figures(NamedTuple):
    """All figures of a report.

    Parameters
    ----------
    overall : dict
        Figures of all samples.
    groups : list of dict
        Figures of each group, the most harmed first.
    gaps : dict
        Gaps between groups.
    """

    overall: dict[str, Any]
    groups: list[dict[str, Any]]
    gaps: dict[str, Any]

    @classmethod
    def of(cls, report: GroupComparison) -> Figures:
        """Compute all figures once, for all outputs of a report."""
        return cls(overall_figures(report), group_figures(report), gap_figures(report))


def group_figures(report: GroupComparison) -> list[dict[str, Any]]:
    """Return all figures of each group, the most harmed first.

    Intervals are at 95 %: Wilson's for accuracies and shares of changed predictions, Student's,
    corrected for skewness, for losses and the excessive risk, Tango's for drops.
    ``benchmarks/studies/intervals/page.md`` has the group sizes at which each covers; those of
    losses do not if groups are small and errors rare.

    Parameters
    ----------
    report : GroupComparison
        The report.

    Returns
    -------
    list of dict
        ``group`` (values by column), ``count``, and one figure each for the ``accuracy`` and the
        ``loss`` of both models by name, ``accuracy_drop``, ``changed`` (the share of changed
        predictions), ``excessive_risk``; and ``metrics``,
        the user's, without intervals.
    """
    frame, moments = report.by_group, sample_moments(report)
    moments = moments.reindex(frame.index)  # loc would take booleans as a mask
    own = _own(moments, *report.names)
    users = report.user_metrics()
    return [
        {"group": dict(zip(map(str, frame.index.names), _key(key), strict=True)), "count": int(n)}
        | own[row]
        | _users(users, key, int(n), report.names)
        for row, (key, n) in enumerate(frame["count"].items())
    ]


def overall_figures(report: GroupComparison) -> dict[str, Any]:
    """Return the figures of all samples, in the form of `group_figures`."""
    moments = _moments(report, np.zeros(len(report.cells.codes), dtype=np.int64))
    return _own(moments, *report.names)[0]


def gap_figures(report: GroupComparison) -> dict[str, Any]:
    """Return the gaps between groups; intervals from all groups' intervals, by Bonferroni's rule.

    With control features there are no intervals, as a gap is then the largest of several.
    """
    frame, n = report.by_group, report.n_samples
    level = 1 - (1 - CONFIDENCE) / len(frame)
    z = float(norm.isf((1 - level) / 2))
    moments = sample_moments(report)
    gaps = report.accuracy_gap
    found: dict[str, Any] = {"accuracy_gap": {}, "fairness_violation": None}
    for name, role in zip(report.names, ("dense", "pruned"), strict=True):
        ends = spread_interval(*wilson_interval(moments[f"right_{role}"], moments["n"], z))
        found["accuracy_gap"][name] = _gap(report, gaps[name], n, ends)
    floors = report.accuracy_gap_floor
    found["accuracy_gap_floor"] = {name: number(floors[name]) for name in report.names}
    if report.has_losses:
        ends = spread_interval(
            *mean_interval(
                moments["risk"],
                moments["risk_deviation"],
                moments["n"],
                level,
                moments["risk_skewness"],
            )
        )
        found["fairness_violation"] = _gap(report, report.fairness_violation, n, ends)
    return found


def _gap(report: GroupComparison, value: Any, n: int, ends: tuple[float, float]) -> dict[str, Any]:
    return figure(value, n, *(ends if report.control_features is None else ()))


def sample_moments(report: GroupComparison) -> pd.DataFrame:
    """Return counts, means and deviations of per-sample values by group, in the frames' order."""
    cells = report.cells
    return _moments(report, cells.codes).set_axis(cells.index)


def _moments(report: GroupComparison, codes: npt.NDArray[np.int64]) -> pd.DataFrame:
    dense, pruned = report.outcomes
    before, after = dense.is_right.astype(float), pruned.is_right.astype(float)
    values: dict[str, npt.NDArray[np.float64]] = {
        "right_dense": before,
        "right_pruned": after,
        "lost": before * (1 - after),
        "won": after * (1 - before),
        "changed": (report.outcomes[0].labels != report.outcomes[1].labels).astype(float),
    }
    if dense.losses is not None and pruned.losses is not None:
        values |= {
            "loss_dense": dense.losses,
            "loss_pruned": pruned.losses,
            "risk": pruned.losses - dense.losses,
        }
    kinds = report.kinds
    own = () if kinds is None else (kinds.squares, kinds.cubes)
    return group_moments(values, codes, report.cells.weights, *own)


def _own(moments: pd.DataFrame, before: str, after: str) -> list[dict[str, Any]]:
    """Return the figures of each row of moments."""
    n = moments["n"].to_numpy()
    lost, won = (np.rint(n * moments[each]).to_numpy(dtype=int) for each in ("lost", "won"))
    roles = ((before, "dense"), (after, "pruned"))
    accuracies = {
        name: _figures(
            moments[f"right_{role}"], n, *wilson_interval(moments[f"right_{role}"], n, _Z)
        )
        for name, role in roles
    }
    drops = _figures((lost - won) / n, n, *tango_interval(n, lost, won, CONFIDENCE))
    changed = _figures(moments["changed"], n, *wilson_interval(moments["changed"], n, _Z))
    found = [
        {
            "accuracy": {name: each[row] for name, each in accuracies.items()},
            "accuracy_drop": drop,
            "changed": changed[row],
        }
        for row, drop in enumerate(drops)
    ]
    if "risk" not in moments:
        return found
    losses = {name: _means(moments, f"loss_{role}") for name, role in roles}
    risks = _means(moments, "risk")
    return [
        own
        | {"loss": {name: each[row] for name, each in losses.items()}}
        | {"excessive_risk": risks[row]}
        for row, own in enumerate(found)
    ]


def _means(moments: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    n = moments["n"].to_numpy()
    deviation, skewness = moments[f"{name}_deviation"], moments[f"{name}_skewness"]
    return _figures(
        moments[name], n, *mean_interval(moments[name], deviation, n, CONFIDENCE, skewness)
    )


def _figures(*columns: Any) -> list[dict[str, Any]]:
    """Return a figure for each row of values, counts and interval ends."""
    return [figure(*row) for row in zip(*map(np.asarray, columns), strict=True)]


def _users(
    users: dict[str, list[pd.Series]], key: Any, n: int, names: tuple[str, str]
) -> dict[str, Any]:
    """Return the user's metrics of a group, without intervals."""
    found = {
        str(name): {
            model: figure(values.iloc[values.index.get_loc(key)], n)
            for model, values in zip(names, of_models, strict=True)
        }
        for name, of_models in users.items()
    }
    return {"metrics": found} if found else {}


def _key(key: Any) -> tuple[Any, ...]:
    return tuple(map(plain, key)) if isinstance(key, tuple) else (plain(key),)
