"""GroupMonitor: an alarm when a compressed model begins to harm a group, valid at any time."""

from __future__ import annotations

import copy
from os import PathLike
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.monitor import documents
from sk_prunefair.monitor.counts import check_classes, check_columns, count_batch, labels_of
from sk_prunefair.monitor.evidence import Evidence
from sk_prunefair.monitor.groups import shares_of
from sk_prunefair.monitor.record import ALARM_COLUMNS, Record


class GroupMonitor:
    r"""Monitor a compressed model beside the dense one, batch by batch and group by group.

    Up to three questions are tested for every group: whether it loses more *accuracy* than promised
    (on rows with known labels), whether more of its *predictions changed* than accepted (no labels
    needed), and whether its *share* of the rows has changed. Each test may be
    evaluated after every batch, without end: if no limit is exceeded, the probability that the
    monitor ever raises an alarm, for any group and question, is at most 1 − `confidence`.

    Parameters
    ----------
    max_accuracy_drop : float in [0, 1) or None, default=0.02
        Accepted loss of a group's accuracy, dense minus compressed. None omits the question.
    confidence : float in (0, 1), default=0.95
        Probability that there is never an alarm while no limit is exceeded.
    max_changed : float in (0, 1), default=None
        Accepted share of a group's predictions that differ. None omits the question.
    shares : pandas.Series, default=None
        Share of the rows of each group at release, by group. It defines the groups before
        the first batch.
    max_share_shift : float in (0, 1), default=None
        Accepted change of a group's share from `shares`. None omits the question.
    groups : pandas.Index, default=None
        The groups, if `shares` are not given. None takes groups as they occur, in that order.
    classes : array-like of shape (n_classes,), default=None
        Labels of the columns of probabilities; None means the integers from 0.

    Attributes
    ----------
    groups_ : pandas.Index or None
        The groups so far.
    alarms_ : pandas.DataFrame
        One row for each alarm: ``batch`` (from 1), ``group``, ``kind`` ("accuracy", "answers
        changed" or "share"), ``rows`` (of the group so far), ``observed`` (drop or share
        over all of them), ``limit`` (for a share, that at release), ``evidence`` and
        ``threshold``. There is at most one alarm per group and question.
    table_ : pandas.DataFrame
        One row per group: ``rows``, ``labelled``, ``accuracy_drop``, ``changed``, ``share``, and
        for each question the current ``evidence`` and whether there was an alarm.
    trace_ : pandas.DataFrame
        Base-10 logarithm of the evidence on accuracy by batch and group, or on the first question
        in use; about 500 batches at most are kept, evenly spaced.
    n_batches_ : int
        Number of batches so far.

    Notes
    -----
    *Evidence* is the capital of bets that the group exceeds its limit, restarted with every
    batch (`sk_prunefair.stats.restarts.RestartedBets`), as harm may begin late. It starts at 1, and
    reaches 1/α with a probability of at most α, at any time (Ville's inequality). α is split over
    the questions in use and the groups: 0.9 α / G for each of G known ones; the k-th
    later group has 0.1 α / (k (k + 1)), or ten times that if none was known.

    Rows must be independent given the past, which several rows of one person are not. After an
    alarm and a change of the model, start a new monitor.

    References
    ----------
    Ramdas, Grünwald, Vovk and Shafer (2023), Game-theoretic statistics and safe anytime-valid
    inference, Statistical Science.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_prunefair import GroupMonitor
    >>> monitor = GroupMonitor(max_accuracy_drop=0.02, confidence=0.95)
    >>> rng = np.random.default_rng(0)
    >>> for day in range(30):
    ...     y, group = rng.integers(0, 2, 500), rng.choice(["a", "b"], 500)
    ...     is_wrong = (group == "b") & (rng.random(500) < 0.1)  # "b" loses ten points
    ...     alarms = monitor.update(y, np.where(is_wrong, 1 - y, y), sensitive_features=group, y=y)
    >>> monitor.alarms_[["batch", "group", "kind"]].to_dict("records")
    [{'batch': 2, 'group': 'b', 'kind': 'accuracy'}]
    """

    def __init__(
        self,
        max_accuracy_drop: float | None = 0.02,
        *,
        confidence: float = 0.95,
        max_changed: float | None = None,
        shares: pd.Series | None = None,
        max_share_shift: float | None = None,
        groups: pd.Index | None = None,
        classes: npt.ArrayLike | None = None,
    ) -> None:
        self.max_accuracy_drop = max_accuracy_drop
        self.confidence = confidence
        self.max_changed = max_changed
        self.shares = shares
        self.max_share_shift = max_share_shift
        self.classes = None if classes is None else np.asarray(classes)
        documents.check_parameters(self, groups)
        known = shares.index if shares is not None else groups
        self._record = Record(
            Evidence(max_accuracy_drop, max_changed, max_share_shift),
            1 - confidence,
            known if known is None or isinstance(known, pd.Index) else pd.Index(known),
            None if shares is None else shares.to_numpy(dtype=float),
        )

    @classmethod
    def from_report(
        cls, report: Any, max_accuracy_drop: float | None = 0.02, **options: Any
    ) -> Self:
        """Create a monitor with the groups, shares and labels of a report.

        Parameters
        ----------
        report : FairnessReport
            Report at release.
        max_accuracy_drop : float or None, default=0.02
            As for the class.
        **options
            Further parameters of the class.

        Returns
        -------
        GroupMonitor
            A monitor with the ``shares`` of the report's rows, and its labels as ``classes``.
        """
        known: dict[str, Any] = {"shares": shares_of(report), "classes": report.labels}
        return cls(max_accuracy_drop, **known | options)

    def update(
        self,
        dense_pred: npt.ArrayLike,
        compressed_pred: npt.ArrayLike,
        *,
        sensitive_features: Any,
        y: npt.ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Add a batch of new rows.

        Parameters
        ----------
        dense_pred, compressed_pred : array-like of shape (n_samples,) or (n_samples, n_classes)
            Predictions of both models: labels, or probabilities.
        sensitive_features : array-like, Series, dict or DataFrame
            Groups, as at release.
        y : array-like of shape (n_samples,), default=None
            Labels if known, else None, NaN or NA. For labels that come later, see `update_labels`.

        Returns
        -------
        pandas.DataFrame
            The alarms of this batch, as in ``alarms_``.

        Raises
        ------
        ValueError
            If lengths or kinds do not match. Nothing is counted then.
        """
        return self._take(dense_pred, compressed_pred, sensitive_features, y, are_new=True)

    def update_labels(
        self,
        dense_pred: npt.ArrayLike,
        compressed_pred: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        sensitive_features: Any,
    ) -> pd.DataFrame:
        """Add labels of rows that were given to `update` without labels.

        Parameters
        ----------
        dense_pred, compressed_pred, sensitive_features
            As in `update`.
        y : array-like of shape (n_samples,)
            Labels of the rows.

        Returns
        -------
        pandas.DataFrame
            The new alarms.

        Raises
        ------
        ValueError
            As for `update`, or if a group would have more labels than rows.
        """
        return self._take(dense_pred, compressed_pred, sensitive_features, y, are_new=False)

    def merged(self, other: GroupMonitor) -> GroupMonitor:
        """Return a monitor of the rows of two monitors without common rows.

        Parameters
        ----------
        other : GroupMonitor
            A monitor with the same parameters, on other rows of the same stream.

        Returns
        -------
        GroupMonitor
            Its evidence is the product of both. The level holds for its own alarms: alarms
            of the parts are not copied.

        Raises
        ------
        ValueError
            If the parameters differ, or if rows of one are known to be among those of the other:
            it is the same monitor, a copy of it that has rows, or was merged with it before.
        """
        mine, theirs = documents.parameters(self), documents.parameters(other)
        if mine != theirs:
            raise ValueError(f"monitors must have the same parameters, got {mine} and {theirs}")
        both = copy.copy(self)
        both._record = self._record.merged(other._record)
        return both

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return the state as JSON, and write it to a file.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write, in UTF-8.

        Returns
        -------
        str
            A document from which `from_json` restores exactly the same state.
        """
        return documents.to_json(self, path)

    @classmethod
    def from_json(cls, document: str | PathLike[str]) -> Self:
        """Return the monitor from the result of `to_json`.

        Parameters
        ----------
        document : str or path-like
            The JSON document, or the path of a file that holds it.
        """
        return documents.from_json(cls, document)

    @property
    def groups_(self) -> pd.Index | None:  # noqa: D102
        return self._record.groups

    @property
    def n_batches_(self) -> int:  # noqa: D102
        return self._record.n_batches

    @property
    def alarms_(self) -> pd.DataFrame:  # noqa: D102
        return pd.DataFrame(self._record.alarms, columns=ALARM_COLUMNS)

    @property
    def trace_(self) -> pd.DataFrame:  # noqa: D102
        return self._record.trace.frame(self.groups_)

    @property
    def table_(self) -> pd.DataFrame:  # noqa: D102
        return self._record.table()

    def _take(
        self, dense_pred: Any, compressed_pred: Any, features: Any, y: Any, are_new: bool
    ) -> pd.DataFrame:
        dense = labels_of(dense_pred, "dense_pred", self.classes)
        compressed = labels_of(compressed_pred, "compressed_pred", self.classes)
        codes, groups = encode_groups(as_group_frame(features, n_samples=len(dense)))
        check_columns((dense_pred, compressed_pred), y, self.classes)
        counts = count_batch(dense, compressed, y, codes, len(groups))
        self._record.check(groups)
        if not are_new:
            none = np.zeros_like(counts.rows)
            counts = counts._replace(rows=none, changed=none)
            self._record.check_labelled(counts, groups)
        check_classes({"dense_pred": dense, "compressed_pred": compressed}, y, self.classes)
        return pd.DataFrame(self._record.take(counts, groups), columns=ALARM_COLUMNS)
