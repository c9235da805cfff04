"""The page of `scale.py`, from its CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.lib.pages import bare_table, by_hand, write

STEPS = {
    "epoch": "one epoch, with its checks",
    "report": "report and `to_frame()`",
    "parts": "`from_parts`, parts of 100,000 rows",
    "text": "`str(report)`",
    "json": "`to_json(samples=False)`",
    "page": "`to_html()`",
}
SIZES = {"text_bytes": "characters of the text", "page_bytes": "bytes of the page"}
MEMORY = {
    "epoch": "fit, one epoch",
    "report": "report and `to_frame()`",
    "parts": "`from_parts`, rows in memory",
    "stream": "`from_parts`, rows made part by part",
}
FILE = {
    "before": "Python, torch, labels and groups",
    "fit": "fit, with sample weights",
    "prune": "prune, one epoch of fine-tuning",
    "predict": "predict",
    "report": "report",
    "curve": "curve of two rates",
}
PAGE = Path(__file__).with_name("scale.md")


def write_page(table: pd.DataFrame, path: Path) -> None:
    """Write the page of the rows of the CSV."""
    parts = [by_hand(PAGE)]
    makers = {"time": _seconds, "memory": _memory, "audit": _audit, "file": _file}
    for name, make in makers.items():
        part = table[table["part"] == name]
        parts += [] if part.empty else make(part)
    write(path, [*parts, by_hand(PAGE, "Beside this:")])


def _seconds(table: pd.DataFrame) -> list[str]:
    parts = []
    for n_rows, part in table.groupby("rows"):
        seconds = part.groupby(["step", "n_groups"])["value"].median().unstack()
        parts.append(f"## {n_rows:,} rows: seconds, and times those of two groups")
        if part["turn"].max() == 0:
            parts.append("One round, two groups first, while other jobs went on.")
        by_turn = part.pivot_table(index=["step", "turn"], columns="n_groups", values="value")
        first, *others = groups = list(seconds.columns)
        ratios = by_turn.div(by_turn[first], axis=0).groupby("step").median()
        lines = [
            [words, f"{seconds.loc[step, first]:.3g}"]
            + [f"{seconds.loc[step, n]:.3g} (× {ratios.loc[step, n]:.2f})" for n in others]
            for step, words in STEPS.items()
            if step in seconds.index
        ]
        lines += [
            [words, *(f"{seconds.loc[step, n]:,.0f}" for n in groups)]
            for step, words in SIZES.items()
            if step in seconds.index
        ]
        parts.append(bare_table(["", *(f"{n:,} groups" for n in groups)], lines))
    slopes = _slopes(table[table["step"].isin(["epoch", "report", "parts"])])
    said = "Slope of seconds over rows, log-log (1 is proportional):"
    return parts + ([said, _slope_table(slopes, STEPS)] if len(slopes) else [])


def _memory(table: pd.DataFrame) -> list[str]:
    lines = []
    for (rows, groups), part in table.groupby(["rows", "n_groups"]):
        found = part.set_index("step")["value"]
        cells = [f"{found[s]:,.0f} MB ({found[s] * 2**20 / rows:,.0f} B a row)" for s in MEMORY]
        lines.append([f"{rows:,}", f"{groups:,}", *cells])
    heading = "## Private memory beyond the rows themselves"
    parts = [heading, bare_table(["rows", "groups", *MEMORY.values()], lines)]
    parts.append(by_hand(PAGE, "What a process has freed", until="Slope"))
    slopes = _slopes(table[table["step"].isin(["epoch", "report"])])
    said = "Slope of memory over rows, log-log:"
    return parts + ([said, _slope_table(slopes, MEMORY)] if len(slopes) else [])


def _audit(table: pd.DataFrame) -> list[str]:
    found = table.set_index("step")["value"]
    return [
        f"## {found['n_samples']:,.0f} rows, {table['n_groups'].iloc[0]} groups, in parts",
        f"`from_parts` takes {found['seconds']:,.0f} s of one thread beyond what makes the rows.\n"
        f"The process holds {found['private']:,.0f} MB of private memory at most, with Python and\n"
        f"torch. `str(report)` then takes {found['text']:.2g} s.",
    ]


def _file(table: pd.DataFrame) -> list[str]:
    rows, found = table["rows"].iloc[0], table.set_index("step")["value"]
    return [
        f"## A file of {rows:,} × 256 numbers, {rows * 1024 / 1e9:.2g} GB: private memory",
        bare_table(["", "most, MB"], ([words, f"{found[s]:,.0f}"] for s, words in FILE.items())),
    ]


def _slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the slope of log value over log rows, by step and number of groups."""
    medians = table.groupby(["step", "n_groups", "rows"])["value"].median().clip(lower=1e-9)
    found = {
        key: np.polyfit(np.log(each.index.get_level_values("rows")), np.log(each), 1)[0]
        for key, each in medians.groupby(["step", "n_groups"])
        if len(each) > 1
    }
    return pd.Series(found, dtype=float).unstack() if found else pd.DataFrame()


def _slope_table(slopes: pd.DataFrame, words: dict[str, str]) -> str:
    lines = [
        [name, *("" if np.isnan(v) else f"{v:.2f}" for v in slopes.loc[step])]
        for step, name in words.items()
        if step in slopes.index
    ]
    return bare_table(["", *(f"{n:,} groups" for n in slopes.columns)], lines)
