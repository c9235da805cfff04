"""Functions that build HTML. Text not marked as `Html` is escaped; it may be users' data."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from sk_prunefair.audit._numbers import decimal
from sk_prunefair.plotting._common import plain_text


class Html(str):
    """Text that is already HTML."""


def text(value: Any) -> Html:
    """Return a value as HTML: numbers rounded, names isolated from surrounding text direction.

    >>> text("<b>"), text(0.12345), text(12345), text(float("nan"))
    ('<bdi>&lt;b&gt;</bdi>', '0.123', '12,345', '—')
    """
    if isinstance(value, Html):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return Html(f"{value:,}")
    if isinstance(value, Real) and not isinstance(value, (bool, np.bool_)):
        return Html(decimal(float(value)))
    return name(value)


def name(value: Any, max_length: int | None = None) -> Html:
    """Return a group's or a class's name as HTML; names that look like numbers are not rounded.

    >>> name(2015), name(("f", "<b>")), name("abcdef", 4)
    ('<bdi>2015</bdi>', '<bdi>f, &lt;b&gt;</bdi>', '<bdi>abc…</bdi>')
    """
    return Html(f"<bdi>{plain(value, max_length)}</bdi>")


def plain(value: Any, max_length: int | None = None) -> Html:
    """Return text as HTML for places without elements, such as attributes and titles.

    >>> plain('"a" & b')
    '&quot;a&quot; &amp; b'
    """
    shown = plain_text(value)
    if max_length is not None and len(shown) > max_length:
        shown = shown[: max_length - 1] + "…"
    return Html(html.escape(shown))


def join(template: str, *values: Any) -> Html:
    """Fill values into a trusted template, escaped.

    >>> join("<p>{} of {}</p>", "<b>", 3)
    '<p><bdi>&lt;b&gt;</bdi> of 3</p>'
    """
    return Html(template.format(*map(text, values)))


def table(caption: str, header: Sequence[Any], rows: Iterable[Sequence[Any]], key: str) -> Html:
    """Return a table in its own scroll box that keyboards can focus; the first cell heads its row.

    >>> table("T", ["group", "n"], [["f", 3]], "t").count("scope")
    3
    """
    head = "".join(join('<th scope="col">{}</th>', name) for name in header)
    body = "".join(
        join('<tr><th scope="row">{}</th>', row[0])
        + "".join(f"<td>{text(value)}</td>" for value in row[1:])
        + "</tr>\n"
        for row in rows
    )
    return Html(
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{key}">\n<table>'
        f'<caption id="{key}">{plain(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def items(values: Iterable[Any]) -> Html:
    """Return a list."""
    return Html("<ul>\n" + "".join(join("<li>{}</li>\n", value) for value in values) + "</ul>\n")


def definitions(terms: Mapping[Any, Any]) -> Html:
    """Return a list of terms and definitions."""
    pairs = (
        join("<div><dt>{}</dt><dd>{}</dd></div>\n", term, value) for term, value in terms.items()
    )
    return Html(f"<dl>\n{''.join(pairs)}</dl>\n")


def section(key: str, title: str, *parts: str) -> Html:
    """Return a section with a heading and the anchor ``#key``."""
    return Html(
        f'<section id="{key}">\n<h2>{html.escape(title)}</h2>\n{"".join(parts)}</section>\n'
    )


def folded(summary: str, *parts: str, is_open: bool = False) -> Html:
    """Return parts in a folded element; printed pages show them unfolded."""
    state = " open" if is_open else ""
    return Html(
        f"<details{state}>\n<summary>{html.escape(summary)}</summary>\n{''.join(parts)}</details>\n"
    )
