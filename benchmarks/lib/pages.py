"""Pages: their prose is written by hand, in the page itself; their tables are made from rows.

A script takes the prose from the committed page, so that it stands in one place.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd


def by_hand(page: Path, start: str = "", until: str = "|") -> str:
    """Return what stands by hand in a page from a block on, down to a table or a heading.

    Parameters
    ----------
    page : pathlib.Path
        The committed page.
    start : str, default=""
        How the first block begins, such as "## Nets"; by default it is the first of all.
    until : str, default="|"
        How the block begins that a script makes, if one comes before a table or a heading.

    Raises
    ------
    ValueError
        If no block begins so.
    """
    text = "\n\n" + page.read_text().removesuffix("\n")
    place = text.find(f"\n\n{start}")
    if place < 0:
        raise ValueError(f"{page} has no block that begins with {start!r}")
    return re.split(rf"\n\n(?=[|#]|{re.escape(until)})", text[place + 2 :], maxsplit=1)[0]


def fill(page: Path, tables: Sequence[str]) -> str:
    """Return the text of a committed page, with tables in the place of its own, in their order.

    Raises
    ------
    ValueError
        If the page has more or fewer tables.
    """
    first, *others = re.split(r"(?:^\|.*\n)+", page.read_text(), flags=re.MULTILINE)
    if len(others) != len(tables):
        raise ValueError(f"{page} has {len(others)} tables, given {len(tables)}")
    filled = (f"{table}\n{prose}" for table, prose in zip(tables, others, strict=True))
    return first + "".join(filled)


def write(path: Path, parts: Iterable[str]) -> None:
    """Write a page of headings, paragraphs and tables."""
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def markdown(frame: pd.DataFrame, **options: object) -> str:
    """Return a table of a frame; what names its rows comes first."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    return str(frame.to_markdown(index=False, **options))


def bare_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts, each as wide as it is."""
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in [heads, *rows]]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def wrapped(text: str) -> str:
    """Return a paragraph in lines of a hundred characters."""
    return textwrap.fill(text, 100, break_on_hyphens=False)
