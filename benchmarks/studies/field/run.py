"""The field's methods beside ours, with the same budget: same nets, same epochs, held-out rows.

Run ``python -m benchmarks.studies.field.run`` (two hours on one core; it takes up again where it
stopped), or ``--quick`` for tiny sizes in seconds. Rows go to ``rows.csv``, Pareto tables to
``page.md``. Data is looked for in the folder SK_PRUNEFAIR_DATA.

Every method trains a dense net for the same epochs, removes the same share of its weights and
fine-tunes for three epochs. Methods that act after pruning share one dense net. The step of the
literal method is chosen on the validation rows, per data set and rate; every other method has one
setting for everything: ours the library's default, the field's that of its authors where three
epochs allow it (the page says where not).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch.nn import functional as F

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.harness import Cell, grid
from benchmarks.lib.study import options, run_study
from benchmarks.lib.tasks import TASKS, Split
from benchmarks.lib.training import FINETUNE_EPOCHS, prune, scores
from benchmarks.studies.field.page import write_page
from benchmarks.studies.field.peers import (
    AttentionTransfer,
    BalancedDraws,
    GroupDRO,
    MoreOfRows,
    balanced_subset,
)
from sk_prunefair import (
    AccuracyGapConstraint,
    Distillation,
    EqualLossConstraint,
    FairPrunedClassifier,
)
from sk_prunefair.constraints import Constraint
from sk_prunefair.pruning import FairPrunePruner, IterativePruning, MagnitudePruner

RATES = (0.8, 0.9, 0.95, 0.98)
SEEDS = {"digits": 5, "compas": 5, "adult": 5, "fashion": 3}
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def distillation(
    scores: torch.Tensor, dense: torch.Tensor, y: torch.Tensor, weight: float = 0.5
) -> torch.Tensor:
    """Hinton, Vinyals and Dean (2015): half the labels, half the dense net's answers at T = 4."""
    soft = F.kl_div((scores / 4).log_softmax(1), (dense / 4).softmax(1), reduction="batchmean")
    return (1 - weight) * F.cross_entropy(scores, y) + weight * 16 * soft


def blakeney(scores: torch.Tensor, dense: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Blakeney et al., Simon says (2021): the same, nine tenths of it the dense net's answers."""
    return distillation(scores, dense, y, weight=0.9)


def performance_weighted(
    scores: torch.Tensor, dense: torch.Tensor, y: torch.Tensor, least: float = 0.3
) -> torch.Tensor:
    """Meyer and Wong, A fair loss function for network pruning (2022), with its γ = 1.

    Samples count by how unsure the dense net is of their label, θ + (1 - θ)(1 - p_y); what is
    learned is the dense net's answer, in which the label and the likeliest class change places
    where that was wrong.
    """
    p = dense.softmax(1)
    own, best = p.gather(1, y[:, None]), p.max(1, keepdim=True)
    target = p.scatter(1, best.indices, own).scatter(1, y[:, None], best.values)
    weight = least + (1 - least) * (1 - own[:, 0])
    return (weight * -(target * scores.log_softmax(1)).sum(1)).mean()


class TaughtClassifier(FairPrunedClassifier):
    """Fine-tunes by a loss that sees what the dense net says."""

    taught_loss_: Loss | None = None

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Any:
        """Return the loss of the batch."""
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        if not training or self.phase_ == "before" or self.taught_loss_ is None:
            return loss
        with torch.no_grad():
            dense = self.dense_module_.eval()(X.to(y_pred.device))
        return self.taught_loss_(y_pred, dense, y_true.to(y_pred.device))


# What trains the dense net, and what then differs: the criterion, the constraint or the loss.
EQUAL_LOSSES: dict[str, dict[str, Any]] = {
    "none, averaged": {"step_size": 0.0},
    "ours": {},
    "ours, reweighting": {"by": "reweighting"},
    "literal 0.01": {"violation": "absolute", "step_size": 0.01},
    "literal 0.1": {"violation": "absolute", "step_size": 0.1},
}
LEFT_OUT = (("fashion", "jtt 2"), ("fashion", "jtt 20"))  # for the time they take
# λ_up of JTT: how often rows are drawn that a net was wrong on after a third of the epochs.
JTT = {"jtt 2": 2.0, "jtt 5": 5.0, "jtt 20": 20.0}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("plain", {}),
    "accuracy gap": ("plain", {"constraint": AccuracyGapConstraint}),
    "fairgrape": ("plain", {"pruner": "fairgrape"}),
    "fairgrape, iterative": (
        "plain",
        {"pruner": "fairgrape", "constraint": lambda: IterativePruning(FINETUNE_EPOCHS)},
    ),
    "fairprune": ("plain", {"pruner": FairPrunePruner(min_kept=0.01)}),
    "performance weighted": ("plain", {"loss": performance_weighted}),
    "distillation": ("plain", {"loss": distillation}),
    "blakeney, distillation": ("plain", {"loss": blakeney}),
    "blakeney, attention": ("plain", {"constraint": AttentionTransfer}),
    "equal losses": ("equal losses", {}),
    "recipe": ("equal losses", {"constraint": Distillation}),
    "ours": ("ours", {}),
    "ours + fairgrape": ("ours", {"pruner": "fairgrape"}),
    **{name: (name, {}) for name in EQUAL_LOSSES if name != "ours"},
    **{name: (name, {}) for name in ("group dro", "balanced draws", "subg", *JTT)},
}


