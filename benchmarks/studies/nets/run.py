"""The nets that people have, pruned: which pruners work, what an epoch costs, what groups lose.

Run ``python -m benchmarks.studies.nets.run`` (an hour on one core), or ``--quick``; it goes on
where it was stopped. Tiny BERT and GPT-2 of transformers and an LSTM read digits as 64 tokens; ViT
and ResNet of transformers see Fashion-MNIST, ViT as 49 patches; `sk_prunefair.modules.TabularNet`
sees Adult and COMPAS through `sk_prunefair.tables.TabularEncoder`. Groups are the classes of images
and digits, sex × race of Adult, race of COMPAS. Each net is trained once per seed, then pruned from
there by magnitude to each rate and fine-tuned for three epochs, without any constraint. All figures
are of held-out rows. Nothing is downloaded. One setting was chosen, on a part of the training rows:
BERT and GPT-2 start from weights five times as large as usual, as narrow nets learn too slowly
else.

``rows.csv`` has a row per net, data set, seed and rate; ``rows_pruners.csv`` one per pruner of the
first seed at 0.5, without fine-tuning; ``rows_time.csv`` one per round of an epoch of ours and of a
loop written by hand, in turns. ``page.md`` is made of them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from benchmarks.lib.harness import Cell, grid, out_path, page_path, run_cells
from benchmarks.lib.study import options
from benchmarks.lib.timing import in_turns, seconds
from benchmarks.lib.training import FINETUNE_EPOCHS, bare_loop
from benchmarks.studies.nets.cases import CASES, classifier
from benchmarks.studies.nets.page import write_page
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.metrics import accuracy_gap_floor

SEEDS = (0, 1, 2)
RATES = (0.5, 0.8, 0.9)
ROUNDS = 5
PRUNERS = ("magnitude", "layer_magnitude", "random", "taylor", "snip", "fairgrape", "fairprune")
PRUNERS += ("channel_magnitude", "channel_taylor")


def prune(
    clf: FairPrunedClassifier, rate: float, X: Any, y: np.ndarray, group: np.ndarray, epochs: int
) -> None:
    """Prune the dense net to a rate, and fine-tune it for some epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        clf.prune(rate, X, y, sensitive_features=group, finetune_epochs=epochs)


def what_groups_lose(cell: Cell) -> list[dict[str, Any]]:
    """Return a row for each rate of one net, data set and seed."""
    case = CASES[cell["net"]]
    (X, y, group), (X_test, y_test, group_test) = case.load(cell["seed"])
    clf = classifier(case, cell["seed"]).fit(X, y, sensitive_features=group)
    rows = []
    for rate in RATES:
        prune(clf, rate, X, y, group, FINETUNE_EPOCHS)
        report = clf.fairness_report(X_test, y_test, sensitive_features=group_test)
        by_group = report.pruned.by_group
        accuracy = report.pruned.overall["accuracy"]
        rows.append(
            {
                "rate": rate,
                "accuracy_dense": report.dense.overall["accuracy"],
                "accuracy": accuracy,
                "gap_dense": report.accuracy_gap["dense"],
                "gap": report.accuracy_gap["pruned"],
                "floor": accuracy_gap_floor(accuracy, by_group["count"], random_state=0),
                "worst": by_group["accuracy"].min(),
                "xi": report.fairness_violation,
                "macs_kept": report.compression["macs_pruned"] / report.compression["macs_dense"],
            }
        )
    return rows


def which_pruners_work(cell: Cell) -> list[dict[str, Any]]:
    """Return one row: what a pruner did to the net of the first seed at 0.5."""
    case = CASES[cell["net"]]
    (X, y, group), (X_test, y_test, _) = case.load(0)
    clf = classifier(case, 0, pruner=cell["pruner"], max_epochs=3)
    clf.fit(X, y, sensitive_features=group)
    dense = clf.score(X_test, y_test)
    found = {"sparsity": 0.0, "accuracy_dense": dense, "accuracy": dense}
    took, reason = np.nan, ""
    try:
        took = seconds(lambda: prune(clf, 0.5, X, y, group, 0))
        found |= {"sparsity": clf.sparsity_, "accuracy": clf.score(X_test, y_test)}
    except (ValueError, RuntimeError) as error:
        reason = str(error)
    return [found | {"seconds": took, "reason": reason}]


def what_an_epoch_costs(cell: Cell) -> list[dict[str, Any]]:
    """Return a row for each round of one epoch by hand and one of ours, in turns."""
    case = CASES[cell["net"]]
    (X, y, group), _ = case.load(0)
    codes = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    tensors = {name: torch.from_numpy(values) for name, values in X.items()}
    clf = classifier(case, 0, max_epochs=1).fit(X, y, sensitive_features=group)
    module = classifier(case, 0, max_epochs=0).fit(X, y).module_
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    plain = bare_loop(module, tensors, codes, case.batch_size, optimizer)
    works = {"by_hand": plain, "ours": lambda: clf.partial_fit(X, y, sensitive_features=group)}
    return in_turns(works, ROUNDS).reset_index().to_dict("records")


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the page; the CSVs of two tables are beside the third's."""
    parser = options(__doc__, quick="TabularNet on COMPAS, one seed")
    parser.add_argument("--nets", nargs="+", choices=list(CASES), default=list(CASES))
    args = parser.parse_args(argv)
    nets, seeds = (["TabularNet, COMPAS"], [0]) if args.quick else (args.nets, SEEDS)
    path = out_path(__file__, args.out, args.quick)
    pruners, times = (path.with_name(f"{path.stem}_{n}.csv") for n in ("pruners", "time"))
    run_cells(grid(net=nets), what_an_epoch_costs, times)
    run_cells(grid(net=nets, pruner=PRUNERS), which_pruners_work, pruners, args.n_jobs)
    rows = run_cells(grid(seed=seeds, net=nets), what_groups_lose, path, args.n_jobs)
    write_page(rows, page_path(path), pruners, times)


if __name__ == "__main__":
    main()
