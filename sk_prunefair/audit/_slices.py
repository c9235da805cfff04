"""The section of slices: rules over features whose rows lost more than others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from sk_prunefair.audit._groups import MAX_DRAWN
from sk_prunefair.audit._html import Html, folded, name, section, table
from sk_prunefair.audit._numbers import MINUS, lost, points
from sk_prunefair.audit._svg import Scale, axis, interval

SLICES = ("rule", "count", "drop", "lower", "upper", "p_value")


def slices_section(slices: pd.DataFrame) -> Html:
    """Return the section of slices, those that lost most first.

    Parameters
    ----------
    slices : pandas.DataFrame
        ``rule``, ``count``, ``drop`` with ``lower`` and ``upper``, ``p_value``; no rows where
        nothing was found.
    """
    title = "Slices found by rules"
    if slices.empty:
        none = "<p>No rule over the features was found whose rows lost more than the others.</p>\n"
        return section("slices", title, none)
    frame = slices.sort_values("drop", ascending=False, kind="stable")
    rows = [
        [name(rule), count, Html(points(drop)), Html(f"{points(low)} to {points(high)}"), p_value]
        for rule, count, drop, low, high, p_value in _rows(frame)
    ]
    header = ["rule", "samples", "accuracy lost, points", "interval", "p"]
    whole = table("By slice, sorted by accuracy lost", header, rows, "by-slice")
    return section(
        "slices", title, _picture(frame), folded("All numbers of the slices", whole, is_open=False)
    )


def _rows(frame: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    return frame[[*SLICES]].itertuples(index=False, name=None)


def _picture(frame: pd.DataFrame) -> Html:
    drawn = frame.head(MAX_DRAWN)
    scale = Scale.over([0.0, *drawn["drop"], *drawn["lower"], *drawn["upper"]])
    rows = []
    for rule, count, drop, low, high, _ in _rows(drawn):
        title = f"lost {points(drop)} points, interval {points(low)} to {points(high)}"
        rows.append(
            f'<li class="bar"><span class="who">{name(rule)} <small>n = {count:,}</small></span>'
            f"{interval(drop, (low, high), scale, title)}"
            f'<span class="value" aria-hidden="true">{points(low)} to {points(high)}</span>'
            f'<span class="change">{lost(drop)}</span></li>\n'
        )
    shown = f"The {MAX_DRAWN} of {len(frame):,} that lost most. " * (len(drawn) < len(frame))
    legend = (
        f"{shown}Rules over features whose rows lost accuracy; dot: points lost, thin line: its "
        "interval. Rules were searched for on some rows and tested on others."
    )
    labels = [f"{100 * tick:g}".replace("-", MINUS) for tick in scale.ticks]
    head = f'<div class="bar head">{axis(scale, labels)}</div>\n'
    return Html(
        f'<figure class="bars"><figcaption>{legend}</figcaption>\n{head}'
        f'<ol role="list">\n{"".join(rows)}</ol></figure>\n'
    )
