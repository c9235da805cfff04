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

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from sklearn.model_selection import train_test_split
from torch import nn

from benchmarks.lib.harness import Cell, out_path, run_cells
from benchmarks.studies.nets.page import write_page
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_adult, load_compas, load_digits, load_fashion_mnist
from sk_prunefair.metrics import accuracy_gap_floor
from sk_prunefair.modules import TabularNet
from sk_prunefair.tables import TabularEncoder

SEEDS = (0, 1, 2)
RATES = (0.5, 0.8, 0.9)
FINETUNE_EPOCHS = 3
ROUNDS = 5
PRUNERS = ("magnitude", "layer_magnitude", "random", "taylor", "snip", "fairgrape", "fairprune")
PRUNERS += ("channel_magnitude", "channel_taylor")
Data = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]


class LSTM(nn.Module):
    """An LSTM over embedded tokens; its last state is classified."""

    def __init__(self, n_tokens: int = 17, n_classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_tokens, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, n_classes)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of tokens of shape (n_samples, n_tokens)."""
        return self.head(self.lstm(self.embed(input_ids))[0][:, -1])


def bert() -> nn.Module:
    """Return a BERT of two layers."""
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=17,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=64,
            initializer_range=0.1,
            num_labels=10,
        )
    )


def gpt2() -> nn.Module:
    """Return a GPT-2 of two layers; token 16 pads, and is the darkest of the pixels."""
    return transformers.GPT2ForSequenceClassification(
        transformers.GPT2Config(
            vocab_size=18,
            n_embd=64,
            n_layer=2,
            n_head=4,
            n_positions=64,
            initializer_range=0.1,
            num_labels=10,
            pad_token_id=17,
            bos_token_id=17,
            eos_token_id=17,
        )
    )


def vit() -> nn.Module:
    """Return a ViT of two layers on 49 patches."""
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=28,
            patch_size=4,
            num_channels=1,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            num_labels=10,
        )
    )


def resnet() -> nn.Module:
    """Return a slim ResNet of three stages."""
    return transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            num_channels=1,
            embedding_size=16,
            hidden_sizes=[16, 32, 64],
            depths=[1, 1, 1],
            layer_type="basic",
            num_labels=10,
        )
    )


@cache
def digits(seed: int) -> tuple[Data, Data]:
    """Return digits as 64 tokens of 17 kinds."""
    bunch = load_digits()
    X, y = (16 * bunch.data.reshape(-1, 64)).round().astype(np.int64), bunch.target
    fit, test = train_test_split(np.arange(len(y)), test_size=1 / 3, stratify=y, random_state=seed)
    return tuple(({"input_ids": X[rows]}, y[rows], y[rows]) for rows in (fit, test))


@cache
def fashion(seed: int) -> tuple[Data, Data]:
    """Return 6,000 images to train on, 4,000 held out."""
    parts = []
    for subset, n in (("train", 6000), ("test", 4000)):
        bunch = load_fashion_mnist(subset=subset)
        rows = np.random.default_rng(seed).permutation(len(bunch.target))[:n]
        X = np.asarray(bunch.data[rows], dtype=np.float32).reshape(n, 1, 28, 28)
        parts.append(({"pixel_values": X / X.max()}, bunch.target[rows], bunch.target[rows]))
    return tuple(parts)


def encoded(table: pd.DataFrame, y: np.ndarray, group: np.ndarray, seed: int) -> tuple[Data, Data]:
    """Return two thirds of a table to train on, the rest held out, encoded by the former."""
    fit, test = train_test_split(np.arange(len(y)), test_size=1 / 3, stratify=y, random_state=seed)
    encoder = TabularEncoder().fit(table.iloc[fit])
    return tuple(
        (dict(encoder.transform(table.iloc[rows])), y[rows], group[rows]) for rows in (fit, test)
    )


@cache
def adult(seed: int) -> tuple[Data, Data]:
    """Return Adult, in groups of sex × race."""
    bunch = load_adult()
    group = bunch.sensitive_features[["sex", "race"]].astype(str).agg(" ".join, axis=1)
    return encoded(bunch.data, bunch.target, group.to_numpy(), seed)


@cache
def compas(seed: int) -> tuple[Data, Data]:
    """Return COMPAS, in groups of race."""
    bunch = load_compas()
    group = bunch.sensitive_features["race"].astype(str).to_numpy()
    return encoded(bunch.data, bunch.target, group, seed)


@dataclass(frozen=True)
class Case:
    """A net, its data, and the epochs of its training."""

    make: Callable[[], nn.Module] | type[nn.Module]
    load: Callable[[int], tuple[Data, Data]]
    epochs: int
    batch_size: int


CASES = {
    "BERT, digits as tokens": Case(bert, digits, 30, 32),
    "GPT-2, digits as tokens": Case(gpt2, digits, 30, 32),
    "LSTM, digits as tokens": Case(LSTM, digits, 30, 32),
    "ViT, Fashion-MNIST as patches": Case(vit, fashion, 8, 64),
    "ResNet, Fashion-MNIST": Case(resnet, fashion, 8, 64),
    "TabularNet, Adult": Case(TabularNet, adult, 5, 256),
    "TabularNet, COMPAS": Case(TabularNet, compas, 20, 64),
}


def classifier(case: Case, seed: int, **params: Any) -> FairPrunedClassifier:
    """Return the classifier of a case."""
    torch.manual_seed(seed)
    module = case.make if isinstance(case.make, type) else case.make()
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.AdamW,
        "lr": 1e-3,
        "max_epochs": case.epochs,
        "batch_size": case.batch_size,
        "train_split": None,
        "verbose": 0,
        "random_state": seed,
    }
    return FairPrunedClassifier(module, **defaults | params)


def what_groups_lose(cell: Cell) -> list[dict[str, Any]]:
    """Return a row for each rate of one net, data set and seed."""
    case = CASES[cell["net"]]
    (X, y, group), (X_test, y_test, group_test) = case.load(cell["seed"])
    clf = classifier(case, cell["seed"]).fit(X, y, sensitive_features=group)
    rows = []
    for rate in RATES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            clf.prune(rate, X, y, sensitive_features=group, finetune_epochs=FINETUNE_EPOCHS)
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
    start = time.process_time()
    reason, sparsity, accuracy = "", 0.0, dense
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=0)
        sparsity, accuracy = clf.sparsity_, clf.score(X_test, y_test)
    except (ValueError, RuntimeError) as error:
        reason = str(error)
    seconds = time.process_time() - start
    found = {"sparsity": sparsity, "accuracy_dense": dense, "accuracy": accuracy}
    return [found | {"seconds": seconds, "reason": reason}]


def by_hand(case: Case, X: dict[str, Any], y: np.ndarray, module: nn.Module) -> Callable[[], None]:
    """Return a function that trains one epoch in a bare loop."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    tensors = {name: torch.from_numpy(values) for name, values in X.items()}
    labels = torch.from_numpy(y)

    def epoch() -> None:
        module.train()
        for rows in torch.randperm(len(labels)).split(case.batch_size):
            output = module(**{name: values[rows] for name, values in tensors.items()})
            scores = output["logits"] if isinstance(output, dict) else output
            loss = nn.functional.cross_entropy(scores, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def what_an_epoch_costs(cell: Cell) -> list[dict[str, Any]]:
    """Return a row for each round of one epoch by hand and one of ours, in turns."""
    case = CASES[cell["net"]]
    (X, y, group), _ = case.load(0)
    codes = np.unique(y, return_inverse=True)[1]
    clf = classifier(case, 0, max_epochs=1).fit(X, y, sensitive_features=group)
    plain = by_hand(case, X, codes, classifier(case, 0, max_epochs=0).fit(X, y).module_)

    def ours() -> None:
        clf.partial_fit(X, y, sensitive_features=group)

    rows = []
    for number in range(ROUNDS + 1):
        seconds = {}
        for name, work in (("by_hand", plain), ("ours", ours))[:: 1 if number % 2 else -1]:
            start = time.process_time()
            work()
            seconds[name] = time.process_time() - start
        if number:  # the first warms up
            rows.append({"round": number} | seconds)
    return rows


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="TabularNet on COMPAS, one seed")
    parser.add_argument("--nets", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--out", type=Path, help="CSV of the first table; others beside it")
    args = parser.parse_args()
    nets, seeds = (["TabularNet, COMPAS"], [0]) if args.quick else (args.nets, SEEDS)
    path = out_path(__file__, args.out, args.quick)
    pruners, times = (path.with_name(f"{path.stem}_{n}.csv") for n in ("pruners", "time"))
    run_cells([{"net": n} for n in nets], what_an_epoch_costs, times)
    run_cells([{"net": n, "pruner": p} for n in nets for p in PRUNERS], which_pruners_work, pruners)
    run_cells([{"seed": s, "net": n} for s in seeds for n in nets], what_groups_lose, path)
    write_page(path, pruners, times)


if __name__ == "__main__":
    main()
