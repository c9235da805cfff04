"""The record of a monitor: groups, counts, evidence, alarms."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.monitor.counts import BatchCounts
from sk_prunefair.monitor.evidence import Evidence, log_thresholds
from sk_prunefair.monitor.groups import check_groups, in_order
from sk_prunefair.monitor.trace import Trace

OBSERVED = {"accuracy": "accuracy_drop", "answers changed": "changed", "share": "share"}
ALARM_COLUMNS = ["batch", "group", "kind", "rows", "observed", "limit", "evidence", "threshold"]
_MOST = 700.0  # largest exponent of a float


class Record:
    """Counts and evidence by group, and the alarms so far.

    Parameters
    ----------
    evidence : Evidence
        Evidence without groups.
    alpha : float
        1 − confidence.
    known : pandas.Index or None
        Groups known in advance.
    shares : ndarray of shape (n_known,) or None
        Their shares at release.
    """

    def __init__(
        self,
        evidence: Evidence,
        alpha: float,
        known: pd.Index | None,
        shares: npt.NDArray[np.float64] | None,
    ) -> None:
        self.evidence = evidence
        self.alpha = alpha
        self.shares = shares
        self.groups: pd.Index | None = None
        self.n_known = 0
        self.n_batches = 0
        self.counts = np.zeros((len(BatchCounts._fields), 0), dtype=np.int64)
        self.alarms: list[dict[str, Any]] = []
        self.trace = Trace()
        self.parts: set[str] = set()  # whose rows these are; a copy has those of the original
        if known is not None:
            if not known.is_unique:
                raise ValueError(f"groups must be distinct, got {known.tolist()[:20]}")
            self._add(known, np.zeros(len(known)) if shares is None else shares)
            self.n_known = len(known)

    def check(self, groups: pd.Index) -> None:
        """Raise ValueError unless groups have the same columns as those so far."""
        if self.groups is not None:
            check_groups(groups, self.groups)

    def check_labelled(self, counts: BatchCounts, groups: pd.Index) -> None:
        """Raise ValueError where a group would have more labels than rows."""
        known = pd.Index([]) if self.groups is None else self.groups
        held = BatchCounts(*np.hstack([self.counts, np.zeros((len(self.counts), 1), np.int64)]))
        at = known.get_indexer(in_order(groups, known)) if len(known) else np.full(len(groups), -1)
        [beyond] = np.nonzero(held.labelled[at] + counts.labelled > held.rows[at])
        if len(beyond):
            first = beyond[0]
            raise ValueError(
                f"update_labels has {counts.labelled[first]:,} labels of group "
                f"{groups.tolist()[first]!r}, but of its {held.rows[at][first]:,} rows so far "
                f"{held.labelled[at][first]:,} have one already; labels count once, for rows that "
                "update was given without"
            )

    def places(self, groups: pd.Index) -> npt.NDArray[np.int64]:
        """Return the positions of groups among those so far; new ones are added."""
        if self.groups is None:
            self._add(groups, np.zeros(len(groups)))
        assert self.groups is not None
        groups = in_order(groups, self.groups)
        new = groups[self.groups.get_indexer(groups) < 0]
        if len(new):
            self._add(new, np.zeros(len(new)))
        return self.groups.get_indexer(groups).astype(np.int64)

    def _add(self, new: pd.Index, shares: npt.NDArray[np.float64]) -> None:
        self.groups = new if self.groups is None else self.groups.append(new)
        self.evidence.add_groups(shares)
        blank = np.zeros((len(self.counts), len(new)), dtype=np.int64)
        self.counts = np.hstack([self.counts, blank])

    def take(self, counts: BatchCounts, groups: pd.Index) -> list[dict[str, Any]]:
        """Add the counts of a batch of these groups; return the new alarms."""
        self.parts = self.parts or {uuid.uuid4().hex}
        places = self.places(groups)
        everywhere = np.zeros_like(self.counts)
        everywhere[:, places] = np.array(counts)
        self.n_batches += 1
        self.counts += everywhere
        self.evidence.take(BatchCounts(*everywhere))
        raised = self.raise_alarms()
        first = self.evidence.log_evidence(self.evidence.kinds[0])
        self.trace.add(self.n_batches, first / np.log(10))
        return raised

    def raise_alarms(self) -> list[dict[str, Any]]:
        """Add the alarms that are new, and return them."""
        kinds = self.evidence.kinds
        n_groups = 0 if self.groups is None else len(self.groups)
        thresholds = log_thresholds(self.alpha, len(kinds), self.n_known, n_groups)
        known = {(alarm["kind"], alarm["group"]) for alarm in self.alarms}
        found = [
            self._alarm(kind, int(place), evidence[place], thresholds[place])
            for kind in kinds
            for evidence in [self.evidence.log_evidence(kind)]
            for place in np.flatnonzero(evidence >= thresholds)
        ]
        raised = [alarm for alarm in found if (alarm["kind"], alarm["group"]) not in known]
        self.alarms += raised
        return raised

    def _alarm(self, kind: str, place: int, evidence: float, threshold: float) -> dict[str, Any]:
        assert self.groups is not None
        observed = self.observed()
        limit = self.known_shares() if kind == "share" else self.evidence.bets[kind].limits
        return {
            "batch": self.n_batches,
            "group": self.groups[place],
            "kind": kind,
            "rows": int(observed["rows"][place]),
            "observed": float(observed[OBSERVED[kind]][place]),
            "limit": float(limit[place]),
            "evidence": float(np.exp(min(evidence, _MOST))),
            "threshold": float(np.exp(threshold)),
        }

    def observed(self) -> dict[str, npt.NDArray[Any]]:
        """Return the observed values of each group, by their names in the table."""
        counts = BatchCounts(*self.counts)
        return {
            "rows": counts.rows,
            "labelled": counts.labelled,
            "accuracy_drop": _share(counts.lost - counts.won, counts.labelled),
            "changed": _share(counts.changed, counts.rows),
            "share": _share(counts.rows, np.full(len(counts.rows), counts.rows.sum())),
        }

    def known_shares(self) -> npt.NDArray[np.float64]:
        """Return the shares at release; 0 for later groups."""
        shares = np.zeros(self.counts.shape[1])
        if self.shares is not None:
            shares[: len(self.shares)] = self.shares
        return shares

    def table(self) -> pd.DataFrame:
        """Return one row per group."""
        columns: dict[str, Any] = self.observed()
        index = pd.Index([]) if self.groups is None else self.groups
        if self.shares is not None:
            columns["share_at_release"] = self.known_shares()
        raised = {(alarm["kind"], alarm["group"]) for alarm in self.alarms}
        for kind in self.evidence.kinds:
            evidence = np.minimum(self.evidence.log_evidence(kind), _MOST)
            columns[f"evidence, {kind}"] = np.exp(evidence)
            columns[f"alarm, {kind}"] = [(kind, group) in raised for group in index]
        return pd.DataFrame(columns, index=index)

    def merged(self, other: Record) -> Record:
        """Return the record of the rows of both, without alarms."""
        if self.parts & other.parts:
            raise ValueError(
                "monitors must have no rows in common, but one is the other, a copy of it, or was "
                "merged with it before; their rows would count twice"
            )
        both = copy.deepcopy(self)
        both.alarms, both.trace, both.parts = [], Trace(), self.parts | other.parts
        if other.groups is not None:
            both.check(other.groups)
            places = both.places(other.groups)
            both.counts[:, places] += other.counts
            both.evidence = both.evidence.merged(other.evidence, places)
        both.n_batches += other.n_batches
        both.raise_alarms()
        return both


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Divide; NaN if there are no rows."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
