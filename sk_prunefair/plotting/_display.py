"""Base classes of the displays: from a frame or an estimator to a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Display:
    """Numbers in a frame, and a picture of them after `plot` is called.

    A subclass takes the frame first and then its options, lists these in ``_options``, draws in
    ``plot`` and measures an estimator, or a mapping of them, in ``_measure``.
    """

    ax_: Any
    figure_: Figure
    _options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, frame: Any, **options: Any) -> None:
        raise NotImplementedError

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the numbers.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or sequence of them, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        Display
            This display, with ``ax_`` and ``figure_``.
        """
        raise NotImplementedError

    @classmethod
    def from_frame(cls, frame: Any, *, ax: Any = None, **options: Any) -> Self:
        """Draw a frame.

        Parameters
        ----------
        frame : pandas.DataFrame or mapping of str to pandas.DataFrame
            The numbers, as for the class.
        ax : matplotlib.axes.Axes or sequence of them, default=None
            Axes to draw on; None makes a figure.
        **options
            Further parameters of the class.

        Returns
        -------
        Display
            The display, with ``ax_`` and ``figure_``.

        Raises
        ------
        TypeError
            If `frame` is not a DataFrame.
        ValueError
            If a column is missing, or an option is unknown.
        ImportError
            If matplotlib (the extra ``plot``) is not installed.
        """
        return cls(frame, **options).plot(ax=ax)

    @classmethod
    def _measure(cls, subject: Any, X: Any, y: Any, **options: Any) -> Any:
        """Return the frame of a fitted estimator, or of several by name, on data."""
        raise NotImplementedError

    @classmethod
    def _from_measured(cls, subject: Any, X: Any, y: Any, ax: Any, options: dict[str, Any]) -> Self:
        drawn = {name: options.pop(name) for name in cls._options if name in options}
        return cls.from_frame(cls._measure(subject, X, y, **options), ax=ax, **drawn)


class EstimatorDisplay(Display):
    """A display of one fitted estimator."""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        ax: Any = None,
        **options: Any,
    ) -> Self:
        """Compute the numbers of an estimator on data and draw them.

        Parameters
        ----------
        estimator : FairPrunedClassifier
            Fitted and pruned; for a curve, also a Pipeline that ends in one.
        X, y, sensitive_features : array-like
            As for ``FairPrunedClassifier.fairness_report``.
        ax : matplotlib.axes.Axes or sequence of them, default=None
            Axes to draw on; None makes a figure.
        **options
            Further parameters of the class, and of the function that computes the numbers:
            `pruning_curve` for `PruningCurveDisplay`, ``fairness_report`` for the others.

        Returns
        -------
        Display
            The display, with ``ax_``, ``figure_`` and the numbers.
        """
        options |= {"sensitive_features": sensitive_features}
        return cls._from_measured(estimator, X, y, ax, options)


class ComparisonDisplay(Display):
    """A display of several fitted estimators, by name."""

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        ax: Any = None,
        **options: Any,
    ) -> Self:
        """Compute the numbers of estimators on data and draw them.

        Parameters
        ----------
        estimators : mapping of str to estimator
            Fitted estimators by the name of their method.
        X, y, sensitive_features : array-like
            Data to evaluate on, held out from training.
        ax : matplotlib.axes.Axes or sequence of them, default=None
            Axes to draw on; None makes a figure.
        **options
            Further parameters of the class, and of the function that computes the numbers.

        Returns
        -------
        Display
            The display, with ``ax_``, ``figure_`` and the numbers.
        """
        options |= {"sensitive_features": sensitive_features}
        return cls._from_measured(estimators, X, y, ax, options)
