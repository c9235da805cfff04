"""The harm of a compression to groups and slices, and the tests of a promise."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sk_prunefair.acceptance import Acceptance, accept
from sk_prunefair.metrics.practice import practice_frame, practice_summary
from sk_prunefair.promise import Verdict, judge_samples
from sk_prunefair.report.comparison import GroupComparison
from sk_prunefair.report.exemplars import exemplars
from sk_prunefair.report.slice_promise import judge_slices
from sk_prunefair.report.slices import harmed_slices
from sk_prunefair.report.unlabelled import as_unlabelled


class GroupHarm(GroupComparison):
    """A comparison with methods on harm; `sk_prunefair.FairnessReport` is a subclass."""

    @property
    def exemplars(self) -> pd.DataFrame:
        """Rows whose prediction changed, those with most confidence of the dense model first.

        Hooker et al.'s compression-identified exemplars, as from `sk_prunefair.report.exemplars`:
        truth, both predictions, both confidences if known, group, and the kind of change
        ("lost", "gained" or "changed"). Indexed by the position of the sample.
        """
        self.need_samples("exemplars need")
        groups = self.sensitive_features
        return exemplars(*self.outcomes, self.labels, groups, names=self.names)

    def harmed_slices(self, features: Any, **options: Any) -> pd.DataFrame:
        """Find slices that lost accuracy, without named groups: short rules over features.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            One row per sample: numbers, strings, categories; not necessarily the models' features.
        **options : dict
            ``confidence``, ``min_count``, ``max_features``, ``random_state``, as
            `sk_prunefair.report.slices.harmed_slices` takes them.

        Returns
        -------
        pandas.DataFrame
            ``rule``, ``count``, ``drop``, ``lower``, ``upper``, ``p_value``; rules are found on one
            half of the rows and tested on the other. Empty if no rule passes.
        """
        self.need_samples("harmed_slices needs")
        dense, compressed = self.outcomes
        harm = dense.is_right.astype(int) - compressed.is_right.astype(int)
        return harmed_slices(features, harm, **options)

    def practice_frame(self, **options: Any) -> pd.DataFrame:
        """Return the usual metrics by group, of both models, and their change.

        Selection rate, true and false positive rate, precision, share of changed predictions and,
        if probabilities are known, AUC, calibration error and Brier score, each with a paired
        interval of its change. It has the options of
        `sk_prunefair.metrics.practice.practice_frame`: ``pos_label``, ``n_boot``, ``confidence``,
        ``random_state``.
        """
        self.need_samples("practice_frame needs")
        groups = self.sensitive_features
        given: dict[str, Any] = {"names": self.names, **options}
        return practice_frame(*self.outcomes, self.labels, groups, **given)

    def practice_summary(self, **options: Any) -> pd.DataFrame:
        """Return the usual differences between groups, of both models, and their change.

        Demographic-parity and equalized-odds difference, impact ratio (the four-fifths rule
        requires 0.8) and the difference of shares of changed predictions, with paired intervals. It
        has the options of `practice_frame`.
        """
        self.need_samples("practice_summary needs")
        groups = self.sensitive_features
        given: dict[str, Any] = {"names": self.names, **options}
        return practice_summary(*self.outcomes, self.labels, groups, **given)

    def promise(
        self, max_accuracy_drop: float = 0.02, *, unlabelled: Any = None, **options: Any
    ) -> Verdict:
        """Test whether every group loses at most a given accuracy, on these samples.

        Parameters
        ----------
        max_accuracy_drop : float in [0, 1), default=0.02
            Accepted loss of each group: of accuracy, and of the recall of each class if it has
            enough rows for a proof.
        unlabelled : tuple of (dense_pred, compressed_pred, sensitive_features), default=None
            Rows with known groups but without labels, as both models' predictions for
            them: labels or probabilities. A group's accuracy falls by at most the share of its
            predictions that changed, and labels tell which part of that is a loss: both are tested
            together, by `sk_prunefair.stats.changes.combined_p_value`, and in a group without
            labelled rows the share only. For selection rates they count like labelled rows. All
            other criteria use labels only, which the verdict states; if no criterion uses these
            rows, ValueError is raised. Rows must be independent, and which of them have labels must
            not depend on the labels.
        **options : dict
            ``max_violation``, ``confidence``, ``criteria`` (the tested values), ``harmless`` and
            ``loss_bound``, as `sk_prunefair.promise.judge` takes them. A report from parts supports
            the criteria with an exact test of counts.

        Returns
        -------
        Verdict
            ``.kept``, ``.binding_group``, ``.table``; its text has the reasons. With rows without
            labels the table has ``unlabelled``, ``changed`` and ``evidence``.
        """
        given: dict[str, Any] = {
            "max_accuracy_drop": max_accuracy_drop,
            "names": self.names,
            "counts": self.cells.weights,
            **options,
        }
        if unlabelled is not None:
            given["unlabelled"] = as_unlabelled(unlabelled, self.labels, self.sensitive_features)
        return judge_samples(self.cells.group, *self.outcomes, self.labels, **given)

    def accept(self, criteria: Any) -> Acceptance:
        """Test acceptance criteria on the report.

        Parameters
        ----------
        criteria : str, path-like, mapping or sequence
            A YAML or JSON file, its content as a mapping, or the criteria that
            `sk_prunefair.acceptance.read_criteria` returned.

        Returns
        -------
        Acceptance
            ``.kept``, ``.criteria`` with one verdict each, ``.table`` by group; its text has the
            reasons.
        """
        self.need_samples("acceptance criteria need")
        return accept(self, criteria)

    def promise_slices(
        self, features: Any, max_accuracy_drop: float = 0.02, **options: Any
    ) -> Verdict:
        """Test the promise for all groups defined by rules of one or two features.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            One row per sample: numbers, strings, categories; not necessarily the models' features.
        max_accuracy_drop : float in [0, 1), default=0.02
            Accepted loss of accuracy of each such group.
        **options : dict
            ``min_rows``, ``max_features``, ``bins`` and ``confidence``, as
            `sk_prunefair.report.slice_promise.judge_slices` takes them.

        Returns
        -------
        Verdict
            Its table has a row for each rule; see `judge_slices` for the error rates of its claims.
        """
        self.need_samples("slices need")
        given: dict[str, Any] = {"names": self.names, **options}
        return judge_slices(features, *self.outcomes, self.labels, max_accuracy_drop, **given)
