"""MonitorDisplay: the evidence of harm, batch by batch."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from sk_prunefair.plotting._common import group_name, one_axis, style
from sk_prunefair.plotting._display import Display

MOST_GROUPS = 12


class MonitorDisplay(Display):
    """Evidence that a group's harm exceeds its limit, over the batches, one line per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        Base-10 logarithm of the evidence by batch and group, as `sk_prunefair.GroupMonitor` has it
        in ``trace_``. The twelve groups with the most evidence are drawn.
    alarms : pandas.DataFrame, default=None
        The monitor's ``alarms_``, which are marked; their lowest threshold is drawn.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_prunefair.plotting import MonitorDisplay
    >>> trace = pd.DataFrame({"a": [0.0, -0.1], "b": [0.5, 2.5]}, index=[1, 2])
    >>> display = MonitorDisplay.from_frame(trace)
    >>> [line.get_label() for line in display.ax_.get_lines()]
    ['b', 'a']
    """

    _options = ("alarms",)

    def __init__(self, frame: pd.DataFrame, *, alarms: pd.DataFrame | None = None) -> None:
        self.frame = frame
        self.alarms = alarms

    @classmethod
    def from_monitor(cls, monitor: Any, *, ax: Any = None) -> Self:
        """Draw a monitor.

        Parameters
        ----------
        monitor : GroupMonitor
            A monitor with at least one batch.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        MonitorDisplay
            The display, with ``ax_`` and ``figure_``.
        """
        return cls.from_frame(monitor.trace_, alarms=monitor.alarms_, ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one line for each group.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        MonitorDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        if not isinstance(self.frame, pd.DataFrame):
            raise TypeError(f"frame must be a DataFrame, got {type(self.frame).__name__}")
        if self.frame.empty:
            raise ValueError("frame must have at least one batch, got an empty one")
        self.ax_ = one_axis(ax, 6.5, 3.6)
        self.figure_ = self.ax_.figure
        most = self.frame.max().sort_values(ascending=False, kind="stable").index[:MOST_GROUPS]
        for i, group in enumerate(most):
            options = style(i) | {"marker": ""}
            self.ax_.plot(self.frame.index, self.frame[group], label=group_name(group), **options)
        if self.alarms is not None and len(self.alarms):
            self._mark(self.alarms)
        self.ax_.set_xlabel("batch")
        self.ax_.set_ylabel("evidence, power of ten")
        self.ax_.legend(fontsize="small", frameon=False)
        return self

    def _mark(self, alarms: pd.DataFrame) -> None:
        height = float(np.log10(alarms["threshold"].min()))
        self.ax_.axhline(height, color="black", linewidth=0.8, linestyle=":")
        drawn = alarms[alarms["group"].isin(list(self.frame.columns))]
        values = np.log10(drawn["evidence"].to_numpy(dtype=float))
        self.ax_.plot(drawn["batch"], values, "o", color="black", markersize=5, label="alarm")
