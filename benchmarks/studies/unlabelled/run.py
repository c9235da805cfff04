"""A promise without labels: how often it errs, when it is tight, and what labels add.

Run ``python -m benchmarks.studies.unlabelled.run`` (minutes on one core; it takes up again where it
stopped).
Two kinds of cells: draws of counts with known truth, one group, a promise of two points at 0.95
(``kind`` edge: the drop is just what may not be lost; safe: it is less), and a net on Adult,
compressed in several ways. Each promise is asked of all changes, of a part of the labels, and of
both. Rows go to ``rows.csv`` and ``rows_nets.csv``, the page to
``page.md``. Data is looked for in the folder SK_PRUNEFAIR_DATA.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from benchmarks.lib.harness import Cell, out_path, page_path, run_cells
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
NETS = Path(__file__).with_name("rows_nets.csv")
HEAD = """# A promise without labels

Made by `python -m benchmarks.studies.unlabelled.run`. A group's accuracy falls by at most the share
of its answers that changed; *changes* refutes a drop of two points by that alone (exact binomial
test, no label), *labels* by the exact paired test of the labelled rows, *both* by all rows
(`sk_prunefair.stats.changes.combined_p_value`, the test of `report.promise(unlabelled=…)`), each at
0.95. *both* is what is used wherever there are rows of both kinds: nobody picks the best of three.

- **Tight where fewer answers change than may be lost.** int8 is proven without any label in every
  group of Adult that has 149 rows, as are some groups of nets pruned to 0.5, or fine-tuned, of
  whose answers at most some 1 % change.
- **Not tight where more change.** Pruned at once to 0.8 and 0.9, from 2 % to 25 % of the answers
  change, and no group is proven by changes; then labels decide.
- **Both gain most over labels where about as many change as may be lost**, labels are few and
  other rows many: of 200 labels and 20,000 rows without, with 2.1 % changed and three in ten of
  these a loss on balance, it passes in 0.46 of the draws in the place of 0.30; with 1.6 % always.
  Where three times as many change it adds nothing.
- **It costs power where unlabelled rows are few**: a part of the level goes to changes. With 1,000
  labels, 2,000 rows without and 3 % changed, balanced, it passes in 0.85 where labels alone always
  do; a group of 808 rows of Adult, 200 of them labelled, in 0.48 in the place of 0.68. There, leave
  the unlabelled rows out, and decide so before looking.

The weights of *both* were chosen by its power in small simulations on a grid like this one, with
other draws; its validity does not depend on them. The one net of Adult had been looked at before
the last change of the weights.

"""


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


def compress(task: str, folder: Path) -> list[dict[str, Any]]:
    """Train one net, compress it in every way; return per group what can be proven."""
    found = TASKS[task].load(0)
    train, test = found[0], found[-1]
    clf = FairPrunedClassifier(
        **TASKS[task].params,
        classes=sorted(set(train.y.tolist())),
        callbacks=[("distillation", Distillation())],
        random_state=0,
    )
    clf.fit(train.X, train.y)
    rows = []
    for name in COMPRESSIONS:
        if name == "int8":
            path = folder / f"{task}_int8.onnx"
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


def write_page(counts: pd.DataFrame, path: Path) -> None:
    """Write the tables; those of nets from their committed rows."""
    columns = ["labelled", "unlabelled", "share", "loss", "changes", "labels", "both"]
    edge, safe = (counts[counts["kind"] == kind] for kind in ("edge", "safe"))
    nets = pd.read_csv(NETS).sort_values(["compression", "n"], ascending=[True, False])
    largest = edge[["changes", "labels", "both"]].max()
    draws = int(edge["draws"].iloc[0])
    parts = [
        f"{HEAD}## Where the drop is two points: how often each passes",
        f"{draws} draws a row; a twentieth is allowed, in {len(edge)} cells up to "
        f"{binom.isf(0.05 / len(edge), draws, 0.05) / draws:.3f} by chance. Largest: changes "
        f"{largest['changes']:.3f}, labels {largest['labels']:.3f}, both {largest['both']:.3f}. "
        "*share*: of answers that change; *loss*: of those, lost minus won.",
        _markdown(edge[columns]),
        "## Where it is less: how often each passes",
        f"{int(safe['draws'].iloc[0])} draws a row.",
        _markdown(safe[columns]),
        "## Nets",
        "Adult, one net, seed 0, groups of race × sex of the test set with 149 rows and more (no "
        "fewer can prove anything; those of digits have some 70). *changed*: share of answers; "
        "*drop*: of accuracy; *changes*: whether the promise is proven without any label (1: yes); "
        "*labels 200*: how often 200 labelled rows prove it (40 draws of which these are); *both "
        "200*: with the group's other rows unlabelled; nothing where a group has not twice as "
        "many. Pruned nets are pruned at once by magnitude; fine-tuned ones for three epochs with "
        "distillation.",
        _markdown(nets[nets["n"] >= LEAST].drop(columns="task")),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _markdown(frame: pd.DataFrame) -> str:
    shown = frame.astype(object).map(
        lambda value: f"{value:.3g}" if isinstance(value, float) else value
    )
    return shown.where(frame.notna(), "").to_markdown(index=False, disable_numparse=True)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few draws of few cells, no net")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    out = out_path(__file__, args.out, args.quick)
    cells = cells_of_counts()
    if args.quick:
        cells = [cell | {"draws": 20} for cell in cells[::9]]
    counts = run_cells(cells, simulate, out)
    if not NETS.exists():
        with tempfile.TemporaryDirectory() as folder:
            frame = pd.DataFrame(compress("adult", Path(folder)))
        frame.insert(0, "task", "adult")
        frame.to_csv(NETS, index=False, float_format="%.5g")
    write_page(counts, page_path(out))


if __name__ == "__main__":
    main()
