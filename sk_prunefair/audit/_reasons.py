"""The section of possible reasons: the quantities of the theory, as a table."""

from __future__ import annotations

import pandas as pd

from sk_prunefair.audit._groups import MAX_LISTED
from sk_prunefair.audit._html import Html, folded, name, section, table
from sk_prunefair.audit._order import harmed_first
from sk_prunefair.audit.protocol import AuditedReport

_MAX_OPEN = 12
_ABOUT = (
    "<p>By the theory of the paper, groups with large gradients, large Hessians and samples near "
    "the decision boundary should lose more. Whether they did: compare the columns.</p>\n"
)


def reasons_section(report: AuditedReport, diagnostics: pd.DataFrame) -> Html:
    """Return the diagnostics of a report, in the order of its groups."""
    frame = harmed_first(diagnostics, report).head(MAX_LISTED)
    of_groups = ", ".join(map(str, frame.index.names))
    header = [str(each).replace("_", " ") for each in (of_groups, *frame)]
    columns = [map(name, frame.index), *(frame[column] for column in frame)]
    caption = "Possible reasons by group, sorted by accuracy lost, then by excessive risk"
    whole = table(caption, header, zip(*columns, strict=True), "by-reason")
    words = f"All numbers of the {len(frame):,} groups"
    return section(
        "reasons", "Possible reasons", _ABOUT, folded(words, whole, is_open=len(frame) <= _MAX_OPEN)
    )
