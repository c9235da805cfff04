"""The data sets of the benchmarks: what is trained on, how the groups are made, which net."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sk_prunefair.datasets import (
    load_adult,
    load_compas,
    load_digits,
    load_fashion_mnist,
    load_german,
    load_utkface,
    long_tailed,
)
from sk_prunefair.modules import MLP, ResNet18


@dataclass(frozen=True)
class Split:
    """Rows of a data set: features, labels, groups (integers)."""

    X: np.ndarray
    y: np.ndarray
    group: np.ndarray

    def take(self, rows: np.ndarray) -> Split:
        """Return some of the rows."""
        return Split(self.X[rows], self.y[rows], self.group[rows])


@dataclass(frozen=True)
class Task:
    """A data set with the net and the training that fit it; the same for every method."""

    load: Callable[[int], tuple[Split, Split, Split]]
    group_is_label: bool
    params: dict[str, Any]


class SmallCNN(nn.Module):
    """Two convolutions and one hidden layer, for 28×28 images."""

    def __init__(self, n_classes: int, width: int = 16, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
            nn.MaxPool2d(2),
            *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(2 * width * 49, hidden), nn.ReLU(), nn.Linear(hidden, n_classes)),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.layers(X)


def data_folder(name: str) -> Path:
    """Return where a data set lies that the package has no loader of."""
    root = Path(os.environ.get("SK_PRUNEFAIR_DATA", "~/sk_prunefair_data")).expanduser()
    return root / name


def three_ways(data: Split, seed: int, valid: float, test: float) -> tuple[Split, Split, Split]:
    """Split by label × group into training, validation and test rows."""
    strata = data.y * (data.group.max() + 1) + data.group
    sizes = np.bincount(strata)[strata]
    strata = np.where(sizes < 10, -1, strata)
    rows = np.arange(len(data.y))
    rest, test_rows = train_test_split(rows, test_size=test, stratify=strata, random_state=seed)
    train_rows, valid_rows = train_test_split(
        rest, test_size=valid / (1 - test), stratify=strata[rest], random_state=seed
    )
    return data.take(train_rows), data.take(valid_rows), data.take(test_rows)


@cache
def _adult(subset: str) -> Any:
    return load_adult(subset=subset)


def encoder() -> ColumnTransformer:
    """Return what scales numbers and spreads out names."""
    return make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )


def digits(seed: int) -> tuple[Split, Split, Split]:
    """Digits, class = group, the training rows thinned to a long tail of 20 : 1."""
    bunch = load_digits()
    whole = Split(bunch.data, bunch.target, bunch.target)
    train, valid, test = three_ways(whole, seed, valid=0.1, test=0.4)
    return train.take(long_tailed(train.y, 20, random_state=seed)), valid, test


def adult(seed: int) -> tuple[Split, Split, Split]:
    """Adult with its own test set; groups are race × sex."""
    bunches = [_adult("train"), _adult("test")]
    encode = encoder().fit(bunches[0].data)
    names = bunches[0].sensitive_features.agg(", ".join, axis=1)
    codes = {name: code for code, name in enumerate(sorted(names.unique()))}
    splits = [
        Split(
            encode.transform(b.data).astype(np.float32),
            (b.target == ">50K").astype(np.int64),
            b.sensitive_features.agg(", ".join, axis=1).map(codes).to_numpy(),
        )
        for b in bunches
    ]
    train, valid, _ = three_ways(splits[0], seed, valid=0.2, test=0.01)
    return train, valid, splits[1]


def adult_at_once() -> Split:
    """Return Adult's training rows, encoded, in groups of race × sex, for timings."""
    bunch = _adult("train")
    X = encoder().fit_transform(bunch.data).astype(np.float32)
    sensitive = bunch.sensitive_features
    group = sensitive.groupby(list(sensitive), observed=True).ngroup().to_numpy(copy=True)
    y = (bunch.target == np.unique(bunch.target)[1]).astype(np.int64)
    return Split(np.ascontiguousarray(X), y, group)


def compas(seed: int) -> tuple[Split, Split, Split]:
    """COMPAS; groups are races, two of them tiny."""
    bunch = load_compas()
    encode = encoder()
    # 307 people were not screened on arrest; the column is days from then, and missing for them.
    features = bunch.data.drop(columns="days_b_screening_arrest")
    X = encode.fit_transform(features).astype(np.float32)
    group = np.unique(bunch.sensitive_features["race"], return_inverse=True)[1]
    return three_ways(Split(X, np.asarray(bunch.target), group), seed, valid=0.2, test=0.3)


def german(seed: int) -> tuple[Split, Split, Split]:
    """German credit; groups are sex × whether older than 25."""
    bunch = load_german()
    encode = encoder()
    X = encode.fit_transform(bunch.data).astype(np.float32)
    names = bunch.sensitive_features.astype(str).agg(", ".join, axis=1)
    group = np.unique(names, return_inverse=True)[1]
    y = np.unique(bunch.target, return_inverse=True)[1]
    return three_ways(Split(X, y, group), seed, valid=0.1, test=0.4)


