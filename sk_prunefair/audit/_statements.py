"""Statements that the page and the printed report share."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from sk_prunefair.audit._protocol import GroupReport

_MAX_NAMED = 5


class ExtremeGroups(NamedTuple):
    """Rows of a report's frame that its sentences name.

    Parameters
    ----------
    best_dense : int
        Of the group that the dense net serves best.
    worst_pruned : int
        Of the group that the pruned net serves worst.
    lost_most : int
        Of the group that lost most accuracy.
    largest_risk : int
        Of the group with the largest excessive risk.
    """

    best_dense: int
    worst_pruned: int
    lost_most: int
    largest_risk: int

    @classmethod
    def find(cls, frame: pd.DataFrame) -> ExtremeGroups:
        """Find them in the frame of `FairnessReport.to_frame`; the first of equals."""
        return cls(
            int(frame["accuracy_dense"].argmax()),
            int(frame["accuracy_pruned"].argmin()),
            int(frame["accuracy_drop"].argmax()),
            int(frame["excessive_risk"].argmax()),
        )


def warnings_of(report: GroupReport) -> list[str]:
    """Return what must be known before any number of the report is read, a sentence each."""
    said = []
    if not report.label_use.is_fine:
        said.append(f"Not approved: {report.label_use}, over {len(report.samples):,} samples.")
    if report.empty_layers:
        names = ", ".join(report.empty_layers[:_MAX_NAMED])
        others = len(report.empty_layers) - _MAX_NAMED
        more = f" and {others} others" if others > 0 else ""
        start = "No weight is left"
        if report.compression is not None and "sparsity" in report.compression:
            removed = f"{report.compression['sparsity']:.1%} of the weights removed"
            start = f"With {removed}, no weight is left"
        said.append(
            f"{start} in {names}{more}: unless a shortcut goes round it, every sample gets the "
            "same prediction."
        )
    return said
