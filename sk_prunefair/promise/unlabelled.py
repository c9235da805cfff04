"""Rows with known groups but without labels: changed predictions bound the loss of accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.names import Names
from sk_prunefair.outcome import Outcome
from sk_prunefair.promise.evidence import Evidence
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.stats.changes import (
    changes_p_value,
    changes_upper_bound,
    combined_p_value,
    combined_upper_bound,
)
from sk_prunefair.stats.paired_many import clopper_pearson
from sk_prunefair.stats.sample_size import samples_about

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unlabelled:
    """Predictions of both models for rows without labels.

    Parameters
    ----------
    group : pandas.Index of shape (n_rows,)
        Name of each row's group, a tuple for several columns.
    dense, compressed : ndarray of shape (n_rows,)
        Labels predicted by the two models.

    Examples
    --------
    >>> rows = Unlabelled(pd.Index(["a", "a", "b"]), np.array([0, 1, 1]), np.array([0, 0, 1]))
    >>> rows.counts(pd.Index(["b", "a", "c"]))
    (array([1, 2, 0]), array([0, 1, 0]))
    """

    group: pd.Index
    dense: npt.NDArray[Any]
    compressed: npt.NDArray[Any]

    def groups(self, known: Sequence[Any] = ()) -> pd.Index:
        """Return the known groups, then those that occur only here."""
        found = dict.fromkeys([*known, *self.group.unique()])
        return pd.Index(list(found), tupleize_cols=False)

    def codes(self, groups: pd.Index) -> Counts:
        """Return the position of each row's group among the groups."""
        place = {name: code for code, name in enumerate(groups)}
        codes, names = pd.factorize(self.group)
        return np.array([place[name] for name in names], dtype=np.int64)[codes]

    def counts(self, groups: pd.Index) -> tuple[Counts, Counts]:
        """Return rows, and rows whose answer changed, of each group."""
        codes, n = self.codes(groups), len(groups)
        is_changed = self.dense != self.compressed
        return np.bincount(codes, minlength=n), np.bincount(codes[is_changed], minlength=n)

    def outcomes(
        self, labels: Sequence[Any] | npt.NDArray[Any], *labelled: Outcome
    ) -> tuple[Outcome, Outcome, list[Any]]:
        """Return both models' outcomes for labelled rows, then for these, and the codes' labels.

        The truth of rows without labels is set to the dense prediction, and must not be used.
        """
        answers = [self.dense.tolist(), self.compressed.tolist()]
        known = list(dict.fromkeys([*np.asarray(labels).tolist(), *answers[0], *answers[1]]))
        place = {label: code for code, label in enumerate(known)}
        dense, compressed = (np.array([place[label] for label in each]) for each in answers)
        truth = dense
        if labelled:
            truth = np.concatenate([labelled[0].truth, dense])
            dense = np.concatenate([labelled[0].labels, dense])
            compressed = np.concatenate([labelled[1].labels, compressed])
        return Outcome(None, dense, truth), Outcome(None, compressed, truth), known

    def findings(
        self, labels: Sequence[Any] | npt.NDArray[Any], names: Names, *labelled: Outcome
    ) -> list[str]:
        """Return the label findings over all rows, with and without labels."""
        dense, compressed, known = self.outcomes(labels, *labelled)
        return label_findings(dense, compressed, known, names)


def with_changes(
    evidence: Evidence,
    labelled: tuple[int, int, int, int],
    unlabelled: tuple[int, int],
    bound: float,
    confidence: float,
) -> Evidence:
    """Return the evidence of a group on a value that changes only with the prediction.

    Without unlabelled rows only labels are used, without labelled ones only changes, else both: the
    choice depends on the numbers of rows, not on their values.

    Parameters
    ----------
    evidence : Evidence
        Evidence of the labelled rows.
    labelled : tuple of four int
        Numbers of labelled rows: all, changed, lost, won.
    unlabelled : tuple of two int
        Numbers of unlabelled rows: all, changed.
    bound : float
        Accepted loss.
    confidence : float
        1 − α.
    """
    n, more = labelled[0], unlabelled[0]
    if n + more == 0:
        return evidence
    changed = (labelled[1] + unlabelled[1]) / (n + more)
    if more == 0:
        return replace(evidence, changed=changed)
    if n == 0:
        return _by_changes(evidence, *unlabelled, bound, confidence)
    p_value = combined_p_value(labelled, unlabelled, bound, confidence)
    least = most = np.nan
    if p_value > 1 - confidence:
        # Numbers of labelled rows; n + 1 if labels alone would be enough.
        least = np.nan_to_num(evidence.needed, nan=n + 1.0, posinf=np.inf)
        most = np.nan_to_num(evidence.needed_most, nan=n + 1.0, posinf=np.inf)
    return replace(
        evidence,
        drop_bound=combined_upper_bound(labelled, unlabelled, confidence),
        p_value=p_value,
        needed=float(least),
        needed_most=float(most),
        unlabelled=more,
        changed=changed,
        by="both",
    )


def _by_changes(
    evidence: Evidence, n: int, n_changed: int, bound: float, confidence: float
) -> Evidence:
    p_value, share = changes_p_value(n, n_changed, bound), n_changed / n
    least = most = np.nan
    if p_value > 1 - confidence:
        low = float(clopper_pearson(n_changed, n, 2 * (1 - confidence))[0])
        least, most = (
            max(float(samples_about(np.array([each]), np.zeros(1), bound, confidence)[0]), n + 1.0)
            for each in (low, share)
        )
    return replace(
        evidence,
        drop_bound=changes_upper_bound(n, n_changed, confidence),
        p_value=p_value,
        is_testable=changes_p_value(n, 0, bound) <= 1 - confidence,
        needed=min(least, most),
        needed_most=most,
        unlabelled=n,
        changed=share,
        by="changes",
    )
