"""The section of latency: a table of contenders, batch sizes and threads."""

from __future__ import annotations

from html import escape

import pandas as pd

from sk_prunefair.audit._html import Html, definitions, folded, join, name, section, table
from sk_prunefair.latency.reading import seconds_text

# Descriptions of a classifier's contenders; those of compare_models have the user's names.
_WORDS = {
    "dense": "the net before pruning",
    "masked": "the pruned net, whose zeros are multiplied like any weight",
    "channels": "the pruned net, which is smaller",
    "sparse": "the pruned net with layers that leave out zeros (sparse_module)",
    "onnx": "the pruned net by ONNX Runtime",
    "int8": "the same in integers of eight bits",
}
_HEADER = ("model", "samples", "threads", "median", "quartiles", "× as fast", "rounds")


def latency_section(latency: pd.DataFrame) -> Html:
    """Return the table of `sk_prunefair.latency.compare_latency`, and the contenders not timed."""
    what = latency.attrs.get("what", "a call")
    rows = [
        [
            name(row["contender"]),
            int(row["batch_size"]),
            int(row["threads"]),
            Html(seconds_text(row["seconds"])),
            Html(f"{seconds_text(row['seconds_q25'])} to {seconds_text(row['seconds_q75'])}"),
            Html(f"{row['speedup']:.2f}"),
            int(row["n_rounds"]),
        ]
        for row in latency.to_dict("records")
    ]
    left_out = latency.attrs.get("left_out", {})
    is_of_net = what == "a forward pass" and set(latency["contender"]) <= set(_WORDS)
    known = [each for each in dict.fromkeys(latency["contender"]) if is_of_net]
    return section(
        "latency",
        "Time",
        f"<p>Time of {escape(what)}. In each round every model ran once, the first of a round in "
        "turn. “× as fast” is the median over rounds of the first model’s time divided by this "
        "one’s. It holds for the machine that measured it.</p>\n",
        definitions({each: Html(escape(_WORDS[each])) for each in known}) if known else "",
        folded("All times", table("Time of a call", _HEADER, rows, "by-time"), is_open=True),
        *(join("<p>{} was left out: {}.</p>\n", name(k), why) for k, why in left_out.items()),
    )
