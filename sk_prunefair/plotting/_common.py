"""Common parts of the displays: names of groups, colours, axes, intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

# Okabe and Ito's palette for colour-blind readers, without black, which is used for the overall
# line, and yellow, which has little contrast on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
MAX_NAME = 32
MAX_GROUPS = 40
# Joiners between letters and emoji; other characters of their category are invisible or reverse
# text.
JOINERS = "\u200c\u200d"


def plain_text(value: Any) -> str:
    r"""Return a name from users' data as one line without control characters.

    >>> plain_text(("f", "a\x00\nb"))
    'f, a� b'
    """
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return "".join(map(_plain_character, text))


def _plain_character(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def group_name(group: Any, max_length: int = MAX_NAME) -> str:
    r"""Return a name to draw: of limited length, and without ``$``, which begins a formula.

    >>> group_name(("$x$", "y"))
    '\\$x\\$, y'
    >>> group_name("a" * 200, max_length=5)
    'aaaa…'
    """
    text = plain_text(group)
    if len(text) > max_length:
        text = text[: max_length - 1] + "…"
    return text.replace("$", r"\$")


def style(index: int) -> dict[str, Any]:
    """Return the line style of a group or method by number; the first 24 are different.

    Their markers differ as well, for plots without lines.

    >>> len({(style(i)["color"], style(i)["marker"]) for i in range(24)})
    24
    """
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index // len(COLOURS) % len(LINES)],
        "marker": MARKERS[(index + index // len(MARKERS)) % len(MARKERS)],
    }


def check_columns(frame: pd.DataFrame, columns: Iterable[str], name: str, source: str) -> None:
    """Raise an error if an object is not a frame, lacks columns, or has no rows."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(frame).__name__}; pass {source}")
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ValueError(
            f"{name} must have the columns {list(columns)}, got no column {missing[0]!r}; pass "
            f"{source}"
        )
    if frame.empty:
        raise ValueError(f"{name} must have at least one row, got none; pass {source}")


def pyplot() -> Any:
    """Return `matplotlib.pyplot`, or raise ImportError with the name of the extra."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "plotting needs matplotlib: install the extra, pip install 'sk-prunefair[plot]'"
        ) from error
    return plt


def one_axis(ax: Any, width: float, height: float) -> Any:
    """Return the given axes, or those of a new figure."""
    if ax is not None:
        return ax
    return pyplot().subplots(figsize=(width, height), layout="constrained")[1]


def panels(ax: Any, n_panels: int, width: float, height: float) -> Any:
    """Return an array of the given axes, or of a new figure's, side by side."""
    if ax is not None:
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) != n_panels:
            raise ValueError(f"ax must hold {n_panels} axes, got {len(axes)}")
        return axes
    figure, axes = pyplot().subplots(1, n_panels, figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    return axes


def largest_of(n_drawn: int, n_groups: int) -> list[str]:
    """Return a note for the title if not all groups are drawn.

    >>> largest_of(40, 500), largest_of(3, 3)
    (['the largest 40 of 500 groups'], [])
    """
    return [f"the largest {n_drawn:,} of {n_groups:,} groups"] * (n_drawn < n_groups)


def label_rows(axis: Any, groups: Iterable[Any], counts: Iterable[int] | None = None) -> None:
    """Label the rows of a panel with groups and their numbers of samples."""
    names = [group_name(group) for group in groups]
    if counts is not None:
        names = [f"{name} ({n:,})" for name, n in zip(names, counts, strict=True)]
    axis.set_yticks(range(len(names)), names)
    axis.spines[["top", "right"]].set_visible(False)
