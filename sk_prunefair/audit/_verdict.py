"""The verdict: whether groups were treated unequally, in one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sk_prunefair.audit._gaps import DROPS, VIOLATION
from sk_prunefair.audit._html import Html, join
from sk_prunefair.audit.protocol import AuditedReport

LEVEL = 0.05


def verdict(report: AuditedReport, frame: pd.DataFrame, gaps: pd.DataFrame) -> Html:
    """Return whether the compression treated groups unequally.

    Parameters
    ----------
    report : AuditedReport
        The report.
    frame, gaps : pandas.DataFrame
        Its ``by_group``, and its gaps beside those of shuffled groups.
    """
    process = report.names.process
    if (unchanged := _unchanged(report)) is not None:
        template = f"{process.capitalize()} changed nothing on these {{}} samples: {{}}."
        return join(template, report.n_samples, Html(unchanged))
    if len(frame) == 1:
        return Html("All samples belong to one group: nothing can be said about differences.")
    tests = gaps[gaps["gap"].isin([VIOLATION, DROPS])]
    # The smallest of several p-values is corrected by Bonferroni's method.
    p_value = min(1.0, float(tests["p_value"].min()) * len(tests))
    shown = join("(p&nbsp;=&nbsp;{})", p_value)
    if p_value > LEVEL:
        template = (
            "No difference between groups beyond chance was found {}, which does not show "
            "that there is none."
        )
    elif (frame[[name for name in _HARMS if name in frame]].max() <= 0).all():
        none = "raised no group's loss and took" if report.has_losses else "took"
        template = (
            f"{process.capitalize()} {none} accuracy from none, yet served groups unequally {{}}."
        )
    else:
        template = f"{process.capitalize()} harmed groups unequally, beyond what chance makes {{}}."
    return join(template, shown)


_HARMS = ("accuracy_drop", "excessive_risk")


def _unchanged(report: AuditedReport) -> str | None:
    """Return a sentence if the models do not differ, or None."""
    models = f"both {report.names.kind}s"
    if report.has_losses:
        return f"{models} have the same losses" if report.is_loss_unchanged else None
    is_same = np.array_equal(report.outcomes[0].labels, report.outcomes[1].labels)
    return f"{models} give each the same label" if is_same else None
