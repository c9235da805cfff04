"""GroupRiskDisplay: the harm of pruning to each group."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from sk_prunefair.checks import check_count
from sk_prunefair.plotting._common import (
    COLOURS,
    MAX_GROUPS,
    check_columns,
    label_rows,
    largest_of,
    one_axis,
)
from sk_prunefair.plotting._display import EstimatorDisplay

SOURCE = "report.to_frame()"
LABELS = {"excessive_risk": "excessive risk R", "accuracy_drop": "accuracy lost by pruning"}


class GroupRiskDisplay(EstimatorDisplay):
    """Excessive risk of each group with its bootstrap interval, the largest on top.

    Parameters
    ----------
    frame : pandas.DataFrame
        By group, as ``FairnessReport.to_frame()`` returns it: ``count`` and the metric. Intervals
        are drawn if the report was made with ``n_boot`` and ``ci_quantiles``, from its smallest
        quantile to its largest; without them none are drawn.
    metric : {"excessive_risk", "accuracy_drop"}, default="excessive_risk"
        The metric to draw.
    max_groups : int, default=40
        Largest number of groups; of more, those with the largest values are drawn, with a note in
        the title.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"count": [30, 400], "excessive_risk": [0.9, 0.1]}, index=["f", "m"])
    >>> display = GroupRiskDisplay.from_frame(frame)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['m (400)', 'f (30)']
    """

    _options: ClassVar[tuple[str, ...]] = ("metric", "max_groups")

    def __init__(
        self, frame: pd.DataFrame, *, metric: str = "excessive_risk", max_groups: int = MAX_GROUPS
    ) -> None:
        self.frame = frame
        self.max_groups = max_groups
        self.metric = metric

    @classmethod
    def _measure(cls, subject: Any, X: Any, y: Any, **options: Any) -> pd.DataFrame:
        return subject.fairness_report(X, y, **options).to_frame()

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one row for each group.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        GroupRiskDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        if self.metric not in LABELS:
            raise ValueError(f"metric must be one of {list(LABELS)}, got {self.metric!r}")
        check_columns(self.frame, ["count", self.metric], "frame", SOURCE)
        check_count("max_groups", self.max_groups)
        frame = self.frame.sort_values(self.metric).tail(self.max_groups)
        notes = largest_of(len(frame), len(self.frame))
        values, places = frame[self.metric].to_numpy(dtype=float), np.arange(len(frame))
        self.ax_ = one_axis(ax, 6.5, 1.2 + 0.3 * len(frame))
        self.figure_ = self.ax_.figure
        self.ax_.axvline(0, color="black", linewidth=0.8)
        ends = quantile_columns(frame, self.metric)
        if ends:
            low, high = frame[ends[0][1]], frame[ends[-1][1]]
            self.ax_.hlines(places, low, high, color=COLOURS[0], linewidth=2, alpha=0.6)
            notes.append(f"lines: bootstrap quantiles {ends[0][0]:g} to {ends[-1][0]:g}")
        if notes:
            self.ax_.set_title("; ".join(notes), fontsize="small", loc="left")
        self.ax_.plot(values, places, "o", color=COLOURS[0])
        self.ax_.set_xlabel(LABELS[self.metric])
        self.ax_.margins(y=0.6 / len(frame))
        label_rows(self.ax_, frame.index, counts=frame["count"])
        return self


def quantile_columns(frame: pd.DataFrame, metric: str) -> list[tuple[float, str]]:
    """Return the quantiles and their columns, smallest first; none if there are fewer than two.

    >>> quantile_columns(pd.DataFrame(columns=["R_q0.95", "R_q0.05", "R"]), "R")
    [(0.05, 'R_q0.05'), (0.95, 'R_q0.95')]
    """
    pattern = re.compile(re.escape(metric) + r"_q([0-9.e-]+)")
    found = ((pattern.fullmatch(name), name) for name in map(str, frame))
    quantiles = sorted((float(match[1]), name) for match, name in found if match)
    return quantiles if len(quantiles) > 1 else []
