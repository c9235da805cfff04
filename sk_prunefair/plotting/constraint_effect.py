"""ConstraintEffectDisplay: effect of a constraint on accuracy, gradients and the boundary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd

from sk_prunefair.plotting._common import (
    check_columns,
    group_name,
    label_rows,
    panels,
    style,
)
from sk_prunefair.plotting._display import ComparisonDisplay
from sk_prunefair.stats.wilson import wilson_interval

EFFECT_PANELS = {
    "accuracy": "accuracy",
    "gradient_norm": "gradient norm ‖g‖",
    "boundary_closeness": "closeness to the\ndecision boundary",
}
SOURCE = "the diagnostics of a report, joined with report.dense.by_group['accuracy']"


class ConstraintEffectDisplay(ComparisonDisplay):
    """Accuracy, gradient norm and boundary closeness of each group, by method.

    Figure 4 of Tran et al.: a constraint on the losses equalizes the groups' accuracies, and with
    them the causes of unequal harm by pruning. All three are of the dense net. One row per group,
    sorted by the first method's accuracy; one mark per method, joined by a line for each group.
    Accuracies have 95 % Wilson intervals if the frames have the sizes of the groups.

    Parameters
    ----------
    frames : mapping of str to pandas.DataFrame
        By method, such as ``{"no constraint": …, "equal losses": …}``: frames indexed by group with
        ``accuracy``, ``gradient_norm``, ``boundary_closeness`` and, for intervals, ``size``; the
        same groups in each.

    Attributes
    ----------
    ax_ : ndarray of matplotlib.axes.Axes, shape (3,)
        The panels.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import pandas as pd
    >>> columns = ["accuracy", "gradient_norm", "boundary_closeness"]
    >>> without = pd.DataFrame([[0.9, 0.1, 0.1], [0.6, 0.5, 0.2]], ["many", "few"], columns)
    >>> held = pd.DataFrame([[0.88, 0.1, 0.1], [0.8, 0.2, 0.1]], ["many", "few"], columns)
    >>> display = ConstraintEffectDisplay.from_frame({"none": without, "equal losses": held})
    >>> len(display.ax_)
    3
    """

    def __init__(self, frames: Mapping[str, pd.DataFrame]) -> None:
        self.frames = frames

    @classmethod
    def _measure(
        cls, subject: Mapping[str, Any], X: Any, y: Any, **options: Any
    ) -> dict[str, pd.DataFrame]:
        """Return the quantities of the dense nets of fitted classifiers."""
        options.setdefault("diagnostics", {"max_samples": 1})
        frames = {}
        for method, estimator in subject.items():
            report = estimator.fairness_report(X, y, **options)
            accuracy = report.dense.by_group["accuracy"]
            frames[method] = report.diagnostics.assign(accuracy=accuracy)
        return frames

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : sequence of three matplotlib axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        ConstraintEffectDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        frames = self._checked_frames()
        groups = next(iter(frames.values())).index
        self.ax_ = panels(ax, len(EFFECT_PANELS), 9, 2.1 + 0.3 * len(groups))
        self.figure_ = self.ax_[0].figure
        places = np.arange(len(groups))
        for axis, (name, label) in zip(self.ax_, EFFECT_PANELS.items(), strict=True):
            values = pd.DataFrame({method: frame[name] for method, frame in frames.items()})
            axis.hlines(places, values.min(axis=1), values.max(axis=1), color="0.7", zorder=0)
            for number, (method, frame) in enumerate(frames.items()):
                look = style(number) | {"linestyle": "none"}
                axis.plot(frame[name], places, **look, label=group_name(method))
                if name == "accuracy" and "size" in frame:
                    ends = wilson_interval(frame[name], frame["size"])
                    axis.hlines(places, *ends, color=look["color"], linewidth=5, alpha=0.25)
            axis.set_title(label, fontsize="medium")
            label_rows(axis, groups)
            axis.margins(y=0.6 / len(groups))
            if axis is not self.ax_[0]:
                axis.set_yticklabels([])
        handles = self.ax_[0].get_legend_handles_labels()
        self.figure_.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
        return self

    def _checked_frames(self) -> dict[str, pd.DataFrame]:
        """Return the frames, groups in the order of the first method's accuracy."""
        if not isinstance(self.frames, Mapping):
            kind = type(self.frames).__name__
            raise TypeError(f"frames must map methods to DataFrames, got a {kind}")
        if not self.frames:
            raise ValueError("frames must hold the frame of at least one method, got none")
        for method, frame in self.frames.items():
            check_columns(frame, EFFECT_PANELS, f"frames[{method!r}]", SOURCE)
        order = next(iter(self.frames.values())).sort_values("accuracy").index
        for method, frame in self.frames.items():
            if len(frame) != len(order) or set(frame.index) != set(order):
                raise ValueError(
                    f"frames must have the same groups, got {list(frame.index)} for {method!r} "
                    f"and {list(order)} for the first"
                )
        return {method: frame.reindex(order) for method, frame in self.frames.items()}
