"""Sort tables of groups as the report sorts its own."""

from __future__ import annotations

import pandas as pd

from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.metrics._order import most_harmed_first


def harmed_first(frame: pd.DataFrame, report: AuditedReport) -> pd.DataFrame:
    """Return a frame by group, sorted by the accuracy that its groups lost, then by their risk.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per group, with the column ``excessive_risk``, such as the diagnostics.
    report : AuditedReport
        A report on the same groups.

    Returns
    -------
    pandas.DataFrame
        The same rows; a group that the report lacks comes last.
    """
    lost = report.samples["is_right_dense"] - report.samples["is_right_pruned"]
    n = pd.Series(1 if report.kinds is None else report.kinds.counts, index=lost.index)
    sums = pd.DataFrame({"lost": lost * n, "n": n}).groupby(report.samples["group"]).sum()
    dropped = (sums["lost"] / sums["n"]).to_dict()
    drops = [dropped.get(group, -1.0) for group in frame.index.to_flat_index()]
    sorted_frame = most_harmed_first(frame.assign(accuracy_drop=drops))
    return sorted_frame[frame.columns]
