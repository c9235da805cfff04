"""The page of ``run.py``: what follows for the same size, then one table a data set."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd

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
_HEAD = """# Which compression hurts whom

Written by `benchmarks/studies/compressions/run.py` from `rows.csv`; its docstring says how. {seeds}
seeds, held-out rows, mean ± standard deviation. Each net is compared with the dense net that it
was made of, as an ONNX file, by `compare_models`. *Bytes* are those of the deflated file. *Most
lost by a group* is the largest accuracy drop of any group (COMPAS has groups of ten rows, and it is
noisy there); *gap widened by* the accuracy gap after, minus before; *answers changed* the share of
rows; CEV and SDE are Blakeney et al.'s. Pruned nets were trained for three epochs more than the
dense net: *trained longer* is that net after the same epochs, with all its weights. Where a net
had not learned its rare classes (the long tail, UTKFace race), these epochs alone repair some of
them, and ξ is large for that.

"""


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the page."""
    rows = rows.assign(widened=rows["gap"] - rows["gap_dense"])
    parts = [_HEAD.format(seeds=_seeds(rows)), _in_short(rows), _same_size(rows)]
    parts += [
        f"## {NAMES[task]}\n\n{_table(rows[rows['task'] == task])}\n"
        for task in dict.fromkeys(rows["task"])
    ]
    path.write_text("\n".join(parts))


def _seeds(rows: pd.DataFrame) -> str:
    counts = rows.groupby("task")["seed"].nunique()
    least, most = counts.min(), counts.max()
    return str(most) if least == most else f"{least} to {most}"


def _same_size(rows: pd.DataFrame) -> str:
    """Return means over data sets and seeds of compressions to about the same size."""
    lines = ["## For the same size\n", "Means over data sets (each seed's mean first).\n"]
    names = [name for name in COLUMNS if name not in ("cev",)]
    for size, kinds in SIZES.items():
        part = rows[rows["compression"].isin(kinds)]
        means = part.groupby(["compression", "task"])[names].mean().groupby("compression").mean()
        shown = means.loc[[kind for kind in kinds if kind in means.index]]
        table = shown.rename(columns=COLUMNS).to_markdown(floatfmt=".3f")
        lines.append(f"About {size} of the bytes:\n\n{table}\n")
    return "\n".join(lines)


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
    lines = [textwrap.fill(f"- {each}", 98, subsequent_indent="  ") for each in said]
    return "\n".join(["## In short", "", *lines, ""])


def _table(rows: pd.DataFrame) -> str:
    order = list(dict.fromkeys(rows["compression"]))
    grouped = rows[rows["compression"] != "none"].groupby("compression")[list(COLUMNS)]
    table = mean_and_spread(grouped).loc[[name for name in order if name != "none"]]
    dense = rows[rows["compression"] == "none"][["accuracy", "gap", "worst"]].mean()
    who = rows.groupby("compression")["who_lost_most"].agg(lambda each: _often(each.astype(str)))
    table = table.assign(who=who).rename(columns={"who": "which group, how often"})
    table = table.rename(columns=COLUMNS)
    return (
        f"Dense net: accuracy {dense['accuracy']:.3f}, gap {dense['gap']:.3f}, worst group "
        f"{dense['worst']:.3f}.\n\n{table.to_markdown()}"
    )


def _often(groups: pd.Series) -> str:
    counts = groups.value_counts()
    return f"{counts.index[0]} ({counts.iloc[0]} of {len(groups)})"