@cache
def _bank() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    table = pd.read_csv(data_folder("bank") / "bank-full.csv.gz", sep=";")
    names = np.where(table["age"] < 25, "< 25", "≥ 25, " + table["marital"].astype(str))
    group = np.unique(names.astype(str), return_inverse=True)[1]
    # The duration of the call is known only once it is over.
    return table.drop(columns=["y", "duration"]), (table["y"] == "yes").to_numpy(int), group


def bank(seed: int) -> tuple[Split, Split, Split]:
    """Bank marketing; groups are people under 25, others by marital status."""
    table, y, group = _bank()
    X = encoder().fit_transform(table).astype(np.float32)
    return three_ways(Split(X, y, group), seed, valid=0.1, test=0.4)


def parity(seed: int) -> tuple[Split, Split, Split]:
    """Digits, odd or even, in two groups, for quick runs: nothing is downloaded."""
    bunch = load_digits()
    X = bunch.data.reshape(len(bunch.data), -1)
    whole = Split(X, bunch.target % 2, (bunch.target >= 5).astype(np.int64))
    return three_ways(whole, seed, valid=0.1, test=0.4)


@cache
def _fashion(subset: str) -> Any:
    return load_fashion_mnist(subset=subset)


def fashion(seed: int) -> tuple[Split, Split, Split]:
    """Fashion-MNIST, class = group, long tail of 20 : 1 from 3,000 images down; balanced test."""
    train, test = (
        Split(b.data, np.asarray(b.target), np.asarray(b.target))
        for b in (_fashion("train"), _fashion("test"))
    )
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(train.y))
    by_class = [rows[train.y[rows] == label] for label in range(10)]
    pool = train.take(np.concatenate([r[:3000] for r in by_class]))
    valid = train.take(np.concatenate([r[3000:3300] for r in by_class]))
    return pool.take(long_tailed(pool.y, 20, random_state=seed)), valid, test


@cache
def _faces(target: str, group: str, size: int) -> Any:
    return load_utkface(target=target, sensitive_features=group, size=size)


def face_split(
    target: str, seed: int, group: str = "race", size: int = 32, n_train: int = 10_000
) -> tuple[Split, Split, Split]:
    """UTKFace, split three ways; so many images for training."""
    bunch = _faces(target, group, size)
    y, groups = (
        np.unique(np.asarray(column), return_inverse=True)[1]
        for column in (bunch.target, bunch.sensitive_features[group])
    )
    train, valid, test = three_ways(Split(bunch.data, y, groups), seed, valid=0.1, test=0.3)
    rows = np.random.default_rng(seed).permutation(len(train.y))[:n_train]
    return train.take(rows), valid, test


def faces_race(seed: int) -> tuple[Split, Split, Split]:
    """UTKFace at 32×32, 10,000 for training; race is the label and the group."""
    return face_split("race", seed)


def faces_gender(seed: int) -> tuple[Split, Split, Split]:
    """UTKFace at 32×32, 10,000 for training; gender is the label, races are the groups."""
    return face_split("gender", seed)


def small_faces(seed: int) -> tuple[Split, Split, Split]:
    """UTKFace at 32×32, 2,000 for training; gender is the label, races are the groups."""
    train, valid, test = face_split("gender", seed, n_train=2000)
    return train, valid, test.take(np.arange(3000))


def _training(**params: Any) -> dict[str, Any]:
    shared = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 1e-3,
        "train_split": None,
        "verbose": 0,
    }
    return shared | params


TASKS: dict[str, Task] = {
    "digits": Task(digits, True, _training(module=MLP, lr=2e-3, max_epochs=30, batch_size=16)),
    "compas": Task(compas, False, _training(module=MLP, lr=5e-3, max_epochs=10, batch_size=64)),
    "adult": Task(adult, False, _training(module=MLP, max_epochs=6, batch_size=256)),
    "fashion": Task(fashion, True, _training(module=SmallCNN, max_epochs=6, batch_size=64)),
    "faces_race": Task(
        faces_race, True, _training(module=ResNet18, module__width=8, max_epochs=6, batch_size=128)
    ),
    "faces_gender": Task(
        faces_gender,
        False,
        _training(module=ResNet18, module__width=8, max_epochs=6, batch_size=128),
    ),
}
# Those of the recipe: three with a gap to close, and four tables whose base rates differ by group.
MITIGATION_TASKS: dict[str, Task] = {
    **{name: TASKS[name] for name in ("digits", "fashion", "faces_race", "adult", "compas")},
    "german": Task(german, False, _training(module=MLP, lr=5e-3, max_epochs=10, batch_size=32)),
    "bank": Task(bank, False, _training(module=MLP, max_epochs=6, batch_size=256)),
}
# Those of the comparison with fairlearn, whose methods train many nets.
BINARY_TASKS: dict[str, Task] = {
    "adult": TASKS["adult"],
    "compas": TASKS["compas"],
    "parity": Task(parity, False, _training(module=MLP, max_epochs=3, batch_size=64)),
    "german": Task(german, False, _training(module=MLP, lr=5e-3, max_epochs=10, batch_size=32)),
    "faces": Task(
        small_faces,
        False,
        _training(module=ResNet18, module__width=8, max_epochs=5, batch_size=64),
    ),
}
