"""Do the intervals of a report cover? Groups with known truth, and other intervals.

No nets: ``page.md`` says what is drawn. Run ``python -m benchmarks.studies.intervals.run``: some
two minutes on one core; it goes on where it was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta, binom, norm

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.pages import by_hand, markdown, wrapped, write
from benchmarks.lib.study import options, run_study
from sk_prunefair.stats.intervals import mean_interval
from sk_prunefair.stats.tango import tango_interval
from sk_prunefair.stats.wilson import wilson_interval

Ends = tuple[np.ndarray, np.ndarray]
Row = dict[str, Any]
SIZES = [5, 10, 20, 50, 200]
ACCURACIES = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99]
CONFIDENCE, ALPHA, N_BOOT, N_GROUPS = 0.95, 0.05, 1000, 4
Z = float(norm.ppf(1 - ALPHA / 2))
SPREAD, NOISE, TAKEN = 2.0, 1.0, 0.5
ENOUGH = 0.93
OURS = "the report's"
FIGURES = {
    "accuracy": "## Accuracy of a group",
    "accuracy drop": "## Accuracy change",
    "excessive risk": "## Excessive risk",
    "accuracy gap": "## Accuracy gap",
    "ξ": "## ξ of four groups",
}
PAGE = Path(__file__).with_name("page.md")


def draw(rng: np.random.Generator, means: np.ndarray, taken: np.ndarray, shape: Any) -> Ends:
    """Return the margins of both nets, of shape (draws, groups, n)."""
    before = means[:, np.newaxis] + SPREAD * rng.standard_normal(shape)
    return before, before - taken[:, np.newaxis] + NOISE * rng.standard_normal(shape)


def losses(margins: np.ndarray) -> np.ndarray:
    """Return the cross entropy of margins."""
    return np.logaddexp(0, -margins)


def mean_loss(mean: float, deviation: float) -> float:
    """Return the expected loss of normal margins, by quadrature."""
    nodes = np.linspace(-9, 9, 4001)
    weights = norm.pdf(nodes)
    return float(np.average(losses(mean + deviation * nodes), weights=weights))


def of_accuracy(right: np.ndarray, n: int) -> dict[str, Ends]:
    """Return intervals of shares, from counts."""
    p = right / n
    middle, width = p + Z**2 / (2 * n), Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    exact = [beta.ppf(ALPHA / 2, right, n - right + 1), beta.isf(ALPHA / 2, right + 1, n - right)]
    return {
        OURS: wilson_interval(p, n),
        "Wilson's": ((middle - width) / (1 + Z**2 / n), (middle + width) / (1 + Z**2 / n)),
        "exact (Clopper-Pearson)": (np.nan_to_num(exact[0]), np.nan_to_num(exact[1], nan=1.0)),
        "normal": (p - Z * np.sqrt(p * (1 - p) / n), p + Z * np.sqrt(p * (1 - p) / n)),
        "bootstrap quantiles": (
            binom.ppf(ALPHA / 2, n, p) / n,
            binom.ppf(1 - ALPHA / 2, n, p) / n,
        ),
    }


def of_drop(change: np.ndarray, times: np.ndarray) -> dict[str, Ends]:
    """Return intervals of a drop, from changes of shape (draws, n)."""
    n = change.shape[1]
    normal = mean_interval(change.mean(axis=1), change.std(axis=1, ddof=1), 10**9)
    half = (normal[1] - normal[0]) / 2 * np.sqrt(10**9 / n)
    return {
        OURS: tango_interval(n, (change > 0).sum(axis=1), (change < 0).sum(axis=1)),
        "normal": (change.mean(axis=1) - half, change.mean(axis=1) + half),
        "bootstrap quantiles": quantiles(change @ times.T),
    }


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, deviation and skewness along the last axis, as a report has them."""
    mean, deviation = values.mean(axis=-1), values.std(axis=-1, ddof=1)
    cubes = ((values - mean[..., np.newaxis]) ** 3).mean(axis=-1)
    return mean, deviation, cubes / deviation**3


