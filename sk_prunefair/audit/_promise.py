"""The section of the promise: what was tested, and the verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sk_prunefair.audit._html import Html, folded, join, name, section, table
from sk_prunefair.audit._summary import promise_sentence
from sk_prunefair.audit.protocol import AuditedPromise
from sk_prunefair.names import Names

_MAX_ROWS = 60


def promise_section(promise: AuditedPromise, names: Names) -> Html:
    """Return the verdict's sentence and the rows of its table, failed rows first."""
    frame = promise.table
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    if "passed" in frame:
        # Rows that were not tested, None or NA, are sorted between failed and passed ones.
        rank = [1 if pd.isna(value) else 2 * bool(value) for value in frame["passed"]]
        frame = frame.iloc[np.argsort(rank, kind="stable")]
    said = join("<p>{}.</p>\n", promise_sentence(promise).rstrip("."))
    tests = folded("What was tested", _table(frame, names)) if len(frame) else ""
    return section("promise", "The promise", said, tests)


def _table(frame: pd.DataFrame, names: Names) -> Html:
    shown = frame.head(_MAX_ROWS)
    models = {"dense": names.dense, "compressed": names.compressed}
    columns = [str(column) for column in frame]
    header = [models.get(column, column.replace("_", " ")) for column in columns]
    cells = [[_cell(column, value) for value in shown[column]] for column in columns]
    more = f", {_MAX_ROWS} of {len(frame):,} rows" if len(shown) < len(frame) else ""
    return table(f"Tests{more}", header, zip(*cells, strict=True), "tests")


def _cell(column: str, value: Any) -> Any:
    if column == "group":
        return name(value)
    if isinstance(value, (bool, np.bool_)):
        return Html("yes" if value else "no")
    if value is None or value is pd.NA:
        return Html("not tested")
    if isinstance(value, float) and np.isinf(value):
        return Html("∞")
    # A count is a float where others in its column are missing.
    is_count = column.startswith("samples") and isinstance(value, float) and np.isfinite(value)
    return round(value) if is_count else value
