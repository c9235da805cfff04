"""A promise without labels: how often it errs, when it is tight, and what labels add.

Run ``python -m benchmarks.studies.unlabelled.run`` (minutes on one core; it takes up again where it
stopped). Two kinds of cells: draws of counts with known truth, one group, a promise of two points
at 0.95 (``kind`` edge: the drop is just what may not be lost; safe: it is less), and a net on
Adult, compressed in several ways. Each promise is asked of all changes, of a part of the labels,
and of both. Rows go to ``rows.csv`` and ``rows_nets.csv``, the page to ``page.md``. Data is looked
for in the folder SK_PRUNEFAIR_DATA.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from benchmarks.lib.harness import Cell, run_cells
from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tasks import TASKS
from sk_prunefair import Distillation, FairPrunedClassifier, compare_models
from sk_prunefair.export import to_onnx
from sk_prunefair.stats.changes import changes_p_value, combined_p_value
from sk_prunefair.stats.paired import drop_p_value

MAX_DROP, LEVEL = 0.02, 0.05
DRAWS = {"edge": 300, "safe": 100}
LABELLED, UNLABELLED = (200, 1000), (2000, 20_000)
SHARES = (0.016, 0.021, 0.03, 0.06, 0.15)
# Loss that stands in the changed rows where it is safe: all balanced, or three in ten.
SAFE = (0.0, 0.3)
DECISIVE = 0.8  # share of the changed rows that are lost or won, at least
COMPRESSIONS = (
    "int8",
    "pruned 0.5",
    "pruned 0.8",
    "pruned 0.9",
    "fine-tuned 0.8",
    "fine-tuned 0.9",
)
PARTS = (200, 1000)
LEAST = 149  # rows that prove a drop below two points where nothing changed
FOLDER = Path(__file__).parent


def one_draw(rng: Any, cell: Cell, known: dict[Any, Any]) -> tuple[bool, ...]:
    """Return what changes, labels and both refute in one draw of counts."""
    n, more, share, loss = (cell[key] for key in ("labelled", "unlabelled", "share", "loss"))
    decisive = max(DECISIVE, loss)
    seen, rest = int(rng.binomial(n, share)), int(rng.binomial(more, share))
    parts = [(decisive + loss) / 2, (decisive - loss) / 2, 1 - decisive]
    lost, won, _ = rng.multinomial(seen, parts).tolist()
    key = seen, lost, won, rest
    if key not in known:
        known[key] = _passes((n, seen, lost, won), (more, rest))
    return known[key]


def _passes(labelled: tuple[int, ...], unlabelled: tuple[int, int]) -> tuple[bool, ...]:
    n, seen, lost, won = labelled
    more, rest = unlabelled
    return (
        changes_p_value(n + more, seen + rest, MAX_DROP) <= LEVEL,
        drop_p_value(n, lost, won, MAX_DROP) <= LEVEL,
        combined_p_value((n, seen, lost, won), unlabelled, MAX_DROP, 1 - LEVEL) <= LEVEL,
    )


def simulate(cell: Cell) -> list[dict[str, Any]]:
    """Return how often each passes."""
    key = [cell["labelled"], cell["unlabelled"], int(1e4 * cell["share"]), int(1e4 * cell["loss"])]
    rng, known = np.random.default_rng(key), {}
    n_draws = cell["draws"]
    passed = np.mean([one_draw(rng, cell, known) for _ in range(n_draws)], axis=0)
    return [dict(zip(("changes", "labels", "both"), passed, strict=True))]


def cells_of_counts() -> list[Cell]:
    """Return cells: on the edge where a drop of two points can be, and safe ones."""
    cells = []
    for n in LABELLED:
        for more in UNLABELLED:
            for share in SHARES:
                losses = [("safe", loss) for loss in SAFE if loss * share < MAX_DROP]
                if share > MAX_DROP:
                    losses.insert(0, ("edge", MAX_DROP / share))
                cells += [
                    {
                        "kind": kind,
                        "labelled": n,
                        "unlabelled": more,
                        "share": share,
                        "loss": round(loss, 6) + (1e-6 if kind == "edge" else 0),
                        "draws": DRAWS[kind],
                    }
                    for kind, loss in losses
                ]
    return cells


def compress(cell: Cell) -> list[dict[str, Any]]:
    """Train one net, compress it in every way; return per group what can be proven."""
    task = TASKS[cell["task"]]
    train, _, test = task.load(0)
    clf = FairPrunedClassifier(
        **task.params,
        classes=sorted(set(train.y.tolist())),
        callbacks=[("distillation", Distillation())],
        random_state=0,
    )
    clf.fit(train.X, train.y)
    rows = []
    for name in COMPRESSIONS:
        if name == "int8":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "int8.onnx"
                to_onnx(clf, path, quantize="int8", calibration=train.X[:500])
                report = compare_models(clf, path, test.X, test.y, sensitive_features=test.group)
        else:
            kind, rate = name.split()
            given = (train.X, train.y) if kind == "fine-tuned" else ()
            clf.prune(float(rate), *given, finetune_epochs=3 if given else 0)
            report = clf.fairness_report(test.X, test.y, sensitive_features=test.group)
        rows += [{"compression": name, **row} for row in _proofs(report)]
    return rows


def _proofs(report: Any) -> list[dict[str, Any]]:
    dense, compressed = report.outcomes
    changed = dense.labels != compressed.labels
    harm = dense.is_right.astype(int) - compressed.is_right
    rng, rows = np.random.default_rng(0), []
    for group, places in report.samples.groupby("group").indices.items():
        n = len(places)
        row = {"group": group, "n": n, "changed": changed[places].mean()}
        row |= {"drop": harm[places].mean()}
        row["changes"] = float(_passes((1, 0, 0, 0), (n - 1, int(changed[places].sum())))[0])
        for part in PARTS:
            if n < 2 * part:
                row |= {f"labels {part}": np.nan, f"both {part}": np.nan}
                continue
            passed = [_split(rng, places, part, changed, harm) for _ in range(40)]
            row |= dict(
                zip((f"labels {part}", f"both {part}"), np.mean(passed, axis=0), strict=True)
            )
        rows.append(row)
    return rows


def _split(rng: Any, places: Any, part: int, changed: Any, harm: Any) -> tuple[bool, ...]:
    order = rng.permutation(places)
    known, rest = order[:part], order[part:]
    counts = (
        part,
        int(changed[known].sum()),
        int((harm[known] > 0).sum()),
        int((harm[known] < 0).sum()),
    )
    return _passes(counts, (len(rest), int(changed[rest].sum())))[1:]


def write_page(counts: pd.DataFrame, path: Path, nets: Path = FOLDER / "rows_nets.csv") -> None:
    """Write the tables of counts, and that of nets."""
    page, passes = FOLDER / "page.md", ["changes", "labels", "both"]
    columns = ["labelled", "unlabelled", "share", "loss", *passes]
    edge, safe = (counts[counts["kind"] == kind] for kind in ("edge", "safe"))
    of_nets = pd.read_csv(nets).sort_values(["compression", "n"], ascending=[True, False])
    largest = ", ".join(f"{name} {edge[name].max():.3f}" for name in passes)
    draws = int(edge["draws"].iloc[0])
    by_chance = binom.isf(0.05 / len(edge), draws, 0.05) / draws
    said = (
        f"{draws} draws a row; a twentieth is allowed, in {len(edge)} cells up to {by_chance:.3f} "
        f"by chance. Largest: {largest}. "
        "*share*: of answers that change; *loss*: of those, lost minus won."
    )
    parts = [by_hand(page), "## Where the drop is two points: how often each passes", said]
    parts += [_markdown(edge[columns]), by_hand(page, "## Where it is less")]
    parts += [_markdown(safe[columns]), by_hand(page, "## Nets")]
    write(path, [*parts, _markdown(of_nets[of_nets["n"] >= LEAST].drop(columns="task"))])


def _markdown(frame: pd.DataFrame) -> str:
    shown = frame.astype(object).map(
        lambda value: f"{value:.3g}" if isinstance(value, float) else value
    )
    return markdown(shown.where(frame.notna(), ""), disable_numparse=True)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    args = options(__doc__, quick="few draws of few cells").parse_args(argv)
    cells = cells_of_counts()
    if args.quick:
        cells = [cell | {"draws": 20} for cell in cells[::9]]
    run_cells([{"task": "adult"}], compress, FOLDER / "rows_nets.csv")
    run_study(__file__, args, cells, simulate, write_page)


if __name__ == "__main__":
    main()
