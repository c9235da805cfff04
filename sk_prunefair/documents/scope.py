"""The limits of every document on an audit."""

from __future__ import annotations

import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from sk_prunefair._version import __version__

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison


def scope(report: GroupComparison, dataset: str) -> list[str]:
    """Return the limits of all figures of an audit: one data set, one date, no legal advice."""
    return [
        f"All figures are of one data set ({dataset}, {report.n_samples:,} rows) and were computed "
        f"on {today()}. Other data, and later data, may lead to other figures.",
        "Whether the rows were held out from training, and whether they represent those that the "
        "model will get, is not known from the figures.",
        "Groups that are not named in the data are not covered, nor are reasons for differences.",
        "This is not legal advice, and makes no statement on compliance with any law.",
    ]


def today() -> str:
    """Return the date in the documents' format."""
    return datetime.date.today().isoformat()


def made_by() -> str:
    """Return the sentence with the version and the date of a document."""
    return f"Made by sk_prunefair {__version__} on {today()}."


def written(text: str, path: str | PathLike[str] | None) -> str:
    """Return a text, and write it to a file if a path is given."""
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
