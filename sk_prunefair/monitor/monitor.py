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
    r"""Watch a compressed model beside the dense one, batch after batch, group by group.

    Three questions can be asked of every group: whether it loses more *accuracy* than was promised
    (of the rows whose labels are known), whether more of its *answers changed* than may (no labels
    needed), and whether its *share* of the rows has moved. Each is answered by a test that may be
    looked at after every batch, for ever: if nothing is wrong, the probability that the monitor
    ever raises an alarm, for any group and question, is at most 1 − `confidence`.

    Parameters
    ----------
    max_accuracy_drop : float in [0, 1) or None, default=0.02
        What a group's accuracy may lose, of the dense to the compressed model. None: not asked.
    confidence : float in (0, 1), default=0.95
        Probability that there is never an alarm while nothing is wrong.
    max_changed : float in (0, 1), default=None
        Share of a group's answers that may differ between the two models. None: not asked.
    shares : pandas.Series, default=None
        Share of the rows of each group at release, by group. With it the groups are known before
        the first batch.
    max_share_shift : float in (0, 1), default=None
        How far a group's share may move from `shares`. None: not asked.
    groups : pandas.Index, default=None
        The groups, where `shares` are not given. None: those that come, in their order.
    classes : array-like of shape (n_classes,), default=None
        What the columns of probabilities stand for; None: the integers from 0.

    Attributes
    ----------
    groups_ : pandas.Index or None
        The groups so far.
    alarms_ : pandas.DataFrame
        One row for each alarm: ``batch`` (from 1), ``group``, ``kind`` ("accuracy", "answers
        changed" or "share"), ``rows`` (of the group, up to then), ``observed`` (drop, or share,
        over all of them), ``limit`` (of a share: that at release), ``evidence`` and
        ``threshold``. A question is not answered twice for a group.
    table_ : pandas.DataFrame
        One row per group: ``rows``, ``labelled``, ``accuracy_drop``, ``changed``, ``share``, and
        for each question the ``evidence`` now and whether there was an alarm.
    trace_ : pandas.DataFrame
        Common logarithm of the accuracy's evidence by batch and group, or of the first question
        that is asked; at most some 500 batches are kept, evenly.
    n_batches_ : int
        Batches so far.

    Notes
    -----
    *Evidence* is the capital of bets that the group is beyond its limit, begun anew with every
    batch (`sk_prunefair.stats.restarts.RestartedBets`): harm may begin late. It starts at 1, and
    reaches 1/α with a probability of at most α, at whatever time one looks (Ville). α is shared by
    the questions that are asked and by the groups: 0.9 α / G for each of G known ones; the k-th of
    those that come later has 0.1 α / (k (k + 1)), or ten times that where none was known.

    Rows must be independent, given what came before; one person's rows are not. A monitor that
    raised an alarm has told what it had to: begin a new one when something was changed.

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
        """Begin with the groups, shares and labels of a report.

        Parameters
        ----------
        report : FairnessReport
            Of the release.
        max_accuracy_drop : float or None, default=0.02
            As for the class.
        **options
            More of its parameters.

        Returns
        -------
        GroupMonitor
            With ``shares`` of the report's rows, and its labels as ``classes``.
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
        """Take a batch of new rows.

        Parameters
        ----------
        dense_pred, compressed_pred : array-like of shape (n_samples,) or (n_samples, n_classes)
            What both models answered: labels, or probabilities.
        sensitive_features : array-like, Series, dict or DataFrame
            Groups, as at release.
        y : array-like of shape (n_samples,), default=None
            Labels where known, else None, NaN or NA. For those that come later: `update_labels`.

        Returns
        -------
        pandas.DataFrame
            The alarms of this batch, as in ``alarms_``.

        Raises
        ------
        ValueError
            If lengths or kinds do not fit. Nothing is counted then.
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
        """Take labels of rows that `update` was given without.

        Parameters
        ----------
        dense_pred, compressed_pred, sensitive_features
            As in `update`.
        y : array-like of shape (n_samples,)
            Their labels.

        Returns
        -------
        pandas.DataFrame
            The alarms that they raise.

        Raises
        ------
        ValueError
            As `update` does, and where a group would have more labels than rows.
        """
        return self._take(dense_pred, compressed_pred, sensitive_features, y, are_new=False)

    def merged(self, other: GroupMonitor) -> GroupMonitor:
        """Return the monitor of the rows of two, which have none in common.

        Parameters
        ----------
        other : GroupMonitor
            With the same parameters, of other rows of the same stream.

        Returns
        -------
        GroupMonitor
            Its evidence is the product of both. It keeps the level for what it says itself: alarms
            of the parts are theirs, and are not taken over.

        Raises
        ------
        ValueError
            If parameters differ, or rows of the one are known to be among those of the other: it is
            the same monitor, a copy of it that has rows, or it was merged with it before.
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
            A document from which `from_json` goes on, bit for bit.
        """
        return documents.to_json(self, path)

    @classmethod
    def from_json(cls, document: str | PathLike[str]) -> Self:
        """Return the monitor that `to_json` was called of.

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
