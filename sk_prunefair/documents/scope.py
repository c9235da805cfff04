"""What no document of an audit covers."""

from __future__ import annotations

import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from sk_prunefair._version import __version__

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison


def scope(report: GroupComparison, dataset: str) -> list[str]:
    """Return what limits every figure of an audit: one data set, one date, no legal advice."""
    return [
        f"All figures are of one data set ({dataset}, {report.n_samples:,} rows) and were made "
        f"on {today()}. Other data, and later data, may give others.",
        "Whether the rows were held out from training, and whether they are like those that the "
        "model will meet, is not known from the figures.",
        "Groups that the data does not name are not here. What makes groups differ is not said.",
        "This is no legal advice, and does not say whether any law is kept.",
    ]


def today() -> str:
    """Return the date as it stands in documents."""
    return datetime.date.today().isoformat()


def made_by() -> str:
    """Return what made a document, and when."""
    return f"Made by sk_prunefair {__version__} on {today()}."


def written(text: str, path: str | PathLike[str] | None) -> str:
    """Return a text, and write it to a file where one is named."""
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
