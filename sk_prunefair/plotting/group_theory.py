"""GroupTheoryDisplay: reasons why pruning harms some groups more."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from sk_prunefair.plotting._common import (
    COLOURS,
    MAX_GROUPS,
    check_columns,
    label_rows,
    largest_of,
    panels,
)
from sk_prunefair.plotting._display import EstimatorDisplay

#: The panels of `GroupTheoryDisplay`: columns of ``report.diagnostics`` with what the axes say.
THEORY_PANELS = {
    "size": "samples",
    "gradient_norm": "gradient norm ‖g‖",
    "boundary_closeness": "closeness to the\ndecision boundary",
    "hessian_max_eigenvalue": "largest Hessian\neigenvalue λ(H)",
    "excessive_risk": "excessive risk R",
}


class GroupTheoryDisplay(EstimatorDisplay):
    """Reasons why pruning harms some groups more: one row per group, one panel per quantity.

    These are Figures 2 and 3 of Tran, Fioretto, Kim and Naidu side by side: small groups have large
    gradients (Proposition 1), groups near the decision boundary have large Hessians (Theorem 2),
    and both are related to the excessive risk (Theorem 1). Groups are sorted by size; below each
    panel is its rank correlation with the excessive risk.

    Parameters
    ----------
    diagnostics : pandas.DataFrame
        By group: ``size``, ``gradient_norm``, ``boundary_closeness``, ``hessian_max_eigenvalue``,
        ``excessive_risk``, as in ``FairnessReport.diagnostics``. Of more than 40 groups those
        with the largest excessive risk are drawn; the rank correlations are of all.

    Attributes
    ----------
    ax_ : ndarray of matplotlib.axes.Axes, shape (5,)
        The panels.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame(
    ...     {
    ...         "size": [90, 10],
    ...         "gradient_norm": [0.1, 0.4],
    ...         "boundary_closeness": [0.05, 0.2],
    ...         "hessian_max_eigenvalue": [1.0, 3.0],
    ...         "excessive_risk": [0.2, 0.9],
    ...     },
    ...     index=["many", "few"],
    ... )
    >>> display = GroupTheoryDisplay.from_frame(frame)
    >>> len(display.ax_)
    5
    """

    def __init__(self, diagnostics: pd.DataFrame) -> None:
        self.diagnostics = diagnostics

    @classmethod
    def _measure(cls, subject: Any, X: Any, y: Any, **options: Any) -> pd.DataFrame:
        options.setdefault("diagnostics", True)
        return subject.fairness_report(X, y, **options).diagnostics

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : sequence of five matplotlib axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        GroupTheoryDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        check_columns(self.diagnostics, THEORY_PANELS, "diagnostics", "the diagnostics of a report")
        largest = self.diagnostics.sort_values("excessive_risk").tail(MAX_GROUPS)
        frame = largest.sort_values("size")
        self.ax_ = panels(ax, len(THEORY_PANELS), 13, 1.6 + 0.35 * len(frame))
        self.figure_ = self.ax_[0].figure
        places = np.arange(len(frame))
        ranks = self.diagnostics[list(THEORY_PANELS)].rank().corr()["excessive_risk"]
        for axis, (name, label) in zip(self.ax_, THEORY_PANELS.items(), strict=True):
            axis.barh(places, frame[name], color=COLOURS[0], height=0.7)
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_title(label, fontsize="medium")
            if name != "excessive_risk":
                rank = ranks[name]
                # A single group, or equal values, have no correlation.
                told = f"rank correlation with R: {rank:.2f}" if np.isfinite(rank) else "all alike"
                axis.set_xlabel(told, fontsize="small")
            label_rows(axis, frame.index)
            if axis is not self.ax_[0]:
                axis.set_yticklabels([])
            axis.locator_params(axis="x", nbins=3)
        if note := largest_of(len(frame), len(self.diagnostics)):
            self.figure_.suptitle(f"{note[0]}, by excessive risk", fontsize="medium")
        return self
