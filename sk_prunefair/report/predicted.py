"""Reports of what two models predict: of all rows at once, or of rows in parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy.typing as npt

from sk_prunefair.report.harm import GroupHarm
from sk_prunefair.report.labels import as_plain_labels
from sk_prunefair.report.parts import add_up
from sk_prunefair.report.predictions import answers, as_prediction


class PredictedReport(GroupHarm):
    """A report that predictions make, not a net; `sk_prunefair.FairnessReport` is one."""

    @classmethod
    def from_predictions(
        cls,
        y_true: npt.ArrayLike,
        dense_pred: Any,
        compressed_pred: Any,
        *,
        sensitive_features: Any,
        classes: npt.ArrayLike | None = None,
        names: Sequence[str] = ("dense", "compressed"),
        **options: Any,
    ) -> Self:
        """Compare two models by what they predict: probabilities, or labels.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels.
        dense_pred, compressed_pred : array-like
            Labels, shape (n_samples,), or probabilities, shape (n_samples, n_classes). From
            probabilities follow labels (the most probable one) and losses (the cross entropy, in
            nats; probabilities below 1.2e-7 count as that). Unless both are probabilities there
            are no losses.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            The group of each sample; columns intersect.
        classes : array-like of shape (n_classes,), default=None
            What the columns of probabilities stand for. None takes the names of a DataFrame's
            columns; without those the integers from 0 where labels are such and fewer than the
            columns, else the sorted labels.
        names : pair of str, default=("dense", "compressed")
            What the two are called, in columns and sentences.
        **options : dict
            ``control_features``, ``metrics``, ``compression``, ``n_boot`` and the like, as the
            class takes them.

        Returns
        -------
        FairnessReport
            With what the predictions tell, and nothing made up.

        Raises
        ------
        ValueError
            If they are neither labels nor probabilities, or columns cannot be told.

        Examples
        --------
        >>> from sk_prunefair import FairnessReport
        >>> report = FairnessReport.from_predictions(
        ...     ["no", "yes", "no", "yes"],
        ...     [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]],
        ...     [[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.4, 0.6]],
        ...     sensitive_features=["a", "a", "b", "b"],
        ...     names=("fp32", "int8"),
        ... )
        >>> report.accuracy_gap.to_dict()
        {'fp32': 0.0, 'int8': 0.5}
        >>> report.excessive_risk.round(3).to_dict()
        {'a': 0.067, 'b': 0.28}
        """
        truth = as_plain_labels(y_true, "y_true")
        given = {"dense_pred": dense_pred, "compressed_pred": compressed_pred}
        found = [as_prediction(each, name, classes) for name, each in given.items()]
        predictions = {each.name or name: each for name, each in zip(given, found, strict=True)}
        known, (dense, compressed) = answers(truth, predictions, classes)
        return cls(
            y_true,
            dense_pred=dense.labels,
            pruned_pred=compressed.labels,
            dense_losses=dense.losses,
            pruned_losses=compressed.losses,
            dense_scores=dense.scores,
            pruned_scores=compressed.scores,
            classes=known,
            sensitive_features=sensitive_features,
            names=names,
            **options,
        )

    @classmethod
    def from_parts(
        cls,
        parts: Iterable[Any],
        *,
        classes: npt.ArrayLike | None = None,
        names: Sequence[str] = ("dense", "compressed"),
        **options: Any,
    ) -> Self:
        """Compare two models by what they predict of rows that come in parts.

        One part is in memory at a time, and what all of them add up to: counts and sums of each
        kind of row, by group, label and both answers. The report is that of all rows at once, to
        the last digits of a sum. What needs the rows one by one raises ValueError: ``exemplars``,
        ``harmed_slices``, `practice_frame` and user metrics, ``to_json(samples=True)``, and what a
        promise tests by bets (losses, the balanced accuracy). Bootstrap intervals, and the page's
        gaps of shuffled groups, draw sums: of accuracies as likely as rows would, of losses by the
        normal distribution within each kind of row.

        Parameters
        ----------
        parts : iterable of mapping or tuple
            Gone through once. A mapping holds ``y_true``, ``dense_pred``, ``compressed_pred``
            (labels or probabilities, as for `from_predictions`) and ``sensitive_features``; a
            tuple these, in this order. A mapping may also hold ``dense_losses`` and
            ``compressed_losses``, ``control_features``, and ``sample_weight``: how many samples
            each row stands for, a whole number. A part may be empty, lack groups and labels that
            others have, and have new ones.
        classes : array-like of shape (n_classes,), default=None
            What the columns of probabilities stand for. None tells it from the first part.
        names : pair of str, default=("dense", "compressed")
            What the two are called, in columns and sentences.
        **options : dict
            ``compression``, ``n_boot`` and the like, as the class takes them.

        Returns
        -------
        FairnessReport
            Its ``kinds`` are what was added up; ``samples`` and ``outcomes`` have one row of each.

        Raises
        ------
        ValueError, TypeError
            If a part is malformed, or not like those before it; the error has its number.

        Examples
        --------
        >>> from sk_prunefair import FairnessReport
        >>> def parts():
        ...     for group in ("a", "b"):
        ...         yield [0, 1], [0, 1], ([0, 1] if group == "a" else [1, 1]), [group, group]
        >>> report = FairnessReport.from_parts(parts())
        >>> report.accuracy_drop.to_dict()
        {'a': 0.0, 'b': 0.5}
        """
        return cls(**add_up(parts, classes).arguments(), names=names, **options)
