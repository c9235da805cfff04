"""The page of ``run.py``: what follows for the same size, then one table a data set."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd

from benchmarks.lib.pages import by_hand, write
from benchmarks.lib.tables import mean_and_spread

NAMES = {
    "adult": "Adult, groups sex × race",
    "compas": "COMPAS, groups race (two of them tiny)",
    "fashion": "Fashion-MNIST in a long tail, groups the classes",
    "faces_race": "UTKFace, race the label and the group",
    "faces_gender": "UTKFace, gender the label, groups races",
    "digits": "Digits, groups the classes",
}
# Files of about the same size: a quarter to two fifths of the dense one, and an eighth or so.
SIZES = {
    "all": ["trained longer"],
    "a third": ["int8", "pruned 0.8", "channels 0.5"],
    "an eighth": ["pruned 0.9", "channels 0.75", "student", "channels 0.5 + int8"],
    "a fifteenth": ["pruned 0.95", "pruned 0.9 + int8", "student + int8"],
}
COLUMNS = {
    "bytes_ratio": "bytes ÷ dense",
    "ratio_batch_1": "time ÷ dense, batch 1",
    "ratio_batch_64": "batch 64",
    "accuracy_lost": "accuracy lost",
    "most_lost": "most lost by a group",
    "widened": "gap widened by",
    "xi": "ξ",
    "disagreement": "answers changed",
    "cev": "CEV",
    "sde": "SDE",
}
PAGE = Path(__file__).with_name("page.md")


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the page."""
    rows = rows.assign(widened=rows["gap"] - rows["gap_dense"])
    parts = [by_hand(PAGE), "## In short", _in_short(rows)]
    parts += [by_hand(PAGE, "## For the same size", until="About"), *_same_size(rows)]
    for task in dict.fromkeys(rows["task"]):
        parts += [f"## {NAMES[task]}", *_table(rows[rows["task"] == task])]
    write(path, parts)


def _same_size(rows: pd.DataFrame) -> list[str]:
    """Return means over data sets and seeds of compressions to about the same size."""
    parts = []
    names = [name for name in COLUMNS if name != "cev"]
    for size, kinds in SIZES.items():
        part = rows[rows["compression"].isin(kinds)]
        means = part.groupby(["compression", "task"])[names].mean().groupby("compression").mean()
        shown = means.loc[[kind for kind in kinds if kind in means.index]]
        table = shown.rename(columns=COLUMNS).to_markdown(floatfmt=".3f")
        parts += [f"About {size} of the bytes:", table]
    return parts


def _in_short(rows: pd.DataFrame) -> str:
    """Return what follows, in sentences whose figures are means over data sets."""
    names = ["disagreement", "most_lost", "xi", "bytes_ratio", "ratio_batch_64"]
    by_task = rows.groupby(["compression", "task"])[names].mean()
    means = by_task.groupby("compression").mean()
    int8, pruned, longer = (means.loc[n] for n in ("int8", "pruned 0.9", "trained longer"))
    student = means.loc["student"]
    said = [
        f"Eight bits hurt next to nobody: {int8['disagreement']:.1%} of the answers change, the "
        f"group that loses most loses {100 * int8['most_lost']:.1f} points in the mean (ξ "
        f"{int8['xi']:.3f}), at {int8['bytes_ratio']:.2f} of the bytes; on top of a pruned, narrow "
        "or distilled net they change as little.",
        "Most of what changes when a net is pruned and fine-tuned changes when it is trained as "
        f"long without being pruned: {longer['disagreement']:.1%} of the answers and ξ "
        f"{longer['xi']:.2f} against {pruned['disagreement']:.1%} and {pruned['xi']:.2f} at 0.9. "
        "Who holds a pruned net against the dense one measures both; the tables of the data sets "
        "have the two apart.",
        "A distilled student of an eighth of the bytes changes fewer answers "
        f"({student['disagreement']:.1%}), since it follows the dense net, its errors too: on the "
        "long tail it serves the rare classes worse than any pruned net does.",
    ]
    times = by_task["ratio_batch_64"].loc["int8"]
    said.append(
        "What is small is not fast: with ONNX Runtime on this processor, one thread and batches of "
        f"64, eight bits take {times.min():.2f} (small dense nets) to {times.max():.2f} "
        "(convolutions) of the dense net's time; nets with weights removed take the same, and "
        "narrow nets alone take less."
    )
    return "\n".join(textwrap.fill(f"- {each}", 98, subsequent_indent="  ") for each in said)


def _table(rows: pd.DataFrame) -> list[str]:
    """Return a sentence on the dense net of a data set, and the table of its compressions."""
    order = list(dict.fromkeys(rows["compression"]))
    grouped = rows[rows["compression"] != "none"].groupby("compression")[list(COLUMNS)]
    table = mean_and_spread(grouped).loc[[name for name in order if name != "none"]]
    dense = rows[rows["compression"] == "none"][["accuracy", "gap", "worst"]].mean()
    who = rows.groupby("compression")["who_lost_most"].agg(lambda each: _often(each.astype(str)))
    table = table.rename(columns=COLUMNS).assign(**{"which group, how often": who})
    said = ", ".join(
        f"{name} {dense[column]:.3f}"
        for column, name in (("accuracy", "accuracy"), ("gap", "gap"), ("worst", "worst group"))
    )
    return [f"Dense net: {said}.", table.to_markdown()]


def _often(groups: pd.Series) -> str:
    counts = groups.value_counts()
    return f"{counts.index[0]} ({counts.iloc[0]} of {len(groups)})"
