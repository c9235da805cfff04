"""The section of acceptance criteria: each with its limit and its verdict."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sk_prunefair.audit._html import Html, join, name, section, table
from sk_prunefair.audit._summary import acceptance_sentence
from sk_prunefair.audit.protocol import AuditedAcceptance

_COLUMNS = {
    "name": "criterion",
    "metric": "metric",
    "test": "test",
    "group": "group that decides",
    "label": "label",
    "limit": "limit",
    "measured": "measured",
    "bound": "may be",
    "n": "n",
    "verdict": "verdict",
}


def acceptance_section(acceptance: AuditedAcceptance) -> Html:
    """Return the overall verdict on the criteria, and one row for each."""
    said = join(
        "<p>{}.</p>\n<p>A proven limit holds at the confidence set in the file; an observed one is "
        "compared with the figure, which is subject to chance.</p>\n",
        acceptance_sentence(acceptance).rstrip("."),
    )
    frame = acceptance.criteria
    columns = [column for column in _COLUMNS if column != "label" or frame["label"].notna().any()]
    rows = [[_cell(column, row[column]) for column in columns] for _, row in frame.iterrows()]
    header = [_COLUMNS[column] for column in columns]
    return section(
        "acceptance", "Acceptance criteria", said, table("Criteria", header, rows, "crit")
    )


def _cell(column: str, value: Any) -> Any:
    if column == "group":
        return "between groups" if value is None else name(value)
    is_missing = value is None or (isinstance(value, float) and pd.isna(value))
    return Html("–") if is_missing else value
