"""Data and nets that several test files share."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sk_prunefair import FairPrunedClassifier

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

torch.set_num_threads(1)


class SmallNet(nn.Module):
    """One hidden layer, batch norm and dropout: everything that a training changes."""

    def __init__(self, n_features: int, n_classes: int, hidden: int = 24, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(n_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


def classifier(module: Any = SmallNet, **params: Any) -> FairPrunedClassifier:
    """Return an unfitted classifier that trains in a fraction of a second on digits."""
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "lr": 0.2,
        "max_epochs": 4,
        "batch_size": 60,  # no small last batch of digits, which would disturb batch norm
        "verbose": 0,
        "random_state": 0,
    }
    return FairPrunedClassifier(module, **(defaults | params))


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return digits as flat rows, labels, and two groups: round digits and the others."""
    X, y = load_digits(return_X_y=True)
    return X / 16, y, np.where(np.isin(y, [0, 6, 8, 9]), "round", "other")


@pytest.fixture
def fitted(digits: tuple[np.ndarray, ...]) -> FairPrunedClassifier:
    """Return a classifier fitted on digits."""
    X, y, group = digits
    return classifier().fit(X, y, sensitive_features=group)


def data_home() -> Path:
    """Return the folder of the real data, or skip the test."""
    beside = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("SK_PRUNEFAIR_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no data: neither SK_PRUNEFAIR_DATA nor {beside} is a folder")
    return folder


def weights(module: nn.Module) -> dict[str, np.ndarray]:
    """Return a copy of all tensors of a module."""
    return {
        name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()
    }


def assert_same_weights(left: nn.Module, right: nn.Module) -> None:
    """Compare two modules bit for bit."""
    for name, value in weights(left).items():
        np.testing.assert_array_equal(value, weights(right)[name], err_msg=name)


@pytest.fixture
def benchmark_module() -> Iterator[Callable[[str], ModuleType]]:
    """Import modules of the benchmarks, for the length of a test: they keep what they load."""
    before = set(sys.modules)
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    for name in set(sys.modules) - before:
        if name.startswith("benchmarks."):
            del sys.modules[name]
