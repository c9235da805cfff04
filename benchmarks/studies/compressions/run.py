"""Which compression hurts whom: pruning, int8, channels, a distilled student, pairs of them.

Run ``python -m benchmarks.studies.compressions.run`` (an hour on one core; it goes on where it was
stopped), or ``--quick`` for digits alone, tiny. A cell is a data set and a seed: one dense net is
trained, and each compression starts from it. All nets are written as ONNX files, run by ONNX
Runtime on one thread, and compared with the dense one by `sk_prunefair.compare_models` on held-out
rows. Data is looked for in the folder SK_PRUNEFAIR_DATA. Rows go to ``rows.csv``, the page to
``page.md``.

Pruning is by magnitude (on COMPAS some weights of each layer are kept, see
``studies/constraints/run.py``), channels by magnitude, both fine-tuned for three epochs without a
constraint; int8 is ONNX Runtime's static quantisation, calibrated on 500 training rows; a student
has as many parameters as the net pruned to 0.9 has weights, and follows the dense net.
"""

from __future__ import annotations

import copy
import functools
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tasks import TASKS, Split
from benchmarks.lib.timing import in_turns, spread
from benchmarks.lib.training import FINETUNE_EPOCHS, PRUNERS, floor
from benchmarks.studies.compressions.page import write_page
from benchmarks.studies.compressions.students import distilled_student, n_parameters
from sk_prunefair import FairPrunedClassifier, compare_models
from sk_prunefair.export import to_onnx

SEEDS = (0, 1, 2)
USED = ("adult", "compas", "fashion", "faces_race")
CALIBRATION = 500


def nets(
    clf: FairPrunedClassifier, train: Split, cell: Cell, quick: bool
) -> Iterator[tuple[str, FairPrunedClassifier, bool]]:
    """Yield each compression's name, its net, and whether that is written in eight bits."""
    data = {"X": train.X, "y": train.y, "finetune_epochs": 1 if quick else FINETUNE_EPOCHS}
    yield "trained longer", copy.deepcopy(clf).prune(0.0, **data), False
    yield "int8", clf, True
    for rate in (0.5, 0.8, 0.9, 0.95):
        pruned = copy.deepcopy(clf).prune(rate, **data)
        yield f"pruned {rate}", pruned, False
        if rate in (0.5, 0.9):
            yield f"pruned {rate} + int8", pruned, True
    for rate in (0.5, 0.75):
        narrow = copy.deepcopy(clf).set_params(pruner="channel_magnitude").prune(rate, **data)
        yield f"channels {rate}", narrow, False
        if rate == 0.5:
            yield f"channels {rate} + int8", narrow, True
    at_most = max(n_parameters(clf.module_) // 10, 200)
    short = {"max_epochs": 1} if quick else {}
    student = distilled_student(
        TASKS[cell["task"]], clf.module_, train, at_most=at_most, seed=cell["seed"], **short
    )
    yield "student", student, False
    yield "student + int8", student, True


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Return what each compression did, one row each."""
    task = TASKS[cell["task"]]
    train, _, test = task.load(cell["seed"])
    short: dict[str, Any] = {"max_epochs": 2} if quick else {}
    clf = FairPrunedClassifier(
        **(task.params | {"pruner": PRUNERS.get(cell["task"], "magnitude")} | short),
        classes=sorted(set(test.y.tolist())),
        random_state=cell["seed"],
    ).fit(train.X, train.y)
    calibration = train.X[np.random.default_rng(cell["seed"]).permutation(len(train.X))]
    with tempfile.TemporaryDirectory() as folder:
        dense = Path(folder) / "dense.onnx"
        to_onnx(clf, dense)
        rows = [row("none", dense, dense, test)]
        for name, net, is_int8 in nets(clf, train, cell, quick):
            path = Path(folder) / "net.onnx"
            options = {"quantize": "int8", "calibration": calibration[:CALIBRATION]}
            to_onnx(net, path, **(options if is_int8 else {}))
            rows.append(row(name, dense, path, test))
    return rows


def row(name: str, dense: Path, compressed: Path, test: Split) -> dict[str, Any]:
    """Return the figures of one compression."""
    report = compare_models(dense, compressed, test.X, test.y, sensitive_features=test.group)
    seconds = latencies(dense, compressed, test.X)
    before, after = report.outcomes
    drops = report.accuracy_drop
    return {
        "compression": name,
        "bytes": deflated(compressed),
        "bytes_ratio": deflated(compressed) / deflated(dense),
        **{f"ratio_{size}": ratio for size, ratio in seconds.items()},
        "accuracy": report.pruned.overall["accuracy"],
        "accuracy_lost": report.dense.overall["accuracy"] - report.pruned.overall["accuracy"],
        "xi": report.fairness_violation,
        "gap_dense": report.accuracy_gap["dense"],
        "gap": report.accuracy_gap["compressed"],
        "floor": floor(report),
        "worst": report.pruned.by_group["accuracy"].min(),
        "most_lost": drops.max(),
        "who_lost_most": drops.idxmax(),
        "disagreement": float(np.mean(before.labels != after.labels)),
        "cev": report.class_errors.attrs["combined_error_variance"],
        "sde": report.class_errors.attrs["symmetric_distance_error"],
    }


def deflated(path: Path) -> int:
    """Return the bytes of a file once deflated: zeros take next to nothing, in any format."""
    return len(zlib.compress(path.read_bytes(), 9))


def latencies(dense: Path, compressed: Path, X: np.ndarray, rounds: int = 30) -> dict[str, float]:
    """Return the median of time ÷ the dense net's, batches of 1 and 64, rounds in turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for name, path in (("dense", dense), ("compressed", compressed))
    }
    found = {}
    for size, calls in ((1, 100), (64, 10)):
        batch = {"X": np.ascontiguousarray(X[:size], dtype=np.float32)}
        works = {name: functools.partial(each.run, None, batch) for name, each in sessions.items()}
        times = in_turns(works, rounds, calls=calls)
        found[f"batch_{size}"] = spread(times, "compressed", "dense")["median"]
    return found


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page."""
    args = options(__doc__, tasks=USED, quick="digits alone, tiny").parse_args(argv)
    todo = grid(seed=SEEDS, task=args.tasks)
    # The slowest one last: what is there when a run is stopped is there for all seeds.
    todo.sort(key=lambda cell: cell["task"] == "faces_race")
    if args.quick:
        todo = [{"task": "digits", "seed": 0}]
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
