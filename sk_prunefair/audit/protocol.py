"""Protocols of the objects that an audit page shows."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd

from sk_prunefair.names import Names
from sk_prunefair.outcome import Outcome


class AuditedReport(Protocol):
    """A comparison of two classifiers by group; `sk_prunefair.FairnessReport` is one."""

    names: Names
    outcomes: tuple[Outcome, Outcome]
    compression: pd.Series | None
    latency: pd.DataFrame | None
    diagnostics: pd.DataFrame | None
    empty_layers: tuple[str, ...]
    kinds: Any

    @property
    def change(self) -> Any:
        """Name of the change between the two models."""

    @property
    def samples(self) -> pd.DataFrame:
        """The known columns of each sample, or of each of ``kinds`` of samples."""

    @property
    def n_samples(self) -> int:
        """Number of samples."""

    @property
    def overall_accuracy(self) -> tuple[float, float]:
        """Accuracy of each of the two models over all samples."""

    @property
    def is_loss_unchanged(self) -> bool:
        """Whether each sample has the same loss with both."""

    @property
    def n_boot(self) -> int | None:
        """Number of bootstrap draws; None if there are no intervals."""

    @property
    def findings(self) -> list[str]:
        """Findings beyond averages: one label for all, lost labels, layers without weights."""

    @property
    def has_losses(self) -> bool:
        """Whether the loss of each sample is known, not only its predicted label."""

    @property
    def by_group(self) -> pd.DataFrame:
        """One row per group, the most harmed first, with the suffixes ``_dense``, ``_pruned``."""


class AuditedPromise(Protocol):
    """Verdict on a promise to every group; the first line of its text is a sentence."""

    @property
    def kept(self) -> bool:
        """Whether the promise is kept, as far as the rows show."""

    @property
    def table(self) -> pd.DataFrame:
        """The tests, one row each."""


class AuditedAcceptance(Protocol):
    """Verdicts on the criteria of a file; `sk_prunefair.acceptance.Acceptance` is one."""

    @property
    def kept(self) -> bool:
        """Whether all criteria are kept, as far as the rows show."""

    @property
    def sentence(self) -> str:
        """The overall verdict."""

    @property
    def criteria(self) -> pd.DataFrame:
        """One row per criterion."""


class AuditedMonitor(Protocol):
    """Record of a model since its release; `sk_prunefair.GroupMonitor` is one."""

    confidence: float

    @property
    def n_batches_(self) -> int:
        """Number of batches."""

    @property
    def alarms_(self) -> pd.DataFrame:
        """One row per alarm."""

    @property
    def table_(self) -> pd.DataFrame:
        """One row per group."""