def of_risk(values: np.ndarray, times: np.ndarray) -> dict[str, Ends]:
    """Return intervals of a mean, from values of shape (draws, n)."""
    n = values.shape[1]
    mean, deviation, skewness = moments(values)
    drawn = values @ times.T
    return {
        OURS: mean_interval(mean, deviation, n, CONFIDENCE, skewness),
        "Student's": mean_interval(mean, deviation, n, CONFIDENCE),
        "bootstrap quantiles": quantiles(drawn),
        "bootstrap BCa": bca(drawn, mean, skewness / (6 * np.sqrt(n))),
    }


def bca(drawn: np.ndarray, value: np.ndarray, acceleration: np.ndarray) -> Ends:
    """Return Efron's bias-corrected and accelerated interval."""
    below = (drawn < value[:, np.newaxis]).mean(axis=1).clip(1 / N_BOOT, 1 - 1 / N_BOOT)
    bias, ordered, ends = norm.ppf(below), np.sort(drawn, axis=1), []
    for z in (-Z, Z):
        level = norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        place = np.rint(level * (N_BOOT - 1)).astype(int)
        ends.append(np.take_along_axis(ordered, place[:, np.newaxis], axis=1)[:, 0])
    return ends[0], ends[1]


def quantiles(drawn: np.ndarray) -> Ends:
    """Return the quantiles of bootstrap draws, shape (draws, N_BOOT)."""
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    return low, high


def spread(ends: Ends) -> Ends:
    """Return the interval of the largest difference; as `spread_interval`, for many draws."""
    low, high = ends
    least = np.maximum(low.max(axis=1) - high.min(axis=1), 0)
    return least, high.max(axis=1) - low.min(axis=1)


def gap_quantiles(values: np.ndarray, rng: np.random.Generator) -> Ends:
    """Return bootstrap quantiles of the largest difference of means, groups drawn by themselves."""
    n = values.shape[2]
    means = [values[:, group] @ draws_of(n, rng).T for group in range(N_GROUPS)]
    return quantiles(np.ptp(np.array(means), axis=0))


