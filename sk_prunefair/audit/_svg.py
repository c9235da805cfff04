"""Small pictures as inline SVG that fill the width of their container.

Positions along an axis are in percent of the picture's width, so that text and dots keep their size
on a phone. Colours and line widths are set in the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sk_prunefair.audit._html import Html, plain

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
_MAX_TICKS = 6
_MIDDLE = "50%"  # units of a row, whose height the text determines


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high`` with round numbers at both ends.

    Parameters
    ----------
    low, high : float
        Its ends.
    step : float
        Distance between two ticks.
    """

    low: float
    high: float
    step: float

    @classmethod
    def over(cls, values: Iterable[float]) -> Scale:
        """Return an axis that covers all values, with two to six ticks, at least 0.01 apart.

        >>> Scale.over([0.62, 0.88])
        Scale(low=0.6, high=0.9, step=0.1)
        >>> Scale.over([0.5]).ticks
        [0.49, 0.5]
        """
        known = [value for value in values if math.isfinite(value)] or [0.0]
        smallest, largest = min(known), max(known)
        for step in (*_STEPS, 1.0, *(10.0**i for i in range(1, 9))):
            first, last = math.floor(smallest / step + 1e-9), math.ceil(largest / step - 1e-9)
            if first == last:
                # Rounded down, so that an accuracy of 1 is at the end of its axis.
                first, last = (first - 1, last) if smallest > 0 else (first, last + 1)
            if last - first < _MAX_TICKS:
                break
        return cls(round(first * step, 9), round(last * step, 9), step)

    @property
    def ticks(self) -> list[float]:
        """Positions of the ticks."""
        n_steps = round((self.high - self.low) / self.step)
        return [round(self.low + i * self.step, 9) for i in range(n_steps + 1)]

    def share(self, value: float) -> float:
        """Return the position of a value in percent of the axis, clipped to its ends."""
        place = 100 * (value - self.low) / (self.high - self.low)
        return round(min(max(place, 0.0), 100.0), 2)

    def at(self, value: float) -> str:
        """Return the position of a value as an SVG coordinate.

        >>> Scale(0.6, 0.9, 0.1).at(0.7)
        '33.33%'
        """
        return f"{self.share(value):g}%"


def dumbbell(
    before: float,
    after: float,
    ends: tuple[float, float] | None,
    scale: Scale,
    title: str,
) -> Html:
    """Return one row: a ring for the model before, a dot for the model after, a line between.

    Parameters
    ----------
    before, after : float
        Values of the two.
    ends : pair of float or None
        Interval of the value after, a thin line.
    scale : Scale
        The axis.
    title : str
        Text alternative of the picture.
    """
    y, start, stop = _MIDDLE, scale.at(before), scale.at(after)
    parts = [_grid(scale)]
    if ends is not None:
        parts.append(_whisker(ends, scale))
    parts += [
        f'<line class="stem" x1="{start}" x2="{stop}" y1="{y}" y2="{y}"/>',
        f'<circle class="before" cx="{start}" cy="{y}" r="4.5"/>',
        f'<circle class="after" cx="{stop}" cy="{y}" r="5"/>',
    ]
    kind = "lost" if after < before else "gained" if after > before else "same"
    return _row(f"row {kind}", title, parts)


def interval(value: float, ends: tuple[float, float] | None, scale: Scale, title: str) -> Html:
    """Return one row: a dot at a value, a thin line for its interval, a line at zero."""
    zero, y = scale.at(0), _MIDDLE
    parts = [_grid(scale), f'<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="100%"/>']
    if ends is not None:
        parts.append(_whisker(ends, scale))
    parts.append(f'<circle class="after" cx="{scale.at(value)}" cy="{y}" r="5"/>')
    return _row("row lost" if value > 0 else "row gained", title, parts)


def axis(scale: Scale, labels: Sequence[str]) -> Html:
    """Return the numbers above the rows; screen readers skip them, as titles have them."""
    marks = "".join(
        f'<text x="{scale.at(tick)}" y="14" text-anchor="middle">{plain(label)}</text>'
        for tick, label in zip(scale.ticks, labels, strict=True)
    )
    return Html(f'<svg class="axis" aria-hidden="true">{marks}</svg>')


def curves(
    lines: Iterable[tuple[str, Sequence[float], Sequence[float]]],
    x: tuple[Scale, Sequence[str]],
    y: tuple[Scale, Sequence[str]],
    title: str,
    description: str,
) -> Html:
    """Return lines over two axes.

    Parameters
    ----------
    lines : iterable of (str, sequence, sequence)
        Class in the style sheet, values along x, values along y.
    x, y : pair of Scale and sequence of str
        The axes, and the labels of their ticks.
    title, description : str
        Name and text alternative of the picture.
    """
    (across, x_labels), (up, y_labels) = x, y
    marks, dots = [], []
    for tick, label in zip(up.ticks, y_labels, strict=True):
        place = f"{100 - up.share(tick):g}%"
        marks.append(f'<line class="grid" x1="0" x2="100%" y1="{place}" y2="{place}"/>')
        marks.append(f'<text x="-8" y="{place}" dy="4" text-anchor="end">{plain(label)}</text>')
    for tick, label in zip(across.ticks, x_labels, strict=True):
        place = across.at(tick)
        marks.append(
            f'<text x="{place}" y="100%" dy="20" text-anchor="middle">{plain(label)}</text>'
        )
    drawn = []
    for kind, xs, ys in lines:
        places = [
            (across.share(a), round(100 - up.share(b), 2))
            for a, b in zip(xs, ys, strict=True)
            if math.isfinite(b)
        ]
        path = " ".join(f"{a:g},{b:g}" for a, b in places)
        drawn.append(f'<polyline class="{kind}" points="{path}"/>')
        if kind != "other":
            dots += [f'<circle class="{kind}" cx="{a:g}%" cy="{b:g}%" r="3.5"/>' for a, b in places]
    inner = f'<svg viewBox="0 0 100 100" preserveAspectRatio="none">{"".join(drawn)}</svg>'
    return Html(
        f'<svg class="curves" role="img"><title>{plain(title)}</title>'
        f"<desc>{plain(description)}</desc>{''.join(marks)}{inner}{''.join(dots)}</svg>"
    )


def _row(kind: str, title: str, parts: Sequence[str]) -> Html:
    return Html(
        f'<div class="cell"><svg class="{kind}" role="img"><title>{plain(title)}</title>'
        f"{''.join(parts)}</svg></div>"
    )


def _grid(scale: Scale) -> str:
    places = map(scale.at, scale.ticks)
    return "".join(
        f'<line class="grid" x1="{place}" x2="{place}" y1="0" y2="100%"/>' for place in places
    )


def _whisker(ends: tuple[float, float], scale: Scale) -> str:
    if not all(map(math.isfinite, ends)):
        return ""
    low, high = map(scale.at, ends)
    caps = "".join(
        f'<rect class="cap" x="{x}" y="{_MIDDLE}" width="1" height="10"/>' for x in (low, high)
    )
    along = f'x1="{low}" x2="{high}" y1="{_MIDDLE}" y2="{_MIDDLE}"'
    return f'<line class="whisker" {along}/>{caps}'
