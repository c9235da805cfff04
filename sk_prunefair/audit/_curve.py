"""The section of other pruning rates: accuracy against the rate, as a curve and a table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sk_prunefair.audit._gaps import curve_table
from sk_prunefair.audit._groups import MAX_DRAWN
from sk_prunefair.audit._html import Html, folded, join, name, section, table
from sk_prunefair.audit._numbers import percent, points
from sk_prunefair.audit._svg import Scale, curves
from sk_prunefair.names import Names

CURVE = ("rate", "group", "count", "accuracy", "accuracy_overall", "accuracy_gap")
_HEADINGS = {
    "rate": "rate",
    "accuracy_overall": "accuracy of all",
    "accuracy_gap": "accuracy gap, points",
    "expected_gap": "gap of equally good groups, points",
    "fairness_violation": "fairness violation ξ",
    "worst_group": "worst group",
    "worst_accuracy": "its accuracy",
}
_FORMATS = {
    "rate": lambda rate: f"{100 * rate:g}%",
    "accuracy_overall": percent,
    "accuracy_gap": points,
    "expected_gap": points,
    "worst_accuracy": percent,
}


def curve_section(curve: pd.DataFrame, names: Names) -> Html:
    """Return the section of a curve, as `sk_prunefair.selection.pruning_curve` returns it."""
    frame = curve_table(curve)
    several = len(frame) > 1
    return section(
        "rates",
        "Other pruning rates" if names.is_pruning else "Other rates",
        _picture(curve, frame) if several else "",
        folded("All numbers of the rates", _table(frame), is_open=True),
    )


def _table(frame: pd.DataFrame) -> Html:
    names = [*map(str, frame)]
    columns = [[_cell(each, value) for value in frame[each]] for each in names]
    header = [_HEADINGS[each] for each in names]
    return table("By rate", header, zip(*columns, strict=True), "by-rate")


def _cell(column: str, value: Any) -> Any:
    if column == "worst_group":
        return name(value)
    return Html(_FORMATS[column](value)) if column in _FORMATS else value


def _picture(curve: pd.DataFrame, frame: pd.DataFrame) -> Html:
    accuracy = curve.groupby(["group", "rate"])["accuracy"].mean().unstack("rate")
    # The lowest accuracy first; ties are broken by the table, which has the losses.
    worst, overall = frame["worst_group"].iloc[-1], frame["accuracy_overall"]
    is_other = pd.Series([group != worst for group in accuracy.index], accuracy.index)
    order = pd.DataFrame({"accuracy": accuracy[accuracy.columns[-1]].round(12), "other": is_other})
    drawn = accuracy.reindex(order.sort_values([*order], kind="stable").index[:MAX_DRAWN])
    rates = frame["rate"].tolist()
    lines = [("other", rates, row.tolist()) for _, row in drawn.iloc[1:].iterrows()]
    lines += [("worst", rates, drawn.iloc[0].tolist()), ("overall", rates, overall.tolist())]
    across, up = Scale.over(rates), Scale.over([*drawn.to_numpy().ravel(), *overall])
    labels = [[f"{100 * tick:g}%" for tick in scale.ticks] for scale in (across, up)]
    ends = [percent(series.iloc[i]) for series in (overall, drawn.iloc[0]) for i in (0, -1)]
    last = f"{100 * rates[-1]:g}%"
    said = (
        f"From a rate of {100 * rates[0]:g}% to {last} accuracy of all samples goes from {ends[0]} "
        f"to {ends[1]}, that of the group which is lowest at the end from {ends[2]} to {ends[3]}."
    )
    drawing = curves(lines, (across, labels[0]), (up, labels[1]), "Accuracy against the rate", said)
    others = ""
    if len(drawn) > 1:
        which = f"other {len(drawn) - 1} of the {MAX_DRAWN} lowest of {len(accuracy):,}"
        which = which if len(drawn) < len(accuracy) else "other"
        others = f" Grey lines: the {which} groups."
    legend = join(
        f"Accuracy against the rate. Thick line: all samples. Dashed: group {{}}, the lowest at "
        f"{last}.{others}",
        name(worst, 60),
    )
    return Html(f'<figure class="plot"><figcaption>{legend}</figcaption>\n{drawing}</figure>\n')