def draws_of(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the weights of n samples in each draw of the bootstrap."""
    return rng.multinomial(n, np.full(n, 1 / n), size=N_BOOT) / n


def work(cell: Cell, quick: bool = False) -> list[Row]:
    """Return how often each interval covers, for groups of one accuracy and size."""
    accuracy, n, draws, rows = cell["accuracy"], cell["n"], 20 if quick else 2000, []
    rng = np.random.default_rng([int(1000 * accuracy), n])
    level = 1 - ALPHA / N_GROUPS
    z = float(norm.ppf(1 - ALPHA / N_GROUPS / 2))
    for case, lower, more in (("alike", 0.0, 0.0), ("one worse", 0.1, 1.0)):
        accuracies = np.full(N_GROUPS, accuracy) - lower * (np.arange(N_GROUPS) == N_GROUPS - 1)
        means, taken = SPREAD * norm.ppf(accuracies), np.full(N_GROUPS, TAKEN)
        taken[-1] += more
        before, after = draw(rng, means, taken, (draws, N_GROUPS, n))
        right = before > 0, after > 0
        risk = losses(after) - losses(before)
        both = float(np.hypot(SPREAD, NOISE))
        pairs = zip(means, taken, strict=True)
        risks = np.array([mean_loss(m - d, both) - mean_loss(m, SPREAD) for m, d in pairs])
        of_group = moments(risk)
        gaps = {
            OURS: spread(wilson_interval(right[0].mean(axis=2), n, z)),
            "bootstrap quantiles": gap_quantiles(right[0].astype(float), rng),
        }
        violations = {
            OURS: spread(mean_interval(*of_group[:2], n, level, of_group[2])),
            "bootstrap quantiles": gap_quantiles(risk, rng),
        }
        found = [
            ("accuracy gap", np.ptp(accuracies), gaps),
            ("ξ", np.ptp(risks), violations),
        ]
        if case == "alike":
            times = draws_of(n, rng)
            drop = accuracy - norm.cdf((means[0] - TAKEN) / both)
            change = right[0][:, 0].astype(float) - right[1][:, 0]
            found += [
                ("accuracy", accuracy, of_accuracy(right[0][:, 0].sum(axis=1), n)),
                ("accuracy drop", drop, of_drop(change, times)),
                ("excessive risk", risks[0], of_risk(risk[:, 0], times)),
            ]
        for figure, truth, intervals in found:
            for rule, (low, high) in intervals.items():
                covers = (low <= truth + 1e-9) & (truth <= high + 1e-9)
                row = {"figure": figure, "case": case, "rule": rule, "draws": draws}
                rows.append(row | {"covers": covers.mean(), "width": np.median(high - low)})
    return rows


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write in short what covers, then three tables a figure."""
    parts = [by_hand(PAGE, until="The report's"), wrapped(sentences(rows))]
    for figure, heading in FIGURES.items():
        of_figure = rows[rows["figure"] == figure]
        ours, widths = (of_figure["rule"] == OURS), (of_figure["accuracy"] == 0.9)
        parts += [by_hand(PAGE, heading), _pivot(of_figure, "rule", "min")]
        parts += ["The report's, by accuracy:", _pivot(of_figure[ours], "accuracy", "min")]
        parts += ["Median width at an accuracy of 0.9:", _pivot(of_figure[widths], "rule", "width")]
    write(path, parts)


def _pivot(rows: pd.DataFrame, index: str, what: str) -> str:
    values, reduce = ("width", "mean") if what == "width" else ("covers", "min")
    table = rows.pivot_table(
        index=index, columns="n", values=values, aggfunc=reduce, sort=False
    ).rename(columns="{:,}".format)
    if index == "accuracy":
        table.index = [f"{each:g}" for each in table.index]
        table.index.name = "accuracy"
    return markdown(table, floatfmt=".3f")


def sentences(results: pd.DataFrame) -> str:
    """Say what covers and what does not, in three sentences."""
    ours, drawn = (results[results["rule"] == rule] for rule in (OURS, "bootstrap quantiles"))
    lowest = ours.groupby("figure")["covers"].min().map("{:.3f}".format)
    known = ", ".join(_enough(part, n) for n, part in _by_size_needed(ours).items())
    means = drawn[(drawn["figure"] == "excessive risk") & (drawn["n"] <= 20)]["covers"]
    gaps = drawn[(drawn["figure"] == "ξ") & (drawn["case"] == "alike")]["covers"]
    return (
        f"The report's intervals of an accuracy, a drop, an accuracy gap and ξ cover at all sizes, "
        f"in {lowest['accuracy']}, {lowest['accuracy drop']}, {lowest['accuracy gap']} and "
        f"{lowest['ξ']} of the draws at least; those of gaps are wide. Those of a mean loss do not "
        f"where a group is small and its errors are rare, as it may then hold none of the samples "
        f"that have the loss: the excessive risk's covers in {ENOUGH:g} or more of the draws "
        f"{known}, and no other interval here does better. Quantiles of the bootstrap (`n_boot`, "
        f"as fairlearn has them) cover less: the excessive risk in {means.min():.2f} to "
        f"{means.max():.2f} of the draws with 20 samples or fewer, and ξ of groups that are alike "
        f"in {gaps.max():.2f} at most, since no draw has a difference of 0."
    )


def _by_size_needed(ours: pd.DataFrame) -> dict[int, list[float]]:
    """Return, by the size from which on the excessive risk's covers, the accuracies."""
    found: dict[int, list[float]] = {}
    for accuracy, part in ours[ours["figure"] == "excessive risk"].groupby("accuracy"):
        enough = [n for n in SIZES if (part.loc[part["n"] >= n, "covers"] >= ENOUGH).all()]
        found.setdefault(min(enough, default=0), []).append(accuracy)
    return found


def _enough(accuracies: list[float], n: int) -> str:
    first, last = min(accuracies), max(accuracies)
    where = f"{first:g}" if first == last else f"{first:g} to {last:g}"
    if not n:
        return f"at none of these sizes at an accuracy of {where}"
    return f"from {n} samples on at an accuracy of {where}"


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    args = options(__doc__, quick="a few draws").parse_args(argv)
    run_study(__file__, args, grid(accuracy=ACCURACIES, n=SIZES), work, write_page)


if __name__ == "__main__":
    main()
