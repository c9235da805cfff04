"""Pictures drawn by matplotlib, as inline SVG."""

from __future__ import annotations

import base64
import io
import warnings
from typing import Any

import pandas as pd

from sk_prunefair.audit._groups import MAX_DRAWN
from sk_prunefair.audit._html import Html, plain, section
from sk_prunefair.audit._order import harmed_first
from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.plotting import GroupRiskDisplay, GroupTheoryDisplay
from sk_prunefair.plotting._common import pyplot

_WIDE = 9  # inches; wider pictures would be too small to read on a phone


def pictures_section(report: AuditedReport, frame: pd.DataFrame) -> Html:
    """Return figures of risks and theory, or nothing where neither is known."""
    parts = []
    if report.has_losses or report.diagnostics is not None:
        pyplot()  # fails first, with the name of the extra
    if report.has_losses:
        shown = _shown(len(frame), "that lost most accuracy")
        parts.append(
            _figure(
                lambda: GroupRiskDisplay.from_frame(frame.head(MAX_DRAWN)),
                f"Excessive risk of each group{shown}: the loss that {report.names.process} adds. "
                "The numbers stand in the table of groups.",
            )
        )
    if report.diagnostics is not None:
        diagnostics = harmed_first(report.diagnostics, report).head(MAX_DRAWN)
        parts.append(
            _figure(
                lambda: GroupTheoryDisplay.from_frame(diagnostics),
                "Size, gradient norm, closeness to the decision boundary, largest Hessian "
                "eigenvalue and excessive risk of each group. The numbers stand in the table of "
                "possible reasons.",
            )
        )
    return section("pictures", "Pictures", *parts) if parts else Html("")


def _shown(n_groups: int, which: str) -> str:
    return f" of the {MAX_DRAWN} {which}, out of {n_groups}" if n_groups > MAX_DRAWN else ""


def _figure(draw: Any, caption: str) -> Html:
    plt, file = pyplot(), io.BytesIO()
    options = {"svg.fonttype": "none", "svg.hashsalt": "sk_prunefair"}
    # The browser renders text: glyphs that matplotlib's font lacks do not matter.
    with plt.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw().figure_
        figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        width = "wide" if figure.get_figwidth() > _WIDE else "narrow"
    data = base64.b64encode(file.getvalue()).decode("ascii")
    what = caption.partition(":")[0].partition(",")[0]
    return Html(
        f'<figure><div class="scroll" role="region" tabindex="0" '
        f'aria-label="picture: {plain(what)}">'
        f'<img class="{width}" alt="{plain(caption)}" '
        f'src="data:image/svg+xml;base64,{data}"></div>\n'
        f"<figcaption>{plain(caption)}</figcaption></figure>\n"
    )
