"""PruningCurveDisplay: the effect of each pruning rate on each group."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from sk_prunefair.plotting._common import (
    COLOURS,
    check_columns,
    group_name,
    one_axis,
    pyplot,
    style,
)
from sk_prunefair.plotting._display import EstimatorDisplay
from sk_prunefair.stats.wilson import wilson_interval

SOURCE = "the frame of pruning_curve"
MAX_TOGETHER = 6
MAX_DRAWN = 24
N_COLUMNS = 3
LABELS = {
    "accuracy": "accuracy",
    "loss": "loss",
    "accuracy_drop": "accuracy lost by pruning",
    "excessive_risk": "excessive risk R",
}


class PruningCurveDisplay(EstimatorDisplay):
    """Accuracy of each group against the pruning rate, Figure 1 of Tran et al.

    Groups are sorted by the metric at the highest rate, largest first. Bands are 95 %
    Wilson intervals of an accuracy that was measured once, and cover only the sampling of the
    test samples. If the frame has repeats, lines are means over them and bands reach from the
    smallest to the largest. More than six groups get one panel each, with the others in grey; in
    given axes they share these, without bands. Of more than 24 groups those that are worst
    off at the highest rate are drawn.

    Parameters
    ----------
    curve : pandas.DataFrame
        As `sk_prunefair.selection.pruning_curve` returns it: ``rate``, ``group``, ``count``, the
        metric, and ``repeat`` if there are several.
    metric : {"accuracy", "loss", "accuracy_drop", "excessive_risk"}, default="accuracy"
        The metric to draw. Metrics other than accuracy have bands only with repeats.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes or ndarray of them
        The axes; an array with one for each group if there are more than six.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import pandas as pd
    >>> curve = pd.DataFrame(
    ...     {
    ...         "rate": [0.5, 0.5, 0.9, 0.9],
    ...         "group": ["f", "m", "f", "m"],
    ...         "count": [30, 400, 30, 400],
    ...         "accuracy": [0.9, 0.9, 0.4, 0.8],
    ...     }
    ... )
    >>> display = PruningCurveDisplay.from_frame(curve)
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['m (400)', 'f (30)']
    """

    _options: ClassVar[tuple[str, ...]] = ("metric",)

    def __init__(self, curve: pd.DataFrame, *, metric: str = "accuracy") -> None:
        self.curve = curve
        self.metric = metric

    @classmethod
    def _measure(cls, subject: Any, X: Any, y: Any, **options: Any) -> pd.DataFrame:
        from sk_prunefair.selection import pruning_curve

        return pruning_curve(subject, X, y, **options)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one line for each group, and the overall one if the frame has it.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        PruningCurveDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        if self.metric not in LABELS:
            raise ValueError(f"metric must be one of {list(LABELS)}, got {self.metric!r}")
        check_columns(self.curve, ["rate", "group", "count", self.metric], "curve", SOURCE)
        n_repeats = self.curve["repeat"].nunique() if "repeat" in self.curve else 1
        curve, n_groups = _worst(self.curve, self.metric)
        summary = _summary(curve, self.metric, n_repeats)
        is_apart = ax is None and len(set(summary["group"])) > MAX_TOGETHER
        lines = _lines(summary, max_length=24 if is_apart else 32)
        note = "bands: 95 % Wilson intervals" if self.metric == "accuracy" else "measured once"
        if n_repeats > 1:
            note = f"mean and range of {n_repeats} repeats"
        if len(curve) < len(self.curve):
            note += f"; the {MAX_DRAWN} of {n_groups:,} groups that are worst off at the last"
        if is_apart:
            self._plot_apart(lines, note)
        else:
            self._plot_together(lines, note, ax)
        return self

    def _plot_together(self, lines: list[tuple[str, pd.DataFrame]], note: str, ax: Any) -> None:
        self.ax_ = one_axis(ax, 7, 4)
        self.figure_ = self.ax_.figure
        for number, (label, rows) in enumerate(lines):
            look = style(number)
            self.ax_.plot(rows["rate"], rows["middle"], **look, label=label, markersize=4)
            if len(lines) <= MAX_TOGETHER:
                _fill_band(self.ax_, rows, look["color"])
        self._plot_overall(self.ax_)
        self.ax_.set_xlabel("pruning rate")
        self.ax_.set_ylabel(LABELS[self.metric])
        if len(lines) <= MAX_TOGETHER:
            self.ax_.set_title(note, fontsize="small", loc="left")
        self.ax_.legend(
            title="group (samples)",
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            fontsize="small",
            handlelength=3,
        )

    def _plot_apart(self, lines: list[tuple[str, pd.DataFrame]], note: str) -> None:
        n_rows = -(-len(lines) // N_COLUMNS)
        self.figure_, axes = pyplot().subplots(
            n_rows,
            N_COLUMNS,
            sharex=True,
            sharey=True,
            figsize=(7.5, 0.8 + 1.7 * n_rows),
            layout="constrained",
            squeeze=False,
        )
        self.ax_ = axes.ravel()[: len(lines)]
        for unused in axes.ravel()[len(lines) :]:
            unused.set_visible(False)
        for lowest in self.ax_[-N_COLUMNS:]:
            lowest.tick_params(labelbottom=True)
        for axis, (label, rows) in zip(self.ax_, lines, strict=True):
            axis.plot(rows["rate"], rows["middle"], color=COLOURS[0], marker="o", markersize=3)
            _fill_band(axis, rows, COLOURS[0])
            self._plot_overall(axis, linewidth=1.2)
            for _, other in lines:
                axis.plot(other["rate"], other["middle"], color="0.85", linewidth=0.8, zorder=0)
            axis.set_title(label, fontsize="small")
        if f"{self.metric}_overall" in self.curve:
            note += "; black: all samples"
        self.figure_.supxlabel(f"pruning rate ({note})", fontsize="medium")
        self.figure_.supylabel(LABELS[self.metric], fontsize="medium")

    def _plot_overall(self, axis: Any, linewidth: float = 2.5) -> None:
        column = f"{self.metric}_overall"
        if column in self.curve:
            overall = self.curve.groupby("rate")[column].mean()
            axis.plot(
                overall.index, overall, color="black", linewidth=linewidth, label="all samples"
            )
        axis.spines[["top", "right"]].set_visible(False)


def _fill_band(axis: Any, rows: pd.DataFrame, color: str) -> None:
    if "low" in rows:
        axis.fill_between(rows["rate"], rows["low"], rows["high"], color=color, alpha=0.2, lw=0)


def _worst(curve: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, int]:
    """Return the rows of the worst groups at the highest rate, and the number of groups."""
    codes, groups = pd.factorize(curve["group"])
    if len(groups) <= MAX_DRAWN:
        return curve, len(groups)
    values = curve[metric] if metric == "accuracy" else -curve[metric]
    is_last = (curve["rate"] == curve["rate"].max()).to_numpy()
    worst = values[is_last].groupby(codes[is_last]).mean().nsmallest(MAX_DRAWN).index
    return curve[np.isin(codes, worst)], len(groups)


def _lines(summary: pd.DataFrame, max_length: int) -> list[tuple[str, pd.DataFrame]]:
    """Return each group's label and rows, from the largest to the smallest at the highest rate."""
    at_last = summary.groupby("group")["middle"].last().sort_values(ascending=False)
    lines = []
    for group in at_last.index:
        rows = summary[[other == group for other in summary["group"]]]
        lines.append((f"{group_name(group, max_length)} ({rows['count'].iloc[-1]:,.0f})", rows))
    return lines


def _summary(curve: pd.DataFrame, metric: str, n_repeats: int) -> pd.DataFrame:
    """Return the centre of the metric by rate and group, and the ends of its band if it has one."""
    if n_repeats > 1:
        by_group = curve.groupby(["rate", "group"], sort=True)
        measures = by_group.agg(
            count=("count", "mean"),
            middle=(metric, "mean"),
            low=(metric, "min"),
            high=(metric, "max"),
        )
        return measures.reset_index()
    summary = curve[["rate", "group", "count"]].assign(middle=curve[metric]).sort_values("rate")
    if metric == "accuracy":
        summary["low"], summary["high"] = wilson_interval(summary["middle"], summary["count"])
    return summary
