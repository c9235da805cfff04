"""The promise: what was tested, and what became of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sk_prunefair.audit._html import Html, folded, join, name, section, table
from sk_prunefair.audit._summary import promise_sentence
from sk_prunefair.audit.protocol import AuditedPromise

_MAX_ROWS = 60


def promise_section(promise: AuditedPromise) -> Html:
    """Return the sentence of the promise and the rows of its table, what did not pass first."""
    frame = promise.table
    if "passed" in frame:
        # What was not tested, None or NA, stands between what failed and what passed.
        rank = [1 if pd.isna(value) else 2 * bool(value) for value in frame["passed"]]
        frame = frame.iloc[np.argsort(rank, kind="stable")]
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    shown = frame.head(_MAX_ROWS)
    rows = [[name(row[0]), *map(_cell, row[1:])] for row in shown.itertuples(index=False)]
    header = [str(column).replace("_", " ") for column in frame]
    more = f", {_MAX_ROWS} of {len(frame):,} rows" if len(shown) < len(frame) else ""
    return section(
        "promise",
        "The promise",
        join("<p>{}.</p>\n", promise_sentence(promise).rstrip(".")),
        folded("What was tested", table(f"Tests{more}", header, rows, "tests"))
        if len(frame)
        else "",
    )


def _cell(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return Html("yes" if value else "no")
    if value is None or value is pd.NA:
        return Html("not tested")
    is_infinite = isinstance(value, float) and np.isinf(value)
    return Html("∞") if is_infinite else value
