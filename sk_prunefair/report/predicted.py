"""Reports from predictions of two models: of all rows at once, or of rows in parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy.typing as npt

from sk_prunefair.report.harm import GroupHarm
from sk_prunefair.report.labels import as_plain_labels
from sk_prunefair.report.parts import add_up
from sk_prunefair.report.predictions import answers, as_prediction


class PredictedReport(GroupHarm):
    """A report from predictions, without a net; `sk_prunefair.FairnessReport` is a subclass."""

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
        """Compare two models by their predictions: probabilities, or labels.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels.
        dense_pred, compressed_pred : array-like
            Labels, shape (n_samples,), or probabilities, shape (n_samples, n_classes). With
            probabilities the labels are the most probable ones, and the losses the cross entropy,
            in nats, with probabilities of at least 1.2e-7. Unless both are probabilities, there
            are no losses.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            The group of each sample; columns intersect.
        classes : array-like of shape (n_classes,), default=None
            Labels of the columns of probabilities. None takes the names of a DataFrame's
            columns; without those the integers from 0 if labels are integers and fewer than the
            columns, else the sorted labels.
        names : pair of str, default=("dense", "compressed")
            Names of the two models, in columns and sentences.
        **options : dict
            ``control_features``, ``metrics``, ``compression``, ``n_boot`` and the like, as the
            class takes them.

        Returns
        -------
        FairnessReport
            A report with the results that the predictions allow.

        Raises
        ------
        ValueError
            If the predictions are neither labels nor probabilities, or the labels of columns are
            unknown.

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
        """Compare two models by their predictions for rows that are given in parts.

        One part is in memory at a time, and the sum of all of them: counts and sums of each
        kind of row, by group, label and both predictions. The report equals that of all rows at
        once, up to rounding. Results that need single rows raise ValueError: ``exemplars``,
        ``harmed_slices``, `practice_frame` and user metrics, ``to_json(samples=True)``, and
        criteria of a promise that are tested by betting (losses, the balanced accuracy). Bootstrap
        intervals, and the page's gaps of shuffled groups, draw sums: for accuracies with the
        distribution of drawn rows, for losses by the normal distribution within each kind of row.

        Parameters
        ----------
        parts : iterable of mapping or tuple
            Iterated once. A mapping holds ``y_true``, ``dense_pred``, ``compressed_pred``
            (labels or probabilities, as for `from_predictions`) and ``sensitive_features``; a
            tuple holds these in this order. A mapping may also hold ``dense_losses`` and
            ``compressed_losses``, ``control_features``, and ``sample_weight``: the number of
            samples that each row represents. A part may be empty, lack groups and labels of
            other parts, and have new ones.
        classes : array-like of shape (n_classes,), default=None
            Labels of the columns of probabilities. None takes them from the first part.
        names : pair of str, default=("dense", "compressed")
            Names of the two models, in columns and sentences.
        **options : dict
            ``compression``, ``n_boot`` and the like, as the class takes them.

        Returns
        -------
        FairnessReport
            Its ``kinds`` are the sums; ``samples`` and ``outcomes`` have one row for each kind.

        Raises
        ------
        ValueError, TypeError
            If a part is malformed, or differs in form from those before it; the message has its
            number.

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