@functools.lru_cache(maxsize=1)
def trained(task_name: str, seed: int, kind: str, quick: bool) -> tuple[Any, list[Split]]:
    """Return a dense net, its callbacks as they were, and training, validation and test rows."""
    task = TASKS[task_name]
    splits = [_few(split, quick) for split in task.load(seed)]
    if kind == "subg":
        splits[0] = balanced_subset(splits[0], seed)
    params = task.params | ({"max_epochs": 1} if quick else {})
    clf = TaughtClassifier(**params, classes=sorted(set(splits[2].y.tolist())), random_state=seed)
    train = splits[0]
    clf.set_params(callbacks=[("constraint", constraint(kind, clf, train))])
    return clf.fit(train.X, train.y, sensitive_features=train.group), splits


def constraint(kind: str, clf: FairPrunedClassifier, train: Split) -> Constraint | None:
    """Return what the dense net is trained with."""
    if kind in EQUAL_LOSSES:
        return FirstDefault(**EQUAL_LOSSES[kind])
    if kind in JTT:
        first = clone(clf).set_params(max_epochs=max(1, clf.max_epochs // 3))
        wrong = first.fit(train.X, train.y).predict(train.X) != train.y
        return MoreOfRows(wrong, JTT[kind])
    others = {
        "equal losses": EqualLossConstraint,
        "group dro": GroupDRO,
        "balanced draws": BalancedDraws,
    }
    return others[kind]() if kind in others else None


def _few(split: Split, quick: bool) -> Split:
    rows = np.random.default_rng(0).permutation(len(split.y))
    return split.take(rows[:400]) if quick else split


def work(cell: Cell, quick: bool = False) -> list[dict[str, Any]]:
    """Prune and fine-tune one dense net by one method, at every rate."""
    kind, change = METHODS[cell["method"]]
    clf, (train, valid, test) = trained(cell["task"], cell["seed"], kind, quick)
    # A layer that dies would decide for all methods alike, as COMPAS's last one does at 0.9.
    clf.set_params(pruner=change.get("pruner", MagnitudePruner(min_kept=0.01)))
    clf.taught_loss_ = change.get("loss")
    clf.callbacks_ = [(name, c) for name, c in clf.callbacks_ if name != "field"]
    if "constraint" in change:
        clf.callbacks_.append(("field", change["constraint"]().initialize()))
    rows = []
    for rate in RATES[:1] if quick else RATES:
        prune(clf, rate, train)
        for name, split in (("valid", valid), ("test", test)):
            rows.append({"rate": rate, "split": name} | scores(clf, split))
    return rows


def cells(tasks: list[str], seeds: int | None) -> list[Cell]:
    """Return the cells, the first seed of everything before the second of anything."""
    return [
        cell
        for cell in grid(seed=range(max(SEEDS.values())), task=tasks, method=METHODS)
        if cell["seed"] < (seeds or SEEDS[cell["task"]])
        and (cell["task"], cell["method"]) not in LEFT_OUT
    ]


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the tables."""
    parser = options(__doc__, tasks=SEEDS, quick="digits, one seed, tiny")
    parser.add_argument("--seeds", type=int)
    args = parser.parse_args(argv)
    todo = cells(["digits"], 1) if args.quick else cells(args.tasks, args.seeds)
    run_study(__file__, args, todo, work, write_page)


if __name__ == "__main__":
    main()
