"""The page of `scale.py`, from its CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__)
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
OTHERS = {
    "scale_processes.md": "training on several processes",
    "scale_sweeps.md": "sweeps on several workers",
}


def write_page(table: pd.DataFrame, path: Path) -> None:
    """Write the page of the rows of the CSV."""
    lines = [
        "# Rows and groups: what grows",
        "",
        "By `benchmarks/speed/scale.py`, which says what is measured; figures are from",
        "`scale.csv`. Other jobs ran on the machine: seconds are of the processor, which they slow",
        "down by its shared memory and caches; ratios within a round suffer less. An epoch is one",
        "with `EqualLossConstraint`, of a small net, so that the net does not hide what groups",
        "cost.",
        *_seconds(table[table["part"] == "time"]),
        *_memory(table[table["part"] == "memory"]),
        *_audit(table[table["part"] == "audit"]),
        *_file(table[table["part"] == "file"]),
    ]
    known = {name: words for name, words in OTHERS.items() if (HERE.parent / name).exists()}
    found = [f"[{words}]({name})" for name, words in known.items()]
    if found:
        lines += ["", f"Beside this: {', '.join(found)}."]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _seconds(table: pd.DataFrame) -> list[str]:
    lines = []
    for rows, part in table.groupby("rows"):
        seconds = part.groupby(["step", "n_groups"])["value"].median().unstack()
        groups = list(seconds.columns)
        heads = [f"{n:,} groups" for n in groups]
        lines += ["", f"## {rows:,} rows: seconds, and times those of two groups", ""]
        if part["turn"].max() == 0:
            lines += ["One round, two groups first, while other jobs went on.", ""]
        lines += [f"| | {' | '.join(heads)} |", "|---" * (len(groups) + 1) + "|"]
        by_turn = part.pivot_table(index=["step", "turn"], columns="n_groups", values="value")
        ratios = by_turn.div(by_turn[groups[0]], axis=0).groupby("step").median()
        for step, words in STEPS.items():
            if step in seconds.index:
                cells = [
                    f"{seconds.loc[step, n]:.3g}"
                    + (f" (× {ratios.loc[step, n]:.2f})" if n != groups[0] else "")
                    for n in groups
                ]
                lines.append(f"| {words} | {' | '.join(cells)} |")
        for step, words in SIZES.items():
            if step in seconds.index:
                cells = [f"{seconds.loc[step, n]:,.0f}" for n in groups]
                lines.append(f"| {words} | {' | '.join(cells)} |")
    slopes = _slopes(table[table["step"].isin(["epoch", "report", "parts"])])
    if len(slopes):
        lines += ["", "Slope of seconds over rows, log-log (1 is proportional):", ""]
        lines += _slope_table(slopes, STEPS)
    return lines


def _memory(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    lines = ["", "## Private memory beyond the rows themselves", ""]
    lines += ["| rows | groups | " + " | ".join(MEMORY.values()) + " |", "|---" * 6 + "|"]
    for (rows, groups), part in table.groupby(["rows", "n_groups"]):
        found = part.set_index("step")["value"]
        cells = [f"{found[s]:,.0f} MB ({found[s] * 2**20 / rows:,.0f} B a row)" for s in MEMORY]
        lines.append(f"| {rows:,} | {groups:,} | {' | '.join(cells)} |")
    lines += [
        "",
        "What a process has freed but not given back counts before a step, so that parts, each of",
        "100,000 rows, may add nothing to it.",
    ]
    slopes = _slopes(table[table["step"].isin(["epoch", "report"])])
    if len(slopes):
        lines += ["", "Slope of memory over rows, log-log:", "", *_slope_table(slopes, MEMORY)]
    return lines


def _audit(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    found = table.set_index("step")["value"]
    return [
        "",
        f"## {found['n_samples']:,.0f} rows, {table['n_groups'].iloc[0]} groups, in parts",
        "",
        f"`from_parts` takes {found['seconds']:,.0f} s of one thread beyond what makes the rows.",
        f"The process holds {found['private']:,.0f} MB of private memory at most, with Python and",
        f"torch. `str(report)` then takes {found['text']:.2g} s.",
    ]


def _file(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    rows = table["rows"].iloc[0]
    gigabytes = rows * 1024 / 1e9
    lines = ["", f"## A file of {rows:,} × 256 numbers, {gigabytes:.2g} GB: private memory", ""]
    lines += ["| | most, MB |", "|---|---|"]
    found = table.set_index("step")["value"]
    return lines + [f"| {words} | {found[step]:,.0f} |" for step, words in FILE.items()]


def _slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the slope of log value over log rows, by step and number of groups."""
    medians = table.groupby(["step", "n_groups", "rows"])["value"].median().clip(lower=1e-9)
    found = {
        key: np.polyfit(np.log(each.index.get_level_values("rows")), np.log(each), 1)[0]
        for key, each in medians.groupby(["step", "n_groups"])
        if len(each) > 1
    }
    return pd.Series(found, dtype=float).unstack() if found else pd.DataFrame()


def _slope_table(slopes: pd.DataFrame, words: dict[str, str]) -> list[str]:
    heads = [f"{n:,} groups" for n in slopes.columns]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for step, name in words.items():
        if step in slopes.index:
            cells = ["" if np.isnan(v) else f"{v:.2f}" for v in slopes.loc[step]]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
