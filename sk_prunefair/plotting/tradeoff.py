"""TradeoffDisplay: accuracy against the fairness violation, over rates and methods."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score

from sk_prunefair.metrics import accuracy_gap
from sk_prunefair.plotting._common import check_columns, group_name, one_axis, style
from sk_prunefair.plotting._display import ComparisonDisplay

SOURCE = "a frame with one row per method and rate, or curves of pruning_curve with a column method"
LABELS = {"fairness_violation": "fairness violation ξ", "accuracy_gap": "accuracy gap"}


class TradeoffDisplay(ComparisonDisplay):
    """Accuracy against violation over rates and methods, Figure 5 of Tran et al.

    The upper left corner is best. Each method is one line from its smallest to its largest rate,
    which are shown at its ends; a method without rate, such as a fairlearn model, is a single
    point. With repeats, points are means, and bars reach from the smallest to the largest.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``accuracy`` and the violation, one row per method, rate and repeat, with the columns
        ``method``, ``rate`` and ``repeat`` if there are several. Frames of
        `sk_prunefair.selection.pruning_curve`, concatenated with a column ``method``, work as well.
    violation : {"fairness_violation", "accuracy_gap"}, default="fairness_violation"
        The horizontal axis. ξ compares a pruned net with its dense net; models that are not pruned
        have an accuracy gap only, and rows without value are left out.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame(
    ...     {
    ...         "method": ["magnitude", "magnitude", "fairlearn"],
    ...         "rate": [0.5, 0.9, None],
    ...         "accuracy": [0.9, 0.7, 0.85],
    ...         "accuracy_gap": [0.05, 0.3, 0.02],
    ...     }
    ... )
    >>> display = TradeoffDisplay.from_frame(frame, violation="accuracy_gap")
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['magnitude', 'fairlearn']
    """

    _options: ClassVar[tuple[str, ...]] = ("violation",)

    def __init__(self, frame: pd.DataFrame, *, violation: str = "fairness_violation") -> None:
        self.frame = frame
        self.violation = violation

    @classmethod
    def _measure(cls, subject: Mapping[str, Any], X: Any, y: Any, **options: Any) -> pd.DataFrame:
        from sk_prunefair.selection import pruning_curve

        parts = []
        for method, estimator in subject.items():
            if hasattr(getattr(estimator, "steps", [[estimator]])[-1][-1], "prune"):
                curve = pruning_curve(estimator, X, y, **options)
                parts.append(_one_row_per_rate(curve.assign(method=method)))
            else:
                groups = options["sensitive_features"]
                row = tradeoff_row(method, estimator, X, y, sensitive_features=groups)
                parts.append(pd.DataFrame([row]))
        return pd.concat(parts, ignore_index=True)

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        rates: Iterable[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98),
        violation: str = "accuracy_gap",
        ax: Any = None,
        **options: Any,
    ) -> Self:
        """Compute the curves of estimators that can be pruned, and the points of other ones.

        Parameters
        ----------
        estimators : mapping of str to estimator
            Fitted estimators by the name of their method. Those with `prune`, or Pipelines that end
            in one, are pruned at each rate; others, such as
            `fairlearn.reductions.ExponentiatedGradient`, only predict, see `tradeoff_row`.
        X, y, sensitive_features : array-like
            Data to evaluate on, held out from training.
        rates, **options
            As for `sk_prunefair.selection.pruning_curve`.
        violation
            As for the class; all models have an accuracy gap.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        TradeoffDisplay
            With ``ax_``, ``figure_`` and the numbers, ``frame``.
        """
        return super().from_estimators(
            estimators,
            X,
            y,
            sensitive_features=sensitive_features,
            ax=ax,
            **(options | {"rates": list(rates), "violation": violation}),
        )

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one line or point for each method.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        TradeoffDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        if self.violation not in LABELS:
            raise ValueError(f"violation must be one of {list(LABELS)}, got {self.violation!r}")
        check_columns(self.frame, [self.violation], "frame", SOURCE)
        frame = _one_row_per_rate(self.frame)
        check_columns(frame, ["accuracy"], "frame", SOURCE)
        frame = frame.dropna(subset=[self.violation, "accuracy"])
        if frame.empty:
            raise ValueError(
                f"frame must have rows with a {self.violation}, got missing values only"
            )
        self.ax_ = one_axis(ax, 6.5, 4.2)
        self.figure_ = self.ax_.figure
        for number, (method, rows) in enumerate(frame.groupby("method", sort=False)):
            self._plot_method(rows, group_name(method), style(number))
        self.ax_.set_xlabel(f"{LABELS[self.violation]} (less is better)")
        self.ax_.set_ylabel("accuracy")
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        return self

    def _plot_method(self, rows: pd.DataFrame, label: str, look: dict[str, Any]) -> None:
        by_rate = rows.groupby("rate", dropna=False)[[self.violation, "accuracy"]]
        middle, low, high = by_rate.mean(), by_rate.min(), by_rate.max()
        x, y = middle[self.violation], middle["accuracy"]
        self.ax_.plot(x, y, **look, label=label)
        if (by_rate.size() > 1).any():
            ends = np.stack([middle - low, high - middle])
            bars = {"xerr": ends[..., 0], "yerr": ends[..., 1]}
            self.ax_.errorbar(x, y, **bars, fmt="none", ecolor=look["color"], alpha=0.5)
        for rate in x.index[[0, -1]].dropna().unique():
            self.ax_.annotate(
                f"{rate:g}",
                (x[rate], y[rate]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize="small",
                color=look["color"],
            )


def tradeoff_row(
    method: str, estimator: Any, X: Any, y: Any, *, sensitive_features: Any, random_state: int = 0
) -> dict[str, Any]:
    """Evaluate a fitted classifier, also of fairlearn, and return a row for `TradeoffDisplay`.

    Parameters
    ----------
    method : str
        Name of the row.
    estimator : object with ``predict``
        Fitted classifier. ``predict`` gets ``sensitive_features`` and ``random_state`` if it takes
        them, as in `fairlearn.postprocessing.ThresholdOptimizer` and
        `fairlearn.reductions.ExponentiatedGradient` do.
    X, y : array-like
        Data, held out from training.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample.
    random_state : int, default=0
        Seed of random predictions.

    Returns
    -------
    dict
        ``method``, ``accuracy`` and ``accuracy_gap``.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> X, y = [[0], [0], [0], [0]], [0, 0, 0, 1]
    >>> zero = DummyClassifier().fit(X, y)
    >>> tradeoff_row("always 0", zero, X, y, sensitive_features=["f", "f", "m", "m"])
    {'method': 'always 0', 'accuracy': 0.75, 'accuracy_gap': 0.5}
    """
    offered = {"sensitive_features": sensitive_features, "random_state": random_state}
    taken = inspect.signature(estimator.predict).parameters
    y_pred = estimator.predict(X, **{key: offered[key] for key in offered.keys() & taken.keys()})
    return {
        "method": method,
        "accuracy": float(accuracy_score(y, y_pred)),
        "accuracy_gap": accuracy_gap(y, y_pred, sensitive_features=sensitive_features),
    }


def _one_row_per_rate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and violation by method, rate and repeat, for either kind of frame."""
    defaults = {"method": "pruned", "rate": None, "repeat": 0}
    frame = frame.assign(**{k: v for k, v in defaults.items() if k not in frame})
    if "accuracy_overall" not in frame:
        return frame
    # A curve repeats values that are the same for all groups.
    overall = frame["accuracy_overall"]
    if "accuracy" in frame:
        overall = overall.fillna(frame["accuracy"])  # methods without a curve
    columns = [*defaults, "accuracy", *(name for name in LABELS if name in frame)]
    return frame.assign(accuracy=overall).drop_duplicates(list(defaults))[columns]
