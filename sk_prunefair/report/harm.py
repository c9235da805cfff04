"""Who was harmed by a compression, by the measures of practice, and whether that is allowed."""

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
    """A comparison that is asked who was harmed; `sk_prunefair.FairnessReport` is one."""

    @property
    def exemplars(self) -> pd.DataFrame:
        """Rows whose answer the compression changed, the most confident of the dense model first.

        Hooker et al.'s compression-identified exemplars, as `sk_prunefair.report.exemplars` has
        them: truth, both answers, both confidences where they are known, group, and what happened
        ("lost", "gained" or "changed"). Indexed by the position of the sample.
        """
        self.need_samples("exemplars need")
        groups = self.sensitive_features
        return exemplars(*self.outcomes, self.labels, groups, names=self.names)

    def harmed_slices(self, features: Any, **options: Any) -> pd.DataFrame:
        """Return groups that nobody named: short rules over features whose rows lost accuracy.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            One row per sample: numbers, texts, categories; they need not be what the models saw.
        **options : dict
            ``confidence``, ``min_count``, ``max_features``, ``random_state``, as
            `sk_prunefair.report.slices.harmed_slices` takes them.

        Returns
        -------
        pandas.DataFrame
            ``rule``, ``count``, ``drop``, ``lower``, ``upper``, ``p_value``; found on one half of
            the rows, tested on the other. Empty where nothing holds.
        """
        self.need_samples("harmed_slices needs")
        dense, compressed = self.outcomes
        harm = dense.is_right.astype(int) - compressed.is_right.astype(int)
        return harmed_slices(features, harm, **options)

    def practice_frame(self, **options: Any) -> pd.DataFrame:
        """Return the usual metrics by group, of both models, and how they changed.

        Selection rate, true and false positive rate, precision, share of changed answers and,
        where probabilities are known, AUC, calibration error and Brier score, each with a paired
        interval of its change. Takes the options of `sk_prunefair.metrics.practice.practice_frame`:
        ``pos_label``, ``n_boot``, ``confidence``, ``random_state``.
        """
        self.need_samples("practice_frame needs")
        groups = self.sensitive_features
        given: dict[str, Any] = {"names": self.names, **options}
        return practice_frame(*self.outcomes, self.labels, groups, **given)

    def practice_summary(self, **options: Any) -> pd.DataFrame:
        """Return the usual differences between groups, of both models, and how they changed.

        Demographic-parity and equalized-odds difference, impact ratio (the four-fifths rule asks
        for 0.8) and the difference of shares of changed answers, with paired intervals. Takes the
        options of `practice_frame`.
        """
        self.need_samples("practice_summary needs")
        groups = self.sensitive_features
        given: dict[str, Any] = {"names": self.names, **options}
        return practice_summary(*self.outcomes, self.labels, groups, **given)

    def promise(
        self, max_accuracy_drop: float = 0.02, *, unlabelled: Any = None, **options: Any
    ) -> Verdict:
        """Judge whether no group loses more, as far as these samples can tell.

        Parameters
        ----------
        max_accuracy_drop : float in [0, 1), default=0.02
            What each group may lose: of accuracy, and of the recall of each class where it has
            rows enough to prove anything.
        unlabelled : tuple of (dense_pred, compressed_pred, sensitive_features), default=None
            Rows whose groups are known and whose labels are not, by what both models predict for
            them: labels or probabilities. A group's accuracy falls by at most the share of its
            answers that changed, and labels say how much of that is loss: both are tested
            together, by `sk_prunefair.stats.changes.combined_p_value`, in a group without labelled
            rows the share alone. For selection rates they count as labelled rows do. Of recalls
            and all else labels alone decide, which the verdict says; where nothing takes these
            rows, it is an error. Rows must be independent, and which have labels must not depend on
            what they are.
        **options : dict
            ``max_violation``, ``confidence``, ``criteria`` (what may not fall), ``harmless`` and
            ``loss_bound``, as `sk_prunefair.promise.judge` takes them. A report of parts judges
            what an exact test of counts judges.

        Returns
        -------
        Verdict
            ``.kept``, ``.binding_group``, ``.table``; its text says why. With rows without label
            the table has ``unlabelled``, ``changed`` and ``evidence``.
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
        """Judge the report by acceptance criteria, as far as these samples can tell.

        Parameters
        ----------
        criteria : str, path-like, mapping or sequence
            A YAML or JSON file, what it would hold, or what
            `sk_prunefair.acceptance.read_criteria` returned.

        Returns
        -------
        Acceptance
            ``.kept``, ``.criteria`` with one verdict each, ``.table`` by group; its text says why.
        """
        self.need_samples("acceptance criteria need")
        return accept(self, criteria)

    def promise_slices(
        self, features: Any, max_accuracy_drop: float = 0.02, **options: Any
    ) -> Verdict:
        """Judge the promise for all groups that rules of one or two features make.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            One row per sample: numbers, texts, categories; they need not be what the models saw.
        max_accuracy_drop : float in [0, 1), default=0.02
            What no such group may lose of accuracy.
        **options : dict
            ``min_rows``, ``max_features``, ``bins`` and ``confidence``, as
            `sk_prunefair.report.slice_promise.judge_slices` takes them.

        Returns
        -------
        Verdict
            A row of its table for each rule; which claim has which error rate is said there.
        """
        self.need_samples("slices need")
        given: dict[str, Any] = {"names": self.names, **options}
        return judge_slices(features, *self.outcomes, self.labels, max_accuracy_drop, **given)
