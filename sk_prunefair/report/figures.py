"""Every figure of a report with its number of samples and its interval, as plain values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from sk_prunefair.stats.intervals import mean_interval, spread_interval
from sk_prunefair.stats.tango import tango_interval
from sk_prunefair.stats.wilson import wilson_interval

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

CONFIDENCE = 0.95
_Z = 1.96


def figure(value: Any, count: int, low: Any = None, high: Any = None) -> dict[str, Any]:
    """Return a figure with its number of samples, and its interval where that is known.

    Examples
    --------
    >>> figure(0.5, 10, 0.2, float("nan"))
    {'value': 0.5, 'n': 10, 'low': 0.2, 'high': None}
    """
    low, high = number(low), number(high)
    return {"value": number(value), "n": int(count), "low": low, "high": high}


def number(value: Any) -> float | int | None:
    """Return a number of JSON: None for what is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return np.asarray(value).item()


def plain(value: Any) -> Any:
    """Return a label, or the value of a group, as JSON has it: a text where it is no number."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (str, bool, int, float)) else str(value)


class Figures(NamedTuple):
    """All figures of a report.

    Parameters
    ----------
    overall : dict
        Of all samples.
    groups : list of dict
        Of each group, the most harmed first.
    gaps : dict
        Between groups.
    """

    overall: dict[str, Any]
    groups: list[dict[str, Any]]
    gaps: dict[str, Any]

    @classmethod
    def of(cls, report: GroupComparison) -> Figures:
        """Compute them, once for all that is written of a report."""
        return cls(overall_figures(report), group_figures(report), gap_figures(report))


def group_figures(report: GroupComparison) -> list[dict[str, Any]]:
    """Return all figures of each group, the most harmed first.

    Intervals are of 95 %: Wilson's of an accuracy and of changed answers, Student's, corrected for
    skewness, of a loss and of the excessive risk, Tango's of a drop. ``benchmarks/intervals.md``
    says at which sizes of groups each covers; those of losses do not where groups are small and
    errors rare.

    Parameters
    ----------
    report : GroupComparison
        The report.

    Returns
    -------
    list of dict
        ``group`` (values by column), ``count`` and a figure each for the ``accuracy`` and the
        ``loss`` of both models by name, ``accuracy_drop``, ``changed`` (the share of answers),
        ``excessive_risk``; and ``metrics``, of
        the user's, which have no interval.
    """
    frame, moments = report.by_group, sample_moments(report)
    moments = moments.reindex(frame.index)  # booleans would be a mask to loc
    before, after = report.names
    users = report.user_metrics()
    return [
        {"group": dict(zip(map(str, frame.index.names), _key(key), strict=True)), "count": int(n)}
        | _own(moments.iloc[row], before, after)
        | _users(users, key, int(n), report.names)
        for row, (key, n) in enumerate(frame["count"].items())
    ]


def overall_figures(report: GroupComparison) -> dict[str, Any]:
    """Return the figures of all samples, as `group_figures` has those of a group."""
    moments = _moments(_values(report)).iloc[0]
    return _own(moments, *report.names)


def gap_figures(report: GroupComparison) -> dict[str, Any]:
    """Return the gaps between groups; intervals from all groups' own, by Bonferroni's rule.

    Without them where there are control features: a gap is then the largest of several.
    """
    frame, n = report.by_group, len(report.samples)
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
    """Return counts, means and deviations of what each sample says, by group, as the frames do."""
    cells = report.cells
    return _moments(_values(report), cells.codes).set_axis(cells.index)


def _values(report: GroupComparison) -> pd.DataFrame:
    samples = report.samples
    before, after = samples["is_right_dense"], samples["is_right_pruned"]
    values = {
        "right_dense": before,
        "right_pruned": after,
        "lost": before * (1 - after),
        "won": after * (1 - before),
        "changed": (report.outcomes[0].labels != report.outcomes[1].labels).astype(float),
    }
    if report.has_losses:
        values |= {
            "loss_dense": samples["loss_dense"],
            "loss_pruned": samples["loss_pruned"],
            "risk": samples["loss_pruned"] - samples["loss_dense"],
        }
    return pd.DataFrame(values)


def _moments(values: pd.DataFrame, codes: npt.NDArray[np.int64] | None = None) -> pd.DataFrame:
    codes = np.zeros(len(values), dtype=np.int64) if codes is None else codes
    grouped = values.groupby(codes)
    frame = grouped.mean().assign(n=grouped.size())
    spread = [name for name in ("loss_dense", "loss_pruned", "risk") if name in values]
    for name in spread:
        deviation = grouped[name].std()
        cubes = (values[name].to_numpy() - frame[name].to_numpy()[codes]) ** 3
        cubes = np.bincount(codes, cubes) / frame["n"]
        frame[f"{name}_deviation"] = deviation
        frame[f"{name}_skewness"] = cubes / deviation.where(deviation > 0) ** 3
    return frame


def _own(row: pd.Series, before: str, after: str) -> dict[str, Any]:
    n = int(row["n"])
    found: dict[str, Any] = {"accuracy": {}}
    for name, role in ((before, "dense"), (after, "pruned")):
        share = row[f"right_{role}"]
        found["accuracy"][name] = figure(share, n, *wilson_interval(share, n, _Z))
    lost, won = round(n * row["lost"]), round(n * row["won"])
    found["accuracy_drop"] = figure((lost - won) / n, n, *tango_interval(n, lost, won, CONFIDENCE))
    found["changed"] = figure(row["changed"], n, *wilson_interval(row["changed"], n, _Z))
    if "risk" not in row:
        return found
    found["loss"] = {
        name: _mean(row, f"loss_{role}", n) for name, role in ((before, "dense"), (after, "pruned"))
    }
    return found | {"excessive_risk": _mean(row, "risk", n)}


def _mean(row: pd.Series, name: str, n: int) -> dict[str, Any]:
    deviation, skewness = row[f"{name}_deviation"], row[f"{name}_skewness"]
    ends = mean_interval(row[name], deviation, n, CONFIDENCE, skewness)
    return figure(row[name], n, *ends)


def _users(
    users: dict[str, list[pd.Series]], key: Any, n: int, names: tuple[str, str]
) -> dict[str, Any]:
    """Return the user's metrics of a group, which have no interval."""
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
