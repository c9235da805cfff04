"""The poster, reproduced: its figures, its four models, its claims, on faces and clothes.

Run ``python -m benchmarks.studies.poster.run`` (hours on one core with its slim nets; it takes up
again where it stopped), ``--quick`` for tiny sizes in seconds, or on a GPU the published nets:
``--width 64 --size 48 --n-train 16000 --device cuda``. Rows, one per group, go to ``rows.csv``;
claims and tables to ``page.md``; figures to ``docs/pictures/poster_*.png``; those of nets or images
of another size to files of their own beside the CSV. ``--dual`` has the authors' Lagrangian dual in
the place of our equal losses, and goes to ``rows_dual.csv`` and ``.md`` (committed: ``--dual
--tasks faces_race --nets ResNet18 --seeds 1``). ``--default`` has today's default, and the recipe
as a fifth model, and goes to ``rows_default.csv`` and ``.md`` (committed: ``--default --tasks
faces_race --nets ResNet18 --seeds 1``). Data is looked for in the folder SK_PRUNEFAIR_DATA.

The four models: *none*; *before*, equal losses in the dense training; *after*, in the fine-tuning;
*both*. *none* and *after* prune one dense net, *before* and *both* another. All rows are test rows,
and no model is chosen by them; but ResNet-50's training and its pruner were changed after first
rows of it had been seen, in which it had learned too little to say anything.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.lib.harness import ROOT, Cell, out_path, page_path, run_cells
from benchmarks.lib.image_tasks import GROUP_NAMES, IMAGES
from benchmarks.lib.study import options
from benchmarks.lib.tasks import Split
from benchmarks.studies.poster.figures import draw_figures
from benchmarks.studies.poster.page import write_default, write_dual, write_page
from sk_prunefair import (
    Distillation,
    EqualLossConstraint,
    FairPrunedClassifier,
    pruning_curve,
)
from sk_prunefair.modules import VGG19, ResNet18, ResNet50
from sk_prunefair.theory import (
    boundary_closeness,
    group_gradient_norms,
    group_hessian_eigenvalues,
)

ONE_SHOT = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FINETUNED = (0.8, 0.9, 0.95)
FINETUNE_EPOCHS = 2
NETS = {"ResNet18": ResNet18, "ResNet50": ResNet50, "VGG19": VGG19}
SLIM = {"ResNet18": 8, "ResNet50": 4, "VGG19": 8}
TRAINING: dict[str, Any] = {"max_epochs": 6, "batch_size": 128}
# After six epochs of large batches the deep net's training loss has hardly begun to fall, and
# magnitudes over all layers leave it one prediction for all from 0.8 on, even fine-tuned.
OWN_TRAINING: dict[str, dict[str, Any]] = {
    "ResNet50": {"max_epochs": 12, "batch_size": 32, "pruner": "layer_magnitude"}
}
RUNS = [
    ("faces_race", "ResNet18"),
    ("fashion_tail", "VGG19"),
    ("faces_gender", "ResNet18"),
    ("faces_age", "ResNet18"),
    ("fashion", "VGG19"),
    ("faces_race", "ResNet50"),
]
MODELS = ("none", "after", "before", "both")
# The constraint alone, without averaged weights; and the authors' dual, as compared with fairlearn.
DRAWN: dict[str, Any] = {"by": "resampling", "average": False, "explained": None}
DUAL: dict[str, Any] = {"violation": "absolute", "step_size": 0.1}
OPTIONS: dict[str, dict[str, Any]] = {"drawn": DRAWN, "dual": DUAL, "default": {}}
PAGES = {"drawn": write_page, "dual": write_dual, "default": write_default}
PICTURES = ROOT / "docs" / "pictures"
HESSIAN_SAMPLES = 64  # of each group


@functools.lru_cache(maxsize=1)
def data(task: str, seed: int, size: int, n_train: int) -> tuple[Split, Split]:
    """Return training and test rows."""
    sizes = {"size": size} if task.startswith("faces") else {}
    return IMAGES[task](seed, n_train, **sizes)


@functools.lru_cache(maxsize=1)
def trained(
    task: str,
    net: str,
    width: int,
    size: int,
    n_train: int,
    seed: int,
    phase: str,
    kind: str,
    device: str,
) -> FairPrunedClassifier:
    """Return a dense net, trained with equal losses from the beginning or without."""
    train, test = data(task, seed, size, n_train)
    clf = FairPrunedClassifier(
        NETS[net],
        module__width=width,
        module__in_channels=train.X.shape[1],
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        **(TRAINING | OWN_TRAINING.get(net, {})),
        train_split=None,
        classes=sorted(set(test.y.tolist())),
        callbacks=[
            ("equal_loss", EqualLossConstraint(phase=phase, **OPTIONS[kind])),
            ("distillation", Distillation(weight=0.0)),  # does nothing
        ],
        finetune_epochs=FINETUNE_EPOCHS,
        random_state=seed,
        device=device,
        verbose=0,
    )
    return clf.fit(train.X, train.y, sensitive_features=train.group)


def work(cell: Cell, device: str, kind: str = "drawn") -> list[dict[str, Any]]:
    """Prune and fine-tune one of the four models; dense nets are pruned one-shot, too."""
    keys = [cell[name] for name in ("task", "net", "width", "size", "n_train", "seed")]
    train, test = data(cell["task"], cell["seed"], cell["size"], cell["n_train"])
    has_dense_constraint = cell["model"] in ("before", "both", "recipe")
    clf = trained(*keys, "both" if has_dense_constraint else "after", kind, device)
    has_constraint = cell["model"] in ("after", "both", "recipe")
    clf.set_params(callbacks__distillation__weight=0.9 if cell["model"] == "recipe" else 0.0)
    # The other phase than that of the fine-tuning: it does nothing there.
    clf.set_params(callbacks__equal_loss__phase="both" if has_constraint else "before")
    given = (test.X, test.y)
    groups = {"sensitive_features": test.group, "verbose": 0}
    fit_on = {"X_train": train.X, "y_train": train.y, "sensitive_features_train": train.group}
    curves = [pruning_curve(clf, *given, **groups, rates=FINETUNED, **fit_on)]
    curves[0]["finetuned"] = True
    if cell["model"] in ("none", "before"):
        one_shot = pruning_curve(clf, *given, **groups, rates=ONE_SHOT)
        curves.append(add_theory(one_shot, clf, test).assign(finetuned=False))
    rows = pd.concat(curves)
    rows["train_count"] = np.bincount(train.group)[rows["group"]]
    if cell["task"] in GROUP_NAMES:
        rows["group"] = np.array(GROUP_NAMES[cell["task"]])[rows["group"]]
    columns = ["finetuned", "rate", "group", "train_count", "count", "accuracy", "loss"]
    columns += ["excessive_risk", "gradient_norm", "boundary_closeness", "hessian"]
    return rows.reindex(columns=columns).to_dict("records")


def add_theory(curve: pd.DataFrame, clf: FairPrunedClassifier, test: Split) -> pd.DataFrame:
    """Add to the dense net's rows the groups' gradients, closeness to the boundary and Hessians."""
    given = (clf.dense_module_, test.X, test.y, test.group)
    eigenvalues = group_hessian_eigenvalues(*given, max_samples=HESSIAN_SAMPLES, tol=1e-2)
    theory = pd.DataFrame(
        {
            "gradient_norm": group_gradient_norms(*given),
            "boundary_closeness": boundary_closeness(*given),
            "hessian": eigenvalues["eigenvalue"],
        }
    )
    dense = curve["rate"] == 0
    return pd.concat([curve[dense].join(theory, on="group"), curve[~dense]])


def cells(args: argparse.Namespace) -> list[Cell]:
    """Return the cells, the first seed of everything before the second of anything."""
    # CIFAR-10 and SVHN take the place of Fashion-MNIST, with the same net.
    others = [(task, "VGG19") for task in args.tasks if not task.startswith("faces")]
    return [
        {
            "task": task,
            "net": net,
            "width": args.width or SLIM[net],
            "size": args.size,
            "n_train": args.n_train,
            "seed": seed,
            "model": model,
        }
        for seed in range(args.seeds)
        for task, net in dict.fromkeys([*RUNS, *others])
        if task in args.tasks and net in args.nets
        for model in (*MODELS, *(["recipe"] if args.default else []))
    ]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``--quick`` is tiny in everything."""
    parser = options(__doc__, tasks=IMAGES, quick="tiny in everything")
    parser.set_defaults(tasks=list(dict.fromkeys(task for task, _ in RUNS)))
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS))
    parser.add_argument("--width", type=int, help="channels of the first stage; 64 as published")
    parser.add_argument("--size", type=int, default=32, help="of a face, in pixels")
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dual", action="store_true", help="the authors' method, not ours")
    parser.add_argument("--default", action="store_true", help="today's default and the recipe")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pictures", type=Path, help="by default docs/pictures, or beside --out")
    args = parser.parse_args(argv)
    committed = out_path(__file__, None, quick=False)
    usual = {name: parser.get_default(name) for name in ("width", "size", "n_train")}
    changes = ["dual"] * args.dual + ["default"] * args.default
    changes += [f"{k}{getattr(args, k)}" for k, v in usual.items() if getattr(args, k) != v]
    if changes and not args.quick:
        args.out = args.out or committed.with_name("_".join(["rows", *changes]) + ".csv")
    args.out = out_path(__file__, args.out, args.quick)
    args.pictures = args.pictures or (PICTURES if args.out == committed else args.out.parent)
    if args.quick:
        args.tasks, args.nets = ["digits_tail"], ["VGG19"]
        args.width, args.n_train, args.seeds = 2, 300, 1
    return args


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write page and figures."""
    args = parse(argv)
    kind = "dual" if args.dual else "default" if args.default else "drawn"
    run = functools.partial(work, device=args.device, kind=kind)
    rows = run_cells(cells(args), run, args.out, args.n_jobs)
    PAGES[kind](rows, page_path(args.out))
    if not args.default:
        draw_figures(rows, args.pictures)


if __name__ == "__main__":
    main()
