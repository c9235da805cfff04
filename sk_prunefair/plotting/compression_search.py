"""CompressionSearchDisplay: cost and largest accuracy drop of each candidate."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from sk_prunefair.plotting._common import COLOURS, check_columns, group_name, one_axis
from sk_prunefair.plotting._display import Display

SOURCE = "the results_ of a CompressionSearchCV"
COLUMNS = ("candidate", "cost", "order", "kept", "accuracy_drop", "drop_bound")
_KINDS = {
    "may be returned": {"marker": "o", "color": COLOURS[0]},
    "failed": {"marker": "X", "color": COLOURS[1]},
    "not tested": {"marker": "o", "facecolor": "none", "edgecolor": "0.6"},
}
UNITS = {"latency": "seconds of a call", "bytes": "bytes", "macs": "multiply-accumulates"}


class CompressionSearchDisplay(Display):
    """Cost against the drop of the worst group, one point for each candidate of a search.

    The lower left corner is best. A line goes from the observed drop on the test rows up to
    its bound, at the search's confidence. The steps are the Pareto front: no candidate is
    better in both. The returned candidate has a ring and a name.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``results_`` of a `sk_prunefair.selection.CompressionSearchCV`.
    max_accuracy_drop : float, default=None
        Position of the promise's line; None draws none.
    cost : str, default="cost"
        Name of the cost.

    Attributes
    ----------
    candidates_ : pandas.DataFrame
        The drawn numbers, one row per candidate: ``cost``, ``worst_drop``, ``worst_bound``,
        ``kind`` ("may be returned", "failed", "not tested"), ``on_front``, ``is_best``.
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {
    ...         "candidate": ["small", "small", "large", "large"],
    ...         "cost": [10, 10, 90, 90],
    ...         "order": [1, 1, 0, 0],
    ...         "kept": [False, False, True, True],
    ...         "accuracy_drop": [0.05, 0.0, 0.01, 0.0],
    ...         "drop_bound": [0.07, 0.01, 0.02, 0.01],
    ...     }
    ... )
    >>> display = CompressionSearchDisplay.from_frame(frame, max_accuracy_drop=0.02)
    >>> display.candidates_[["worst_drop", "kind", "is_best"]].to_numpy().tolist()
    [[0.05, 'failed', False], [0.01, 'may be returned', True]]
    """

    _options: ClassVar[tuple[str, ...]] = ("max_accuracy_drop", "cost")

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        max_accuracy_drop: float | None = None,
        cost: str = "cost",
    ) -> None:
        self.frame = frame
        self.max_accuracy_drop = max_accuracy_drop
        self.cost = cost

    @classmethod
    def from_estimator(cls, search: Any, *, ax: Any = None) -> Self:
        """Draw the candidates of a search.

        Parameters
        ----------
        search : CompressionSearchCV
            Fitted.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        CompressionSearchDisplay
            With ``ax_``, ``figure_`` and the numbers.

        Raises
        ------
        TypeError
            If `search` is not a fitted search.
        """
        if not hasattr(search, "results_") or not hasattr(search, "cost"):
            raise TypeError(
                f"search must be a fitted CompressionSearchCV, got {type(search).__name__}"
            )
        return cls.from_frame(
            search.results_,
            max_accuracy_drop=search.max_accuracy_drop,
            cost=UNITS.get(search.cost, "cost") if isinstance(search.cost, str) else "cost",
            ax=ax,
        )

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one point for each candidate, and the front.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        CompressionSearchDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        check_columns(self.frame, COLUMNS, "frame", SOURCE)
        self.candidates_ = rows = _one_row_each(self.frame)
        self.ax_ = one_axis(ax, 6.5, 4.2)
        self.figure_ = self.ax_.figure
        self.ax_.vlines(
            rows["cost"], rows["worst_drop"], rows["worst_bound"], color="0.8", zorder=1
        )
        for kind, look in _KINDS.items():
            part = rows[rows["kind"] == kind]
            if len(part):
                self.ax_.scatter(part["cost"], part["worst_drop"], label=kind, zorder=3, **look)
        front = rows[rows["on_front"]].sort_values("cost")
        self.ax_.step(
            front["cost"], front["worst_drop"], where="post", color="0.4", lw=1, label="front"
        )
        if self.max_accuracy_drop is not None:
            self.ax_.axhline(self.max_accuracy_drop, color=COLOURS[1], linestyle="--", lw=1)
        for name, best in rows[rows["is_best"]].iterrows():
            at = best["cost"], best["worst_drop"]
            self.ax_.scatter(*at, s=160, facecolor="none", edgecolor="black", zorder=4)
            self.ax_.annotate(group_name(name, 48), at, xytext=(8, -14), textcoords="offset points")
        self.ax_.set_xlabel(f"{self.cost} (less is better)")
        self.ax_.set_ylabel("accuracy that the worst group loses")
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        return self


def _one_row_each(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = frame.groupby("candidate", sort=False)
    rows = grouped[["cost", "order", "kept"]].first()
    rows["worst_drop"] = grouped["accuracy_drop"].max()
    rows["worst_bound"] = grouped["drop_bound"].max()
    rows["kind"] = np.select(
        [rows["kept"].astype(bool), rows["order"].notna()],
        ["may be returned", "failed"],
        "not tested",
    )
    by_cost = rows.sort_values(["cost", "worst_drop"])
    least = by_cost["worst_drop"].cummin()
    rows["on_front"] = (by_cost["worst_drop"] < least.shift(fill_value=np.inf)).loc[rows.index]
    kept = rows.loc[rows["kept"].astype(bool), "cost"]
    rows["is_best"] = rows.index == (kept.idxmin() if len(kept) else None)
    return rows
