"""The pictures of the page, as SVG inside of it."""

from __future__ import annotations

import base64
import html
import io
import warnings
from typing import Any

import pandas as pd

from sk_prunefair.audit._html import Html
from sk_prunefair.audit._order import harmed_first
from sk_prunefair.audit.protocol import AuditedReport
from sk_prunefair.plotting import GroupRiskDisplay, GroupTheoryDisplay, PruningCurveDisplay
from sk_prunefair.plotting._common import pyplot

MAX_DRAWN = 24
WIDE = 9  # inches; wider pictures would be too small to read on a phone


def pictures(report: AuditedReport, curve: pd.DataFrame | None) -> Html:
    """Return figures of what there is: risks, the curve, the theory."""
    pyplot()  # before any work: says which extra has it
    frame = report.to_frame()
    shown = _shown(len(frame), "that were harmed most")
    parts = [
        _figure(
            lambda: GroupRiskDisplay.from_frame(frame.head(MAX_DRAWN)),
            f"Excessive risk of each group{shown}: the loss that pruning adds. "
            "The numbers stand in the table of groups.",
        )
    ]
    if curve is not None:
        kept, n_groups = _lowest_accuracies(curve)
        shown = _shown(n_groups, "with the lowest accuracy at the highest rate")
        parts.append(
            _figure(
                lambda: PruningCurveDisplay.from_frame(kept),
                f"Accuracy of each group{shown} against the pruning rate. "
                "The worst group of each rate stands in the table of rates.",
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
    return Html("".join(parts))


def _shown(n_groups: int, which: str) -> str:
    return f" of the {MAX_DRAWN} {which}, out of {n_groups}" if n_groups > MAX_DRAWN else ""


def _lowest_accuracies(curve: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows of as many groups as a picture holds, and how many groups there are."""
    at_last = curve[curve["rate"] == curve["rate"].max()].groupby("group")["accuracy"].mean()
    kept = set(at_last.nsmallest(MAX_DRAWN).index)
    return curve[[group in kept for group in curve["group"]]], len(at_last)


def _figure(draw: Any, caption: str) -> Html:
    plt, file = pyplot(), io.BytesIO()
    options = {"svg.fonttype": "none", "svg.hashsalt": "sk_prunefair"}
    # The browser draws the letters: what matplotlib's own font lacks does not matter.
    with plt.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw().figure_
        figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        width = "wide" if figure.get_figwidth() > WIDE else "narrow"
    data = base64.b64encode(file.getvalue()).decode("ascii")
    label = html.escape(caption)
    return Html(
        f'<figure><div class="scroll" role="region" tabindex="0" aria-label="picture">'
        f'<img class="{width}" alt="{label}" src="data:image/svg+xml;base64,{data}"></div>\n'
        f"<figcaption>{label}</figcaption></figure>\n"
    )
