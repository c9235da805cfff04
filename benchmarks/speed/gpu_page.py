"""The page of the GPU benchmark, from its rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.lib.pages import markdown, wrapped

BASES = ("plain loop, rows on the CPU", "plain loop, rows on the card")
PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    rows : pandas.DataFrame
        As `gpu.measure` returns them.
    path : pathlib.Path
        Where to.
    """
    path.write_text(page(rows))


def page(rows: pd.DataFrame) -> str:
    """Return the page."""
    card, version = rows["card"].iloc[0], rows["torch"].iloc[0]
    parts = [
        "# On a GPU",
        wrapped(
            f"Written by `benchmarks/speed/gpu.py` from `gpu.csv`: one {card}, torch {version}. "
            "Nets by configuration, random weights and data. Contenders turn by turn, the device "
            "idle before and after each turn; medians, and of ratios those within a round. Memory "
            "is the most that was allocated on the card at a time beyond what was there before, of "
            "nets with their weights."
        ),
    ]
    for name, make in {"epoch": epochs, "report": report, "net": nets, "CSR": csr}.items():
        part = rows[rows["part"] == name].dropna(subset=["seconds"])
        parts += [] if part.empty else make(part)
    return "\n\n".join([*parts, *gone(rows)]) + "\n"


def times(part: pd.DataFrame, base: str) -> pd.Series:
    """Return the median, over rounds, of each form's time over that of another."""
    wide = part.pivot(index="round", columns="form", values="seconds")
    return wide.div(wide[base], axis=0).median()


def milliseconds(seconds: float) -> str:
    """Return a time in three digits."""
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:.0f}"


def megabytes(value: float) -> str:
    """Return an amount of memory; a dash where it was not measured."""
    return "–" if pd.isna(value) else f"{value:,.0f}"


def epochs(part: pd.DataFrame) -> list[str]:
    """Return the table of an epoch's cost."""
    over = [times(part, base) for base in BASES]
    lines = [
        {
            "an epoch of": form,
            "ms": milliseconds(each["seconds"].median()),
            "÷ plain loop, rows on the CPU": f"{over[0][form]:.2f}",
            "÷ plain loop, rows on the card": f"{over[1][form]:.2f}",
            "waits for the device, a batch": f"{each['waits'].iloc[0]:.2f}",
            "memory, MB": megabytes(each["mb"].iloc[0]),
        }
        for form, each in part.groupby("form", sort=False)
    ]
    text = wrapped(
        "MLP 128–64, batches of 256, SGD. Ours keeps rows on the CPU and sends each batch without "
        "waiting; a loop whose rows are on the card saves that. Set-up of a call of `partial_fit` "
        "of three epochs is counted in. Waits are those that the card's driver reports (on a CPU: "
        "numbers that were read); a few an epoch are its losses and groups."
    )
    return ["## Training", text, markdown(pd.DataFrame(lines))]


def report(part: pd.DataFrame) -> list[str]:
    """Return a sentence on the report."""
    median = part.groupby("form")["seconds"].median()
    most = part[part["form"] == "report"]["mb"].iloc[0]
    memory = "" if pd.isna(most) else f" and takes {megabytes(most)} MB of the card"
    text = (
        f"`fairness_report` over {part['case'].iloc[0]} takes {median['report']:.2f} s, "
        f"{times(part, 'predict')['report']:.1f} times one `predict` of them "
        f"({median['predict']:.2f} s){memory}: MLP 128–64 on 20 features, both nets, batches of "
        "8192."
    )
    return ["## A report", wrapped(text)]


def nets(part: pd.DataFrame) -> list[str]:
    """Return the table of nets in their forms: how many times as fast as dense."""
    lines = []
    for (case, dtype, batch), each in part.groupby(["case", "dtype", "batch"], sort=False):
        gains, by_form = 1 / times(each, "dense"), each.groupby("form")
        line = {"net": case, "precision": PRECISIONS[dtype], "batch": int(batch)}
        line["dense, ms"] = milliseconds(by_form["seconds"].median()["dense"])
        for form in ("half of the channels", "2:4"):
            line[form] = f"{gains[form]:.2f}" if form in gains else "–"
        forms = ("dense", "half of the channels", "2:4")
        found = by_form["mb"].first().reindex(forms)
        line["memory, MB"] = " / ".join(megabytes(value) for value in found)
        lines.append(line)
    text = wrapped(
        "Times as fast as the dense net; memory of dense / half of the channels / 2:4. Half of "
        "each layer's channels and of the heads are removed by magnitude; 2:4 is "
        "`torch.sparse.to_sparse_semi_structured` in the linear layers, the two smaller of each "
        "four weights set to zero. BERT-base reads 128 tokens, images are 224×224."
    )
    return ["## Nets", text, markdown(pd.DataFrame(lines))]


def csr(part: pd.DataFrame) -> list[str]:
    """Return the table of a layer as CSR."""
    lines = []
    for (rate, dtype, batch), each in part.groupby(["case", "dtype", "batch"], sort=False):
        median = each.groupby("form")["seconds"].median()
        lines.append(
            {
                "removed": f"{float(rate):g}",
                "precision": PRECISIONS[dtype],
                "batch": int(batch),
                "dense, ms": milliseconds(median["dense"]),
                "CSR, times as fast": f"{1 / times(each, 'dense')['CSR']:.2f}",
            }
        )
    text = wrapped(
        "One linear layer of BERT-base, 768 → 3072, 128 tokens a sample: torch's CSR product "
        "beside the dense one."
    )
    return ["## Unstructured sparsity", text, markdown(pd.DataFrame(lines))]


def gone(rows: pd.DataFrame) -> list[str]:
    """Return a list of what was not measured, and why."""
    told = rows[rows["note"].notna() & (rows["note"] != "")]
    keys = ["part", "case", "dtype", "batch", "note"]
    lines = []
    for note, each in told.drop_duplicates(keys).groupby("note", sort=False):
        names = [
            " ".join(str(value) for value in row if not pd.isna(value))
            for row in each[keys[:-1]].astype({"batch": "Int64"}).itertuples(index=False)
        ]
        lines.append(f"- {note}: {', '.join(names)}")
    return ["## What is missing", "\n".join(lines)] if lines else []
