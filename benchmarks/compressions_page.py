"""The page of ``compressions.py``: one table a data set, and what follows for the same size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the page."""
    path.write_text(rows.to_markdown())
