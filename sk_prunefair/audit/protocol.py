"""What a page asks of a report."""

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
        """What changed between the two."""

    @property
    def samples(self) -> pd.DataFrame:
        """What is known of each sample, or of each of ``kinds`` where there are such."""

    @property
    def n_samples(self) -> int:
        """Number of samples."""

    @property
    def overall_accuracy(self) -> tuple[float, float]:
        """Share of all samples that each of the two gets right."""

    @property
    def is_loss_unchanged(self) -> bool:
        """Whether each sample has the same loss with both."""

    @property
    def n_boot(self) -> int | None:
        """Bootstrap draws; None where there are no intervals."""

    @property
    def findings(self) -> list[str]:
        """What no average shows: one label for all, labels lost, layers without weights."""

    @property
    def has_losses(self) -> bool:
        """Whether the loss of each sample is known, not its predicted label alone."""

    @property
    def by_group(self) -> pd.DataFrame:
        """One row per group, the most harmed first, with the suffixes ``_dense``, ``_pruned``."""


class AuditedPromise(Protocol):
    """What became of a promise to every group; the first line of its text is a sentence."""

    @property
    def kept(self) -> bool:
        """Whether it is kept, as far as the rows can tell."""

    @property
    def table(self) -> pd.DataFrame:
        """What was tested."""


class AuditedAcceptance(Protocol):
    """What became of the criteria of a file; `sk_prunefair.acceptance.Acceptance` is one."""

    @property
    def kept(self) -> bool:
        """Whether all are kept, as far as the rows can tell."""

    @property
    def sentence(self) -> str:
        """What became of them."""

    @property
    def criteria(self) -> pd.DataFrame:
        """One row per criterion."""


class AuditedMonitor(Protocol):
    """What was seen since the release; `sk_prunefair.GroupMonitor` is one."""

    confidence: float

    @property
    def n_batches_(self) -> int:
        """How many batches there were."""

    @property
    def alarms_(self) -> pd.DataFrame:
        """One row per alarm."""

    @property
    def table_(self) -> pd.DataFrame:
        """One row per group."""
